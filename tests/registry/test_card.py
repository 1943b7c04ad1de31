"""Cards: of the records alone, the same text each time, with metadata that a machine reads."""

import re
from pathlib import Path

import numpy as np
import pytest
import yaml

from rfplatform.errors import InputError
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.card import SHOWN, card, flat
from rfplatform.registry.card import yaml as as_yaml
from rfplatform.registry.models import Model, save_model
from rfplatform.registry.registry import Registry

CREATED = "2026-11-24T12:00:00+00:00"


def score(case: str, value: float | None, baseline_value: float) -> dict[str, object]:
    return {
        "benchmark": "learned:towns", "case": case, "metric": "RMSE", "unit": "dB", "value": value,
        "baseline": "tr38901-uma", "baseline_value": baseline_value, "better": "lower",
    }  # fmt: skip


NUM_MAPS = SHOWN + 2


@pytest.fixture(scope="module")
def registry(tmp_path_factory):
    return build(tmp_path_factory.mktemp("registry"))


def build(folder: Path) -> Registry:
    """Map data, maps of it, a model of these, and a report about the model."""
    found = Registry(folder / "home")
    local = folder / "town.osm.pbf"
    local.write_bytes(b"map data")
    found.add(
        Artifact(
            "inputs/town", "1", "dataset", (File.of(local),), licence="ODbL-1.0",
            title="Town: a 'test' | \"set\"", citation="(c) OpenStreetMap contributors",
            created=CREATED, facts={"homepage": "https://example.org", "empty": []},
        ),
        {"town.osm.pbf": local},
    )  # fmt: skip
    for number in range(NUM_MAPS):
        found.add(
            Artifact(
                "maps/town", f"{number:032x}", "radio-map", parents=("inputs/town@1",),
                licence="ODbL-1.0", created=CREATED,
                facts={"noise_db": 0.81234567, "sectors": [{}] * 9, "attribution": "OSM"},
            )
        )  # fmt: skip
    save_model(
        found,
        "models/unet@2",
        Model("radio-unet", {"depth": 3}, {"w": np.ones(1000, np.float32)}, {"channels": ["h"]}),
        parents=[*(f"maps/town@{number:032x}" for number in range(NUM_MAPS)), "lost/data@9"],
        metrics=[score("one", 6.1234567, 11.0), score("two", None, 12.0)],
        title="U-Net",
        citation="The authors",
        config={"epochs": 20, "optimizer": {"name": "adam"}},
        facts={"limits": ["Outdoors alone."]},
    )
    report = Artifact(
        "reports/unet", "1", "report", parents=("models/unet@2",), created=CREATED,
        facts={"metrics": [score("three", 7.0, 13.0)]},
    )  # fmt: skip
    found.add(report)
    return found


def front(text: str) -> dict:
    _, matter, _ = re.split(r"^---\n", text, maxsplit=2, flags=re.MULTILINE)
    return yaml.safe_load(matter)


def test_a_model_card_has_its_lineage_training_scores_limits_and_licences(registry):
    text = card(registry, "models/unet")
    assert "# U-Net\n" in text
    assert "1,000 parameters" in text
    assert f"it rests on 1 data set and {NUM_MAPS} radio maps" in text
    assert "- and 3 more" in text
    assert "| epochs | 20 |" in text
    assert "| optimizer.name | adam |" in text
    assert "| learned:towns one | RMSE [dB] | 6.123 | 11 | tr38901-uma | lower |" in text
    assert "| learned:towns two | RMSE [dB] | none | 12 | tr38901-uma | lower |" in text
    assert "| learned:towns three | RMSE [dB] | 7 | 13 | tr38901-uma | lower |" in text  # report
    assert "- Outdoors alone." in text
    assert "Apache-2.0.\n\nIt was made from data under ODbL-1.0." in text
    assert "- The authors\n- (c) OpenStreetMap contributors" in text
    assert registry.get("models/unet").file("weights.safetensors").sha256 in text


