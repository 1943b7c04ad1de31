"""A passage as JSON values: where it stands, and what it says."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from rfplatform.documents.chunk import Chunk
from rfplatform.oran.neutral import printable
from rfplatform.oran.snippet import snippet
from rfplatform.retrieval.retriever import Hit


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


def found(hits: Sequence[Hit], wanted: Sequence[str]) -> list[dict[str, Any]]:
    """Hits, numbered from 1, with their scores and the words that were looked for marked."""
    listed = []
    for number, hit in enumerate(hits, start=1):
        shown = snippet(hit.chunk.text, wanted)
        listed.append(
            {
                "number": number,
                "score": hit.score,
                **passage(hit.chunk),
                "snippet": {"text": shown.text, "marks": [list(mark) for mark in shown.marks]},
            }
        )
    return listed
