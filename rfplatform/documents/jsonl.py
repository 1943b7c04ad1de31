"""JSON lines -> records, a document each."""

from __future__ import annotations

import gzip
import json
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from io import BytesIO
from typing import Any

from rfplatform.documents.text import decoded
from rfplatform.errors import InputError

MOST_BYTES = 1_000_000_000
"""To which a compressed file may unpack; a larger one is better in parts."""
_FIELDS = ("name", "source", "path", "title", "version", "licence", "license")


@dataclass(frozen=True)
class Record:
    """A line of a JSON lines file.

    Attributes
    ----------
    line : int
        From 1.
    name : str
        Its "name", else "source" and "path" joined by a slash, else the number of its line.
    path : str
        Whose suffix tells how the text is to be read; "" where the line does not say.
    text, title, version, licence : str
        "" where the line does not say.
    """

    line: int
    name: str
    path: str
    text: str
    title: str
    version: str
    licence: str


def records(data: bytes) -> Iterator[Record]:
    """The records of a file; empty lines are passed over.

    Parameters
    ----------
    data : bytes
        Compressed by gzip or not.

    Yields
    ------
    Record

    Raises
    ------
    InputError
        Where the file can't be unpacked, is not UTF-8, a line is no object with a string "text",
        or two lines have one name; the line is told.
    """
    lines_of: dict[str, int] = {}
    # Only line feeds part lines: JSON strings may hold Unicode's other separators.
    for number, line in enumerate(decoded(_unpacked(data)).split("\n"), start=1):
        if not line.strip():
            continue
        record = _record(line, number)
        if first := lines_of.get(record.name):
            raise InputError(
                f'line {number:,} has the name "{record.name}" of line {first:,}: give each '
                'its own "name"'
            )
        lines_of[record.name] = number
        yield record


def _record(line: str, number: int) -> Record:
    try:
        found: Any = json.loads(line)
    except (ValueError, RecursionError) as error:
        raise InputError(f"line {number:,} is no JSON object ({error})") from error
    if not isinstance(found, dict) or not isinstance(found.get("text"), str):
        raise InputError(f'line {number:,} is no JSON object with a string "text"')
    fields = {}
    for name in _FIELDS:
        value = found.get(name)
        if value is not None and not isinstance(value, str):
            raise InputError(f'line {number:,}: "{name}" is no string')
        fields[name] = (value or "").strip()
    place = "/".join(part for part in (fields["source"], fields["path"]) if part)
    return Record(
        line=number,
        name=fields["name"] or place or str(number),
        path=fields["path"] or fields["name"],
        text=found["text"],
        title=fields["title"],
        version=fields["version"],
        licence=fields["licence"] or fields["license"],
    )


def _unpacked(data: bytes) -> bytes:
    if not data.startswith(b"\x1f\x8b"):
        return data
    try:
        with gzip.open(BytesIO(data)) as file:
            unpacked = file.read(MOST_BYTES + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise InputError(f"broken gzip ({error}): copy or download it anew") from error
    if len(unpacked) > MOST_BYTES:
        raise InputError(f"unpacks to more than {MOST_BYTES / 1e9:g} GB: split it")
    return unpacked
