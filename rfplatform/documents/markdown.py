"""Markdown -> sections (markdown-it-py)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.html import html_blocks
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, markdown_table, sections, split_number
from rfplatform.documents.prose import Prose
from rfplatform.documents.text import decoded

if TYPE_CHECKING:
    from markdown_it.tree import SyntaxTreeNode

_FRONT_MATTER = re.compile(
    r"\A---[^\S\n]*\n(?P<fields>.*?)^(?:---|\.\.\.)[^\S\n]*(?:\n|\Z)", re.S | re.M
)
_FIELD = re.compile(r"^(?P<name>[A-Za-z_][\w-]*)\s*:\s*(?P<value>\S.*?)\s*$", re.M)
_ATTRIBUTES = re.compile(r"\s*\{[#.:][^{}]*\}\s*$")
_CONTENTS_MARK = re.compile(r"\[\[?_?TOC_?\]?\]", re.IGNORECASE)


def read_markdown(data: bytes) -> Content:
    """Read CommonMark with tables, HTML within it, and front matter.

    A list of links into the document itself is a table of contents, and left out.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content

    Raises
    ------
    InputError
        Where it is not UTF-8.
    """
    with library():
        from markdown_it import MarkdownIt
        from markdown_it.tree import SyntaxTreeNode

    text = decoded(data)
    fields, body = _front_matter(text)
    parser = MarkdownIt("commonmark").enable("table")
    flow = list(_blocks(SyntaxTreeNode(parser.parse(body)), Prose()))
    found = sections(flow)
    return Content(
        found,
        title=fields.get("title") or next((s.heading for s in found if s.heading), ""),
        version=fields.get("version", ""),
        licence=fields.get("licence") or fields.get("license") or licence_in(text),
    )


def _front_matter(text: str) -> tuple[dict[str, str], str]:
    found = _FRONT_MATTER.match(text)
    if found is None:
        return {}, text
    fields = {m["name"].lower(): m["value"].strip("\"'") for m in _FIELD.finditer(found["fields"])}
    # A document that begins with a rule has no fields between it and the next.
    return (fields, text[found.end() :]) if fields else ({}, text)


def _blocks(node: SyntaxTreeNode, prose: Prose) -> Iterator[Heading | Block]:
    for child in node.children:
        yield from _block(child, prose)
    if node.type == "root":
        yield from prose.flush()


def _block(node: SyntaxTreeNode, prose: Prose) -> Iterator[Heading | Block]:
    kind = node.type
    if kind == "heading":
        yield from prose.flush()
        number, title = split_number(_ATTRIBUTES.sub("", _words(node).replace("\n", " ")))
        yield Heading(title, int(node.tag[1]), number)
    elif kind == "paragraph":
        _say(node, prose)
        yield from prose.end_paragraph()
    elif kind in {"fence", "code_block"}:
        yield from prose.flush()
        yield Block(node.content, "code")
    elif kind == "table":
        yield from prose.flush()
        rows = [row for part in node.children for row in part.children]
        yield Block(markdown_table([[_words(c) for c in row.children] for row in rows]), "table")
    elif kind in {"bullet_list", "ordered_list"}:
        if _is_contents(node):
            return
        first = int(node.attrs.get("start", 1)) if kind == "ordered_list" else 0
        for index, item in enumerate(node.children):
            prose.begin_item(f"{first + index}." if kind == "ordered_list" else "-")
            yield from _blocks(item, prose)
            prose.end_item()
        yield from prose.end_paragraph()
    elif kind == "html_block":
        found = html_blocks(node.content)
        if prose.in_list and all(isinstance(b, Block) and b.kind == "text" for b in found):
            prose.add(" ".join(b.text for b in found if isinstance(b, Block)))
        else:
            yield from prose.flush()
            yield from found
    else:
        yield from _blocks(node, prose)


def _say(node: SyntaxTreeNode, prose: Prose) -> None:
    """Add a paragraph's words."""
    words = _words(node)
    if _CONTENTS_MARK.fullmatch(words.strip()):
        return
    for index, line in enumerate(words.split("\n")):
        if index:
            prose.end_line()
        prose.add(line)


def _words(node: SyntaxTreeNode) -> str:
    """The words of inline markup; a line end where the author breaks the line."""
    parts = []
    for child in node.walk():
        if child.type in {"text", "code_inline"}:
            parts.append(child.content)
        elif child.type == "softbreak":
            parts.append(" ")
        elif child.type == "hardbreak" or (
            child.type == "html_inline" and _is_break(child.content)
        ):
            parts.append("\n")
    return "".join(parts)


def _is_break(tag: str) -> bool:
    return re.fullmatch(r"<br\s*/?>", tag, re.IGNORECASE) is not None


def _is_contents(node: SyntaxTreeNode) -> bool:
    """Whether all that a list says are links into the document itself."""
    links = words = 0
    for inline in node.walk():
        if inline.type != "inline":
            continue
        for child in inline.children:
            if child.type == "link":
                links += str(child.attrs.get("href", "")).startswith("#")
                words += not str(child.attrs.get("href", "")).startswith("#")
            elif child.type not in {"softbreak", "hardbreak"} and child.content.strip():
                words += 1
    return links > 1 and words == 0
