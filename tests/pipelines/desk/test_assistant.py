"""What the Assistant page stands on: indexes, answers that are kept, sections, reports."""

import os
import sys
import time
from pathlib import Path

import numpy as np
import pytest

sys.path.insert(0, str(Path(__file__).parents[2] / "oran"))
from asked_models import honest
from llm_server import serving

from pipelines.desk import assistant_answers
from pipelines.desk.assistant import Model, ask, configured_model, search
from pipelines.desk.assistant_answers import Kept, find_answer, forget, keep, list_answers
from pipelines.desk.assistant_indexes import find_index, list_indexes
from pipelines.desk.assistant_reports import Point, list_evaluations
from pipelines.desk.assistant_section import read_section
from pipelines.desk.workspace import Workspace
from pipelines.oran.evaluation import Entrant, Evaluation, Gain
from pipelines.registered import register_report
from rfplatform.benchmark import Row
from rfplatform.errors import InputError, MissingError, WorkerError
from rfplatform.oran.published import PUBLISHED
from rfplatform.oran.questions import Question
from rfplatform.oran.scores import gain, score
from rfplatform.registry.registry import Registry
from rfplatform.retrieval.index import build_index, index_artifact

E2 = "The E2 interface uses SCTP on port 36422."
ROWS = "\n".join(
    f"| counter {n} | counts packets of slice {n} on the F1 interface |" for n in range(40)
)
SPEC = f"""# O-RAN E2

## 3 Transport

{E2} The near-RT RIC
listens on it.

### 3.1 Counters

Table 3-1: Counters

| Name | Meaning |
|---|---|
{ROWS}

## 4 Security

Everything is encrypted by the transport layer.
"""
ASKED = "On which port does the E2 interface use SCTP?"


@pytest.fixture
def ws(tmp_path):
    return Workspace.open(tmp_path / "ws")


@pytest.fixture
def registry(tmp_path):
    return Registry(tmp_path / "home")


@pytest.fixture
def index(ws, registry):
    made(ws)
    return find_index(ws, registry, "specs")


def made(ws, name="specs", text=SPEC):
    path = ws.root / "e2-v07.00.md"
    path.write_text(text)
    return build_index([path], ws.root / "indexes" / name, licence="CC-BY-4.0")


def kept(question, number=0):
    needed = dict.fromkeys(assistant_answers._NEEDED, 0)
    return Kept("specs", "d", question, 1000.0 + number, {**needed, "text": question})


# ---- indexes


def test_folders_and_the_registry_hold_indexes_and_damaged_ones_are_left_out(ws, registry):
    built = made(ws)
    artifact, local = index_artifact(built, "indexes/our-specs")
    ref = registry.add(artifact, local).ref
    bad = ws.root / "indexes" / "bad"
    bad.mkdir()
    (bad / "manifest.json").write_text("{}")
    places = list_indexes(ws, registry)
    assert [(one.name, one.documents, one.passages) for one in places] == [
        ("specs", 1, len(built.chunks)), (ref, 1, len(built.chunks)),
    ]  # fmt: skip
    with pytest.raises(InputError, match="no index of this version"):
        find_index(ws, registry, "bad")


def test_an_index_of_the_registry_is_unpacked_once_and_outlives_a_cleaning(ws, registry):
    artifact, local = index_artifact(made(ws), "indexes/our-specs")
    ref = registry.add(artifact, local).ref
    found = find_index(ws, registry, "indexes/our-specs")
    assert found.name == ref
    before = (found.path / "chunks.arrow").stat().st_ino
    assert find_index(ws, registry, ref).path == found.path
    assert (found.path / "chunks.arrow").stat().st_ino == before
    for path in registry.home.glob("files/**/*"):
        if path.is_file():
            path.unlink()
    assert search(ws, find_index(ws, registry, ref), "SCTP")["hits"]


@pytest.mark.parametrize("name", ["gone", "..", "../indexes/specs", ".", "", "indexes/gone"])
def test_names_of_a_link_reach_nothing_else(ws, registry, name):
    made(ws)
    with pytest.raises(InputError):
        find_index(ws, registry, name)


