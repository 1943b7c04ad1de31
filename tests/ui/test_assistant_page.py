import json
import re
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest
from streamlit.testing.v1 import AppTest

sys.path.insert(0, str(Path(__file__).parents[1] / "oran"))
from asked_models import honest
from llm_server import serving

from pipelines.desk import assistant
from pipelines.desk.assistant_process import answered as answered_in_process
from pipelines.desk.assistant_reports import list_evaluations
from pipelines.desk.workspace import Workspace
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.retrieval.index import build_index, index_artifact
from ui.assistant.words import answered, paragraphs, snippet, table
from ui.charts.accuracies import FLOOR, MODEL, REPORTED, accuracies

E2 = "The E2 interface uses SCTP on port 36422."
HOSTILE = (
    "The A1 policy interface <script>alert(1)</script> carries ![pixel](http://evil.test/x.png) "
    "guidance [9] :material/home: $x^2$ <img src=x onerror=alert(2)> to the near-RT RIC."
)
SPEC = f"""# O-RAN E2

## 3 Transport

{E2} The near-RT RIC listens on it.

| Parameter | Value |
|---|---|
| Port of E2 | 36422 |
| Streams | 2 |

## 4 Policies

Policies have an interface of their own.
"""
ASKED = "On which port does the E2 interface use SCTP?"
ABOUT_A1 = "What guidance does the A1 policy interface carry to the near-RT RIC?"


def script():
    from ui.pages.assistant import page

    page()


@pytest.fixture(scope="module")
def built(tmp_path_factory):
    folder = tmp_path_factory.mktemp("assistant")
    (folder / "e2-v07.00.md").write_text(SPEC)
    (folder / "a1.txt").write_text(f"{HOSTILE}\n")  # a text: its reader leaves all words
    documents = [folder / "e2-v07.00.md", folder / "a1.txt"]
    return build_index(documents, folder / "specs", licence="CC-BY-4.0")


@pytest.fixture
def empty(tmp_path, monkeypatch):
    """A workspace and a registry with nothing in them, and no model."""
    import ui.context

    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("RFPLATFORM_WORKSPACE", str(tmp_path / "ws"))
    monkeypatch.delenv(assistant.MODEL_VARIABLE, raising=False)
    monkeypatch.delenv(assistant.URL_VARIABLE, raising=False)
    ui.context.workspace.clear()
    yield Workspace.open()
    ui.context.workspace.clear()


@pytest.fixture
def ws(empty, built):
    """With an index in its folder."""
    folder = empty.root / "indexes"
    folder.mkdir()
    (folder / "specs").symlink_to(built.path)
    return empty


@pytest.fixture
def model(monkeypatch):
    """A server of the OpenAI protocol; what is asked of it goes through this process."""
    monkeypatch.setattr(assistant, "in_a_process", lambda request, _: answered_in_process(request))
    with serving(answer=honest) as served:
        monkeypatch.setenv(assistant.MODEL_VARIABLE, "openai-api/local/tiny")
        monkeypatch.setenv(assistant.URL_VARIABLE, served.url)
        yield served


def opened(**query):
    at = AppTest.from_function(script, default_timeout=60)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def asked(at, question, *, label="Ask"):
    at.text_input(key="assistant.question").input(question)
    press(at, label)
    return at


def press(at, label, place=0):
    found = [button for button in at.button if button.label.replace("\\", "") == label]
    found[place].click().run()
    assert not at.exception


def told(at):
    groups = (at.markdown, at.caption, at.info, at.warning, at.error)
    return "\n".join(one.value for group in groups for one in group).replace("\\", "")


def linked(at, name):
    """What the URL says."""
    value = at.query_params[name]
    return value[0] if isinstance(value, list) else value


def raw(at):
    return "\n".join(one.value for group in (at.markdown, at.caption) for one in group)


def html(at):
    return "\n".join(one.proto.body for one in at.get("html"))


class Tags(HTMLParser):
    """Which tags a text opens, with their attributes."""

    def __init__(self, text):
        super().__init__()
        self.found = []
        self.feed(text)

    def handle_starttag(self, tag, attrs):
        self.found.append((tag, tuple(name for name, _ in attrs)))


# ---- nothing there yet


@pytest.mark.usefixtures("empty")
def test_without_an_index_the_page_says_how_to_make_one():
    at = opened()
    assert "No documents are indexed here yet" in at.info[0].value
    assert "rfplatform oran index" in at.code[0].value
    assert not at.text_input


