"""YANG modules -> sections by statement (pyang's parser, without validation)."""

from __future__ import annotations

import re
from collections.abc import Iterator
from types import SimpleNamespace
from typing import TYPE_CHECKING

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.library import library
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, sections
from rfplatform.documents.text import decoded
from rfplatform.errors import InputError

if TYPE_CHECKING:
    from pyang.statements import Statement

_OF_THEIR_OWN = frozenset(
    {"container", "list", "choice", "case", "grouping", "augment", "rpc", "action", "notification",
     "input", "output", "typedef", "identity", "feature", "extension", "deviation"}
)  # fmt: skip
_BROKEN = re.compile(r"(?<=\w)-[^\S\n]*\n[^\S\n]*(?=\w)")
"""A line that ends with a hyphen, which is the author's: layouts of modules hyphenate nothing."""
_PARAGRAPHS = frozenset({"description", "reference", "contact", "organization"})


def read_yang(data: bytes) -> Content:
    """Read a module or a submodule; what it imports need not be there.

    Containers, lists, groupings, typedefs, RPCs and their like are sections below each other, as
    their statements are; a leaf is a block of its section.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content
        Its version is the latest revision.

    Raises
    ------
    InputError
        Where it is not UTF-8 or no YANG; the line is told.
    """
    text = decoded(data)
    module = _parsed(text)
    revisions = [r.arg for r in module.search("revision")]
    return Content(
        sections(_flow(module, 1)),
        title=module.arg,
        version=max(revisions, default=""),
        licence=licence_in(text),
    )


def _parsed(text: str) -> Statement:
    with library():
        from pyang.context import Context
        from pyang.error import err_to_str
        from pyang.yang_parser import YangParser
    # Imports are looked for nowhere.
    context = Context(SimpleNamespace(get_modules_and_revisions=lambda _: ()))
    module = YangParser().parse(context, "", text)
    if module is None:
        place, tag, arguments = context.errors[0] if context.errors else (None, "", ())
        where = f"line {place.line}: " if place else ""
        said = " ".join(err_to_str(tag, arguments).split()) if place else "nothing could be read"
        raise InputError(f"{where}not YANG ({said}): mend the module")
    if module.keyword not in {"module", "submodule"}:
        raise InputError(f'not a YANG module (it begins with "{_keyword(module)}")')
    return module


def _flow(statement: Statement, level: int) -> Iterator[Heading | Block]:
    """A statement's section, then those of the statements within it."""
    yield Heading(f"{_keyword(statement)} {statement.arg or ''}".strip(), level)
    own = [child for child in statement.substmts if _keyword(child) not in _OF_THEIR_OWN]
    facts = [child for child in own if not child.substmts and _keyword(child) not in _PARAGRAPHS]
    for child in own:
        if _keyword(child) in _PARAGRAPHS:
            yield Block(_unwrapped(child.arg))
    if facts:
        yield Block("\n".join(_line(child) for child in facts))
    for child in own:
        if child.substmts:
            yield Block(_described(child))
    for child in statement.substmts:
        if _keyword(child) in _OF_THEIR_OWN:
            yield from _flow(child, level + 1)


def _described(statement: Statement) -> str:
    """A statement in a few lines: its head, its facts, what describes it, and what is in it."""
    facts, texts, within = [], [], []
    for child in statement.substmts:
        if _keyword(child) in _PARAGRAPHS:
            texts.append(_unwrapped(child.arg))
        elif child.substmts:
            within.append(_described(child))
        else:
            facts.append(_line(child))
    head = _line(statement) + (f" ({'; '.join(facts)})" if facts else "")
    return "\n".join([head, *texts, *within])


def _line(statement: Statement) -> str:
    argument = " ".join((statement.arg or "").split())
    return f"{_keyword(statement)} {argument}".strip()


def _keyword(statement: Statement) -> str:
    """An extension's keyword is a pair of its prefix and its name."""
    keyword = statement.keyword
    return keyword if isinstance(keyword, str) else ":".join(keyword)


def _unwrapped(text: str) -> str:
    """A description's paragraphs; its line ends are those of the module's layout."""
    whole = _BROKEN.sub("-", text or "")
    paragraphs = (" ".join(part.split()) for part in whole.split("\n\n"))
    return "\n".join(part for part in paragraphs if part)
