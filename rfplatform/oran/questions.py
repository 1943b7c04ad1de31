"""Questions of ORAN-Bench-13K, or others of its form: read, drawn from, their options mixed.

A file is JSON lines, whatever its name says: ``[question, ["1. ...", "2. ...", ...], "3"]``, where
the last is the number of the right option. Rows without a question or without options are kept and
told, so that nobody's score is over fewer rows than were published.

P. Gajjar and V. K. Shah, "ORAN-Bench-13K: An Open Source Benchmark for Assessing LLMs in Open Radio
Access Networks", IEEE CCNC 2025, doi:10.1109/CCNC54725.2025.10975994.
"""

from __future__ import annotations

import hashlib
import json
import random
import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from types import MappingProxyType
from typing import TYPE_CHECKING, Final, Literal, get_args

from rfplatform.errors import InputError, MissingError, unknown_name
from rfplatform.shipped import DATA_VARIABLE, data_folder, shipped_folder

if TYPE_CHECKING:
    from rfplatform.registry.download import Progress
    from rfplatform.registry.public import PublicData

Difficulty = Literal["easy", "medium", "hard"]
DIFFICULTIES: Final[tuple[Difficulty, ...]] = get_args(Difficulty)

Fault = Literal["", "no question", "no options"]

ARTIFACT = "oran-bench-13k"
FILES: Mapping[Difficulty, str] = MappingProxyType(
    {"easy": "fin_E.json", "medium": "fin_M.json", "hard": "fin_H.json"}
)


ROUND = 500
"""Questions of each difficulty in a draw of the size of ORANBench."""

EXPECTED = '[question, ["1. ...", "2. ...", ...], "number of the right option"]'

_NEGATED = re.compile(r"\b(?:NOT|EXCEPT)\b")
_CONTEXT = re.compile(
    r"\bthe\s+(?:provided|given)\b|\bthe\s+(?:context|text)\b(?!\s+of\b)", re.IGNORECASE
)
"""A text that the question does not come with; "in the context of O-RAN" is a way to speak."""

_BY_NUMBER = re.compile(
    r"\b(?:both|either|neither)\s+(?:options?\s+)?\d\s+n?(?:and|or)\s+\d\b", re.IGNORECASE
)


@dataclass(frozen=True)
class Question:
    """A question with options of which one is right.

    Attributes
    ----------
    id : str
        "E0001": the difficulty's letter and the row's number in its file, from 1.
    difficulty : {"easy", "medium", "hard"}
    text : str
    options : tuple of str
        Without their numbers; as a rule four.
    answer : int
        Which option is right, from 0.
    group : str
        The same for questions whose words are the same; they do not tell anything independently.
    """

    id: str
    difficulty: Difficulty
    text: str
    options: tuple[str, ...]
    answer: int
    group: str

    @property
    def fault(self) -> Fault:
        """Why nobody can answer it; "" for a question that can be."""
        if not self.text:
            return "no question"
        return "" if self.options else "no options"

    @property
    def usable(self) -> bool:
        """Whether it has a question and options."""
        return not self.fault

    @property
    def negated(self) -> bool:
        """Whether it asks what is NOT the case, or all EXCEPT what, in capitals."""
        return _NEGATED.search(self.text) is not None

    @property
    def needs_context(self) -> bool:
        """Whether it speaks of a provided text, which does not come with it."""
        return _CONTEXT.search(self.text) is not None


# ----------------------------------------------------------------------------------------------
# Reading
# ----------------------------------------------------------------------------------------------


def load_questions(
    source: Path | None = None, progress: Progress | None = None
) -> tuple[Question, ...]:
    """All questions, the easy ones first, in the order of their files.

    Parameters
    ----------
    source : Path, optional
        A folder with ``fin_E.json``, ``fin_M.json`` and ``fin_H.json``, or one file whose name ends
        in ``_E``, ``_M`` or ``_H``. By default ORAN-Bench-13K itself, from the registry, else from
        ``oran`` in the folder of `DATA_VARIABLE`, else downloaded into the registry; its files must
        then have the SHA-256 that is listed for them.
    progress : callable, optional
        Told how far a download is.

    Returns
    -------
    tuple of Question

    Raises
    ------
    InputError
        If a file holds something else; the message names the line.
    MissingError
        If ORAN-Bench-13K is not here and can't be downloaded.
    """
    files = _own_files(progress) if source is None else _files_of(source)
    found: list[Question] = []
    for difficulty, path in files.items():
        found += _read(path, difficulty)
    return tuple(found)


