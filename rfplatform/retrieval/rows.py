"""Sections and chunks on the disk: Arrow files that are read where they are, row by row."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, overload

from rfplatform.documents.chunk import Chunk
from rfplatform.documents.document import Block, Section
from rfplatform.errors import InputError

if TYPE_CHECKING:
    import pyarrow as pa

SECTIONS, CHUNKS = "sections.arrow", "chunks.arrow"
_BATCH = 8192


def write_sections(sections: Iterable[Section], path: Path) -> None:
    """Write sections, one a row."""
    _write(
        (
            {
                "number": section.number,
                "title": section.title,
                "level": section.level,
                "parents": list(section.parents),
                "blocks": [vars(block) for block in section.blocks],
                "page": section.page,
            }
            for section in sections
        ),
        _section_schema(),
        path,
    )


def read_sections(path: Path, first: int, count: int) -> tuple[Section, ...]:
    """Some sections, in the order in which they were written.

    Raises
    ------
    InputError
        If the file is missing or damaged, or does not hold them.
    """
    table = _open(path, _section_schema())
    if table.num_rows < first + count:
        raise InputError(f"{path}: is cut short: index the documents anew")
    return tuple(
        Section(
            row["number"],
            row["title"],
            row["level"],
            tuple(row["parents"]),
            tuple(Block(block["text"], block["kind"], block["page"]) for block in row["blocks"]),
            row["page"],
        )
        for row in table.slice(first, count).to_pylist()
    )


def write_chunks(chunks: Iterable[Chunk], path: Path) -> None:
    """Write chunks, one a row."""
    _write(
        ({**vars(chunk), "parents": list(chunk.parents)} for chunk in chunks), _chunk_schema(), path
    )


class StoredChunks(Sequence[Chunk]):
    """The chunks of a file, each read when it is asked for.

    Parameters
    ----------
    path : Path
    size : int
        How many there must be.

    Raises
    ------
    InputError
        If the file is missing or damaged, or holds another number.
    """

    def __init__(self, path: Path, size: int) -> None:
        self._table = _open(path, _chunk_schema())
        if self._table.num_rows != size:
            raise InputError(
                f"{path}: holds {self._table.num_rows:,} chunks, not {size:,}: index the documents "
                "anew"
            )

    def __len__(self) -> int:
        return int(self._table.num_rows)

    @overload
    def __getitem__(self, index: int) -> Chunk: ...
    @overload
    def __getitem__(self, index: slice) -> list[Chunk]: ...
    def __getitem__(self, index: int | slice) -> Chunk | list[Chunk]:
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            rows = self._table.slice(start, max(stop - start, 0)).to_pylist()
            return [_chunk(row) for row in rows[::step]]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        return _chunk(self._table.slice(index % len(self), 1).to_pylist()[0])


def _chunk(row: dict[str, Any]) -> Chunk:
    return Chunk(**{**row, "parents": tuple(row["parents"])})


def _section_schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.large_string()
    block = pa.struct([("text", text), ("kind", pa.string()), ("page", pa.int32())])
    return pa.schema(
        [
            pa.field("number", pa.string(), nullable=False),
            pa.field("title", text, nullable=False),
            pa.field("level", pa.int32(), nullable=False),
            pa.field("parents", pa.list_(text), nullable=False),
            pa.field("blocks", pa.list_(block), nullable=False),
            pa.field("page", pa.int32()),
        ]
    )


def _chunk_schema() -> pa.Schema:
    import pyarrow as pa

    text = pa.large_string()
    texts = ("id", "document", "title", "version", "licence")
    return pa.schema(
        [
            *(pa.field(name, text, nullable=False) for name in texts),
            pa.field("section", pa.int32(), nullable=False),
            pa.field("heading", text, nullable=False),
            pa.field("parents", pa.list_(text), nullable=False),
            pa.field("page", pa.int32()),
            pa.field("text", text, nullable=False),
        ]
    )


def _write(rows: Iterable[dict[str, Any]], schema: pa.Schema, path: Path) -> None:
    import pyarrow as pa

    with pa.OSFile(str(path), "wb") as sink, pa.ipc.new_file(sink, schema) as writer:
        block = []
        for row in rows:
            block.append(row)
            if len(block) == _BATCH:
                writer.write_batch(pa.RecordBatch.from_pylist(block, schema))
                block = []
        writer.write_batch(pa.RecordBatch.from_pylist(block, schema))


def _open(path: Path, schema: pa.Schema) -> pa.Table:
    import pyarrow as pa

    try:
        table = pa.ipc.open_file(pa.memory_map(str(path))).read_all()
        table.validate(full=True)
    except (OSError, pa.ArrowException) as error:
        said = " ".join(str(error).split())[:200]
        raise InputError(f"{path}: can't be read ({said}): index the documents anew") from error
    if not table.schema.equals(schema):
        raise InputError(f"{path}: has other columns than an index's: index the documents anew")
    if any(table.column(field.name).null_count for field in schema if not field.nullable):
        raise InputError(f"{path}: lacks values: index the documents anew")
    return table
