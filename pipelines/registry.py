"""What people ask of the registry: list, show, fetch, add, push, pull, verify, clean, export."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rfplatform.errors import InputError, MissingError
from rfplatform.registry.artifact import KINDS, Artifact, File, Kind, parse_ref
from rfplatform.registry.public import PublicData, find_public, read_public
from rfplatform.registry.public import fetch as fetch_public
from rfplatform.registry.registry import Registry
from rfplatform.registry.store import Store
from rfplatform.shipped import shipped_folder
from rfplatform.staging import require_free, staged

if TYPE_CHECKING:
    from rfplatform.registry.download import Progress
    from rfplatform.registry.index import Entry
    from rfplatform.registry.lineage import Lineage

LISTED = 50
CHILDREN = 20


def public_data() -> tuple[PublicData, ...]:
    """What rfplatform knows that can be had.

    Raises
    ------
    MissingError
        If the list is not where it was installed.
    """
    folder = shipped_folder(".")
    if folder is None or not (folder / "registry.toml").is_file():
        raise MissingError(
            "data/registry.toml is missing; run from a checkout or reinstall rfplatform"
        )
    return read_public(folder / "registry.toml")


# ----------------------------------------------------------------------------------------------
# Looking
# ----------------------------------------------------------------------------------------------


def listing(
    registry: Registry,
    *,
    kind: str | None = None,
    names: Sequence[str] = (),
    limit: int = LISTED,
) -> dict[str, Any]:
    """What is in the registry, the newest first, and what can be had beside it.

    Parameters
    ----------
    registry : Registry
    kind : str, optional
        Of `KINDS` alone.
    names : sequence of str, optional
        Beginnings of names, or patterns such as "maps/*".
    limit : int
        Most artifacts of the registry for each name.

    Returns
    -------
    dict
        "artifacts" and "public", each a list of dicts; "more", how many artifacts are not listed.
    """
    if kind is not None and kind not in KINDS:
        raise InputError(f"kind {kind!r}: must be one of {', '.join(KINDS)}")
    if limit < 1:
        raise InputError(f"limit {limit}: must be 1 or more")
    wanted: Sequence[str | None] = names or (None,)
    found: dict[str, Entry] = {}
    more = 0
    for name in wanted:
        page = registry.entries(kind, name, limit=limit)
        found |= {entry.ref: entry for entry in page}
        more += registry.count(kind, name) - len(page)
    offered = [
        data
        for data in public_data()
        if kind in (None, data.kind)
        and any(name is None or _is_meant(data.name, name) for name in wanted)
        and not registry.has(data.ref)
    ]
    return {
        "home": str(registry.home),
        "artifacts": [_brief(registry, entry) for entry in found.values()],
        "more": more,
        "public": [_offer(data) for data in offered],
    }


def describe(registry: Registry, ref: str, *, lineage: bool = False) -> dict[str, Any]:
    """All that is known of an artifact, or of what can be had under that name.

    Parameters
    ----------
    registry : Registry
    ref : str
    lineage : bool
        Tell what it was made from, all the way up.

    Raises
    ------
    InputError
        If there is none of that name.
    """
    if not registry.has(ref):
        offered = _offered(ref)
        if offered is not None:
            return {**_offer(offered), "files": [asdict(f) for f in offered.files]}
    artifact = registry.get(ref)
    elsewhere = registry.entry(artifact.ref).store_url
    record = {
        "ref": artifact.ref,
        "state": "elsewhere" if elsewhere else "here",
        **artifact.to_dict(),
        "digest": artifact.digest(),
        "size_bytes": artifact.size_bytes,
        "store_url": elsewhere,
        "children": [entry.ref for entry in registry.children(artifact.ref, limit=CHILDREN)],
        "num_children": registry.count_children(artifact.ref),
    }
    return {**record, "lineage": _nodes(registry.lineage(artifact.ref))} if lineage else record


def _brief(registry: Registry, entry: Entry) -> dict[str, Any]:
    artifact = registry.get(entry.ref)
    return {
        "ref": entry.ref,
        "kind": entry.kind,
        "title": artifact.title,
        "licence": artifact.licence,
        "size_bytes": entry.size_bytes,
        "created": entry.created,
        "state": "elsewhere" if entry.store_url else "here",
        "store_url": entry.store_url,
    }


def _offer(data: PublicData) -> dict[str, Any]:
    told = ("name", "version", "kind", "title", "licence", "citation", "schema", "homepage")
    return {
        "ref": data.ref,
        "state": data.state,
        **{name: getattr(data, name) for name in told},
        "made": data.made,
        "manual": data.manual,
        "unpinned": data.unpinned,
        "size_bytes": data.size_bytes,
    }


def _offered(ref: str) -> PublicData | None:
    name, _ = parse_ref(ref)
    listed = public_data()
    return find_public(listed, ref) if any(data.name == name for data in listed) else None


def _is_meant(name: str, pattern: str) -> bool:
    from fnmatch import fnmatchcase

    return fnmatchcase(name, pattern if set(pattern) & set("*?[") else f"{pattern}*")


def _nodes(lineage: Lineage) -> list[dict[str, Any]]:
    """A lineage as a list, each artifact once, those further up behind those made from them."""
    nodes: dict[str, dict[str, Any]] = {}
    left = [lineage]
    for node in left:
        if not node.repeated:
            parents = [parent.ref for parent in node.parents]
            nodes.setdefault(node.ref, {"ref": node.ref, "kind": node.kind, "parents": parents})
            left += node.parents
    return list(nodes.values())


# ----------------------------------------------------------------------------------------------
# In and out
# ----------------------------------------------------------------------------------------------


def fetch(
    registry: Registry,
    ref: str,
    *,
    out: Path | None = None,
    overwrite: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Bring an artifact here: public data by a download, one of the registry into a folder.

    Parameters
    ----------
    registry : Registry
    ref : str
    out : Path, optional
        A folder for its files.
    overwrite : bool
        Replace the folder.
    progress : callable, optional

    Raises
    ------
    InputError
        If there is none of that name, or a person must download it: the message says how.
    MissingError
        If a server can't be reached.
    """
    if out is not None:
        require_free(out, overwrite=overwrite)
    offered = None if registry.has(ref) else _offered(ref)
    artifact = registry.get(ref) if offered is None else fetch_public(offered, registry, progress)
    if out is not None:
        with staged(out, overwrite) as folder:
            for file in artifact.files:
                place = folder / file.path
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(registry.path(artifact.ref, file.path), place)
            folder.mkdir(exist_ok=True)
    unpinned = offered is not None and offered.unpinned
    return {
        "ref": artifact.ref,
        "kind": artifact.kind,
        "title": artifact.title,
        "licence": artifact.licence,
        "citation": artifact.citation,
        "size_bytes": artifact.size_bytes,
        "files": [asdict(file) for file in artifact.files],
        "out": str(out) if out is not None else "",
        "warnings": [
            f"{file.path}: no SHA-256 was known beforehand; {file.sha256} is recorded"
            for file in artifact.files
            if unpinned
        ],
    }


