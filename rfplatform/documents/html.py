"""HTML -> sections (Beautiful Soup on lxml)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import TYPE_CHECKING

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, markdown_table, sections, split_number
from rfplatform.documents.prose import Prose

if TYPE_CHECKING:
    from bs4 import BeautifulSoup, Tag

_SKIPPED = frozenset(
    {"script", "style", "nav", "template", "noscript", "head", "iframe", "svg", "canvas", "object",
     "button", "select", "form", "audio", "video"}
)  # fmt: skip
_PARAGRAPHS = frozenset(
    {"p", "div", "section", "article", "main", "body", "html", "header", "footer", "aside",
     "blockquote", "figure", "figcaption", "address", "details", "summary", "center", "dl", "dt",
     "dd", "fieldset", "hr", "table", "tbody", "thead", "tfoot", "tr", "td", "th", "caption"}
)  # fmt: skip
_HEADINGS = frozenset({"h1", "h2", "h3", "h4", "h5", "h6"})
_MOST_COLUMNS = 200
"""To which a cell may widen a table."""
_PERMALINKS = ("headerlink", "anchor", "header-anchor")


def read_html(data: bytes) -> Content:
    """Read a page.

    Headings, paragraphs, tables, listings and lists are kept; navigation, scripts and styles are
    not. The encoding is the page's own.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content
    """
    with library():
        from bs4 import BeautifulSoup
    soup = BeautifulSoup(data, "lxml")
    found = sections(_walk(soup, Prose()))
    title = soup.title.get_text(" ", strip=True) if soup.title else ""
    if not title:
        title = next((s.heading for s in found if s.title), "")
    return Content(
        found,
        title=" ".join(title.split()),
        version=_meta(soup, "version"),
        licence=licence_in(data[:10_000].decode("utf-8", "replace")),
    )


def html_blocks(markup: str) -> list[Heading | Block]:
    """What a piece of HTML within another format says."""
    with library():
        from bs4 import BeautifulSoup

    return list(_walk(BeautifulSoup(markup, "lxml"), Prose()))


def _meta(soup: BeautifulSoup, name: str) -> str:
    tag = soup.find("meta", attrs={"name": name})
    content = tag.get("content") if tag else None
    return content.strip() if isinstance(content, str) else ""


def _walk(soup: BeautifulSoup, prose: Prose) -> Iterator[Heading | Block]:
    yield from _children(soup, prose)
    yield from prose.flush()


def _children(tag: Tag, prose: Prose) -> Iterator[Heading | Block]:
    from bs4.element import NavigableString, PreformattedString, Tag

    for child in tag.children:
        if isinstance(child, Tag):
            yield from _element(child, prose)
        # Comments, declarations and the like are preformatted strings.
        elif isinstance(child, NavigableString) and not isinstance(child, PreformattedString):
            prose.add(str(child))


def _element(tag: Tag, prose: Prose) -> Iterator[Heading | Block]:
    name = tag.name
    if name in _SKIPPED or tag.get("role") == "navigation":
        return
    if name in _HEADINGS:
        yield from prose.flush()
        number, title = split_number(_heading_text(tag))
        yield Heading(title, int(name[1]), number)
    elif name == "pre":
        yield from prose.flush()
        yield Block(tag.get_text(), "code")
    elif name == "table" and not _is_layout(tag):
        yield from prose.flush()
        if caption := tag.find("caption"):
            yield Block(" ".join(caption.get_text(" ").split()))
        yield Block(markdown_table(_rows(tag)), "table")
    elif name == "li":
        prose.begin_item(_marker(tag))
        yield from _children(tag, prose)
        prose.end_item()
    elif name in {"ul", "ol"}:
        yield from prose.end_paragraph()
        yield from _children(tag, prose)
        yield from prose.end_paragraph()
    elif name == "br":
        prose.end_line()
    elif name == "img":
        alt = tag.get("alt")
        prose.add(f" {alt} " if isinstance(alt, str) else "")
    elif name in _PARAGRAPHS:
        yield from prose.end_paragraph()
        yield from _children(tag, prose)
        yield from prose.end_paragraph()
    else:
        yield from _children(tag, prose)


def _heading_text(tag: Tag) -> str:
    """A heading without the pilcrow that generators put behind it."""
    for link in tag.find_all("a", class_=_PERMALINKS):
        if len(link.get_text(strip=True)) <= 1:
            link.decompose()
    return tag.get_text()


def _marker(item: Tag) -> str:
    above = item.parent
    if above is None or above.name != "ol":
        return "-"
    start = above.get("start")
    first = int(start) if isinstance(start, str) and re.fullmatch(r"\d{1,6}", start) else 1
    return f"{first + len(item.find_previous_siblings('li'))}."


def _is_layout(table: Tag) -> bool:
    """Whether a table only places other things on the page."""
    return table.find(["table", "pre", *_HEADINGS]) is not None


def _rows(table: Tag) -> list[list[str]]:
    """Cells by row; a cell over several rows is repeated, one over several columns is not."""
    rows: list[list[str]] = []
    hanging: dict[int, tuple[int, str]] = {}
    for line in table.find_all("tr"):
        row: list[str] = []

        def hang(row: list[str]) -> None:
            while (held := hanging.get(len(row))) is not None:
                rest, text = held
                if rest > 1:
                    hanging[len(row)] = (rest - 1, text)
                else:
                    del hanging[len(row)]
                row.append(text)

        for cell in line.find_all(["td", "th"]):
            hang(row)
            text = " ".join(cell.get_text(" ").split())
            down = _span(cell, "rowspan")
            across = min(_span(cell, "colspan"), max(_MOST_COLUMNS - len(row), 1))
            for column in range(across):
                if down > 1:
                    hanging[len(row)] = (down - 1, "" if column else text)
                row.append("" if column else text)
        hang(row)
        rows.append(row)
    return rows


def _span(cell: Tag, name: str) -> int:
    """How many rows or columns a cell takes."""
    value = cell.get(name)
    return int(value) if isinstance(value, str) and re.fullmatch(r"[1-9]\d{0,4}", value) else 1
