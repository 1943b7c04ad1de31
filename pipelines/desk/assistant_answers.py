"""Answers that were paid for once: kept in the workspace, a file each, and never asked again."""

from __future__ import annotations

import hashlib
import json
import time
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pipelines.desk.workspace import Workspace, read_json_file, write_json_file

MOST_KEPT = 500
"""Answers; the one that was given longest ago goes first."""

_NEEDED = frozenset(
    {"question", "found", "outcome", "text", "citations", "hits", "relevance", "least_relevance",
     "model", "calls", "tokens", "seconds", "warnings"}
)  # fmt: skip
"""Of a record, that a page shows: one of an earlier version may lack some, and is asked anew."""


@dataclass(frozen=True)
class Kept:
    """An answer.

    Attributes
    ----------
    index : str
        Its name, see `pipelines.desk.assistant_indexes.Place`.
    digest : str
        Of what the index held then.
    question : str
        In its own words, on one line.
    asked : float
        Unix seconds.
    record : mapping
        Of `pipelines.oran.ask.main`.
    """

    index: str
    digest: str
    question: str
    asked: float
    record: Mapping[str, Any]


def keep(ws: Workspace, answer: Kept) -> None:
    """Write an answer, in place of an earlier one to the same question."""
    folder = _folder(ws)
    folder.mkdir(parents=True, exist_ok=True)
    values = {
        "index": answer.index,
        "digest": answer.digest,
        "question": answer.question,
        "asked": answer.asked,
        "record": answer.record,
    }
    write_json_file(values, _place(ws, answer.index, answer.question))
    for path in _paths(ws)[MOST_KEPT:]:
        path.unlink(missing_ok=True)


def find_answer(ws: Workspace, index: str, question: str) -> Kept | None:
    """The answer to a question; None where it was not asked, or its file is damaged."""
    return _read(_place(ws, index, question))


def list_answers(ws: Workspace, most: int = 30) -> list[Kept]:
    """The newest answers, the last one first."""
    found = (_read(path) for path in _paths(ws)[:most])
    return [answer for answer in found if answer is not None]


def forget(ws: Workspace, index: str, question: str) -> None:
    """Remove an answer, if it is there."""
    _place(ws, index, question).unlink(missing_ok=True)


def worded(question: str) -> str:
    """A question on one line, by which it is known."""
    return " ".join(question.split())


def _folder(ws: Workspace) -> Path:
    return ws.root / "assistant" / "answers"


def _place(ws: Workspace, index: str, question: str) -> Path:
    text = json.dumps([index, worded(question)])
    return _folder(ws) / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"


def _paths(ws: Workspace) -> list[Path]:
    """Files of answers, the newest first."""
    aged = []
    for path in _folder(ws).glob("[0-9a-f]*.json"):
        try:
            aged.append((path.stat().st_mtime_ns, path))
        except FileNotFoundError:  # removed meanwhile
            continue
    return [path for _, path in sorted(aged, reverse=True)]


def _read(path: Path) -> Kept | None:
    found = read_json_file(path)
    record = None if found is None else found.get("record")
    if found is None or not isinstance(record, dict) or not record.keys() >= _NEEDED:
        return None
    asked = found.get("asked")
    return Kept(
        str(found.get("index", "")),
        str(found.get("digest", "")),
        str(found.get("question", "")),
        float(asked) if isinstance(asked, int | float) else time.time(),
        record,
    )
