"""Windows over an area of any size, other cells, and models that are not what they should be."""

import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.frame import LOCAL
from rfplatform.propagation.unet import (
    by_windows,
    find_model,
    resampled,
    surface_of,
    trained_grid,
)
from rfplatform.radiomap import Grid, Sector
from rfplatform.registry import registry as registry_module
from rfplatform.registry.models import Model, save_model
from rfplatform.registry.registry import Registry
from rfplatform.scene import LocalArea, Scene


def first_two(x):
    return x[..., :2]


@pytest.mark.parametrize("shape", [(128, 128), (40, 300), (129, 128), (500, 260), (3, 7)])
def test_windows_of_the_identity_are_the_area(shape):
    channels = np.random.default_rng(1).normal(size=(*shape, 3)).astype(np.float32)
    found = by_windows(first_two, channels)
    assert found.shape == (*shape, 2)
    np.testing.assert_allclose(found, channels[..., :2], atol=1e-5)


def test_neighbouring_windows_fade_into_each_other():
    """Each window says its own constant: what comes out has no step."""
    calls = []

    def constant(x):
        out = np.zeros((*x.shape[:3], 1), np.float32)
        for i in range(len(x)):
            calls.append(1)
            out[i] = len(calls)
        return out

    found = by_windows(constant, np.zeros((128, 224, 1), np.float32))[64, :, 0]
    assert found[0] == 1.0
    assert found[-1] == 2.0
    assert np.abs(np.diff(found)).max() < 0.05


def grid(resolution_m, num_x, num_y):
    return Grid(LOCAL, -40.0, 20.0, resolution_m, num_x, num_y)


def test_other_cells_get_means_or_values_between():
    fine = grid(4.0, 30, 20)
    x, y = np.meshgrid(fine.x_m(), fine.y_m())
    slope = (x + 2.0 * y)[None].astype(np.float32)
    for other in (grid(8.0, 15, 10), grid(2.0, 60, 40)):
        assert trained_grid(other) == fine
        xs, ys = np.meshgrid(other.x_m(), other.y_m())
        inner = np.s_[0, 2:-2, 2:-2]
        np.testing.assert_allclose(
            resampled(slope, fine, other)[inner], (xs + 2.0 * ys)[2:-2, 2:-2], atol=1e-2
        )
    assert resampled(slope, fine, fine) is slope


def test_the_surface_reaches_every_antenna():
    area = LocalArea("empty", -40.0, 20.0, 80.0, 100.0)
    sectors = [Sector("A", "1", -333.0, 50.0, 20.0), Sector("B", "1", 30.0, 777.0, 20.0)]
    surface = surface_of(Scene(area, LOCAL, ()), sectors, grid(4.0, 30, 20))
    for s in sectors:
        assert surface.raster.west_m < s.x_m < surface.raster.east_m
        assert surface.raster.south_m < s.y_m < surface.raster.north_m
    assert surface.height_m.shape == surface.raster.shape


def test_models_of_another_kind_are_refused(tmp_path, monkeypatch):
    monkeypatch.setenv(registry_module.HOME_VARIABLE, str(tmp_path / "registry"))
    other = Model("gan", {}, {"w": np.ones(2, np.float32)})
    save_model(Registry.default(), "models/other@1", other)
    with pytest.raises(InputError, match="is a model of type gan, not cascade"):
        find_model("cascade", "models/other@1")
    with pytest.raises(InputError, match="unknown artifact"):
        find_model("cascade", "models/none@1")