@dataclass(frozen=True)
class Addition:
    """What is added, and as what.

    Attributes
    ----------
    ref : str
        "name@version".
    kind : str
    sources : tuple of Path
        Files, and folders whose contents are meant.
    title, licence, citation, schema : str
        Taken from the list of public data where they are empty and it has that name.
    parents : tuple of str
    config : str
        A JSON object, or a file with one.
    """

    ref: str
    kind: str
    sources: tuple[Path, ...]
    title: str = ""
    licence: str = ""
    citation: str = ""
    schema: str = ""
    parents: tuple[str, ...] = ()
    config: str = ""


def add(
    registry: Registry, addition: Addition, report: Callable[[str], None] = lambda _: None
) -> dict[str, Any]:
    """Add files to the registry as an artifact.

    Raises
    ------
    InputError
        If a file is missing, the name is taken by something else, a model holds anything but
        ``model.json`` and ``weights.safetensors``, or public data is not what its list says.
    """
    name, version = parse_ref(addition.ref)
    if version is None:
        raise InputError(f"{addition.ref}: a version is needed, as in {name}@1")
    local = _collected(addition.sources)
    if addition.kind == "model":
        from rfplatform.registry.models import check_model

        check_model(local, addition.ref)
    files = []
    for path, place in sorted(local.items()):
        report(f"Hashing {path}")
        files.append(File.of(place, path))
    listed = next((data for data in public_data() if data.ref == addition.ref), None)
    known = listed or PublicData(name, version, "dataset", "", "")
    for expected in known.files:
        if expected.sha256 not in ("", *(f.sha256 for f in files if f.path == expected.path)):
            raise InputError(f"{addition.ref}: {expected.path} is not what the public list says")
    artifact = Artifact(
        name,
        version,
        _kind(addition.kind),
        files=tuple(files),
        parents=addition.parents,
        title=addition.title or known.title,
        licence=addition.licence or known.licence,
        citation=addition.citation or known.citation,
        schema=addition.schema or known.schema,
        config=_config(addition.config),
        facts=known.facts,
    )
    report("Adding")
    added = registry.add(artifact, local)
    return {
        "ref": added.ref,
        "kind": added.kind,
        "size_bytes": added.size_bytes,
        "files": [asdict(file) for file in added.files],
        "warnings": [
            *([] if added.licence else ["no licence is stated (--licence)"]),
            *(
                f"parent {parent} is not in the registry: only its name is kept"
                for parent in added.parents
                if not registry.has(parent)
            ),
        ],
    }


