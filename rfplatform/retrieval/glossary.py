"""Abbreviations of radio access networks, by which a query finds other wordings of itself."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from rfplatform.documents.document import Document
from rfplatform.errors import InputError

SHIPPED = Path(__file__).with_name("glossary.tsv")
LONGEST_WORDS = 8
"""Words of the longest expansion that is looked for in a query."""

_WORD = re.compile(r"[^\W_]+(?:[-/._&][^\W_]+)*")
_SHORT = re.compile(r"(?=.*[A-Z])[A-Za-z0-9][A-Za-z0-9&./_-]{1,15}(?: ?(?:RIC|ID))?")
_HEADING = re.compile(r"abbreviation|acronym|initialism", re.IGNORECASE)
_ROW = re.compile(
    r"\s*\|?\s*(?P<short>[^|]+?)\s*(?:\||\t|\s{2,}|\s[-–:=]\s|:\s)\s*(?P<long>.+?)[\s|]*"
)


@dataclass(frozen=True)
class Glossary:
    """What abbreviations stand for.

    Attributes
    ----------
    entries : tuple of (str, str)
        Abbreviation and meaning; one that has several meanings comes several times.
    """

    entries: tuple[tuple[str, str], ...]

    @classmethod
    def shipped(cls) -> Glossary:
        """The one that comes with rfplatform: some 450 abbreviations of 3GPP and O-RAN."""
        return cls.read(SHIPPED)

    @classmethod
    def read(cls, path: Path) -> Glossary:
        """From a text file: abbreviation, tab and meaning in every line; ``#`` for a remark.

        Raises
        ------
        InputError
            If it can't be read, or a line is something else.
        """
        try:
            lines = path.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise InputError(f"{path}: is no glossary that can be read ({error})") from error
        entries = []
        for number, line in enumerate(lines, start=1):
            if not line.strip() or line.startswith("#"):
                continue
            short, _, long = (part.strip() for part in line.partition("\t"))
            if not (short and long):
                raise InputError(
                    f"{path}, line {number}: must be an abbreviation, a tab and its meaning"
                )
            entries.append((short, long))
        return cls(tuple(dict.fromkeys(entries)))

    @classmethod
    def of_documents(cls, documents: Iterable[Document]) -> Glossary:
        """From the documents' own lists of abbreviations.

        Sections with "abbreviations" or "acronyms" in their heading are read, a row of a table or a
        line each; what does not look like an abbreviation and its meaning is left out.
        """
        found = (
            entry
            for document in documents
            for section in document.sections
            if _HEADING.search(section.title)
            for line in section.text.splitlines()
            for entry in _entry(line)
        )
        return cls(tuple(dict.fromkeys(found)))

    def write(self, path: Path) -> None:
        """Write what `read` reads."""
        lines = (f"{short}\t{' '.join(long.split())}\n" for short, long in self.entries)
        path.write_text("".join(lines), encoding="utf-8")

    def with_entries(self, other: Glossary) -> Glossary:
        """Both glossaries together."""
        return Glossary(tuple(dict.fromkeys((*self.entries, *other.entries))))

    def expand(self, query: str) -> tuple[str, ...]:
        """Other words for what a query names.

        An abbreviation gives all of its meanings, a meaning its abbreviation. Abbreviations of two
        letters count in their own spelling only ("AS" is not "as"), longer ones in any.

        Returns
        -------
        tuple of str
            Empty where the glossary knows nothing; never what the query says itself.
        """
        words = _WORD.findall(query)
        found: dict[str, None] = {}
        start = 0
        while start < len(words):
            # The longest name counts: "physical resource block" is not a "resource block", too.
            for end in range(min(start + LONGEST_WORDS, len(words)), start, -1):
                phrase = " ".join(words[start:end])
                others = (*self._meanings(phrase), *self._shorts.get(_plain(phrase), ()))
                if others:
                    found.update(dict.fromkeys(others))
                    break
            start = end if others else start + 1
        said = f" {_plain(query)} "
        return tuple(text for text in found if f" {_plain(text)} " not in said)

    def _meanings(self, phrase: str) -> tuple[str, ...]:
        key = _squeezed(phrase)
        if len(key) < 3:
            return tuple(long for short, long in self._longs.get(key, ()) if short == phrase)
        return tuple(long for _, long in self._longs.get(key, ()))

    @cached_property
    def _longs(self) -> dict[str, list[tuple[str, str]]]:
        longs: dict[str, list[tuple[str, str]]] = {}
        for short, long in self.entries:
            longs.setdefault(_squeezed(short), []).append((short, long))
        return longs

    @cached_property
    def _shorts(self) -> dict[str, list[str]]:
        shorts: dict[str, list[str]] = {}
        for short, long in self.entries:
            shorts.setdefault(_plain(long), []).append(short)
        return shorts


def _plain(text: str) -> str:
    """Words in lower case with a space between them, without the plural's "s"."""
    words = re.findall(r"[^\W_]+", text.lower())
    return " ".join(word[:-1] if len(word) > 3 and word.endswith("s") else word for word in words)


def _squeezed(short: str) -> str:
    """An abbreviation's letters: "O-RUs" is as good as "oru"."""
    bare = re.sub(r"(?<=[A-Z0-9])s$", "", short)
    return re.sub(r"[\W_]+", "", bare).lower()


def _entry(line: str) -> Iterator[tuple[str, str]]:
    match = _ROW.fullmatch(line)
    if match and _SHORT.fullmatch(match["short"]):
        long = match["long"].split("|")[0].strip()
        # The first letter is the least that an abbreviation shares with what it stands for.
        if " " in long and match["short"][0].lower() in long.lower():
            yield match["short"], long
