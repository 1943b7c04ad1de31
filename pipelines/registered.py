"""What a command made, taken into the registry with what it was made from."""

from __future__ import annotations

import json
import tempfile
from collections.abc import Iterable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Protocol

from pipelines.batch.inputs import hash_of_files, input_artifact, licence_of
from pipelines.calibrate import read_map
from pipelines.scene import slug
from rfplatform.formats.archive import write_archive
from rfplatform.registry.artifact import Artifact, File, Kind
from rfplatform.registry.registry import Registry

_TIMINGS = ("stages_s", "versions")


def register_output(registry: Registry, record: Mapping[str, Any], kind: Kind) -> Artifact:
    """Take what `rfplatform map` or `scene` wrote into the registry.

    Parameters
    ----------
    registry : Registry
    record : mapping
        What the pipeline returned.
    kind : str
        "radio-map" or "scene".

    Returns
    -------
    Artifact
        ``maps/AREA`` or ``scenes/AREA``, its version the beginning of its contents' hash. What it
        was read from is its parents: their hashes are kept, and where they lie.
    """
    out = Path(record["out"])
    inputs = record["inputs"] if "inputs" in record else {"area": record["input"]}
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        local = _packed(out, Path(folder))
        files = tuple(File.of(place, path) for path, place in sorted(local.items()))
        # Its record tells of times and versions, too: it is no part of what it is.
        told = [f for f in files if f.path not in ("run.json", "scene.json")]
        artifact = Artifact(
            f"{'maps' if kind == 'radio-map' else 'scenes'}/{slug(record['area']['name'])}",
            hash_of_files(told)[:16],
            kind,
            files,
            tuple(_parents(registry, inputs)),
            title=record["area"]["name"],
            licence=licence_of(record["attribution"]),
            schema="what `rfplatform map` writes" if kind == "radio-map" else "Mitsuba XML, PLY",
            config=record["options"],
            facts={name: record[name] for name in _FACTS if name in record},
            run={name: record[name] for name in _TIMINGS},
        )
        if registry.has(artifact.ref):
            return registry.get(artifact.ref)
        return registry.add(artifact, local)


def register_map(out: Path) -> str:
    """Take a finished map's directory into this user's registry; its name there.

    Raises
    ------
    InputError
        If there is no map.
    """
    _, record = read_map(out)
    return register_output(Registry.default(), {**record, "out": str(out)}, "radio-map").ref


_FACTS = ("area", "crs", "grid", "sectors", "solver", "coverage", "planning", "buildings")


def _packed(out: Path, folder: Path) -> dict[str, Path]:
    """An output's files by their paths; a Zarr store as one."""
    local: dict[str, Path] = {}
    for path in sorted(p for p in out.rglob("*") if p.is_file()):
        inside = path.relative_to(out)
        if not inside.parts[0].endswith(".zarr"):
            local[inside.as_posix()] = path
    for store in sorted(out.glob("*.zarr")):
        packed = folder / f"{store.name}.zip"
        chunks = {
            p.relative_to(store).as_posix(): p.read_bytes()
            for p in sorted(store.rglob("*"))
            if p.is_file()
        }
        write_archive(chunks, packed)
        local[packed.name] = packed
    return local


def _parents(registry: Registry, inputs: Mapping[str, Any]) -> Iterable[str]:
    for found in inputs.values():
        for one in found if isinstance(found, list) else [found]:
            if one is not None:
                yield register_input(registry, Path(one["path"]), one["sha256"])


def register_input(registry: Registry, path: Path, sha256: str) -> str:
    """Make a file known that stays where it is; its full name in the registry."""
    file = File(path.name, sha256, path.stat().st_size, path.resolve().as_uri())
    artifact = input_artifact((file,), path.name)
    if not registry.has(artifact.ref):
        registry.add(artifact)
    return artifact.ref


class Report(Protocol):
    """What benchmarks scored."""

    def to_dict(self) -> dict[str, Any]: ...


def register_report(registry: Registry, result: Report, name: str | None) -> Artifact:
    """Take what benchmarks scored into the registry, under the time of now.

    Returns
    -------
    Artifact
        ``reports/NAME``, with every row of the report among its facts.
    """
    body = result.to_dict()
    now = datetime.now(UTC)
    with tempfile.TemporaryDirectory(prefix="rfplatform-") as folder:
        path = Path(folder, "report.json")
        path.write_text(json.dumps(body, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
        return registry.add(
            Artifact(
                f"reports/{slug(name or 'all')}",
                now.strftime("%Y%m%dT%H%M%SZ"),
                "report",
                (File.of(path),),
                title=f"rfplatform bench {name or ''}".strip(),
                schema="rows of `rfplatform bench --json`",
                facts={"metrics": body["rows"]},
                run={k: v for k, v in body.items() if k != "rows"},
            ),
            {path.name: path},
        )
