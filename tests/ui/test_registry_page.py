import json

import pytest
from streamlit.proto.WidgetStates_pb2 import WidgetState
from streamlit.testing.v1 import AppTest

from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from ui.charts.lineage import MOST, dot
from ui.markdown import plain


def script():
    from ui.pages.registry import page

    page()


@pytest.fixture
def registry(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    return Registry.default()


@pytest.fixture
def filled(registry, tmp_path):
    """An input, a map of it and of something that is not here, and a model of that map."""

    def add(name, version, kind, parents=(), **more):
        path = tmp_path / f"{name.replace('/', '-')}.txt"
        path.write_text(name)
        artifact = Artifact(name, version, kind, (File.of(path),), parents, **more)
        return registry.add(artifact, {path.name: path}).ref

    extract = add("inputs/town", "1", "dataset", licence="ODbL-1.0", title="Town *extract* <b>")
    made = add("maps/town", "abc", "radio-map", (extract, "inputs/gone@1"), title="A town's map")
    add(
        "models/net",
        "2",
        "model",
        (made,),
        title="A network",
        config={"layers": 3},
        facts={
            "parameters": 42,
            "limits": ["one town only"],
            "metrics": [
                {"metric": "RMSE", "unit": "dB", "value": 5.0, "baseline": "free space",
                 "baseline_value": 8.0, "ratio": 0.625, "better": "lower"}
            ],
        },
    )  # fmt: skip
    return registry


def opened(**query):
    at = AppTest.from_function(script, default_timeout=20)
    for name, value in query.items():
        at.query_params[name] = value
    at.run()
    assert not at.exception
    return at


def names(at):
    return list(at.dataframe[0].value["Name"])


def words(at):
    """All that is told in Markdown, tables and captions."""
    tables = [str(table.value.to_dict("list")) for table in at.table]
    texts = [one.value for one in (*at.markdown, *at.caption, *at.subheader, *at.text)]
    return "\n".join(texts + tables)


def test_an_empty_registry_says_what_to_do_and_what_can_be_had(registry):
    at = opened()
    assert "--register" in at.info[0].value
    table = at.dataframe[0].value
    assert {"Included", "Download", "By hand"} == set(table["Where"])
    assert "models/cascade" in names(at)
    assert not registry.home.exists()


@pytest.mark.usefixtures("filled")
def test_artifacts_are_listed_with_size_date_and_licence():
    at = opened()
    assert not at.info
    assert names(at)[:3] == ["models/net", "maps/town", "inputs/town"]
    row = at.dataframe[0].value.iloc[2]
    assert (row["Kind"], row["Licence"], row["Size"], row["Where"]) == (
        "Data set", "ODbL-1.0", "11 B", "Here",
    )  # fmt: skip
    assert row["Made"].year >= 2024


@pytest.mark.usefixtures("filled")
def test_search_kind_and_place_narrow_the_list():
    at = opened()
    at.text_input(key="search").input("MAP town's").run()
    assert names(at) == ["maps/town"]
    at.text_input(key="search").input("").run()
    at.button_group(key="kind").set_value("model").run()
    at.button_group(key="where").set_value("In the registry").run()
    assert names(at) == ["models/net"]
    at.text_input(key="search").input("nothing so called").run()
    assert "Nothing matches" in at.info[0].value


@pytest.mark.usefixtures("filled")
def test_a_link_reopens_filters_artifact_and_tab():
    at = opened(artifact="models/net@2", kind="Models", where="In the registry")
    assert names(at) == ["models/net"]
    assert at.subheader[0].value == "A network"
    assert at.session_state["registry.table"]["selection"]["rows"] == [0]
    assert "one town only" in at.warning[0].value
    told = words(at)
    assert "layers" in told
    assert "parameters" in told
    scores = at.dataframe[1].value.iloc[0]
    assert (scores["Score"], scores["Baseline"], scores["Baseline is"]) == ("5", "8", "free space")
    assert "#### Training" in words(opened(artifact="models/net@2", tab="Card"))


@pytest.mark.usefixtures("filled")
def test_a_name_without_a_version_is_the_newest():
    at = opened(artifact="maps/town")
    assert "maps/town@abc" in [code.value for code in at.code]
    assert at.session_state["registry.table"]["selection"]["rows"] == [1]


@pytest.mark.usefixtures("filled")
def test_selecting_a_row_writes_the_link():
    at = opened()
    states = at._tree.get_widget_states()
    chosen = {"selection": {"rows": [1], "columns": [], "cells": []}}
    states.widgets.append(WidgetState(id=at.dataframe[0].proto.id, string_value=json.dumps(chosen)))
    at._run(states)
    assert not at.exception
    assert at.query_params["artifact"] in ("maps/town@abc", ["maps/town@abc"])
    assert at.subheader[0].value == plain("A town's map")


@pytest.mark.usefixtures("filled")
def test_lineage_is_drawn_and_leads_to_parents_and_children():
    at = opened(artifact="maps/town@abc", tab="Lineage")
    (chart,) = at.get("graphviz_chart")
    graph = chart.proto.spec
    assert graph.count(" -> ") == 3
    assert "(not here)" in graph
    buttons = {button.label.replace("\\", ""): button for button in at.button}
    assert buttons["inputs/gone@1"].disabled
    assert not buttons["models/net@2"].disabled
    buttons["inputs/town@1"].click()
    at.run()
    assert at.query_params["artifact"] in ("inputs/town@1", ["inputs/town@1"])
    assert at.subheader[0].value == plain("Town *extract* <b>")


def test_verifying_tells_what_is_whole_and_what_was_changed(filled):
    at = opened(artifact="maps/town@abc", tab="Files")
    assert at.selectbox[0].options == ["maps-town.txt"]
    (verify,) = [button for button in at.button if button.label == "Verify"]
    verify.click().run()
    assert "as it was recorded" in at.status[0].label
    filled.path("maps/town@abc", "maps-town.txt").write_text("something else")
    (verify,) = [button for button in at.button if button.label == "Verify"]
    verify.click().run()
    assert not at.exception
    assert at.status[0].state == "error"
    assert "bytes, not" in words(at).replace("\\", "")


def test_what_comes_with_rfplatform_is_added_by_a_click(registry):
    at = opened(artifact="sites/helsinki@1")
    (add,) = [button for button in at.button if button.label == "Add to the registry"]
    add.click().run()
    assert not at.exception
    assert registry.has("sites/helsinki@1")
    assert "Here" in list(at.dataframe[0].value["Where"])


@pytest.mark.usefixtures("registry")
def test_what_others_publish_says_how_to_get_it():
    at = opened(artifact="oran-bench-13k@2024")
    assert at.code[1].value == "rfplatform registry fetch oran-bench-13k@2024"
    assert "account" in words(opened(artifact="radiomapseer@2022"))


@pytest.mark.parametrize("ref", ["nope@1", "Not/A Name", "maps/town@", "../../etc/passwd@1"])
@pytest.mark.usefixtures("filled")
def test_a_link_to_nothing_is_told_in_a_line(ref):
    at = opened(artifact=ref)
    assert "can't be opened" in at.error[0].value
    assert len(names(at)) > 3


def test_a_damaged_registry_is_told_in_a_line(registry):
    registry.home.mkdir()
    (registry.home / "index.sqlite").write_bytes(b"no database at all" * 100)
    at = opened()
    assert "can't be read" in at.error[0].value


def test_a_graph_holds_its_labels_whatever_they_are():
    nodes = [
        {"ref": 'a"]; evil [label="@1\\', "kind": "model", "parents": ["b@2"]},
        {"ref": "b@2", "kind": "", "parents": []},
    ]
    graph = dot(nodes)
    assert r"a\"]; evil [label=\"" in graph
    assert r"1\\\n(model)" in graph
    assert "n1 -> n0;" in graph
    assert dot(nodes, dark=True) != graph


def test_a_graph_stays_readable():
    nodes = [{"ref": "root@1", "kind": "collection", "parents": [f"m{i}@1" for i in range(99)]}]
    nodes += [{"ref": f"m{i}@1", "kind": "radio-map", "parents": []} for i in range(99)]
    graph = dot(nodes, [{"ref": "child@1", "kind": "model"}])
    assert graph.count("label=") == MOST
    assert graph.count(" -> ") == MOST - 1
