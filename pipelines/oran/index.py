"""Documents into an index that can be searched and asked; or an index brought up to date."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfplatform.documents.read import read_document, sources
from rfplatform.errors import InputError
from rfplatform.oran.neutral import printable
from rfplatform.oran.opened import MINILM
from rfplatform.retrieval.index import Index, build_index, index_artifact, open_index
from rfplatform.retrieval.manifest import MANIFEST
from rfplatform.retrieval.named import named_embedder

Report = Callable[[str], None]


class UnreadableError(InputError):
    """Documents that can't be read.

    Parameters
    ----------
    message : str
    faults : sequence of str
        A line for each.
    """

    def __init__(self, message: str, faults: Sequence[str]) -> None:
        super().__init__(message)
        self.faults = tuple(faults)


@dataclass(frozen=True)
class Config:
    """What to index, and where.

    Attributes
    ----------
    documents : tuple of Path
        Files, and folders with them. May be empty where some are removed.
    out : Path
        The index: a folder that is made, or an index that is brought up to date.
    licence : str
        Of the documents that state none.
    dense : str, optional
        An embedder, as `named_embedder`, for vectors beside the words; "none" drops those that an
        index has. By default an index that has MiniLM's vectors keeps them.
    remove : tuple of str
        Names of files to take out.
    only : bool
        Take out whatever is not among `documents`.
    skip_bad : bool
        Leave out documents that can't be read, in place of changing nothing.
    register : bool
        Take the index into the registry.
    """

    documents: tuple[Path, ...]
    out: Path
    licence: str = ""
    dense: str | None = None
    remove: tuple[str, ...] = ()
    only: bool = False
    skip_bad: bool = False
    register: bool = False


def main(config: Config, *, report: Report | None = None) -> dict[str, Any]:
    """Make an index, or bring one up to date.

    Parameters
    ----------
    config : Config
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        JSON values: how many documents and chunks there are, the names of those "added",
        "changed", "removed" and "skipped", and what the readers could not make out as warnings.

    Raises
    ------
    UnreadableError
        If documents can't be read; then nothing is changed.
    InputError
        If there is nothing to index, or `out` is something else.
    MissingError
        If a library or the embedder's files are not there.
    """
    tell = report or (lambda _: None)
    started = time.perf_counter()
    if not config.documents and not config.remove:
        raise InputError("no documents: give files or folders, or --remove NAME")
    if config.only and not config.documents:
        raise InputError("--only needs documents: give the files or folders to keep")
    old = open_index(config.out) if (config.out / MANIFEST).is_file() else None
    before = {} if old is None else _documents_of(old)
    dense = _dense(config, old)
    passed_over: list[str] = []
    faults: list[InputError] = []
    embedder = None
    if dense:
        tell(f"Opening {dense}")
        embedder = named_embedder(dense).load()

    def told(text: str) -> None:
        # The one thing that is told and must be kept: nobody sees it again.
        if "passed over" in text:
            passed_over.append(text)
        tell(text)

    def fault(error: InputError) -> None:
        if not config.skip_bad:
            raise _FirstFaultError(str(error))
        faults.append(error)

    try:
        index = build_index(
            config.documents,
            config.out,
            embedder=embedder,
            licence=config.licence,
            keep=not config.only,
            remove=config.remove,
            report=told,
            progress=lambda done, total: tell(f"Embedding passages ({done:,} of {total:,})"),
            on_fault=fault,
        )
    except _FirstFaultError as first:
        raise _unreadable(str(first), config, tell) from None
    except InputError as error:
        if not faults:
            raise
        raise UnreadableError(str(error), [str(fault) for fault in faults]) from None
    built_s = time.perf_counter() - started
    after = _documents_of(index)
    return {
        "out": str(config.out),
        "documents": len(after),
        "chunks": len(index.chunks),
        "added": sorted(after.keys() - before.keys()),
        "changed": sorted(n for n in after.keys() & before.keys() if after[n] != before[n]),
        "removed": sorted(before.keys() - after.keys()),
        "skipped": [printable(str(error)) for error in faults],
        "dense": "" if index.manifest.dense is None else index.manifest.dense.embedder,
        "licences": sorted({document.licence for document in index.documents} - {""}),
        "registered": _registered(index) if config.register else "",
        "stages_s": {"building": built_s},
        "warnings": [*passed_over, *_notes(index)],
    }


def _dense(config: Config, old: Index | None) -> str:
    """The embedder's name; "" for words alone. Vectors are not lost by forgetting an option."""
    made = None if old is None else old.manifest.dense
    if config.dense is not None:
        return "" if config.dense.strip().lower() == "none" else config.dense
    if made is None:
        return ""
    if made.embedder.startswith(MINILM):
        return "minilm"
    raise InputError(
        f"{config.out}: has vectors of {made.embedder}: give --dense for the same embedder, or "
        "--dense none to go on with words alone"
    )


class _FirstFaultError(InputError):
    """A document that can't be read, before anything was written."""


def _unreadable(first: str, config: Config, tell: Report) -> UnreadableError:
    """The error with all faults: what comes after the first bad document is read for them alone."""
    faults = [first]
    listed = sources(config.documents)
    places = [n for n, source in enumerate(listed) if first.startswith(f"{source.path}:")]
    for source in listed[places[0] + 1 :] if places else ():
        tell(f"Looking at {source.name}")
        try:
            read_document(source.path, source.name)
        except InputError as error:
            faults.append(str(error))
    count = f"{len(faults)} of {len(listed)} files" if len(faults) > 1 else "1 file"
    return UnreadableError(
        f"{count} can't be read; nothing was changed: mend or leave out, or pass --skip-bad", faults
    )


def _documents_of(index: Index) -> dict[str, tuple[str, ...]]:
    """All documents by name, each with what tells that it has changed."""
    sums = {source.name: source.sha256 for source in index.manifest.sources}
    return {d.name: (d.sha256, d.licence, sums.get(d.source, "")) for d in index.documents}


def _notes(index: Index) -> Iterator[str]:
    """What the readers could not make out, a line for each document."""
    for document in index.documents:
        if document.notes:
            yield printable(f"{document.name}: {'; '.join(document.notes)}")


def _registered(index: Index) -> str:
    from rfplatform.registry.registry import Registry

    registry = Registry.default()
    name = re.sub(r"[^a-z0-9.]+", "-", index.path.resolve().name.lower()).strip("-.")
    artifact, local = index_artifact(index, f"indexes/{name or 'index'}")
    if registry.has(artifact.ref):
        return artifact.ref
    return registry.add(artifact, local).ref