def test_an_index_that_changes_has_another_digest(ws, registry, index):
    assert index.digest == find_index(ws, registry, "specs").digest
    made(ws, text=SPEC.replace("36422", "36421"))
    changed = find_index(ws, registry, "specs")
    assert changed.digest != index.digest
    assert "36421" in search(ws, changed, "SCTP port")["hits"][0]["text"]


def test_faults_tell_no_folder_of_the_server(ws, index):
    (index.path / "chunks.arrow").unlink()
    with pytest.raises(InputError, match=r"chunks\.arrow: is missing") as error:
        search(ws, index, "SCTP")
    assert str(ws.root) not in str(error.value)


# ---- answers


def test_answers_are_found_again_newest_first_and_forgotten(ws):
    for number in range(3):
        keep(ws, kept(f"question {number}", number))
        for path in (ws.root / "assistant" / "answers").iterdir():
            os.utime(path, ns=(path.stat().st_atime_ns, path.stat().st_mtime_ns - 10**9))
    again = Workspace.open(ws.root)
    assert [one.question for one in list_answers(again)] == [f"question {n}" for n in (2, 1, 0)]
    assert find_answer(again, "specs", " question\n1 ") == kept("question 1", 1)
    assert find_answer(again, "other", "question 1") is None
    forget(again, "specs", "question 1")
    assert find_answer(again, "specs", "question 1") is None
    assert len(list_answers(again)) == 2


def test_the_oldest_answers_go_and_damaged_ones_are_passed_over(ws, monkeypatch):
    monkeypatch.setattr(assistant_answers, "MOST_KEPT", 2)
    for number in range(4):
        keep(ws, kept(f"question {number}"))
        time.sleep(0.01)
    assert [one.question for one in list_answers(ws)] == ["question 3", "question 2"]
    for path in (ws.root / "assistant" / "answers").iterdir():
        path.write_text('{"record": {"text": "half of"}}')
    assert list_answers(ws) == []


def test_the_environment_alone_names_the_model(monkeypatch):
    monkeypatch.delenv("RFPLATFORM_MODEL", raising=False)
    monkeypatch.setenv("RFPLATFORM_MODEL_BASE_URL", "http://127.0.0.1:1/v1")
    assert configured_model() is None
    monkeypatch.setenv("RFPLATFORM_MODEL", " ollama/qwen3 ")
    assert configured_model() == Model("ollama/qwen3", "http://127.0.0.1:1/v1")


def test_a_question_goes_through_a_process_of_its_own_and_is_asked_once(ws, index):
    with serving(answer=honest) as served:
        model = Model("openai-api/local/tiny", served.url)
        first = ask(ws, model, index, f" {ASKED}\n")
        assert first.record["text"] == f"{E2} [1]"
        assert first.record["citations"][0]["quotes"][0]["text"] == E2
        assert ask(ws, model, index, ASKED) == first
        assert len(served.prompts) == 1
    assert find_answer(ws, "specs", ASKED) == first


def test_a_question_that_takes_too_long_ends_and_is_not_kept(ws, index):
    with serving(fault=lambda *_: "timeout") as served:
        began = time.monotonic()
        with pytest.raises(WorkerError, match=r"no answer within 0\.5 s"):
            ask(ws, Model("openai-api/local/tiny", served.url), index, ASKED, time_limit_s=0.5)
    assert time.monotonic() - began < 30
    assert list_answers(ws) == []
    children = Path(f"/proc/{os.getpid()}/task/{os.getpid()}/children")
    if children.exists():
        for child in children.read_text().split():
            assert "assistant_process" not in Path(f"/proc/{child}/cmdline").read_text()


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ({"error": "model x gave no answer", "exit_code": MissingError.exit_code}, MissingError),
        ({"error": "the question is empty", "exit_code": InputError.exit_code}, InputError),
        ({"error": "unexpected error", "exit_code": 1}, WorkerError),
    ],
)
def test_errors_of_the_process_keep_their_kind(ws, index, answer, kind):
    with pytest.raises(kind, match=answer["error"]):
        ask(ws, Model("a/b"), index, ASKED, run=lambda *_: answer)


# ---- sections


