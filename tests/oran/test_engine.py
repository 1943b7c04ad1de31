"""Models asked through inspect_ai by a server that goes wrong: no answer is lost, no key told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import zipfile
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from rfplatform.errors import InputError, MissingError
from rfplatform.oran.engine import Asking, Patience, open_checked, run, state
from rfplatform.oran.questions import Question, load_questions
from tests.oran.llm_server import Served, free_port, options_of, serving

MODEL = "openai-api/local/tiny"
KEY = "sk-do-not-tell-me-4711"
QUICK = Patience(timeout_s=10, max_retries=0)
HASTY = Patience(timeout_s=8, max_retries=0)
"""For servers that never end an answer."""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Twelve questions: the right option's text begins with "right"; one row has no options."""
    written = {"E": 5, "M": 5, "H": 3}
    for letter, count in written.items():
        rows = []
        for i in range(1, count + 1):
            options = [f"{k}. wrong {k} of {letter}{i}" for k in range(1, 5)]
            options[i % 4] = f"{i % 4 + 1}. right one of {letter}{i}"
            rows.append([f"What is {letter}{i}?", options, str(i % 4 + 1)])
        if letter == "H":
            rows[-1][1] = []
        text = "\r\n".join(json.dumps(row) for row in rows)
        (tmp_path / f"fin_{letter}.json").write_text(text, newline="")
    return tmp_path


@pytest.fixture
def questions(folder: Path) -> tuple[Question, ...]:
    return load_questions(folder)


@pytest.fixture
def asking(folder: Path) -> Asking:
    return Asking(MODEL, folder)


