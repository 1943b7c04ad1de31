import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.formats.polar import PolarCut, write_polar

ANGLE = np.linspace(-180, 180, 721)


def colored(image, color):
    """Rows and columns of the pixels near a colour."""
    return np.nonzero((np.abs(image[..., :3] - np.array(color)) < 0.06).all(axis=-1))


def test_lobes_are_drawn_where_they_point(tmp_path):
    from matplotlib.image import imread

    level = 18 - np.minimum(np.abs(ANGLE - 60.0), 35.0)
    path = tmp_path / "a.png"
    cut = PolarCut(ANGLE, level, 60.0, 6.0)
    write_polar(cut, cut, path, title="A $name_1$", facts=[("Gain", "18 dBi")] * 8)
    image = imread(path)
    height, width, _ = image.shape
    assert (width, height) == (1600, 1120)
    plots = slice(int(0.2 * height), int(0.8 * height))
    # Clockwise from the top is to the upper right; downwards from the right, to the lower right.
    rows, columns = colored(image[plots, : width // 2], (0x31 / 255, 0x68 / 255, 0x8E / 255))
    far = columns > np.quantile(columns, 0.98)
    assert rows[far].mean() < (rows.max() + rows.min()) / 2
    rows, columns = colored(image[plots, width // 2 :], (0xB5 / 255, 0x56 / 255, 0x3A / 255))
    lowest = rows > np.quantile(rows, 0.98)
    assert columns[lowest].mean() > np.median(columns)


def test_an_existing_picture_is_kept_and_nulls_are_drawn(tmp_path):
    level = np.where(np.abs(ANGLE) < 10, 0.0, -np.inf)
    cut = PolarCut(ANGLE, level)
    path = tmp_path / "a.png"
    write_polar(cut, cut, path, title="t" * 200, comment="c" * 400)
    before = path.read_bytes()
    with pytest.raises(InputError, match="exists already"):
        write_polar(cut, cut, path, title="b")
    assert path.read_bytes() == before
    assert [p.name for p in tmp_path.iterdir()] == ["a.png"]
