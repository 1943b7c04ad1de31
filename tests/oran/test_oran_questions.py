"""Questions: files as published and as broken, draws of them, and their options mixed."""

import json
import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.oran.questions import (
    ARTIFACT,
    DATA_VARIABLE,
    DIFFICULTIES,
    FILES,
    Question,
    count_faults,
    data_folder,
    load_questions,
    select,
    shuffled,
)
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import HOME_VARIABLE, Registry

PUBLISHED = data_folder() / "oran"
published = pytest.mark.skipif(
    not all((PUBLISHED / name).is_file() for name in FILES.values()),
    reason="no oran/fin_E.json, fin_M.json and fin_H.json in RFPLATFORM_DATA or ../shared/data",
)

WIDE = re.compile(r"context|\btext\b|the given", re.IGNORECASE)


def made(count, difficulty="easy", options=("a", "b", "c", "d")):
    letter = difficulty[0].upper()
    return tuple(
        Question(f"{letter}{n:04d}", difficulty, f"{difficulty} {n}?", options, 0, f"{letter}{n}")
        for n in range(1, count + 1)
    )


def write(folder, rows, name="fin_E.json"):
    path = folder / name
    lines = (row if isinstance(row, str) else json.dumps(row) for row in rows)
    path.write_bytes("".join(f"{line}\r\n" for line in lines).encode())
    return path


@pytest.fixture(scope="module")
def questions():
    return load_questions(PUBLISHED)


@published
def test_no_row_is_lost(questions):
    sizes = Counter(q.difficulty for q in questions)
    assert sizes == {"easy": 1139, "medium": 9570, "hard": 3243}
    assert count_faults(questions) == {"no question": 88, "no options": 45}
    by_file = Counter((q.difficulty, q.fault) for q in questions if not q.usable)
    assert by_file == {
        ("medium", "no question"): 84,
        ("medium", "no options"): 32,
        ("hard", "no question"): 4,
        ("hard", "no options"): 13,
    }
    assert Counter(len(q.options) for q in questions) == {4: 13903, 0: 45, 5: 2, 3: 1, 6: 1}
    assert len({q.id for q in questions}) == len(questions)


@published
def test_a_question_is_what_its_line_says(questions):
    lines = (PUBLISHED / "fin_H.json").read_text().splitlines()
    found = {q.id: q for q in questions}
    for number in (1, 700, 3243):
        text, options, key = json.loads(lines[number - 1])
        question = found[f"H{number:04d}"]
        assert question.text == text.strip()
        bare = [option[3:].strip() for option in options]  # "1. " to "4. "
        assert list(question.options) == bare
        assert question.options[question.answer] == bare[int(key) - 1]


@published
def test_kinds_of_question(questions):
    assert sum(q.negated for q in questions) == 2207
    # A wide reading counts "in the context of O-RAN", which is only a way to speak.
    wide = [q for q in questions if WIDE.search(q.text)]
    assert len(wide) == 2478
    assert sum("in the context of" in q.text.lower() for q in wide) > 1300
    assert sum(q.needs_context for q in questions) == 1097
    assert not any(q.needs_context for q in made(1))


@published
def test_duplicates_are_grouped(questions):
    with_text = [q for q in questions if q.text]
    assert len(with_text) - len({q.group for q in with_text}) == 402
    assert len(with_text) - len({q.text for q in with_text}) == 364
    both = {q.group for q in questions if q.difficulty == "easy"} & {
        q.group for q in questions if q.difficulty != "easy"
    }
    assert both


def test_kinds_are_told_by_words():
    def of(text):
        return Question("E0001", "easy", text, ("a",), 0, "")

    assert of("Which is NOT a plane?").negated
    assert of("All of these EXCEPT which?").negated
    assert not of("Which is not notable?").negated
    for text in (
        "In the provided context, what is X?",
        "What does the text say?",
        "What is the value in the context provided?",
        "What is the test described in the context?",
        "Which is in the given document?",
    ):
        assert of(text).needs_context, text
    for text in (
        "What is X in the context of Open RAN?",
        "What is provided by A1?",
        "Which UE context is released?",
    ):
        assert not of(text).needs_context, text


