"""What an artifact was made from, and what was made from it, as a graph in DOT."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

MOST = 40
"""Artifacts of a graph that can still be read."""

_FILLS = {
    "dataset": ("#dcebf7", "#17405c"),
    "scene": ("#e3ecd9", "#37491f"),
    "radio-map": ("#d8f0ea", "#0f4a40"),
    "collection": ("#ece6f5", "#42325f"),
    "model": ("#fdeacc", "#5d4311"),
    "report": ("#e8eaed", "#3a434c"),
}
_WORDS = {"dataset": "data set", "radio-map": "radio map", "": "not here"}
_SHOWN_OF_VERSION = 16


def dot(
    nodes: Sequence[Mapping[str, Any]],
    children: Sequence[Mapping[str, Any]] = (),
    *,
    dark: bool = False,
) -> str:
    """A graph, the oldest at the top.

    Parameters
    ----------
    nodes : sequence of mapping
        "ref", "kind" and "parents" of the artifact itself, which is the first, and of all that it
        was made from; the kind is "" where only a name is known.
    children : sequence of mapping
        "ref" and "kind" of what was made from it.
    dark : bool
        For a dark page.

    Returns
    -------
    str
        With the first `MOST` of the nodes, which are the nearest, and as many children as fit.
    """
    return "\n".join(_lines(nodes[:MOST], children[: max(0, MOST - len(nodes))], dark=dark))


def _lines(
    nodes: Sequence[Mapping[str, Any]], children: Sequence[Mapping[str, Any]], *, dark: bool
) -> Iterator[str]:
    ink, edge = ("#e6edf2", "#7f8f9c") if dark else ("#1b252d", "#8494a1")
    yield "digraph lineage {"
    yield 'bgcolor="transparent"; rankdir=TB; nodesep=0.25; ranksep=0.4; margin=0.05;'
    yield (
        'node [shape=box, style="filled,rounded", fontname="Helvetica", fontsize=11, '
        f'margin="0.14,0.07", penwidth=1, color="{edge}", fontcolor="{ink}"];'
    )
    yield f'edge [color="{edge}", arrowsize=0.7];'
    ids = {node["ref"]: f"n{i}" for i, node in enumerate([*nodes, *children])}
    for i, node in enumerate([*nodes, *children]):
        yield _node(ids[node["ref"]], node, dark=dark, ink=ink, chosen=i == 0)
    for node in nodes:
        for parent in node["parents"]:
            if parent in ids:
                yield f"{ids[parent]} -> {ids[node['ref']]};"
    for child in children:
        yield f"n0 -> {ids[child['ref']]};"
    yield "}"


def _node(name: str, node: Mapping[str, Any], *, dark: bool, ink: str, chosen: bool) -> str:
    title, _, version = node["ref"].partition("@")
    kind = node["kind"]
    if len(version) > _SHOWN_OF_VERSION:
        version = f"{version[:_SHOWN_OF_VERSION]}…"
    head, slash, tail = title.rpartition("/")
    label = r"\n".join(
        part
        for part in (_escaped(head + slash), _escaped(tail), _escaped(version), _word(kind))
        if part
    )
    fills = _FILLS.get(kind)
    fill = fills[dark] if fills else "transparent"
    style = "filled,rounded" if fills else "rounded,dashed"
    more = f', penwidth=2.5, color="{ink}"' if chosen else ""
    tip = _escaped(node["ref"])
    return f'{name} [label="{label}", tooltip="{tip}", fillcolor="{fill}", style="{style}"{more}];'


def _word(kind: str) -> str:
    return f"({_escaped(_WORDS.get(kind, kind))})"


def _escaped(text: str) -> str:
    """Within double quotes of DOT, where a backslash begins an escape and an & an entity."""
    line = " ".join(text.split())
    return line.replace("\\", "\\\\").replace('"', '\\"').replace("&", "&amp;")
