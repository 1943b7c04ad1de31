"""What a reader makes of a file's bytes, before it has a name and a digest."""

from __future__ import annotations

from dataclasses import dataclass

from rfplatform.documents.document import Section


@dataclass(frozen=True)
class Content:
    """All of a `Document` that its bytes tell.

    Attributes
    ----------
    sections : tuple of Section
    title, version, licence : str
        "" where the document does not state it.
    notes : tuple of str
    """

    sections: tuple[Section, ...]
    title: str = ""
    version: str = ""
    licence: str = ""
    notes: tuple[str, ...] = ()