def test_its_front_matter_is_that_of_hugging_face(registry):
    matter = front(card(registry, "models/unet"))
    assert matter["license"] == "apache-2.0"
    assert matter["library_name"] == "rfplatform"
    assert matter["tags"] == ["rfplatform", "model", "radio-unet"]
    assert matter["datasets"] == ["inputs/town"]
    (model,) = matter["model-index"]
    assert model["name"] == "models/unet"
    one, two, three = model["results"]
    assert one["dataset"] == {"name": "learned:towns one", "type": "learned-towns-one"}
    assert one["task"] == {"type": "radio-map-prediction"}
    assert one["metrics"] == [
        {"type": "rmse-db", "value": 6.1234567, "name": "RMSE (dB)"},
        {
            "type": "baseline-tr38901-uma-rmse-db",
            "value": 11.0,
            "name": "baseline tr38901-uma: RMSE (dB)",
        },
    ]
    assert [m["value"] for m in two["metrics"]] == [12.0]  # what is not known is not told
    assert [m["value"] for m in three["metrics"]] == [7.0, 13.0]


def test_a_data_set_has_a_card_of_its_own(registry):
    text = card(registry, "inputs/town@1")
    matter = front(text)
    assert matter == {
        "license": "odbl",
        "pretty_name": "Town: a 'test' | \"set\"",
        "tags": ["rfplatform", "dataset"],
    }
    assert "https://example.org" in text
    assert "model-index" not in text
    assert "## Training" not in text
    assert "| `town.osm.pbf` | 8 |" in text
    map_card = card(registry, f"maps/town@{3:032x}")
    assert "| noise_db | 0.812346 |" in map_card
    assert "| sectors | 9 entries |" in map_card
    assert "- OSM\n" in map_card


def test_a_licence_without_a_name_at_the_hub_is_named(registry):
    registry.add(Artifact("d", "1", "dataset", licence="LicenseRef-Own"))
    assert front(card(registry, "d"))["license"] == "other"
    assert front(card(registry, "d"))["license_name"] == "LicenseRef-Own"
    registry.add(Artifact("e", "1", "dataset"))
    assert "Not stated." in card(registry, "e")


def test_the_same_records_give_the_same_text(tmp_path):
    """A card does not depend on which registry tells it, nor on the order things came in."""
    registry = build(tmp_path)
    registry.push("models/unet", str(tmp_path / "remote"), with_parents=True)
    other = Registry(tmp_path / "other")
    other.pull("models/unet", str(tmp_path / "remote"), with_parents=True)
    registry.gc(drop=["reports/unet@1"])  # which only the first has
    assert card(other, "models/unet") == card(registry, "models/unet")


def test_an_unknown_artifact_is_told(registry):
    with pytest.raises(InputError, match="did you mean models/unet"):
        card(registry, "models/unt")


TRICKY = {
    "yes": "yes",
    "text": ["no", "null", "1.5", "a: b", "- x", "#c", "ü", "it's", 'say "x"', "", "~", "a\nb"],
    "number": [1, 1.5, -2e-9, 1e300, True, None],
    "nested": {"list": [{"a": [], "b": {}, "c": [{"d": 1}]}, ["x", ["y"]]]},
}  # fmt: skip


def test_the_front_matter_means_what_was_meant():
    assert yaml.safe_load(as_yaml(TRICKY)) == TRICKY


def test_flat_tables_count_what_is_long_and_leave_out_what_is_empty():
    assert flat(
        {"b": {"c": 1, "d": ""}, "a": [1, 2], "e": list(range(99)), "f": [], "g": None}
    ) == {
        "a": "1, 2",
        "b.c": "1",
        "e": "99 entries",
    }


def test_no_card_names_a_path_of_this_machine(registry):
    for ref in ("models/unet", "inputs/town", "reports/unet"):
        assert str(registry.home.parent) not in card(registry, ref)