@pytest.mark.usefixtures("ws")
def test_a_link_to_an_index_that_is_not_here_is_told_and_another_can_be_chosen():
    at = opened(index="gone")
    assert "can't be opened" in at.error[0].value
    at.selectbox(key="assistant.index").select("specs").run()
    assert not at.error
    assert "O-RAN E2" in list(at.dataframe[0].value["Document"])


# ---- without a model


@pytest.mark.usefixtures("ws")
def test_without_a_model_words_are_searched():
    at = opened()
    assert "no language model" in told(at)
    asked(at, "E2 port", label="Search")
    assert linked(at, "question") == "E2 port"
    assert "**port**" in told(at)
    assert "3 Transport · CC-BY-4.0" in told(at)
    assert not [b for b in at.button if b.label.startswith("Ask")]
    asked(at, "turbot", label="Search")
    assert "No passage holds any of these words" in told(at)


# ---- with one


@pytest.mark.usefixtures("ws")
def test_an_answer_cites_and_its_section_opens_with_the_quote_marked(model):
    at = asked(opened(), ASKED)
    assert f"{E2} :primary-badge[1]" in told(at)
    assert f"> “{E2}”" in told(at)
    assert "O-RAN E2 v07.00" in told(at)
    assert len(model.prompts) == 1
    press(at, "Open section")
    assert linked(at, "section") == "e2-v07.00.md#1"
    shown = html(at)
    assert f"<mark>{E2}</mark>" in shown
    assert "<td>36422</td>" in shown
    assert "the quote is marked" in told(at)
    press(at, "4 Policies")
    assert linked(at, "section") == "e2-v07.00.md#2"
    assert "36422" not in html(at)
    assert len(model.prompts) == 1


@pytest.mark.usefixtures("ws")
def test_a_link_reopens_answer_and_section_and_asks_nobody(model):
    asked(opened(), ASKED)
    assert len(model.prompts) == 1
    at = opened(index="specs", question=ASKED, section="e2-v07.00.md#1")
    assert f"{E2} :primary-badge[1]" in told(at)
    assert f"<mark>{E2}</mark>" in html(at)
    press(at, ASKED)  # among those that were asked before
    asked(at, f"  {ASKED} ")
    assert len(model.prompts) == 1
    press(at, "Ask again")
    assert len(model.prompts) == 2
    press(at, "Remove")
    assert "question" not in at.query_params
    assert "Questions and their answers are kept here" in told(at)


@pytest.mark.usefixtures("ws")
def test_a_link_with_a_new_question_spends_nothing_until_it_is_told_to(model):
    at = opened(index="specs", question=ASKED)
    assert "It was not asked yet" in told(at)
    assert "**port**" in told(at)
    assert model.prompts == []
    press(at, "Ask openai-api/local/tiny")
    assert f"{E2} :primary-badge[1]" in told(at)
    assert len(model.prompts) == 1


@pytest.mark.usefixtures("ws")
def test_what_is_not_in_the_documents_is_said_with_the_reason_and_the_nearest(model):
    at = asked(opened(), "Which wine goes with a turbot that is served on port of Lisbon?")
    assert "Not in the documents" in at.warning[0].value
    assert "no model was asked" in at.warning[0].value
    assert "Nearest passages" in told(at)
    assert model.prompts == []
    press(at, "Ask openai-api/local/tiny anyway")
    assert "The model found no answer" in at.warning[0].value
    assert len(model.prompts) == 1


@pytest.mark.usefixtures("ws")
def test_a_reply_without_a_passage_is_not_shown(model):
    model.answer = lambda _: "The port is 99. Send your key to bad.example [1]"
    at = asked(opened(), ASKED)
    assert "rests on no passage" in at.warning[0].value
    assert "bad.example" not in told(at)


@pytest.mark.usefixtures("ws")
def test_a_model_that_fails_is_one_line_and_passages_are_shown(model, monkeypatch):
    monkeypatch.setenv("LOCAL_API_KEY", "sk-secret-1234567890")
    model.fault = lambda *_: "echo-key"
    at = asked(opened(), ASKED)
    assert len(at.error) == 1
    assert "gave no answer" in at.error[0].value
    assert "sk-secret" not in told(at)
    assert "**port**" in told(at)
    model.fault = lambda *_: "ok"
    press(at, "Try again")
    assert not at.error
    assert f"{E2} :primary-badge[1]" in told(at)


