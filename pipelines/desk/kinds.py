"""The kinds of long work: how the options of each are checked, and how it is done."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

import pipelines.batch.run as batch
from pipelines import bench, calibrate
from pipelines import map as mapping
from pipelines.batch.faults import JobsError
from pipelines.batch.jobs import read_jobs
from pipelines.batch.status import Status
from pipelines.desk.draft import Draft
from pipelines.desk.workspace import Workspace, write_json_file
from rfplatform.catalog import find_solver
from rfplatform.errors import InputError, WorkerError, unknown_name
from rfplatform.formats.drive_test import read_drive_test
from rfplatform.geodata.place import BlendFile, parse_area
from rfplatform.propagation.calibration import CalibrationConfig
from rfplatform.propagation.raytraced import TraceProgress

SITES, COLUMNS, RESULT = "sites.csv", "columns.toml", "result.json"
TOLD_FAULTS = 3
"""Of a jobs file, that are told in one line."""

LISTED_FAILURES = 20
"""Maps of a batch that were set aside, of which a job tells the last words."""


@dataclass(frozen=True)
class Order:
    """What a job is to do.

    Attributes
    ----------
    workspace : Workspace
    folder : Path
        The job's own.
    options : mapping
        Plain JSON values, by the kind.
    """

    workspace: Workspace
    folder: Path
    options: Mapping[str, Any]

    @property
    def out(self) -> Path:
        """Where the results go."""
        return self.folder / "out"

    def own_words(self, told: object) -> str:
        """See `Workspace.own_words`; the job's folder is left out, too."""
        return self.workspace.own_words(told, self.folder)


@dataclass(frozen=True)
class Word:
    """How far some work is; what is None is as it was before.

    Attributes
    ----------
    message : str
    share : float, optional
        0..1 of the work.
    noise_db : float, optional
        Of a trace, so far.
    details : mapping
    """

    message: str
    share: float | None = None
    noise_db: float | None = None
    details: Mapping[str, Any] = field(default_factory=dict)


Tell = Callable[[Word], None]


@dataclass(frozen=True)
class Kind:
    """A kind of long work.

    Attributes
    ----------
    check : callable
        Refuses, with an `InputError`, what its end would refuse, as far as that is known at once.
    run : callable
        Does it, tells how far it is, and returns the last word.
    is_map : bool
        Whether what it leaves is a map, to be shown as one.
    """

    check: Callable[[Order], None]
    run: Callable[[Order, Tell], Word]
    is_map: bool = False


