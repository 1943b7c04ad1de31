"""ASN.1 modules -> sections by assignment."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from rfplatform.documents.content import Content
from rfplatform.documents.document import Block
from rfplatform.documents.licence import licence_in
from rfplatform.documents.outline import Heading, sections
from rfplatform.documents.text import decoded
from rfplatform.documents.version import version_on_cover
from rfplatform.errors import InputError

_MODULE = re.compile(
    r"^[^\S\n]*(?P<name>[A-Z][\w-]*)\s*(?:\{[^{}]*\}\s*)?DEFINITIONS\b[^:]*::=\s*BEGIN\b",
    re.MULTILINE,
)
_ASSIGNMENT = re.compile(r"\s*(?P<name>[A-Za-z][\w-]*)\b[^:]*(?:\{.*\}[^:]*)?::=")
# A comment ends with the line or with the next pair of hyphens; strings may hold either.
_ASIDE = re.compile(r'--(?:(?!--)[^\n])*(?:--)?|/\*.*?\*/|"[^"]*"', re.DOTALL)


@dataclass
class _Part:
    """Lines of a module that belong together."""

    name: str = ""
    lines: list[str] = field(default_factory=list)

    @property
    def is_short(self) -> bool:
        """Whether it is a value of one line, of which modules list hundreds."""
        said = [line for line in self.lines if line.strip() and not line.lstrip().startswith("--")]
        return self.name[:1].islower() and len(said) == 1


def read_asn1(data: bytes) -> Content:
    """Read one or several modules.

    An assignment is a section below its module, with the comments above it; values of one line
    that follow each other share a section.

    Parameters
    ----------
    data : bytes

    Returns
    -------
    Content
        Its title is the first module's name.

    Raises
    ------
    InputError
        Where it is not UTF-8 or no module begins in it.
    """
    text = decoded(data)
    bare = _ASIDE.sub(lambda found: re.sub(r"[^\n]", " ", found[0]), text)
    modules = list(_MODULE.finditer(bare))
    if not modules:
        raise InputError("no ASN.1 module (NAME DEFINITIONS ::= BEGIN ... END) begins in it")
    flow: list[Heading | Block] = [Block(text[: modules[0].start()], "code")]
    ends = [module.start() for module in modules[1:]] + [len(text)]
    for module, end in zip(modules, ends, strict=True):
        # A module begins behind its last line's end, so that lines of both texts agree.
        flow += _module(module["name"], text[module.start() : end], bare[module.start() : end])
    return Content(
        sections(flow),
        title=modules[0]["name"],
        version=version_on_cover(text[:2_000]),
        licence=licence_in(text),
    )


def _module(name: str, text: str, bare: str) -> Iterator[Heading | Block]:
    yield Heading(name, 1)
    parts = _parts(text, bare)
    yield Block("\n".join(next(parts).lines), "code")
    held: list[_Part] = []
    for part in parts:
        if part.is_short:
            held.append(part)
            continue
        yield from _together(held)
        held = []
        yield Heading(part.name, 2)
        yield Block("\n".join(part.lines), "code")
    yield from _together(held)


def _together(parts: list[_Part]) -> Iterator[Heading | Block]:
    if not parts:
        return
    first, last = parts[0].name, parts[-1].name
    yield Heading(first if len(parts) == 1 else f"{first} to {last}", 2)
    yield Block("\n".join(line for part in parts for line in part.lines), "code")


def _parts(text: str, bare: str) -> Iterator[_Part]:
    """A module's head, then its assignments, in the order of their lines."""
    part, aside = _Part(), _Part()
    depth = 0
    begun = False
    for line, code in zip(text.split("\n"), bare.split("\n"), strict=True):
        found = _ASSIGNMENT.match(code) if begun and depth == 0 else None
        if found:
            yield part
            part = _Part(found["name"], [*aside.lines, line])
            aside = _Part()
        elif depth == 0 and begun and not code.strip():
            aside.lines.append(line)
        else:
            part.lines += [*aside.lines, line]
            aside = _Part()
        depth = max(depth + sum(code.count(c) for c in "{(") - sum(code.count(c) for c in "})"), 0)
        begun = begun or "BEGIN" in code
    part.lines += aside.lines
    yield part
