"""Words in the making: a paragraph, or a list with an item a line."""

from __future__ import annotations

import re

from rfplatform.documents.document import Block

_BLANKS = re.compile(r"\s+")
_LINE = "\x00"
"""Stands for a line's end until the blanks of the source, line ends among them, are joined."""


class Prose:
    """Gathers text as a reader walks through markup, and hands it over as blocks.

    A list is one block however its items are nested, since an item alone says little.
    """

    def __init__(self) -> None:
        self._parts: list[str] = []
        self._markers: list[str] = []
        self._begun = ""

    @property
    def in_list(self) -> bool:
        return bool(self._markers)

    def add(self, text: str) -> None:
        """Append words; line ends are blanks."""
        # Blanks between an item's tag and its first paragraph say nothing.
        if self._parts[-1:] != [self._begun] or not text.isspace():
            self._parts.append(text.replace(_LINE, ""))

    def end_line(self) -> None:
        self._parts.append(_LINE)

    def begin_item(self, marker: str) -> None:
        """Begin an item of a list; it ends with `end_item`."""
        self._begun = f"{_LINE}{marker} "
        self._parts.append(self._begun)
        self._markers.append(marker)

    def end_item(self) -> None:
        self._markers.pop()
        self._parts.append(_LINE)

    def end_paragraph(self) -> list[Block]:
        """What was gathered, as one block; a paragraph within an item ends its line alone."""
        if self._markers:
            if self._parts[-1:] != [self._begun]:
                self._parts.append(_LINE)
            return []
        return self.flush()

    def flush(self) -> list[Block]:
        """What was gathered, as one block or none, even within an item, as before its listing."""
        text = _BLANKS.sub(" ", "".join(self._parts))
        self._parts = []
        lines = (line.strip() for line in text.split(_LINE))
        found = "\n".join(line for line in lines if line and line not in {"-", "*"})
        return [Block(found)] if found else []
