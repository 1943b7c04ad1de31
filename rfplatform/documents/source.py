"""Files that documents are read from: which there are, and what tells that one has changed."""

from __future__ import annotations

import hashlib
import os
from collections import Counter
from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from rfplatform.errors import InputError

Report = Callable[[str], None]


@dataclass(frozen=True)
class Source:
    """A file that documents are read from.

    Attributes
    ----------
    name : str
        Its path below the folder that was given, with slashes, or its own name.
    path : Path
    sha256 : str
        Of its bytes.
    """

    name: str
    path: Path
    sha256: str


def found_files(
    paths: Sequence[Path], suffixes: Collection[str], report: Report | None = None
) -> list[tuple[str, Path]]:
    """Names and paths of the files that can be read, by name.

    Parameters
    ----------
    paths : sequence of Path
        Files, and folders with all that is below them but for hidden files and folders.
    suffixes : collection of str
        Of the files that can be read, in lower case, such as ".md".
    report : callable, optional
        Told which files of folders are of other kinds, and passed over.

    Returns
    -------
    list of tuple
        A file that is given twice, or by a link, is there once.

    Raises
    ------
    InputError
        If a path is not there, a file that was named is of another kind, nothing can be read, or
        two files have one name.
    """
    found: dict[str, Path] = {}
    known: set[str] = set()
    for path in paths:
        if not path.exists():
            raise InputError(f"{path} does not exist: give files or folders of documents")
        for name, file in _files(path, suffixes, report):
            real = os.path.realpath(file)
            if real in known:
                continue
            known.add(real)
            if (other := found.get(name)) is not None:
                raise InputError(
                    f'{other} and {file} would both be named "{name}": give the folder that holds '
                    "both"
                )
            found[name] = file
    if not found:
        where = ", ".join(map(str, paths)) or "no path"
        raise InputError(f"{where}: no documents ({listed_suffixes(suffixes)})")
    return sorted(found.items())


def _files(
    path: Path, suffixes: Collection[str], report: Report | None
) -> Iterator[tuple[str, Path]]:
    if not path.is_dir():
        if suffix_of(path.name, suffixes) is None:
            raise InputError(f"{path}: {_remedy(path, suffixes)}")
        yield path.name, path
        return
    others: Counter[str] = Counter()
    for folder, inner, names in os.walk(path, onerror=_unlistable):
        inner[:] = sorted(name for name in inner if not name.startswith("."))
        for name in sorted(names):
            if name.startswith("."):
                continue
            file = Path(folder, name)
            if suffix_of(name, suffixes) is None:
                others[file.suffix.lower() or "no suffix"] += 1
            else:
                yield file.relative_to(path).as_posix(), file
    if others and report:
        kinds = ", ".join(f"{count} {kind}" for kind, count in others.most_common(5))
        more = f" and {len(others) - 5} more kinds" if len(others) > 5 else ""
        report(f"{path}: passed over files that are no documents ({kinds}{more})")


def _unlistable(error: OSError) -> None:
    raise InputError(f"{error.filename}: can't be listed ({error.strerror})") from error


def _remedy(path: Path, suffixes: Collection[str]) -> str:
    suffix = path.suffix.lower()
    if suffix in {".doc", ".odt", ".rtf"}:
        return f"{suffix} can't be read: save it as .docx"
    if suffix == ".zip":
        return "unpack it and give the folder"
    return f"unknown kind of document ({listed_suffixes(suffixes)})"


def listed_suffixes(suffixes: Collection[str]) -> str:
    """The suffixes that can be read, for an error."""
    return f"known: {', '.join(suffixes)}"


def suffix_of(name: str, suffixes: Collection[str]) -> str | None:
    """Which of the suffixes a file's name ends with, the longest; None for none of them."""
    low = name.lower()
    fitting = [s for s in suffixes if low.endswith(s) and len(low) > len(s)]
    return max(fitting, key=len, default=None)


def file_sha256(path: Path) -> str:
    """The digest of a file's bytes.

    Raises
    ------
    InputError
        If it can't be read.
    """
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, "sha256").hexdigest()
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