def test_one_file_is_read(tmp_path):
    path = write(
        tmp_path,
        [
            ["  Which?  ", ["1. one", "2.  3.5 GHz", "3. 2. twice"], "2"],
            ["which", ["3.5 GHz", "2 GHz"], 2],
            ["", ["1. a", "2. b"], "1"],
            ["No options?", [], "3"],
        ],
        "mine_H.json",
    )
    first, second, third, fourth = load_questions(path)
    assert first.id == "H0001"
    assert first.difficulty == "hard"
    assert (first.text, first.options, first.answer) == (
        "Which?",
        ("one", "3.5 GHz", "2. twice"),
        1,
    )
    assert second.options == ("3.5 GHz", "2 GHz")
    assert first.group == second.group != third.group
    assert [q.fault for q in (first, second, third, fourth)] == [
        "",
        "",
        "no question",
        "no options",
    ]
    assert fourth.answer == 2


def test_line_numbers_are_ids(tmp_path):
    path = write(tmp_path, [["a?", ["1. x"], "1"], "", ["b?", ["1. x"], "1"]])
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert [q.id for q in load_questions(path)] == ["E0001", "E0003"]


GOOD = ["a?", ["1. x", "2. y"], "1"]


@pytest.mark.parametrize(
    ("row", "told"),
    [
        ("{", "line 2: is no JSON"),
        ('{"a": 1}', "line 2: is no question; expected"),
        ('["a?", "x", "1"]', "line 2: is no question"),
        ('["a?", ["x", 2], "1"]', "line 2: is no question"),
        ('["a?", ["x", "y"], "B"]', "line 2: is no question"),
        ('["a?", ["x", "y"], true]', "line 2: is no question"),
        ('["a?", ["x", "y"]]', "line 2: is no question"),
        ('["a?", ["x", "y"], "3"]', "line 2: says option 3 is right and has 2 options"),
        ('["a?", ["x", "y"], "0"]', "line 2: says option 0 is right"),
    ],
)
def test_a_file_that_is_no_benchmark_is_refused(tmp_path, row, told):
    with pytest.raises(InputError, match=re.escape(told)) as error:
        load_questions(write(tmp_path, [GOOD, row]))
    assert "fin_E.json" in str(error.value)
    assert "\n" not in str(error.value)


def test_what_is_no_file_of_questions_is_refused(tmp_path):
    with pytest.raises(InputError, match="no such file or folder"):
        load_questions(tmp_path / "nowhere")
    with pytest.raises(InputError, match=r"lacks fin_E.json, fin_M.json, fin_H.json"):
        load_questions(tmp_path)
    with pytest.raises(InputError, match=r"must end in _E, _M or _H"):
        load_questions(write(tmp_path, [GOOD], "mine.json"))
    with pytest.raises(InputError, match="is empty"):
        load_questions(write(tmp_path, []))
    (tmp_path / "fin_M.json").write_bytes(b'["\xff?", ["1. x"], "1"]')
    with pytest.raises(InputError, match="no text in UTF-8"):
        load_questions(tmp_path / "fin_M.json")


