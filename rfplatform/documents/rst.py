"""reStructuredText -> sections (docutils)."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, markdown_table, sections, split_number
from rfplatform.documents.prose import Prose
from rfplatform.documents.text import decoded

if TYPE_CHECKING:
    from docutils import nodes

    _Way = Callable[[nodes.Node, int], Iterator[Heading | Block]]

_ROLE = re.compile(r":[\w:+.-]+:`(?P<text>[^`]*)`|`(?P<before>[^`]*)`:[\w:+.-]+:", re.DOTALL)
_TARGET = re.compile(r"^!?~?(?P<words>.*?)\s*<[^<>]*>$|^[!~]", re.DOTALL)
_DIRECTIVE = re.compile(
    r"(?:\.\.\s+)?(?:\|[^|]*\|\s+)?(?P<name>[a-z][\w:+.-]*?)::[^\S\n]*(?P<argument>[^\n]*)"
    r"(?P<rest>.*)",
    re.DOTALL,
)
_OPTIONS = re.compile(r"(?:[^\S\n]*:[\w-]+:[^\n]*\n?)+")
_POINTERS = frozenset(
    {"toctree", "contents", "include", "raw", "index", "currentmodule", "default-role", "meta",
     "tabularcolumns", "class", "sectnum", "image", "highlight", "role"}
)  # fmt: skip
"""Directives that say nothing of their own, or may not be followed in text that isn't trusted."""
_DEEPEST = 8
"""Unknown directives within each other; what lies deeper is left as it is written."""


def read_rst(data: bytes) -> Content:
    """Read reStructuredText.

    What directives and roles that docutils does not know (Sphinx's) say is kept. Nothing is
    included from other files, and nothing raw.

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
    text = decoded(data)
    document = _parsed(text)
    found = sections(_Walk(document).flow())
    fields = _fields(document)
    return Content(
        found,
        title=next((s.heading for s in found if s.heading), ""),
        version=fields.get("version", ""),
        licence=fields.get("license") or fields.get("licence") or licence_in(text),
    )


def _parsed(text: str) -> nodes.document:
    """The tree as the parser leaves it: without transforms, which would move and drop parts."""
    with library():
        from docutils.frontend import get_default_settings
        from docutils.parsers.rst import Parser
        from docutils.utils import new_document
    settings = get_default_settings(Parser)
    settings.file_insertion_enabled = False
    settings.raw_enabled = False
    settings.halt_level = 5  # No fault ends the reading; the faulty part is kept as it is written.
    settings.report_level = 5
    settings.warning_stream = False
    settings.syntax_highlight = "none"
    settings.line_length_limit = max(len(text), 1)
    document = new_document("text", settings)
    Parser().parse(text, document)
    return document


def _fields(document: nodes.document) -> dict[str, str]:
    """The document's own fields: those of a list near its beginning."""
    from docutils import nodes

    listed = next(iter(document.findall(nodes.field_list)), None)
    if listed is None or not isinstance(listed.parent, (nodes.document, nodes.section)):
        return {}
    return {
        f.children[0].astext().lower(): " ".join(f.children[1].astext().split()) for f in listed
    }


