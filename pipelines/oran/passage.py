"""A passage as JSON values: where it stands, and what it says."""

from __future__ import annotations

from typing import Any

from rfplatform.documents.chunk import Chunk
from rfplatform.oran.neutral import printable


def passage(chunk: Chunk) -> dict[str, Any]:
    """All that a reader needs to find a passage in its document."""
    return {
        "chunk": chunk.id,
        "document": printable(chunk.document),
        "title": printable(chunk.title),
        "version": printable(chunk.version),
        "section": printable(chunk.heading),
        "section_ordinal": chunk.section,
        "parents": [printable(heading) for heading in chunk.parents],
        "page": chunk.page,
        "licence": printable(chunk.licence),
        "text": printable(chunk.text),
    }