def find_kind(name: str) -> Kind:
    """Look a kind up by name.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if name in KINDS:
        return KINDS[name]
    raise unknown_name("kind of job", name, KINDS)


# ----------------------------------------------------------------------------------------------
# A map
# ----------------------------------------------------------------------------------------------


def _map_config(order: Order) -> mapping.Config:
    more = {name: value for name, value in order.options.items() if value is not None}
    draft = Draft.from_dict(more.pop("draft"))
    more["formats"] = tuple(more["formats"])
    return draft.map_config(order.workspace, order.folder / SITES, out=order.out, **more)


def _check_map(order: Order) -> None:
    config = _map_config(order)
    find_solver(config.solver)
    source = parse_area(config.area)
    if not isinstance(source, BlendFile):  # whose export takes long
        mapping.checked(config, source)


def _run_map(order: Order, tell: Tell) -> Word:
    config = _map_config(order)
    target_noise_db = config.target_noise_db if config.solver == "raytraced" else 0.0
    record = mapping.main(
        config,
        progress=lambda now: tell(_traced(now, target_noise_db)),
        report=lambda text: tell(Word(text)),
    )
    solver = record["solver"]
    warnings = [order.own_words(text) for text in record["warnings"]]
    details = {"stopped_by": solver.get("stopped_by"), "warnings": warnings}
    is_partial = details["stopped_by"] == "interrupted"
    message = "stopped: the map holds the rays so far" if is_partial else "done"
    return Word(message, 1.0, solver.get("noise_db"), details)


def _traced(now: TraceProgress, target_noise_db: float) -> Word:
    is_known = now.noise_db == now.noise_db
    share = now.rays / max(now.rays_budget, 1)
    if is_known and target_noise_db > 0:
        # The noise falls with the square root of the rays, and ends the trace when it is reached.
        share = max(share, min(1.0, (target_noise_db / max(now.noise_db, 1e-9)) ** 2))
    return Word(
        f"Tracing rays: batch {min(now.rounds + 1, now.num_rounds)} of at most {now.num_rounds}",
        share,
        now.noise_db if is_known else None,
        {
            "rays": now.rays,
            "rays_budget": now.rays_budget,
            "rays_per_s": now.rays / max(now.elapsed_s, 1e-9),
            "batches": now.rounds,
            "num_batches": now.num_rounds,
            "elapsed_s": now.elapsed_s,
            "left_s": now.elapsed_s * (1.0 - share) / max(share, 1e-9),
        },
    )


# ----------------------------------------------------------------------------------------------
# A calibrated map
# ----------------------------------------------------------------------------------------------


def _calibrate_config(order: Order) -> calibrate.Config:
    options, workspace = order.options, order.workspace
    columns = None
    if options["columns"]:
        columns = order.folder / COLUMNS
        # JSON's texts are TOML's, too.
        lines = [
            f"{_quoted(name)} = {_quoted(column)}\n" for name, column in options["columns"].items()
        ]
        columns.write_text("".join(lines), encoding="utf-8")
    return calibrate.Config(
        workspace.inside(workspace.jobs, options["map"]) / "out",
        Path(workspace.resolved(options["measurements"])),
        columns=None if columns is None else str(columns),
        method=options["method"],
        cells=tuple(f"{measured}={label}" for measured, label in options["cells"].items()),
        out=order.out,
    )


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _check_calibrate(order: Order) -> None:
    config = _calibrate_config(order)
    CalibrationConfig(config.method)
    calibrate.read_cells(config.cells)
    if not (config.radio_map / mapping.RECORD).is_file():
        raise InputError("no finished map to calibrate: wait for its end, or make it again")
    if not (config.radio_map / calibrate.STORE).is_dir():
        raise InputError("the map was made without zarr, which a calibration reads: make it again")
    read_drive_test(config.measurements, config.columns)


def _run_calibrate(order: Order, tell: Tell) -> Word:
    record = calibrate.main(_calibrate_config(order), report=lambda text: tell(Word(text)))
    about = record["calibration"]
    scores = {score["method"]: score for score in about["scores"]}
    score = scores.get(about["method"])
    message = (
        "done" if score is None else f"done: RMSE {score['rmse_db']:.1f} dB on blocks left out"
    )
    warnings = [order.own_words(text) for text in record["warnings"]]
    details = {"method": about["method"], "score": score, "warnings": warnings}
    return Word(message, 1.0, details=details)


# ----------------------------------------------------------------------------------------------
# A batch
# ----------------------------------------------------------------------------------------------


def _batch_config(order: Order) -> batch.Config:
    options = order.options
    return batch.Config(
        Path(order.workspace.resolved(options["jobs_file"])),
        out=str(order.out),
        workers=options["workers"],
        retry_failed=options["retry_failed"],
    )


def _check_batch(order: Order) -> None:
    config = _batch_config(order)
    if config.workers is not None and config.workers < 1:
        raise InputError(f"workers {config.workers}: must be 1 or more")
    try:
        read_jobs(config.jobs)
    except JobsError as error:
        told = "; ".join(error.lines[:TOLD_FAULTS])
        if str(error).endswith(told):  # there is but one, and it is told
            raise
        raise InputError(f"{error}: {told}") from error


def _run_batch(order: Order, tell: Tell) -> Word:
    record = batch.main(
        _batch_config(order),
        progress=lambda now: tell(_batched(now)),
        report=lambda text: tell(Word(text)),
    )
    failed = record["failed"]
    counts = ("maps", "done", "made", "already", "empty", "rays", "rays_per_s", "warnings")
    last_words = [
        {
            "job": one["job"],
            "what": one["what"],
            "last_words": order.own_words(one["last_words"]),
        }
        for one in failed[:LISTED_FAILURES]
    ]
    over: dict[str, Any] = {
        "running": 0,
        "waiting": 0,
        "scenes_waiting": 0,
        "left_s": None,
        "now": [],
    }
    details = {
        **{name: record[name] for name in counts},
        **over,
        "failed": len(failed),
        "failures": last_words,
    }
    if failed and not record["done"]:
        first = last_words[0]
        tell(Word("Ending", details=details))
        raise WorkerError(f"no map could be made: {first['job']}: {first['last_words']}")
    message = f"done: {record['done']:,} of {record['maps']:,} maps"
    if failed:
        message += f", {len(failed):,} set aside"
    return Word(message, 1.0, details=details)


def _batched(now: Status) -> Word:
    details = asdict(now)
    for name in ("run", "state", "heartbeat", "host", "pid"):
        del details[name]
    return Word(
        f"{now.done:,} of {now.maps:,} maps" if now.maps else "Reading the areas",
        (now.done + now.failed) / now.maps if now.maps else None,
        details=details,
    )


# ----------------------------------------------------------------------------------------------
# Benchmarks
# ----------------------------------------------------------------------------------------------


def _check_bench(order: Order) -> None:
    bench.listed(order.options["name"])


def _run_bench(order: Order, tell: Tell) -> Word:
    order.out.mkdir(exist_ok=True)
    config = bench.Config(order.options["name"], out=order.out)
    result = bench.main(config, report=lambda text: tell(Word(text))).to_dict()
    write_json_file(result, order.out / RESULT)
    skipped = sum(bool(row["skipped"]) for row in result["rows"])
    message = f"done: {len(result['rows']) - skipped:,} scores"
    if skipped:
        message += f", {skipped:,} skipped"
    return Word(message, 1.0)


KINDS: Mapping[str, Kind] = {
    "map": Kind(_check_map, _run_map, is_map=True),
    "calibrate": Kind(_check_calibrate, _run_calibrate, is_map=True),
    "batch": Kind(_check_batch, _run_batch),
    "bench": Kind(_check_bench, _run_bench),
}
"""All of them, by name."""