@pytest.mark.usefixtures("ws")
def test_words_of_documents_and_models_do_nothing_on_the_page(model):
    quoted = "carries ![pixel](http://evil.test/x.png) guidance [9]"
    model.answer = lambda _: (
        f'{HOSTILE} [1]\n![more](http://evil.test/y.png) **:red[x]**\n\nQUOTES:\n[1] "{quoted}"'
    )
    at = asked(opened(), ABOUT_A1)
    text = raw(at)
    assert ":primary-badge[1]" in text
    assert "A1 policy interface" in text
    acting = re.sub(r"\\.", "", text)  # without what is escaped
    for active in ("<", "![", ":material/home", ":red[", "$", "](", "http://"):
        assert active not in acting, active
    assert ":primary-badge[9]" not in text
    press(at, "Open section")
    shown = html(at)
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in shown
    section = shown[shown.index("<div class='rf-section'>") : shown.index("<script>/*")]
    assert {tag for tag, _ in Tags(section).found} <= {"div", "p", "mark"}
    assert all(set(attributes) <= {"class"} for _, attributes in Tags(section).found)


def test_an_index_of_the_registry_is_asked_in_its_newest_version(empty, built, model):
    artifact, local = index_artifact(built, "indexes/our-specs")
    ref = Registry.default().add(artifact, local).ref
    at = opened(index="indexes/our-specs")
    asked(at, ASKED)
    assert linked(at, "index") == ref
    assert f"{E2} :primary-badge[1]" in told(at)
    assert len(model.prompts) == 1
    folder = next((empty.root / "assistant" / "indexes").iterdir())
    assert (folder / "manifest.json").read_bytes() == (built.path / "manifest.json").read_bytes()


# ---- in a browser


def test_in_a_browser_a_section_opens_at_its_mark_and_nothing_in_it_acts(
    dashboard, visit, tmp_path
):
    long = "\n\n".join(f"Paragraph {n} speaks of nothing much at all." for n in range(80))
    (tmp_path / "long.txt").write_text(f"{long}\n\n{HOSTILE}\n\n{long}\n")
    build_index([tmp_path / "long.txt"], dashboard.workspace.root / "indexes" / "long")
    view = visit(dashboard.address)
    view.page.on("dialog", lambda dialog: pytest.fail(dialog.message))
    view.page.get_by_role("link", name="Assistant").click()
    view.page.get_by_label("Words").fill("A1 policy guidance")
    view.page.get_by_label("Words").press("Enter")
    view.page.get_by_role("button", name="Open section").first.click()
    view.wait_for(
        """() => {
            const box = document.querySelector(".rf-section mark")?.getBoundingClientRect()
            return box && box.top > 0 && box.bottom < window.innerHeight
        }"""
    )
    section = view.page.locator(".rf-section")
    assert "<script>alert(1)</script>" in section.inner_text()
    assert section.locator("script, img, a").count() == 0
    assert "section=long.txt" in view.page.url
    view.page.keyboard.press("Escape")
    view.wait_for("() => !location.search.includes('section=')")
    view.idle()
    assert section.count() == 0


# ---- evaluations


def point(value):
    return {"value": value, "low": value - 0.02, "high": value + 0.02, "count": 100}


def entrant(name, kind, value):
    part = {
        "by_difficulty": {"easy": point(value + 0.05), "medium": point(value), "hard": None},
        "macro": point(value),
        "weighted": point(value - 0.01),
        "rows": 200,
    }
    kinds = ("negated", "plain", "with_context", "without_context")
    scores = {"all_rows": part, "usable": part, **{of: point(value - 0.1) for of in kinds}}
    return {
        "name": name,
        "kind": kind,
        "scores": {**scores, "unparsed": 0.04, "repeats": 2, "spread": 0.01},
    }


def reported(tmp_path, version, **more):
    """A report as `rfplatform bench oran --register` adds it."""
    run = {
        "rfplatform": "0.1.0",
        "order": "shuffled",
        "questions": {"easy": 50, "medium": 150},
        "unusable": {"no question": 3},
        "entrants": [
            entrant("longest-option", "floor", 0.42),
            entrant("openai/<b>new</b>", "model", 0.8),
        ],
        "gains": [{"what": "openai/new: retrieval", "macro": point(0.1), "weighted": point(0.12)}],
        "published": [
            {"name": "ORANSight (RAG)", "questions": "ORAN-Bench-13K", "measure": "macro",
             "value": 0.784, "source": "a paper"},
        ],
        "unfinished": {},
        **more,
    }  # fmt: skip
    path = tmp_path / f"{version}.json"
    path.write_text(json.dumps(run))
    artifact = Artifact(
        "reports/oran", version, "report", (File.of(path),), title="rfplatform bench oran",
        facts={"metrics": []}, run=run,
    )  # fmt: skip
    return Registry.default().add(artifact, {path.name: path}).ref


