import csv
import json

import numpy as np
import pytest
import rasterio
import xarray as xr

from pipelines.calibrate import Config, main, read_cells
from rfplatform import cli
from rfplatform.errors import InputError
from rfplatform.formats.zarr import read_zarr
from rfplatform.planning.numerology import numerologies
from rfplatform.planning.quality import ss_rsrp_dbm
from rfplatform.registry.registry import Registry


@pytest.fixture(scope="module")
def made(tmp_path_factory):
    """A closed-form map of central Helsinki."""
    out = tmp_path_factory.mktemp("calibrate") / "map"
    given = ["map", "helsinki", "--solver", "free-space", "--resolution", "16", "--out", str(out)]
    assert cli.main([*given, "--formats", "zarr,tif"]) == 0
    return out


@pytest.fixture(scope="module")
def drive(made, tmp_path_factory):
    """A drive test of two sectors by two phones, 20 dB below the map, with bad rows."""
    found = read_zarr(made / "radio_map.zarr")
    level = ss_rsrp_dbm(found, numerologies(found.sectors))
    rng = np.random.default_rng(4)
    path = tmp_path_factory.mktemp("drive") / "drive.csv"
    lines = ["PCI,latitude,longitude,device,rsrp"]
    for i in (0, 1):
        for device, shift in (("p", 2.0), ("q", -2.0)):
            lit = np.argwhere(np.isfinite(level[i]))
            row, column = lit[rng.choice(len(lit), 150, replace=False)].T
            lon, lat = found.grid.frame.to_lonlat(found.grid.x_m()[column], found.grid.y_m()[row])
            value = level[i, row, column] - 20.0 + shift + rng.normal(0, 2, 150)
            lines += [
                f"{found.sectors[i].label},{a:.7f},{o:.7f},{device},{v:.1f}"
                for a, o, v in zip(lat, lon, value, strict=True)
            ]
    lines += ["x,60.17,24.94,p,-90", "x,0,0,p,-90", "x,60.17,24.94,p,"]
    path.write_text("\n".join(lines) + "\n")
    return path


def test_a_map_is_written_with_its_evidence(made, drive, tmp_path):
    record = main(Config(made, drive, method="offset", out=tmp_path / "out"))
    out = tmp_path / "out"
    assert {p.name for p in out.iterdir()} == set(record["outputs"])
    assert {"radio_map.zarr", "radio_map.tif", "quantiles.tif", "residuals.png", "offsets.csv",
            "calibration.json", "held_out.csv", "rejected_rows.csv", "run.json"} == set(
        record["outputs"])  # fmt: skip
    before, after = read_zarr(made / "radio_map.zarr"), read_zarr(out / "radio_map.zarr")
    moved = after.path_gain_db - before.path_gain_db
    np.testing.assert_allclose(moved[np.isfinite(moved)], -20.0, atol=0.6)
    assert np.nanmin(after.standard_error_db) > 1.0
    with xr.open_zarr(out / "radio_map.zarr", decode_coords="all") as stored:
        assert stored.sector_ss_rsrp_p10_dbm.dims == ("sector", "y", "x")
        assert stored.rio.crs is not None
        p10, p50, p90 = (
            stored[f"sector_ss_rsrp_{q}_dbm"].to_numpy() for q in ("p10", "p50", "p90")
        )
        np.testing.assert_allclose(p50, stored.sector_ss_rsrp_dbm.to_numpy(), atol=1e-3)
        assert (p10 <= p90)[np.isfinite(p50)].all()
    with rasterio.open(out / "quantiles.tif") as tif:
        assert tif.count == 3 * (1 + len(after.sectors))
        assert tif.descriptions[:2] == (
            "best server P10 SS-RSRP [dBm]", "best server P50 SS-RSRP [dBm]"
        )  # fmt: skip
        np.testing.assert_allclose(tif.read(4)[::-1], p10[0], atol=1e-3)
    about = json.loads((out / "calibration.json").read_text())
    assert about["method"] == "offset"
    score = {s["method"]: s for s in about["scores"]}
    assert set(score) == {"uncalibrated", "constant", "offset", "log-distance", "knn"}
    assert score["uncalibrated"]["bias_db"] == pytest.approx(20.0, abs=0.5)
    assert score["offset"]["rmse_db"] < 3.0
    assert about["rejected"]["rows"] == [
        {"row": 603, "reason": "no fix (position 0, 0)"},
        {"row": 604, "reason": "no rsrp"},
    ]
    assert about["unmatched"] == {"x": 1}
    offsets = {(r["kind"], r["name"]): float(r["offset_db"])
               for r in csv.DictReader((out / "offsets.csv").open())}  # fmt: skip
    assert offsets["device", "p"] == pytest.approx(2.0, abs=0.4)
    assert offsets["cell", after.sectors[0].label] == pytest.approx(-20.0, abs=0.6)
    rows = list(csv.DictReader((out / "held_out.csv").open()))
    assert len(rows) == about["pixels"]
    assert float(rows[0]["predicted_dbm"]) - float(rows[0]["measured_dbm"]) == pytest.approx(
        float(rows[0]["error_db"]), abs=0.02
    )
    assert json.loads((out / "run.json").read_text())["calibration"]["method"] == "offset"