@pytest.fixture
def elsewhere(tmp_path, monkeypatch):
    """An empty registry, an empty data folder, and no way out."""
    monkeypatch.setenv(HOME_VARIABLE, str(tmp_path / "registry"))
    monkeypatch.setenv(DATA_VARIABLE, str(tmp_path / "data"))
    for name in ("HTTPS_PROXY", "https_proxy", "ALL_PROXY", "all_proxy"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    for name in ("NO_PROXY", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.mark.usefixtures("elsewhere")
def test_without_the_questions_the_command_to_type_is_told():
    with pytest.raises(MissingError, match=f"rfplatform registry fetch {ARTIFACT}") as error:
        load_questions()
    assert "\n" not in str(error.value)


def test_other_questions_do_not_pass_for_the_published(elsewhere):
    folder = elsewhere / "data" / "oran"
    folder.mkdir(parents=True)
    for name in FILES.values():
        write(folder, [GOOD], name)
    with pytest.raises(InputError, match="not ORAN-Bench-13K as published"):
        load_questions()
    assert len(load_questions(folder)) == 3


def test_other_questions_in_the_registry_do_not_pass_either(elsewhere):
    registry = Registry.default()
    local = {name: write(elsewhere, [GOOD], name) for name in FILES.values()}
    files = tuple(File.of(path, name) for name, path in local.items())
    registry.add(Artifact(ARTIFACT, "2024", "dataset", files=files, licence="MIT"), local)
    with pytest.raises(InputError, match="not ORAN-Bench-13K as published"):
        load_questions()


@published
@pytest.mark.usefixtures("elsewhere")
def test_the_registry_is_read_first(questions):
    registry = Registry.default()
    local = {name: PUBLISHED / name for name in FILES.values()}
    files = tuple(File.of(path, name) for name, path in local.items())
    registry.add(Artifact(ARTIFACT, "2024", "dataset", files=files, licence="MIT"), local)
    assert load_questions() == questions


# ----------------------------------------------------------------------------------------------
# Draws
# ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def pool():
    return (*made(1000), *made(3000, "medium"), *made(2000, "hard"))


def test_a_limit_is_shared_by_size(pool):
    drawn = select(pool, limit=600)
    assert Counter(q.difficulty for q in drawn) == {"easy": 100, "medium": 300, "hard": 200}
    places = [pool.index(q) for q in drawn]
    assert places == sorted(places)
    for limit in (1, 7, 5999):
        assert len(select(pool, limit=limit)) == limit
    assert select(pool, limit=10**6) == pool


def test_a_draw_depends_on_its_seed_alone(pool):
    drawn = select(pool, limit=600, seed=3)
    assert select(tuple(reversed(pool)), limit=600, seed=3) == tuple(reversed(drawn))
    assert set(select(pool, limit=60, seed=3)) <= set(drawn)
    assert len(set(drawn) & set(select(pool, limit=600, seed=4))) < 120
    numbers = [int(q.id[1:]) for q in drawn if q.difficulty == "medium"]
    assert np.mean(numbers) == pytest.approx(1500, abs=4 * 3000 / np.sqrt(12 * 300))


def test_difficulties_are_chosen(pool):
    assert {q.difficulty for q in select(pool, subset=["Hard", "easy"])} == {"hard", "easy"}
    assert Counter(q.difficulty for q in select(pool, orbench_1500=True)) == dict.fromkeys(
        DIFFICULTIES, 500
    )
    for options, told in (
        ({"subset": ["harder"]}, "did you mean hard"),
        ({"limit": 0}, "must be 1 or more"),
        ({"limit": 5, "orbench_1500": True}, "not both"),
    ):
        with pytest.raises(InputError, match=told):
            select(pool, **options)
    with pytest.raises(InputError, match="no questions of difficulty hard"):
        select(made(3), subset=["hard"])


# ----------------------------------------------------------------------------------------------
# Options mixed
# ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("options", [("a",), ("a", "b", "c"), tuple("abcdef"), ()])
def test_mixing_moves_the_answer_along(options):
    for question in made(20, options=options):
        mixed = shuffled(question, 1)
        assert sorted(mixed.options) == sorted(options)
        if options:
            assert mixed.options[mixed.answer] == "a"
        assert (mixed.id, mixed.text, mixed.group) == (question.id, question.text, question.group)
        assert shuffled(question, 1) == mixed
        assert shuffled(question, None) == question


def test_every_order_is_as_likely():
    orders = Counter(shuffled(q, 0).options for q in made(4800))
    assert len(orders) == 24
    chi_squared = sum((count - 200) ** 2 / 200 for count in orders.values())
    assert chi_squared < 49.7  # 23 degrees of freedom, p = 0.001
    other = sum(shuffled(q, 0) != shuffled(q, 1) for q in made(4800))
    assert other / 4800 == pytest.approx(23 / 24, abs=0.02)


def test_options_that_call_others_by_number_stay():
    fixed = ("x", "y", "Both 1 and 2", "Neither 1 nor 2")
    assert all(shuffled(q, seed) == q for q in made(5, options=fixed) for seed in range(5))


@published
def test_places_tell_nothing_once_mixed(questions):
    mixed = [shuffled(q, 0) for q in questions if len(q.options) == 4]
    shares = np.bincount([q.answer for q in mixed], minlength=4) / len(mixed)
    assert np.abs(shares - 0.25).max() < 0.012
    for before, after in zip((q for q in questions if len(q.options) == 4), mixed, strict=True):
        assert after.options[after.answer] == before.options[before.answer]


def test_the_data_folder_is_beside_the_checkout(monkeypatch):
    monkeypatch.delenv(DATA_VARIABLE, raising=False)
    assert data_folder() == Path(__file__).resolve().parents[3] / "shared" / "data"