class _Walk:
    """A way through a doctree, and the substitutions that it knows."""

    def __init__(self, document: nodes.document, below: int = 0) -> None:
        self._document = document
        self._below = below
        self._prose = Prose()
        self._said = {
            name.lower(): node.astext() for name, node in document.substitution_defs.items()
        }
        self._ways = self._ways_of_nodes()

    def flow(self, level: int = 0) -> Iterator[Heading | Block]:
        yield from self._children(self._document, level)
        yield from self._prose.flush()

    def _ways_of_nodes(self) -> dict[type, _Way]:
        """What is done with a node, by its class or the nearest class above it."""
        from docutils import nodes

        ways: dict[type, _Way] = {
            nodes.Element: self._children,
            nodes.Inline: self._children,
            nodes.reference: self._children,  # A body element too, by its classes.
            nodes.Text: self._text,
            nodes.section: self._section,
            nodes.title: self._title,
            nodes.system_message: self._faulty,
            nodes.problematic: self._problematic,
            nodes.substitution_reference: self._substitution,
            nodes.image: self._image,
            nodes.table: self._table,
            nodes.list_item: self._item,
            nodes.field: self._named,
            nodes.option_list_item: self._named,
            nodes.definition_list_item: self._named,
        }
        listings = (nodes.literal_block, nodes.doctest_block, nodes.math_block)
        paragraphs = (
            nodes.paragraph, nodes.term, nodes.line, nodes.attribution, nodes.caption,
            nodes.subtitle, nodes.rubric, nodes.Body, nodes.Admonition,
        )  # fmt: skip
        skipped = (
            nodes.comment, nodes.substitution_definition, nodes.target, nodes.pending, nodes.raw,
            nodes.decoration, nodes.meta,
        )  # fmt: skip
        ways |= dict.fromkeys(listings, self._listing)
        ways |= dict.fromkeys(paragraphs, self._paragraph)
        ways |= dict.fromkeys(skipped, self._nothing)
        return ways

    def _children(self, node: nodes.Element, level: int) -> Iterator[Heading | Block]:
        for child in node.children:
            way = next(self._ways[c] for c in type(child).__mro__ if c in self._ways)
            yield from way(child, level)

    def _nothing(self, _: nodes.Node, __: int) -> Iterator[Heading | Block]:
        return iter(())

    def _text(self, node: nodes.Text, _: int) -> Iterator[Heading | Block]:
        self._prose.add(node.astext())
        return iter(())

    def _section(self, node: nodes.section, level: int) -> Iterator[Heading | Block]:
        yield from self._prose.flush()
        yield from self._children(node, level + 1)

    def _problematic(self, node: nodes.problematic, _: int) -> Iterator[Heading | Block]:
        self._prose.add(_without_roles(node.astext()))
        return iter(())

    def _substitution(
        self, node: nodes.substitution_reference, _: int
    ) -> Iterator[Heading | Block]:
        name = node.astext()
        self._prose.add(self._said.get(name.lower(), name))
        return iter(())

    def _image(self, node: nodes.image, _: int) -> Iterator[Heading | Block]:
        from docutils import nodes

        # The caption of a figure says what its alternative text does.
        beside = node.parent.children if isinstance(node.parent, nodes.figure) else ()
        if "alt" in node and not any(isinstance(other, nodes.caption) for other in beside):
            self._prose.add(f" {node['alt']} ")
        return iter(())

    def _listing(self, node: nodes.Element, _: int) -> Iterator[Heading | Block]:
        yield from self._prose.flush()
        yield Block(node.astext(), "code")

    def _item(self, node: nodes.list_item, level: int) -> Iterator[Heading | Block]:
        self._prose.begin_item(_marker(node))
        yield from self._children(node, level)
        self._prose.end_item()

    def _named(self, node: nodes.Element, level: int) -> Iterator[Heading | Block]:
        """A field, an option or a term, with what is said of it."""
        name, *said = node.children
        self._prose.begin_item(f"{self._words(name)}:")
        for child in said:
            yield from self._children(child, level)
        self._prose.end_item()

    def _paragraph(self, node: nodes.Element, level: int) -> Iterator[Heading | Block]:
        yield from self._prose.end_paragraph()
        yield from self._children(node, level)
        yield from self._prose.end_paragraph()

    def _title(self, node: nodes.title, level: int) -> Iterator[Heading | Block]:
        from docutils import nodes

        text = self._words(node)
        if isinstance(node.parent, nodes.section):
            number, title = split_number(text)
            yield Heading(title, max(level, 1), number)
        else:  # Of a table, a topic or a sidebar.
            yield Block(text)

    def _words(self, node: nodes.Element) -> str:
        """The words of inline markup."""
        kept, self._prose = self._prose, Prose()
        blocks = list(self._children(node, 0)) + self._prose.flush()
        self._prose = kept
        return " ".join(block.text for block in blocks if isinstance(block, Block))

    def _faulty(self, node: nodes.system_message, level: int) -> Iterator[Heading | Block]:
        """What a directive that is unknown or faulty says: its argument and its body."""
        from docutils import nodes

        written = next(iter(node.findall(nodes.literal_block)), None)
        if written is None:
            return
        text = written.astext()
        found = _DIRECTIVE.match(text)
        if found is None:
            yield from self._prose.flush()
            yield from self._within(_without_roles(text), level)
            return
        if found["name"] in _POINTERS:
            return
        yield from self._prose.flush()
        body = _dedented(found["rest"])
        options = _OPTIONS.match(body.lstrip("\n"))
        if options:
            body = body.lstrip("\n")[options.end() :]
        if argument := _without_roles(found["argument"]).strip():
            yield Block(argument)
        yield from self._within(body, level)

    def _within(self, text: str, level: int) -> Iterator[Heading | Block]:
        if self._below >= _DEEPEST:
            yield Block(text, "code")
            return
        inner = _Walk(_parsed(text), self._below + 1)
        for item in inner.flow(level):
            yield replace(item, level=item.level + level) if isinstance(item, Heading) else item

    def _table(self, table: nodes.table, _: int) -> Iterator[Heading | Block]:
        from docutils import nodes

        yield from self._prose.flush()
        titles = [child for child in table.children if isinstance(child, nodes.title)]
        for title in titles:
            yield Block(self._words(title))
        rows: list[list[str]] = []
        hanging: dict[int, tuple[int, str]] = {}
        for line in table.findall(nodes.row):
            row: list[str] = []
            _hang(row, hanging)
            for cell in line.children:
                text = self._words(cell)
                down, across = cell.get("morerows", 0), cell.get("morecols", 0) + 1
                for column in range(across):
                    said = "" if column else text
                    if down:
                        hanging[len(row)] = (down, said)
                    row.append(said)
                _hang(row, hanging)
            rows.append(row)
        yield Block(markdown_table(rows), "table")


def _hang(row: list[str], hanging: dict[int, tuple[int, str]]) -> None:
    """Repeat what hangs into a row from cells above that take several."""
    while len(row) in hanging:
        rest, text = hanging.pop(len(row))
        if rest > 1:
            hanging[len(row)] = (rest - 1, text)
        row.append(text)


def _marker(item: nodes.list_item) -> str:
    from docutils import nodes

    above = item.parent
    if not isinstance(above, nodes.enumerated_list):
        return "-"
    return f"{above.get('start', 1) + above.index(item)}."


def _without_roles(text: str) -> str:
    """What roles show: "Guide" of ":doc:`Guide <guide>`"."""

    def shown(found: re.Match[str]) -> str:
        said = found["text"] if found["text"] is not None else found["before"]
        return _TARGET.sub(lambda m: m["words"] or "", said)

    return _ROLE.sub(shown, text)


def _dedented(text: str) -> str:
    import textwrap

    return textwrap.dedent(text.strip("\n"))