def test_the_command_shows_a_table_and_registers(made, drive, tmp_path, monkeypatch, capsys):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    given = ["calibrate", str(made), "--measurements", str(drive), "--method", "knn"]
    assert cli.main([*given, "--out", str(tmp_path / "out"), "--register"]) == 0
    shown = capsys.readouterr().out
    for text in ("uncalibrated", "log-distance", "knn", "RMSE", "2 of 603 rows left out"):
        assert text in " ".join(shown.split())
    (entry,) = Registry.default().entries(kind="radio-map")
    parents = {p.split("@")[0] for p in Registry.default().get(entry.ref).parents}
    assert "inputs/drive.csv" in parents
    # A calibrated map is a map: it can be calibrated again.
    again = ["calibrate", str(tmp_path / "out"), *given[2:], "--json"]
    assert cli.main([*again, "--out", str(tmp_path / "again")]) == 0
    record = json.loads(capsys.readouterr().out)
    assert abs(record["calibration"]["cells"][0]["offset_db"]) < 1.0


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--columns", "tems"], "unknown preset of columns"),
        (["--method", "krigging"], "unknown method"),
        (["--cells", "A"], "give MEASURED=SITE/SECTOR"),
        (["--cells", "q=site/9"], "the map has no such sector"),
        (["--folds", "1"], "folds 1"),
        (["--measurements", "none.csv"], "none.csv: no such file"),
    ],
)
def test_bad_input_is_one_line_and_writes_nothing(made, drive, tmp_path, capsys, options, message):
    out = tmp_path / "out"
    given = ["calibrate", str(made), "--measurements", str(drive), "--out", str(out)]
    assert cli.main([*given, *options]) == 2
    error = capsys.readouterr().err
    assert message in error
    assert error.count("\n") == 1
    assert not out.exists()


def test_what_is_no_map_is_told(drive, tmp_path):
    with pytest.raises(InputError, match="no map there"):
        main(Config(tmp_path, drive))
    (tmp_path / "run.json").write_text("{}")
    with pytest.raises(InputError, match=r"has no radio_map\.zarr"):
        main(Config(tmp_path, drive))


def test_cells_of_a_file(tmp_path):
    path = tmp_path / "cells.toml"
    path.write_text('"12" = "S/A"\nB = "S/B"\n')
    assert read_cells([str(path), "x = S/C"]) == {"12": "S/A", "B": "S/B", "x": "S/C"}
    path.write_text("a = 3\n")
    with pytest.raises(InputError, match="as a text"):
        read_cells([str(path)])