def count_faults(questions: Iterable[Question]) -> dict[Fault, int]:
    """How many questions can't be answered, by the reason."""
    return dict(Counter(q.fault for q in questions if q.fault))


def _files_of(source: Path) -> dict[Difficulty, Path]:
    if source.is_file():
        for difficulty, name in FILES.items():
            if source.stem.upper().endswith(Path(name).stem[-2:].upper()):
                return {difficulty: source}
        raise InputError(
            f"{source}: the name must end in _E, _M or _H, which tells how difficult the questions "
            f"are, as {FILES['easy']} does"
        )
    if not source.is_dir():
        raise InputError(f"{source}: no such file or folder of questions")
    files = {difficulty: source / name for difficulty, name in FILES.items()}
    if lacking := [path.name for path in files.values() if not path.is_file()]:
        raise InputError(
            f"{source}: lacks {', '.join(lacking)}; a folder of questions holds "
            f"{', '.join(FILES.values())}, or name one of the files"
        )
    return files


def _own_files(progress: Progress | None) -> dict[Difficulty, Path]:
    """The files of ORAN-Bench-13K, each as it was published."""
    from rfplatform.registry.public import fetch
    from rfplatform.registry.registry import Registry

    listed = _listed()
    registry = Registry.default()
    folder = data_folder() / "oran"
    files = {difficulty: folder / name for difficulty, name in FILES.items()}
    if not registry.has(listed.ref):
        if all(path.is_file() for path in files.values()):
            _check_sums(listed, files.values())
            return files
        try:
            fetch(listed, registry, progress)
        except MissingError as error:
            raise MissingError(
                f"the questions of ORAN-Bench-13K are not here and can't be downloaded ({error}): "
                f"run rfplatform registry fetch {ARTIFACT} where there is internet, or set "
                f"{DATA_VARIABLE} to a folder that holds oran/{FILES['easy']} and the others"
            ) from error
    files = {d: registry.path(listed.ref, name) for d, name in FILES.items()}
    _check_sums(listed, files.values(), names=FILES.values())
    return files


def _listed() -> PublicData:
    from rfplatform.registry.public import find_public, read_public

    folder = shipped_folder(".")
    if folder is None or not (folder / "registry.toml").is_file():
        raise MissingError(
            "data/registry.toml is missing; run from a checkout or reinstall rfplatform"
        )
    return find_public(read_public(folder / "registry.toml"), ARTIFACT)


def _check_sums(
    listed: PublicData, paths: Iterable[Path], names: Iterable[str] | None = None
) -> None:
    """Refuse files that go by the benchmark's name and are something else."""
    pinned = {file.path: file.sha256 for file in listed.files}
    files = list(paths)
    for path, name in zip(files, names or [path.name for path in files], strict=True):
        found = hashlib.sha256(path.read_bytes()).hexdigest()
        if found != pinned[name]:
            raise InputError(
                f"{path}: is not ORAN-Bench-13K as published (SHA-256 {found[:12]}..., not "
                f"{pinned[name][:12]}...); remove it, or name its folder to ask other questions"
            )


def _read(path: Path, difficulty: Difficulty) -> list[Question]:
    try:
        lines = path.read_text(encoding="utf-8-sig").split("\n")
    except OSError as error:
        raise InputError(f"{path}: can't be read ({error.strerror})") from error
    except UnicodeDecodeError as error:
        raise InputError(f"{path}: is no text in UTF-8 ({error.reason})") from error
    letter = difficulty[0].upper()
    found = [
        _question(line, f"{letter}{number:04d}", difficulty, f"{path}, line {number}")
        for number, line in enumerate(lines, 1)
        if line.strip()
    ]
    if not found:
        raise InputError(f"{path}: is empty; expected a question a line, {EXPECTED}")
    return found


def _question(line: str, name: str, difficulty: Difficulty, where: str) -> Question:
    try:
        row = json.loads(line)
    except json.JSONDecodeError as error:
        raise InputError(f"{where}: is no JSON ({error.msg}); expected {EXPECTED}") from error
    match row:
        case [str(text), [*options], str() | int() as key] if (
            all(isinstance(option, str) for option in options)
            and not isinstance(key, bool)
            and str(key).strip().isdecimal()
        ):
            answer = int(key) - 1
        case _:
            raise InputError(f"{where}: is no question; expected {EXPECTED}")
    if options and not 0 <= answer < len(options):
        raise InputError(f"{where}: says option {key} is right and has {len(options)} options")
    text = text.strip()
    bare = tuple(
        option.strip().removeprefix(f"{number}.").strip()
        for number, option in enumerate(options, 1)
    )
    return Question(name, difficulty, text, bare, answer, _group(text, bare))