def _collected(sources: Sequence[Path]) -> dict[str, Path]:
    """Files by the path that each has in its artifact."""
    local: dict[str, Path] = {}
    for source in sources:
        if source.is_dir():
            inside = [p for p in sorted(source.rglob("*")) if p.is_file()]
            found = {p.relative_to(source).as_posix(): p for p in inside}
        elif source.is_file():
            found = {source.name: source}
        else:
            raise InputError(f"{source}: no such file or folder")
        twice = sorted(set(found) & set(local))
        if twice:
            raise InputError(f"{source}: there are two files {twice[0]}; an artifact can hold one")
        local |= found
    if not local:
        raise InputError(f"{', '.join(map(str, sources))}: there are no files to add")
    return local


def _kind(kind: str) -> Kind:
    for known in KINDS:
        if kind == known:
            return known
    raise InputError(f"kind {kind!r}: must be one of {', '.join(KINDS)}")


def _config(text: str) -> dict[str, Any]:
    if not text:
        return {}
    try:
        if not text.lstrip().startswith("{"):
            text = Path(text).read_text(encoding="utf-8")
        config = json.loads(text)
    except OSError as error:
        raise InputError(f"--config {text}: {error.strerror}") from error
    except ValueError as error:
        raise InputError(f"--config: is no JSON ({error})") from error
    if not isinstance(config, dict):
        raise InputError("--config: must be a JSON object, as in '{\"epochs\": 20}'")
    return config


def push(
    registry: Registry,
    ref: str,
    url: str,
    *,
    with_parents: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Copy an artifact to a store. See `Registry.push`."""
    moved = registry.push(ref, url, with_parents=with_parents, progress=progress)
    return _moved(registry, moved, url, "to", with_parents=with_parents)


def pull(
    registry: Registry,
    ref: str,
    url: str,
    *,
    with_parents: bool = False,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Copy an artifact from a store. See `Registry.pull`."""
    moved = registry.pull(ref, url, with_parents=with_parents, progress=progress)
    return _moved(registry, moved, url, "from", with_parents=with_parents)


def _moved(
    registry: Registry, artifact: Artifact, url: str, way: str, *, with_parents: bool
) -> dict[str, Any]:
    """What was copied; of what it was made from, what is here of it."""
    parents = registry.ancestors(artifact.ref) if with_parents else []
    return {
        "ref": artifact.ref,
        "kind": artifact.kind,
        "title": artifact.title,
        "licence": artifact.licence,
        "size_bytes": artifact.size_bytes,
        "num_files": len(artifact.files),
        "num_parents": len(parents),
        "num_parent_files": sum(len(parent.files) for parent in parents),
        "parents_size_bytes": sum(parent.size_bytes for parent in parents),
        way: Store(url).url,
        "warnings": [],
    }


# ----------------------------------------------------------------------------------------------
# Upkeep
# ----------------------------------------------------------------------------------------------


def verify(
    registry: Registry,
    ref: str | None = None,
    *,
    store: str | None = None,
    report: Callable[[str], None] = lambda _: None,
) -> dict[str, Any]:
    """Read and hash files anew. See `Registry.verify`.

    Returns
    -------
    dict
        "checked", how many artifacts; "faults", each with ref, path, problem and detail.
    """
    checked = 0

    def tell(name: str) -> None:
        nonlocal checked
        checked += 1
        report(f"{checked:,}  {name}")

    place = Store(store) if store else None
    faults = registry.verify(ref, place, tell)
    return {
        "ref": ref,
        "store": place.url if place else str(registry.home),
        "checked": checked,
        "faults": [asdict(fault) for fault in faults],
        "warnings": [],
    }


def clean(
    registry: Registry,
    drop: Sequence[str] = (),
    *,
    store: str | None = None,
    dry_run: bool = False,
    older_than_h: float = 1.0,
) -> dict[str, Any]:
    """Remove what nothing needs. See `Registry.gc`."""
    if not older_than_h >= 0.0:
        raise InputError(f"older than {older_than_h} hours: must be 0 or more")
    place = Store(store) if store else None
    cleaning = registry.gc(drop, dry_run=dry_run, older_than_s=older_than_h * 3600.0, store=place)
    return {
        "store": place.url if place else str(registry.home),
        **asdict(cleaning),
        "needed_by": {ref: list(others) for ref, others in cleaning.needed_by.items()},
        "warnings": [],
    }
