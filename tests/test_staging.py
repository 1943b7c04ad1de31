from pathlib import Path

import pytest

from rfplatform import staging
from rfplatform.errors import InputError
from rfplatform.staging import staged


def names(folder: Path) -> set[str]:
    return {p.name for p in folder.iterdir()}


def fill(folder: Path, text: str) -> None:
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "a.txt").write_text(text)


def test_file_appears_when_whole(tmp_path):
    place = tmp_path / "new" / "map.tif"
    with staged(place) as partial:
        assert partial.suffix == ".tif"
        partial.write_text("whole")
        assert not place.exists()
    assert place.read_text() == "whole"
    assert names(place.parent) == {"map.tif"}


@pytest.mark.parametrize("error", [ValueError, KeyboardInterrupt, SystemExit])
@pytest.mark.parametrize("kind", ["file", "directory", "nothing"])
def test_an_error_leaves_nothing(tmp_path, error, kind):
    place = tmp_path / "new" / "deep" / "map"

    def write_and_fail():
        with staged(place) as partial:
            if kind == "file":
                partial.write_text("half")
            elif kind == "directory":
                fill(partial, "half")
            raise error

    with pytest.raises(error):
        write_and_fail()
    assert names(tmp_path) == set()


def test_an_error_leaves_what_was_there(tmp_path):
    place = tmp_path / "map"
    fill(place, "old")

    def write_and_fail():
        with staged(place, overwrite=True) as partial:
            fill(partial, "new")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        write_and_fail()
    assert (place / "sub" / "a.txt").read_text() == "old"
    assert names(tmp_path) == {"map"}


def test_existing_output_is_refused_before_any_work(tmp_path):
    place = tmp_path / "map.tif"
    place.write_text("old")
    entered = False
    with pytest.raises(InputError, match="--overwrite"), staged(place):
        entered = True
    assert not entered
    assert place.read_text() == "old"


def test_output_that_appeared_meanwhile_is_kept(tmp_path):
    place = tmp_path / "map.tif"

    def write_both():
        with staged(place) as partial:
            partial.write_text("new")
            place.write_text("other")

    with pytest.raises(InputError, match="--overwrite"):
        write_both()
    assert place.read_text() == "other"
    assert names(tmp_path) == {"map.tif"}


def test_an_empty_directory_is_free(tmp_path):
    place = tmp_path / "out"
    place.mkdir()
    with staged(place) as partial:
        fill(partial, "new")
    assert (place / "sub" / "a.txt").read_text() == "new"


@pytest.mark.parametrize("exchange", [True, False])
@pytest.mark.parametrize("old", ["file", "directory"])
@pytest.mark.parametrize("new", ["file", "directory"])
def test_overwrite_takes_the_place(tmp_path, monkeypatch, old, new, exchange):
    if not exchange:
        monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    place = tmp_path / "out"
    if old == "file":
        place.write_text("old")
    else:
        fill(place, "old")
        (place / "stale").write_text("old")
    with staged(place, overwrite=True) as partial:
        if new == "file":
            partial.write_text("new")
        else:
            fill(partial, "new")
    found = place if new == "file" else place / "sub" / "a.txt"
    assert found.read_text() == "new"
    assert not (place / "stale").exists()
    assert names(tmp_path) == {"out"}


def test_a_failed_move_puts_the_old_back(tmp_path, monkeypatch):
    place = tmp_path / "out"
    fill(place, "old")
    monkeypatch.setattr(staging, "_exchange", lambda *_: False)
    rename = Path.rename

    def broken(self, target):
        if "partial" in self.name:
            raise OSError(28, "No space left on device")
        return rename(self, target)

    monkeypatch.setattr(Path, "rename", broken)
    with pytest.raises(OSError, match="No space"), staged(place, overwrite=True) as partial:
        fill(partial, "new")
    assert (place / "sub" / "a.txt").read_text() == "old"
    assert names(tmp_path) == {"out"}


def test_a_link_is_followed(tmp_path):
    (tmp_path / "disk").mkdir()
    (tmp_path / "disk" / "real.txt").write_text("old")
    link = tmp_path / "link.txt"
    link.symlink_to(tmp_path / "disk" / "real.txt")
    with staged(link, overwrite=True) as partial:
        partial.write_text("new")
    assert link.is_symlink()
    assert (tmp_path / "disk" / "real.txt").read_text() == "new"


def test_a_block_that_writes_nothing_is_an_error(tmp_path):
    with pytest.raises(FileNotFoundError), staged(tmp_path / "map.tif"):
        pass
    assert names(tmp_path) == set()


def test_a_folder_that_cannot_be_made(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(InputError, match="folder"), staged(tmp_path / "file" / "sub" / "map.tif"):
        pass