@pytest.fixture(autouse=True)
def _key(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_API_KEY", KEY)


def knows(prompt: str) -> str:
    """The right letter, where the prompt shows which it is."""
    right = [k for k, text in options_of(prompt).items() if text.startswith("right")]
    return f"I think so.\nANSWER: {right[0]}" if right else "ANSWER: A"


def about(prompt: str) -> str:
    """The question of a prompt; "" of the trial question."""
    found = [line for line in prompt.splitlines() if line.startswith("Question: ")]
    return found[0].removeprefix("Question: What is ").rstrip("?") if found else ""


def finished(served: Served) -> Counter[str]:
    counts: Counter[str] = Counter()
    for prompt, count in served.finished.items():
        counts[about(prompt)] += count
    del counts[""]
    return counts


def told_in(out: Path) -> str:
    """Everything that stands in a run's files."""
    texts = []
    for path in out.rglob("*"):
        if path.suffix == ".eval":
            with zipfile.ZipFile(path) as archive:
                texts += [archive.read(name).decode() for name in archive.namelist()]
        elif path.is_file():
            texts.append(path.read_text())
    return "\n".join(texts)


def test_a_model_that_knows_is_right_in_any_order(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    asking = Asking(MODEL, asking.questions, epochs=2)
    with serving(answer=knows) as served:
        model = open_checked([MODEL], served.url)[MODEL]
        told: list[tuple[int, int]] = []
        answers = run(asking, questions, model, tmp_path / "out", tell=lambda *n: told.append(n))
    assert answers.complete
    without_options = [not q.options for q in questions]
    assert answers.credit.shape == (2, 13)
    assert (answers.credit == np.where(without_options, 0.0, 1.0)).all()
    assert not answers.unparsed.any()
    assert told[0] == (0, 24)
    assert told[-1] == (24, 24)
    orders = {tuple(options_of(p)) + tuple(options_of(p).values()) for p in served.prompts}
    assert len(orders) > 13  # another order in the second epoch
    assert answers.tokens == {"input": 9 * 24, "output": 3 * 24}
    assert state(asking, tmp_path / "out", questions) is not None


def test_as_published_keeps_the_order(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    asking = Asking(MODEL, asking.questions, as_published=True)
    with serving(answer=lambda _: "B") as served:
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out")
    expected = [float(q.answer == 1 and bool(q.options)) for q in questions]
    assert answers.credit[0].tolist() == expected


@pytest.mark.parametrize("fault", ["timeout", "429", "500", "malformed", "dropped", "endless"])
def test_faults_lose_no_finished_question_and_resume_asks_the_rest(
    fault: str, asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    bad = {"E2", "M4", "H1"}
    healed = False

    def goes_wrong(prompt: str, _before: int) -> str:
        return fault if about(prompt) in bad and not healed else "ok"

    with serving(answer=knows, fault=goes_wrong) as served:
        model = open_checked([MODEL], served.url)[MODEL]
        patience = HASTY if fault in ("timeout", "endless") else QUICK
        first = run(asking, questions, model, tmp_path / "out", patience=patience)
        assert not first.complete
        assert first.failed == 3
        assert first.fault
        assert "\n" not in first.fault
        assert np.isnan(first.credit).sum() == 3
        assert np.nansum(first.credit) == 9
        healed = True
        second = run(asking, questions, model, tmp_path / "out", patience=QUICK)
        assert second.complete
        assert second.credit.sum() == 12
        third = run(asking, questions, model, tmp_path / "out", patience=QUICK)
    assert third.complete
    assert set(finished(served).values()) == {1}  # each question was answered once, ever
    assert len(list((tmp_path / "out").rglob("*.eval"))) == 1


def test_what_passes_is_tried_again(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    def once(prompt: str, before: int) -> str:
        return "429" if about(prompt) == "M3" and before == 0 else "ok"

    with serving(answer=knows, fault=once) as served:
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out", patience=Patience(5, 2))
    assert answers.complete


def test_refusals_and_empty_answers_are_answers_that_cannot_be_read(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    kinds = {"E1": "refusal", "E2": "empty", "E3": "no-usage"}
    with serving(answer=knows, fault=lambda p, _: kinds.get(about(p), "ok")) as served:
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out", patience=QUICK)
    assert answers.complete
    assert answers.unparsed.sum() == 2
    assert answers.refused == 1
    assert answers.credit.sum() == 10


def test_no_key_stands_in_any_log_or_error(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    with serving(answer=knows, fault=lambda p, _: "echo-key" if about(p) else "ok") as served:
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out", patience=QUICK)
    assert any(KEY in key for key in served.keys)
    assert not answers.complete
    assert "LOCAL_API_KEY" in answers.fault
    told = told_in(tmp_path / "out")
    assert "What is E1?" in told
    assert KEY not in told
    assert KEY not in answers.fault


def test_a_killed_run_goes_on_where_it_was(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    def slow(prompt: str, _before: int) -> str:
        time.sleep(0.3 if about(prompt) else 0.0)
        return "ok"

    with serving(answer=knows, fault=slow) as served:
        code = (
            "import sys\nfrom pathlib import Path\n"
            "from rfplatform.oran.engine import *\n"
            "from rfplatform.oran.questions import load_questions\n"
            "folder, url, out = Path(sys.argv[1]), sys.argv[2], Path(sys.argv[3])\n"
            f"model = open_checked(['{MODEL}'], url)['{MODEL}']\n"
            f"run(Asking('{MODEL}', folder), load_questions(folder), model, out,"
            " patience=Patience(5, 0, max_connections=2))\n"
        )
        argv = [sys.executable, "-c", code, str(asking.questions), served.url, tmp_path / "out"]
        process = subprocess.Popen(argv, env=dict(os.environ), stderr=subprocess.DEVNULL)
        deadline = time.monotonic() + 90
        while finished(served).total() < 6 and time.monotonic() < deadline:
            time.sleep(0.02)
        process.kill()
        process.wait(60)
        before = finished(served).total()
        assert 6 <= before < 12
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out", patience=QUICK)
    assert answers.complete
    assert answers.credit.sum() == 12
    # Only what was in flight when it was killed, two questions at the most, is asked twice.
    assert finished(served).total() <= 12 + 3


def test_two_processes_do_not_work_on_one_run(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    import fcntl

    own = asking.folder(tmp_path / "out")
    own.mkdir(parents=True)
    with serving() as served, (own / ".lock").open("w") as lock:
        model = open_checked([MODEL], served.url)[MODEL]
        fcntl.flock(lock, fcntl.LOCK_EX)
        with pytest.raises(InputError, match="another process"):
            run(asking, questions, model, tmp_path / "out")


def test_other_options_are_other_runs(tmp_path: Path) -> None:
    same = Asking(MODEL, rag=None, top_k=5).folder(tmp_path)
    assert Asking(MODEL, rag=None, top_k=7).folder(tmp_path) == same
    others = [
        Asking(MODEL, as_published=True),
        Asking(MODEL, seed=2),
        Asking(MODEL, limit=7),
        Asking(MODEL, epochs=2),
        Asking(MODEL, subset=("easy",)),
        Asking(MODEL, rag=Path("index"), rag_digest="a"),
        Asking(MODEL, rag=Path("index"), rag_digest="b"),
        Asking("openai-api/local-tiny"),
        Asking(MODEL, questions_digest="other questions"),
    ]
    assert len({same, *(asking.folder(tmp_path) for asking in others)}) == 10
    # An index is what is in it, wherever it lies.
    moved = Asking(MODEL, rag=Path("elsewhere"), rag_digest="a").folder(tmp_path)
    assert moved == others[5].folder(tmp_path)


class TestBeforeTheFirstQuestion:
    @pytest.mark.parametrize(
        ("model", "url", "words"),
        [
            ("gpt", None, "PROVIDER/NAME"),
            ("opnai/gpt", None, "did you mean openai"),
            ("openai-api/x", None, "which server"),
            (MODEL, "ftp://x/v1", "is no URL"),
            (MODEL, "127.0.0.1:8000", "is no URL"),
            (MODEL, "http://me:secret@127.0.0.1/v1", "password"),
        ],
    )
    def test_a_bad_model_is_one_line(self, model: str, url: str | None, words: str) -> None:
        with pytest.raises(InputError) as told:
            open_checked([model], url)
        assert words in str(told.value)
        assert "\n" not in str(told.value)
        assert "secret" not in str(told.value)

    def test_a_missing_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("OPENAI_API_KEY", raising=False)
        with pytest.raises(MissingError, match="OPENAI_API_KEY") as told:
            open_checked(["openai/gpt-5.2"], None)
        assert "\n" not in str(told.value)

    def test_a_url_that_lacks_its_path(self) -> None:
        with serving() as served, pytest.raises(MissingError, match="name and the URL"):
            open_checked([MODEL], served.url.removesuffix("/v1"))

    def test_an_unreachable_server(self) -> None:
        url = f"http://127.0.0.1:{free_port()}/v1"
        with pytest.raises(MissingError, match="gave no answer") as told:
            open_checked([MODEL], url)
        assert url in str(told.value)
        assert "\n" not in str(told.value)

    @pytest.mark.parametrize(("fault", "words"), [("401", "LOCAL_API_KEY"), ("echo-key", "check")])
    def test_a_server_that_refuses(self, fault: str, words: str) -> None:
        with (
            serving(fault=lambda *_: fault) as served,
            pytest.raises(MissingError, match=words) as told,
        ):
            open_checked([MODEL], served.url)
        assert KEY not in str(told.value)

    def test_a_server_of_ones_own_needs_no_key(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.delenv("LOCAL_API_KEY")
        with serving() as served:
            assert list(open_checked(["openai-api/tiny"], served.url)) == [MODEL]
        assert "LOCAL_API_KEY" not in os.environ


@pytest.fixture(autouse=True)
def _no_files_elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """inspect_ai keeps buffers and traces of its own in the user's folders."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def test_a_run_goes_on_at_another_server_and_with_moved_questions(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    asking = asking.of(questions)
    with serving(answer=knows, fault=lambda p, _: "500" if about(p) == "E1" else "ok") as first:
        model = open_checked([MODEL], first.url)[MODEL]
        assert run(asking, questions, model, tmp_path / "out", patience=QUICK).failed == 1
    assert asking.questions is not None
    moved = tmp_path / "moved"
    moved.mkdir()
    for path in asking.questions.glob("fin_*.json"):
        path.rename(moved / path.name)
    with serving(answer=knows) as second:
        model = open_checked([MODEL], second.url)[MODEL]
        there = Asking(MODEL, moved).of(load_questions(moved))
        answers = run(there, questions, model, tmp_path / "out", patience=QUICK)
    assert answers.complete
    assert finished(second).total() == 1


def test_a_damaged_log_is_set_aside_and_the_run_goes_on(
    asking: Asking, questions: tuple[Question, ...], tmp_path: Path
) -> None:
    own = asking.folder(tmp_path / "out")
    own.mkdir(parents=True)
    (own / "2020-01-01T00-00-00_oran_x.eval").write_bytes(b"PK\x03\x04 half a log")
    with serving(answer=knows) as served:
        model = open_checked([MODEL], served.url)[MODEL]
        answers = run(asking, questions, model, tmp_path / "out", patience=QUICK)
    assert answers.complete
    assert (own / "2020-01-01T00-00-00_oran_x.damaged").is_file()
