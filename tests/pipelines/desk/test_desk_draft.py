from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest

from pipelines.desk.draft import Draft
from pipelines.desk.sectors import as_table, from_table, moved, placed, without, without_lines
from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from pipelines.map import example_sites, read_rows
from rfplatform.errors import InputError, MissingError


@pytest.fixture
def workspace(tmp_path: Path) -> Workspace:
    return Workspace.open(tmp_path / "desk")


@pytest.fixture
def draft() -> Draft:
    return Draft(rows=without_lines(read_rows(example_sites("helsinki"), 3.5e9)))


def test_a_draft_comes_back_by_its_name(workspace: Workspace, draft: Draft) -> None:
    name = draft.saved(workspace)
    assert Draft.opened(workspace, name) == draft
    assert Draft.opened(workspace, name).id == name
    assert replace(draft, load=0.5).id != name


@pytest.mark.parametrize("name", ["0" * 16, "../../etc/passwd", "a/b", "", "x" * 200])
def test_a_name_that_is_not_there_is_refused_in_one_line(workspace: Workspace, name: str) -> None:
    with pytest.raises(InputError) as error:
        Draft.opened(workspace, name)
    assert "\n" not in str(error.value)
    assert str(workspace.root) not in str(error.value)


def test_a_draft_of_another_version_is_refused(workspace: Workspace) -> None:
    write_json_file({"rows": [{"site": "A", "beam": 3}]}, workspace.drafts / "aa.json")
    with pytest.raises(InputError, match="not a draft of this version"):
        Draft.opened(workspace, "aa")


def test_uploads_are_found_by_name_alone(workspace: Workspace) -> None:
    (workspace.uploads / "ab12.msi").write_text("x")
    assert workspace.resolved("upload:ab12.msi") == str(workspace.uploads / "ab12.msi")
    assert workspace.resolved("helsinki") == "helsinki"
    for text in ("upload:other.msi", "upload:../drafts/x.json", "upload:/etc/passwd"):
        with pytest.raises(InputError):
            workspace.resolved(text)


def test_a_workspace_that_cant_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(MissingError, match="--workspace"):
        Workspace.open(tmp_path / "file" / "desk")


def test_json_without_numbers_that_json_lacks(tmp_path: Path) -> None:
    write_json_file({"a": [float("nan"), 1.5], "b": float("inf")}, tmp_path / "x.json")
    assert read_json_file(tmp_path / "x.json") == {"a": [None, 1.5], "b": None}
    assert read_json_file(tmp_path / "none.json") is None


def test_the_table_gives_the_same_rows_back(workspace: Workspace, draft: Draft) -> None:
    assert from_table(workspace, as_table(draft.rows)) == draft.rows


def test_empty_cells_take_the_defaults_and_empty_rows_are_left_out(workspace: Workspace) -> None:
    filled = {"site": "A", "sector": "1", "lon": 24.94, "lat": 60.17, "height_m": 10.0}
    (row,) = from_table(workspace, [filled, dict.fromkeys(filled)])
    assert (row.antenna, row.power_dbm, row.bandwidth_hz) == ("isotropic", 43.0, 20e6)


def test_faults_are_told_with_the_rows_of_the_screen(workspace: Workspace, draft: Draft) -> None:
    table = as_table(draft.rows)
    table[2]["azimuth_deg"] = "north"
    table[3]["frequency_mhz"] = 3.5
    with pytest.raises(InputError) as error:
        from_table(workspace, table)
    told = str(error.value)
    assert told.startswith("row 3: azimuth_deg 'north'")
    assert "row 4: frequency_hz" in told
    assert "/" not in told.split("(")[0]


def test_a_sector_that_is_there_twice_is_refused(workspace: Workspace, draft: Draft) -> None:
    table = as_table(draft.rows)
    with pytest.raises(InputError, match=r"row 10: .* already in row 1"):
        from_table(workspace, [*table, table[0]])


def test_an_uploaded_antenna_keeps_its_name(workspace: Workspace, draft: Draft) -> None:
    pattern = Path("data/antennas/panel-65deg-18dbi.msi").read_bytes()
    (workspace.uploads / "ab12.msi").write_bytes(pattern)
    table = as_table(draft.rows)
    table[0]["antenna"] = "upload:ab12.msi"
    assert from_table(workspace, table)[0].antenna == "upload:ab12.msi"


def test_a_placed_site_is_new_moves_as_one_and_goes(draft: Draft) -> None:
    more, name = placed(
        draft, 24.95, 60.17, azimuths_deg=(0.0, 120.0, 240.0), height_m=5.0, antenna="tr38901"
    )
    assert name not in {row.site for row in draft.rows}
    assert [row.azimuth_deg for row in more.rows[-3:]] == [0.0, 120.0, 240.0]
    elsewhere = moved(more, name, 24.94, 60.16)
    assert {(r.lon_deg, r.lat_deg) for r in elsewhere.rows if r.site == name} == {(24.94, 60.16)}
    assert elsewhere.rows[: len(draft.rows)] == draft.rows
    assert without(elsewhere, name) == draft


def test_a_map_of_no_sectors_is_refused(workspace: Workspace, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="place a site"):
        Draft().map_config(workspace, tmp_path / "sites.csv")