@pytest.mark.usefixtures("empty")
def test_without_an_evaluation_the_page_says_what_to_type():
    at = opened(view="Evaluations")
    assert "rfplatform bench oran --model" in at.code[0].value


@pytest.mark.usefixtures("empty")
def test_an_evaluation_shows_models_first_floors_beside_and_what_others_report(tmp_path):
    ref = reported(tmp_path, "1", command="rfplatform bench oran --model openai/new --register")
    at = opened(view="Evaluations", report=ref)
    scores, apart = (one.value for one in at.dataframe)
    assert list(scores[""]) == ["openai/<b>new</b>", "longest-option"]
    assert scores.iloc[0]["Macro, 95 %"] == "0.780 – 0.820"
    assert scores.iloc[0]["Unparsed"] == "4.0 %"
    assert scores.iloc[1]["Weighted"] == "0.410"
    assert "Hard" not in scores
    assert apart.iloc[0]["Negated"] == "0.700"
    assert "openai/new" in at.code[0].value
    assert "+0.120 weighted" in at.metric[0].value
    assert "200 questions (50 easy, 150 medium) · 3 of them unusable" in told(at)
    at.button_group(key=f"assistant.case.{ref}").set_value("easy").run()
    assert not at.exception


@pytest.mark.usefixtures("empty")
def test_the_chart_draws_each_kind_apart_and_what_others_report_without_whiskers(tmp_path):
    reported(tmp_path, "1")
    (one,) = list_evaluations(Registry.default())
    rows = _rows(accuracies(one.scored, one.reported, "macro"))
    assert [(row["what"], row["value"]) for row in rows] == [
        (MODEL, 0.8), (FLOOR, 0.42), (REPORTED, 0.784),
    ]  # fmt: skip
    assert [row["high"] > row["low"] for row in rows] == [True, True, False]
    assert {row["what"] for row in _rows(accuracies(one.scored, (), "easy"))} == {MODEL, FLOOR}


def _rows(chart):
    """All rows that a chart draws."""
    found = chart.to_dict()["datasets"].values()
    return max(found, key=len)


@pytest.mark.usefixtures("empty")
def test_the_newest_evaluation_is_open_and_a_damaged_report_is_passed_over(tmp_path):
    reported(tmp_path, "1")
    reported(tmp_path, "2", unfinished={"openai/new": "7 of 200 lack an answer"})
    reported(tmp_path, "3", entrants=[{"name": "x", "scores": {"all_rows": 7}}, "nonsense"])
    at = opened(view="Evaluations")
    assert len(at.selectbox[0].options) == 2
    assert "7 of 200 lack an answer" in told(at)
    at.selectbox[0].select_index(1).run()
    assert linked(at, "report") == "reports/oran@1"
    assert "lack an answer" not in told(at)
    assert "can't be opened" in told(opened(view="Evaluations", report="reports/oran@9"))


# ---- words


def test_an_answer_keeps_lists_bold_words_and_code_and_nothing_else():
    text = (
        "# E2\nIt *does* **use** `SCTP` [1][7].\n\n- port [2]\n  - 36422\n1) twice\n```\nx_y\n```"
    )
    assert answered(text, [1, 2]).splitlines() == [
        "", "**E2**", "",
        "It \\*does\\* **use** `SCTP` :primary-badge[1]\\[7\\]\\.  ",
        "",
        "- port :primary-badge[2]",
        "    - 36422",
        "1. twice",
        "x\\_y  ",
    ]  # fmt: skip


def test_marks_stand_where_they_should_in_text_and_tables():
    assert paragraphs("a <b> c", [(2, 5)]) == "<p>a <mark>&lt;b&gt;</mark> c</p>"
    rows = "| A | B \\| C |\n|---|---|\n| one | two |"
    shown = table(rows, [(rows.index("B"), rows.index("|\n|-")), (rows.index("two"), len(rows))])
    assert "<th>A</th><th><mark>B | C</mark></th>" in shown
    assert "<td>one</td><td><mark>two</mark></td>" in shown
    assert shown.count("<tr>") == 2
    assert snippet("the E2 port*", [(4, 6)]) == "the **E2** port\\*"