def test_a_section_knows_its_place_and_its_quote(ws, index):
    reading = read_section(
        ws, index, "e2-v07.00.md", 1, quotes=["port 36422. The near-RT RIC listens"]
    )
    assert (reading.heading, reading.version, reading.licence) == (
        "3 Transport", "v07.00", "CC-BY-4.0",
    )  # fmt: skip
    assert (reading.ordinal, reading.count) == (1, 4)
    assert reading.before is not None
    assert reading.after is not None
    assert reading.after.heading == "3.1 Counters"
    (part,) = reading.parts
    ((begin, end),) = part.marks
    assert " ".join(part.text[begin:end].split()) == "port 36422. The near-RT RIC listens"
    assert reading.marked == "quote"
    deeper = read_section(ws, index, "e2-v07.00.md", 2)
    assert [(one.ordinal, one.heading) for one in deeper.parents][-1] == (1, "3 Transport")
    assert deeper.marked == ""
    assert read_section(ws, index, "e2-v07.00.md", 3).after is None


def test_of_a_table_that_was_cut_the_passage_s_rows_are_marked(ws, index):
    hits = search(ws, index, "counter 33 slice")["hits"]
    hit = next(one for one in hits if "counter 33 " in one["text"])
    reading = read_section(
        ws, index, hit["document"], hit["section_ordinal"], passages=[hit["text"]]
    )
    table = next(part for part in reading.parts if part.kind == "table")
    marked = "\n".join(table.text[begin:end] for begin, end in table.marks)
    assert reading.marked == "passage"
    for number in range(40):
        row = f"| counter {number} |"
        assert (row in marked) == (row in hit["text"]), number
    assert all(begin < end <= len(table.text) for begin, end in table.marks)


@pytest.mark.parametrize(("document", "ordinal"), [("e2-v07.00.md", 4), ("gone.md", 0)])
def test_a_section_that_is_not_there_is_told(ws, index, document, ordinal):
    with pytest.raises(InputError, match=document):
        read_section(ws, index, document, ordinal)


# ---- reports


def questions(count):
    return [
        Question(
            f"{name[0].upper()}{n:04}", name, f"What is {name} {n}?", ("a", "b"), 0, f"{name}{n}"
        )
        for name in ("easy", "hard")
        for n in range(count)
    ]


def test_what_bench_registers_is_read_back_as_it_was_scored(registry):
    asked = questions(20)
    credit = np.tile([1.0, 0.0, 1.0, 1.0], 10)
    good, floor = score(asked, credit, np.tile([False] * 9 + [True], 4)), score(asked, credit / 2)
    better = gain(asked, credit, credit / 2)
    evaluation = Evaluation(
        (Row("oran:13k", "macro", "accuracy", "", "x", "y", (0.5,), (0.4,)),),
        (Entrant("always-2", "floor", floor), Entrant("openai/x", "model", good)),
        (Gain("openai/x: retrieval", better),),
        {"easy": 20, "hard": 20},
        {"no question": 2},
        "shuffled",
        PUBLISHED,
        {},
    )
    ref = register_report(registry, evaluation, "oran").ref
    (one,) = list_evaluations(registry)
    assert one.ref == ref
    assert one.models == ("openai/x",)
    model, beside = one.scored
    assert (model.is_model, beside.is_model) == (True, False)
    macro = good.all_rows.macro
    assert model.points["macro"] == Point(macro.value, macro.low, macro.high, macro.count)
    assert model.points["hard"].value == good.all_rows.by_difficulty["hard"].value
    assert "medium" not in model.points
    assert "negated" not in model.points  # no such question was asked
    assert model.unparsed == good.unparsed
    assert one.gains[0].weighted == Point(
        *(getattr(better.weighted, of) for of in ("value", "low", "high", "count"))
    )
    assert [(r.name, r.value) for r in one.reported] == [(p.name, p.value) for p in PUBLISHED]
    assert (one.questions, one.unusable, one.order) == (
        {"easy": 20, "hard": 20}, {"no question": 2}, "shuffled",
    )  # fmt: skip


def test_reports_of_other_things_are_no_evaluations(registry):
    class Other:
        def to_dict(self):
            return {"rfplatform": "0.1.0", "rows": []}

    register_report(registry, Other(), "speed")
    assert list_evaluations(registry) == []
