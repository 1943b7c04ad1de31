"""Parts of networks: where cells go, what they give before training, names of weights."""

import keras
import numpy as np
import pytest

from rfplatform.errors import InputError
from rfplatform.nn.blocks import (
    Channel,
    DepthToSpace,
    SpaceToDepth,
    plain_unet,
    residual_unet,
)

RNG = np.random.default_rng(1)


def run(network, x):
    """Layer by layer, which for a single image is quicker than to compile."""
    return np.array(network(x, training=False))


def image(*shape):
    return RNG.normal(size=shape).astype(np.float32)


def test_a_block_of_cells_becomes_channels_row_by_row():
    x = np.arange(2 * 4 * 4 * 3, dtype=np.float32).reshape(2, 4, 4, 3)
    y = np.asarray(SpaceToDepth(2)(x))
    assert y.shape == (2, 2, 2, 12)
    for row in range(2):
        for column in range(2):
            block = x[:, 2 * row : 2 * row + 2, 2 * column : 2 * column + 2]
            np.testing.assert_array_equal(y[:, row, column], block.reshape(2, 12))


@pytest.mark.parametrize(("size", "shape"), [(2, (3, 8, 4, 5)), (4, (1, 8, 16, 2))])
def test_depth_to_space_undoes_space_to_depth(size, shape):
    x = image(*shape)
    np.testing.assert_array_equal(np.asarray(DepthToSpace(size)(SpaceToDepth(size)(x))), x)


def test_a_channel_is_chosen():
    x = image(2, 4, 4, 3)
    np.testing.assert_array_equal(np.asarray(Channel(1)(x)), x[..., 1:2])


@pytest.mark.parametrize("layer", [SpaceToDepth(4), DepthToSpace(4), Channel(2)])
def test_layers_are_made_again_from_their_configuration(layer):
    assert type(layer).from_config(layer.get_config()).get_config() == layer.get_config()


def test_before_training_a_residual_network_gives_its_base():
    network = residual_unet(16, 3, 2, widths=(4, 6), detail=4, base_channel=1)
    x = image(2, 16, 16, 3)
    y = run(network, x)
    assert y.shape == (2, 16, 16, 2)
    np.testing.assert_allclose(y[..., 0], x[..., 1], atol=1e-6)
    np.testing.assert_array_equal(y[..., 1], 0.0)
    nothing = residual_unet(16, 3, 2, widths=(4,), detail=4)
    np.testing.assert_array_equal(run(nothing, x), 0.0)


def test_cells_keep_their_places():
    """A change of one cell changes the output around it, and not mirrored or elsewhere."""
    network = residual_unet(32, 1, 1 + 1, widths=(4, 4), detail=4)
    for variable in network.variables:
        variable.assign(RNG.normal(size=variable.shape, scale=0.3))
    x = np.zeros((1, 32, 32, 1), dtype=np.float32)
    flat = run(network, x)
    x[0, 3, 28] = 5.0
    moved = np.abs(run(network, x) - flat).sum(axis=(0, 3))
    assert np.unravel_index(moved.argmax(), moved.shape) == pytest.approx((3, 28), abs=2)
    assert moved[16:, :].sum() < 0.01 * moved.sum()


@pytest.mark.parametrize(
    "build",
    [
        lambda: residual_unet(16, 3, 2, widths=(4, 6), blocks=2, detail=4, base_channel=1),
        lambda: plain_unet(16, 3, width=2, residual_channel=0, name="plain"),
    ],
)
def test_weights_have_the_same_names_in_every_build(build):
    """A second network of a process must find the weights that the first one's file has."""
    first, second = ([v.path for v in build().variables] for _ in range(2))
    assert first == second
    assert len(set(first)) == len(first)


def test_the_plain_network_counts_from_its_residual_channel():
    network = plain_unet(16, 2, width=2, residual_channel=1, name="plain")
    network.get_layer("out").kernel.assign(np.zeros((1, 1, 2, 1)))
    x = image(1, 16, 16, 2)
    np.testing.assert_allclose(run(network, x), x[..., 1:], atol=1e-6)


@pytest.mark.parametrize(
    ("build", "words"),
    [
        (lambda: residual_unet(16, 3, 2, widths=()), "widths: give the channels"),
        (lambda: residual_unet(16, 3, 2, widths=(4, 0)), "widths 0: must be 1 or more"),
        (lambda: residual_unet(16, 3, 2, widths=(4,), blocks=0), "blocks 0: must be"),
        (lambda: residual_unet(16, 3, 2, widths=(4,), detail=-1), "detail -1: must be"),
        (lambda: residual_unet(16, 3, 2, widths=(4,) * 5), "5 widths: windows of 16 cells can't"),
        (lambda: plain_unet(16, 3, width=0, residual_channel=None, name="p"), "width 0: must be"),
        (lambda: plain_unet(24, 3, width=2, residual_channel=None, name="p"), "windows of 24"),
    ],
)
def test_impossible_networks_are_refused(build, words):
    with pytest.raises(InputError, match=words):
        build()


def test_networks_run_without_python_code_in_their_files():
    """Only registered layers: a configuration alone makes the network again."""
    network = residual_unet(16, 3, 2, widths=(4,), detail=4, base_channel=0)
    again = keras.Model.from_config(network.get_config())
    again.set_weights(network.get_weights())
    x = image(1, 16, 16, 3)
    np.testing.assert_array_equal(run(again, x), run(network, x))