def _group(text: str, options: Sequence[str]) -> str:
    """Words of the question, or of the options where there is none, without case and marks."""
    words = re.sub(r"[^a-z0-9]+", " ", (text or "\n".join(options)).lower()).strip()
    return hashlib.sha256(words.encode()).hexdigest()[:16]


# ----------------------------------------------------------------------------------------------
# Drawing
# ----------------------------------------------------------------------------------------------


def select(
    questions: Sequence[Question],
    *,
    subset: Sequence[str] = (),
    limit: int | None = None,
    orbench_1500: bool = False,
    seed: int = 0,
) -> tuple[Question, ...]:
    """Some of the questions, in their order.

    Parameters
    ----------
    questions : sequence of Question
    subset : sequence of {"easy", "medium", "hard"}
        Of these difficulties; all by default.
    limit : int, optional
        At most so many, drawn at random from each difficulty by its share.
    orbench_1500 : bool
        500 drawn at random of each difficulty, as ORANBench was made. It is a draw of ours: which
        rows ORANBench took is not published with ORAN-Bench-13K.
    seed : int
        Another seed draws others. A smaller draw of the same seed lies within a larger one, but for
        the rounding of shares.

    Returns
    -------
    tuple of Question

    Raises
    ------
    InputError
        If there is no such difficulty, nothing is left, or limit and orbench_1500 are both given.
    """
    wanted = [name.strip().lower() for name in subset] or list(DIFFICULTIES)
    for name in wanted:
        if name not in DIFFICULTIES:
            raise unknown_name("difficulty", name, DIFFICULTIES)
    if limit is not None and limit < 1:
        raise InputError(f"limit {limit}: must be 1 or more")
    if limit is not None and orbench_1500:
        raise InputError("give either a limit or the draw of 3 x 500, not both")
    rows = {d: [q for q in questions if q.difficulty == d] for d in DIFFICULTIES if d in wanted}
    rows = {difficulty: members for difficulty, members in rows.items() if members}
    if not rows:
        raise InputError(f"there are no questions of difficulty {', '.join(wanted)}")
    if orbench_1500:
        counts = dict.fromkeys(rows, ROUND)
    elif limit is not None:
        counts = _shares({difficulty: len(members) for difficulty, members in rows.items()}, limit)
    else:
        counts = {difficulty: len(members) for difficulty, members in rows.items()}
    drawn = {
        question.id
        for difficulty, members in rows.items()
        for question in sorted(members, key=lambda q: _lot(q, seed, "draw"))[: counts[difficulty]]
    }
    return tuple(q for q in questions if q.id in drawn)


def _shares(sizes: dict[Difficulty, int], limit: int) -> dict[Difficulty, int]:
    """Counts that add up to a limit, each within one of its size's share (largest remainders)."""
    total = sum(sizes.values())
    limit = min(limit, total)
    counts = {difficulty: size * limit // total for difficulty, size in sizes.items()}
    rest = sorted(sizes, key=lambda difficulty: -(sizes[difficulty] * limit % total))
    for difficulty in rest[: limit - sum(counts.values())]:
        counts[difficulty] += 1
    return counts


def _lot(question: Question, seed: int, purpose: str) -> float:
    return random.Random(f"{purpose} {seed} {question.id}").random()  # noqa: S311  (no secret)


# ----------------------------------------------------------------------------------------------
# Mixing
# ----------------------------------------------------------------------------------------------


def option_order(name: str, options: Sequence[str], seed: int | None) -> list[int]:
    """In which order a question's options are shown.

    The order depends on the seed and the question's id alone, so that it is the same in every
    subset. Options that call others by number ("Both 1 and 2") stay as published, all of them.

    Parameters
    ----------
    name : str
        The question's id.
    options : sequence of str
        As published.
    seed : int or None
        None leaves the options as published.

    Returns
    -------
    list of int
        The option, from 0, that is shown at each place.
    """
    if seed is None or any(_BY_NUMBER.search(option) for option in options):
        return list(range(len(options)))
    lots = random.Random(f"options {seed} {name}")  # noqa: S311  (no secret)
    keys = [lots.random() for _ in options]
    return sorted(range(len(keys)), key=keys.__getitem__)


def shuffled(question: Question, seed: int | None) -> Question:
    """The same question with its options in the order of `option_order`."""
    order = option_order(question.id, question.options, seed)
    if not order:
        return question
    options = tuple(question.options[i] for i in order)
    return replace(question, options=options, answer=order.index(question.answer))
