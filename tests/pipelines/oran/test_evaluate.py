"""The evaluation of models, from the command line, against a server in this process."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from rich.console import Console

from pipelines.oran.evaluate import BESIDE, Config, main
from pipelines.oran.evaluation_table import render
from rfplatform.cli import main as command
from rfplatform.errors import InputError
from tests.oran.llm_server import options_of, serving

MODEL = "openai-api/local/tiny"


@pytest.fixture(autouse=True)
def _elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("LOCAL_API_KEY", "sk-4711-4711")
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def questions(tmp_path: Path) -> Path:
    """Right options are the longest; the passage of a question names the right one."""
    folder = tmp_path / "questions"
    folder.mkdir()
    for letter, count in (("E", 6), ("M", 8), ("H", 4)):
        rows = [
            [
                f"What does the widget{letter.lower()}{i} do?",
                [
                    f"{k}. " + (f"the thing {letter}{i} exactly" if k == i % 4 + 1 else f"no {k}")
                    for k in range(1, 5)
                ],
                str(i % 4 + 1),
            ]
            for i in range(count)
        ]
        if letter == "M":
            rows[0][0] = ""
        if letter == "H":
            rows[0][1] = []
        (folder / f"fin_{letter}.json").write_text("\n".join(map(json.dumps, rows)))
    return folder


@pytest.fixture
def index(tmp_path: Path) -> Path:
    from rfplatform.retrieval.index import build_index

    words = "\n\n".join(
        f"# Widget {letter}{i}\n\nThe widget{letter}{i} does the thing {letter.upper()}{i} exactly."
        for letter in "emh"
        for i in range(8)
    )
    (tmp_path / "doc.md").write_text(words)
    build_index([tmp_path / "doc.md"], tmp_path / "index")
    return tmp_path / "index"


def reads_passages(prompt: str) -> str:
    """The option that stands in the first passage; else always the first."""
    passages, _, question = prompt.partition("Question: ")
    for letter, text in options_of(question).items():
        if passages.count(text):
            return f"ANSWER: {letter}"
    return "ANSWER: A"


def test_a_model_beside_its_floors(questions: Path, tmp_path: Path) -> None:
    with serving() as served:
        result = main(Config((MODEL, "always-1"), served.url, questions, out=tmp_path / "out"))
    names = [entrant.name for entrant in result.entrants]
    assert names == [MODEL, "always-1", *BESIDE]
    longest = next(e for e in result.entrants if e.name == "longest-option")
    assert longest.scores.usable.weighted.value == 1.0
    assert longest.scores.all_rows.weighted.value == pytest.approx(17 / 18)
    # A server that says "A" is worth what "always 1" is, on the very same orders.
    ours, rule = result.entrants[:2]
    assert ours.scores.usable == rule.scores.usable
    assert result.faults == {"no question": 1, "no options": 1}
    told = result.to_dict()
    assert json.loads(json.dumps(told)) == told
    weighted = [r for r in result.rows if r.case == "weighted" and r.subject_name == MODEL]
    assert weighted[0].baseline_value == pytest.approx(17 / 18)
    console = Console(width=80, record=True, file=None, quiet=False, force_terminal=False)
    with console.capture() as shown:
        console.print(render(result))
    text = shown.get()
    for part in (MODEL, "longest-option", "ORANSight", ".784", "2 unusable", "weighted", "negated"):
        assert part in text
    assert "…" not in text
    assert max(map(len, text.splitlines())) <= 80


def test_retrieval_is_compared_with_the_model_alone(
    questions: Path, index: Path, tmp_path: Path
) -> None:
    config = Config((MODEL,), questions=questions, rag=index, out=tmp_path / "out", top_k=2)
    with serving(answer=reads_passages) as served:
        from dataclasses import replace

        result = main(replace(config, base_url=served.url))
        asked = len(served.prompts)
        again = main(replace(config, base_url=served.url, resume=True))
        published = main(replace(config, base_url=served.url, rag=None, as_published=True))
    assert [e.name for e in result.entrants[:2]] == [MODEL, f"{MODEL} + RAG"]
    alone, with_rag = (e.scores.usable.weighted.value for e in result.entrants[:2])
    (gain,) = result.gains
    assert with_rag > alone + 0.3
    assert gain.part.weighted.low > 0.0
    # Resumed, nothing is asked but the trial question, and the figures are the same.
    assert len(served.prompts) - asked < asked
    assert again.entrants[1].reused
    assert again.to_dict()["gains"] == result.to_dict()["gains"]
    assert any("as published" in g.what for g in published.gains)


def test_a_run_without_all_answers_is_no_success(
    questions: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    broken = True

    def fault(prompt: str, _: int) -> str:
        return "500" if "widgete3" in prompt and broken else "ok"

    with serving(fault=fault) as served:
        arguments = ["bench", "oran", "--model", MODEL, "--base-url", served.url]
        arguments += ["--questions", str(questions), "--max-retries", "0"]
        assert command([*arguments, "--register"]) == 5
        told = capsys.readouterr()
        assert "1 of 18 lack an answer" in told.err
        assert "--resume" in told.err
        assert "unfinished" in told.out
        assert "in the registry" not in told.err
        assert command(arguments) == 2
        assert "--resume goes on" in capsys.readouterr().err
        broken = False
        before = len(served.prompts)
        assert command([*arguments, "--resume", "--json", "--register"]) == 0
        assert len(served.prompts) - before == 2  # the trial question and the missing one
        told = capsys.readouterr()
        assert json.loads(told.out)["complete"]
        assert "in the registry as reports/oran@" in told.err
        assert command([*arguments, "--overwrite"]) == 0
        assert len(served.prompts) - before == 2 + 18


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"models": ()}, "name a model"),
        ({"models": ("longest",)}, "PROVIDER/NAME"),
        ({"models": ("always-1", "always-1")}, "named twice"),
        ({"epochs": 0}, "--epochs"),
        ({"top_k": 0}, "--top-k"),
        ({"max_connections": 0}, "--max-connections"),
        ({"max_tokens": 0}, "--max-tokens"),
        ({"subset": ("esay",)}, "did you mean easy"),
        ({"limit": 0}, "limit"),
        ({"resume": True, "overwrite": True}, "not both"),
        ({"questions": Path("nowhere")}, "nowhere"),
        ({"rag": Path("nowhere")}, "are for models"),
    ],
)
def test_bad_options_are_one_line_before_anything_is_asked(
    changes: dict[str, object], words: str, questions: Path, tmp_path: Path
) -> None:
    from dataclasses import replace

    config = Config(("always-1",), None, questions, out=tmp_path / "out")
    with pytest.raises(InputError) as told:
        main(replace(config, **changes))  # type: ignore[arg-type]
    assert words in str(told.value)
    assert "\n" not in str(told.value)
    assert not (tmp_path / "out").exists()


def test_an_out_that_is_a_file_ends_it_before_anything_is_asked(
    questions: Path, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("mine")
    for out in (tmp_path / "file", tmp_path / "file" / "deeper"):
        with serving() as served, pytest.raises(InputError, match="give another folder"):
            main(Config((MODEL,), served.url, questions, out=out))
        assert not served.prompts
    assert (tmp_path / "file").read_text() == "mine"


def test_an_index_that_is_none_ends_it_before_anything_is_asked(
    questions: Path, tmp_path: Path
) -> None:
    with serving() as served, pytest.raises(InputError, match="no index"):
        main(Config((MODEL,), served.url, questions, rag=tmp_path / "x", out=tmp_path / "out"))
    assert not served.prompts


def test_model_options_are_for_oran_alone(capsys: pytest.CaptureFixture[str]) -> None:
    assert command(["bench", "speed", "--model", MODEL]) == 2
    assert "bench oran" in capsys.readouterr().err


def test_ctrl_c_keeps_what_was_answered_and_says_how_to_go_on(
    questions: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    def slow(prompt: str, _: int) -> str:
        time.sleep(0.3 if "Question: " in prompt else 0.0)
        return "ok"

    with serving(fault=slow) as served:
        words = ["bench", "oran", "--model", MODEL, "--base-url", served.url]
        words += ["--questions", str(questions), "--max-connections", "2"]
        for resume in ([], ["--resume"]):
            before = sum(served.finished.values())
            process = subprocess.Popen(
                [sys.executable, "-m", "rfplatform.cli", *words, *resume],
                stderr=subprocess.PIPE,
                text=True,
                cwd=tmp_path,
            )
            deadline = time.monotonic() + 120
            while sum(served.finished.values()) < before + 5 and time.monotonic() < deadline:
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
            _, told = process.communicate(timeout=60)
            assert process.returncode == 130, told
            assert told.strip().splitlines() == [
                "interrupted: what was answered is kept; --resume goes on"
            ]
        assert command([*words, "--resume", "--json"]) == 0
        assert json.loads(capsys.readouterr().out)["complete"]
        asked = [count for prompt, count in served.seen.items() if "Question: " in prompt]
        assert sum(asked) <= 17 + 6  # those in flight are asked again, at the most
