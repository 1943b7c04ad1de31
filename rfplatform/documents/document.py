"""What a document is once it is read: numbered sections of paragraphs, tables and code."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

BlockKind = Literal["text", "table", "code"]


@dataclass(frozen=True)
class Block:
    """A paragraph, a table or a listing.

    Attributes
    ----------
    text : str
        A table is in Markdown, a row a line; a list has an item a line.
    kind : {"text", "table", "code"}
    page : int, optional
        On which it begins, from 1; None where the format has no pages.
    """

    text: str
    kind: BlockKind = "text"
    page: int | None = None


@dataclass(frozen=True)
class Section:
    """A heading and what stands under it, down to the next heading of any level.

    Attributes
    ----------
    number : str
        As the document counts it, such as "7.2.1" or "A.3"; "" where it does not.
    title : str
        Without the number; "" for what stands before the first heading.
    level : int
        1 for the outermost.
    parents : tuple of str
        The headings above it, outermost first, each with its number ("7.2 Procedures").
    blocks : tuple of Block
        May be empty: a heading over subsections alone.
    page : int, optional
        Of the heading.
    """

    number: str
    title: str
    level: int
    parents: tuple[str, ...]
    blocks: tuple[Block, ...]
    page: int | None = None

    @property
    def heading(self) -> str:
        """Number and title, as the document prints them."""
        return f"{self.number} {self.title}".strip()

    @property
    def text(self) -> str:
        """All blocks, with an empty line between them."""
        return "\n\n".join(block.text for block in self.blocks)


@dataclass(frozen=True)
class Document:
    """A document that was read.

    Attributes
    ----------
    name : str
        Unique in an index: the file's path below the folder that was given, or its name.
    title : str
        As the document calls itself; its name where it does not.
    version : str
        As the document states it, such as "v07.00" or "18.3.0"; "" where it does not.
    licence : str
        "" where unknown.
    sha256 : str
        Of the bytes that were read.
    sections : tuple of Section
    notes : tuple of str
        What a reader could not make out, a line each, such as pages without text.
    """

    name: str
    title: str
    version: str
    licence: str
    sha256: str
    sections: tuple[Section, ...]
    notes: tuple[str, ...] = ()
