"""Words of models and documents as Markdown and HTML of ours, in which nothing of theirs acts."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from html import escape

from ui.markdown import plain

_ITEM = re.compile(r"(\s*)(?:[-*•]|(\d{1,3})[.)])\s+(.+)")
_HEADING = re.compile(r"#{1,6}\s+(.+)")
_INLINE = re.compile(
    r"\*\*(?P<strong>[^*\n]+)\*\*|`(?P<code>[^`\n]+)`|\[(?P<mark>\d{1,3})\]"
)  # fmt: skip
_CELL = re.compile(r"(?:[^|\\]|\\.)*")
_RULE = re.compile(r"\|?(?:\s*:?-+:?\s*\|?)+")

Marks = Sequence[Sequence[int]]


def answered(text: str, numbers: Sequence[int]) -> str:
    """A model's answer as Markdown: paragraphs, lists, bold words, code and [n] marks alone.

    Parameters
    ----------
    text : str
    numbers : sequence of int
        Of the sources that there are; other marks stay as they were written.
    """
    lines: list[str] = []
    for raw in text.splitlines():
        line = raw.rstrip()
        if line.strip().startswith("```"):
            continue
        item = _ITEM.fullmatch(line)
        heading = _HEADING.fullmatch(line.strip())
        if item:
            bullet = f"{item[2]}." if item[2] else "-"
            indent = "    " * min(len(item[1].expandtabs(4)) // 2, 3)
            lines.append(f"{indent}{bullet} {_inline(item[3], numbers)}")
        elif heading:
            lines += ["", f"**{_kept(heading[1].replace('*', ''))}**", ""]
        else:
            # Two spaces: the model's line breaks stay.
            lines.append(f"{_inline(line.strip(), numbers)}  " if line.strip() else "")
    return "\n".join(lines)


def snippet(text: str, marks: Marks) -> str:
    """A stretch of a passage as Markdown, with bold marks."""
    return "".join(f"**{_kept(piece)}**" if on else _kept(piece) for piece, on in _cut(text, marks))


def paragraphs(text: str, marks: Marks) -> str:
    """A text as HTML with marks; its line breaks stay."""
    return f"<p>{_marked(text, 0, marks)}</p>"


def listing(text: str, marks: Marks) -> str:
    """Code as HTML with marks."""
    return f"<pre>{_marked(text, 0, marks)}</pre>"


def table(text: str, marks: Marks) -> str:
    """A table in Markdown as HTML with marks."""
    rows: list[list[str]] = []
    begin, has_head = 0, False
    for line in text.split("\n"):
        if _RULE.fullmatch(line.strip()) and len(rows) == 1:
            has_head = True
        elif line.strip():
            cells = (_marked(cell, begin + at, marks) for at, cell in _cells(line))
            rows.append([cell.replace("\\|", "|") for cell in cells])
        begin += len(line) + 1
    head = rows[:1] if has_head else []
    body = rows[len(head) :]
    return (
        "<div class='rf-table'><table>"
        + "".join(f"<thead>{_row(row, 'th')}</thead>" for row in head)
        + f"<tbody>{''.join(_row(row, 'td') for row in body)}</tbody></table></div>"
    )


def _row(cells: Sequence[str], tag: str) -> str:
    return f"<tr>{''.join(f'<{tag}>{cell}</{tag}>' for cell in cells)}</tr>"


def _cells(line: str) -> Iterator[tuple[int, str]]:
    """The cells of a table's row, each with where it begins; a bar in a cell has a backslash."""
    at = len(line) - len(line.lstrip())
    at += line[at : at + 1] == "|"
    end = len(line.rstrip())
    while at < end:
        found = _CELL.match(line, at, end)
        assert found is not None
        cell = found[0]
        yield at + len(cell) - len(cell.lstrip()), cell.strip()
        at = found.end() + 1


def _marked(text: str, begin: int, marks: Marks) -> str:
    """Escaped text that begins somewhere in another, of which marks tell."""
    own = [(a - begin, b - begin) for a, b in marks if a - begin < len(text) and b > begin]
    return "".join(
        f"<mark>{escape(piece)}</mark>" if on else escape(piece) for piece, on in _cut(text, own)
    )


def _cut(text: str, marks: Marks) -> Iterator[tuple[str, bool]]:
    """A text in pieces, each with whether it is marked."""
    at = 0
    for begin, end in marks:
        first, last = max(begin, at), min(end, len(text))
        if first < last:
            yield text[at:first], False
            yield text[first:last], True
            at = last
    yield text[at:], False


def _inline(text: str, numbers: Sequence[int]) -> str:
    pieces, at = [], 0
    for found in _INLINE.finditer(text):
        pieces += [_kept(text[at : found.start()]), _styled(found, numbers)]
        at = found.end()
    return "".join([*pieces, _kept(text[at:])])


def _styled(found: re.Match[str], numbers: Sequence[int]) -> str:
    if found["strong"]:
        inner = found["strong"].strip()
        return f"**{_inline(inner, numbers)}**" if inner else _kept(found[0])
    if found["code"]:
        return f"`{found['code']}`"
    if int(found["mark"]) in numbers:
        return f":primary-badge[{found['mark']}]"
    return _kept(found[0])


def _kept(text: str) -> str:
    """Escaped as `plain` does, with the blanks at its ends."""
    inner = plain(text)
    if not inner:
        return " " if text else ""
    return f"{' ' * text[0].isspace()}{inner}{' ' * text[-1].isspace()}"
