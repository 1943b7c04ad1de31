"""Parts of convolutional networks, in ``keras.ops`` alone, so that any backend runs them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
from keras import layers, ops

from rfplatform.errors import InputError
from rfplatform.nn import Tensor


@keras.saving.register_keras_serializable("rfplatform")
class SpaceToDepth(layers.Layer):  # type: ignore[misc]
    """Blocks of ``size`` x ``size`` cells become channels of one cell."""

    def __init__(self, size: int = 2, **options: object) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, x: Tensor) -> Tensor:
        _, height, width, channels = x.shape
        n = self.size
        x = ops.reshape(x, (-1, height // n, n, width // n, n, channels))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height // n, width // n, n * n * channels))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("rfplatform")
class DepthToSpace(layers.Layer):  # type: ignore[misc]
    """The way back from `SpaceToDepth`."""

    def __init__(self, size: int = 2, **options: object) -> None:
        super().__init__(**options)
        self.size = size

    def call(self, x: Tensor) -> Tensor:
        _, height, width, channels = x.shape
        n = self.size
        x = ops.reshape(x, (-1, height, width, n, n, channels // (n * n)))
        x = ops.transpose(x, (0, 1, 3, 2, 4, 5))
        return ops.reshape(x, (-1, height * n, width * n, channels // (n * n)))

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "size": self.size}


@keras.saving.register_keras_serializable("rfplatform")
class Channel(layers.Layer):  # type: ignore[misc]
    """One of its input's channels."""

    def __init__(self, channel: int, **options: object) -> None:
        super().__init__(**options)
        self.channel = channel

    def call(self, x: Tensor) -> Tensor:
        chosen = ops.one_hot(self.channel, x.shape[-1], dtype=x.dtype)
        return ops.sum(x * chosen, axis=-1, keepdims=True)

    def get_config(self) -> dict[str, Any]:
        return {**super().get_config(), "channel": self.channel}


def residual_block(x: Tensor, width: int, name: str) -> Tensor:
    """Two convolutions that change their input a little: the second begins at zero.

    Without normalization, whose statistics would differ from window to window (Zhang et al. 2019,
    "Fixup initialization: residual learning without normalization").
    """
    y = layers.Conv2D(width, 3, padding="same", name=f"{name}_a")(x)
    y = layers.Activation("silu")(y)
    y = layers.Conv2D(width, 3, padding="same", kernel_initializer="zeros", name=f"{name}_b")(y)
    return layers.Activation("silu")(layers.Add()([x, y]))


def residual_unet(
    size: int,
    channels: int,
    outputs: int,
    *,
    widths: Sequence[int],
    blocks: int = 1,
    detail: int = 16,
    base_channel: int | None = None,
    name: str = "residual_unet",
) -> keras.Model:
    """A U-Net of residual blocks that works on cells of twice the edge, and a fine head.

    Parameters
    ----------
    size : int
        Cells along each side, a multiple of ``2 ** len(widths)``.
    channels, outputs : int
        Channels in and out.
    widths : sequence of int
        Channels of every level, the finest first; the finest has half the input's resolution.
    blocks : int
        Residual blocks of every level, on the way down and on the way up.
    detail : int
        Channels of the head, at full resolution.
    base_channel : int, optional
        An input channel that the first output is counted from.
    name : str

    Returns
    -------
    keras.Model
        From [batch, size, size, channels] to [batch, size, size, outputs]; the output begins at
        zero, or at the base. Every layer with weights has a name, so that weights are found again
        in any process.

    Raises
    ------
    InputError
        If a number of channels or of blocks is below 1, or the size can't be halved so often.
    """
    if not widths:
        raise InputError("widths: give the channels of one level or more")
    for what, number in (("widths", min(widths)), ("blocks", blocks), ("detail", detail)):
        if number < 1:
            raise InputError(f"{what} {number}: must be 1 or more")
    _require_multiple(size, 2 ** len(widths), f"{len(widths)} widths")
    given = layers.Input((size, size, channels))
    x = layers.Conv2D(widths[0], 3, padding="same", name="stem")(SpaceToDepth(2)(given))
    x = layers.Activation("silu")(x)
    kept: list[Tensor] = []
    for level, width in enumerate(widths):
        if level:
            x = layers.Conv2D(width, 2, strides=2, name=f"down{level}")(x)
        for i in range(blocks):
            x = residual_block(x, width, f"down{level}_block{i}")
        kept.append(x)
    for level in range(len(widths) - 2, -1, -1):
        x = layers.UpSampling2D(2)(layers.Conv2D(widths[level], 1, name=f"up{level}")(x))
        x = layers.Add()([x, kept[level]])
        for i in range(blocks):
            x = residual_block(x, widths[level], f"up{level}_block{i}")
    x = DepthToSpace(2)(layers.Conv2D(4 * detail, 1, name="spread")(x))
    fine = layers.Conv2D(detail, 3, padding="same", name="look")(given)
    x = layers.Activation("silu")(layers.Add()([x, fine]))
    x = residual_block(x, detail, "head")
    level = layers.Conv2D(1, 1, kernel_initializer="zeros", name="out")(x)
    if base_channel is not None:
        # Chosen by a weighted sum: TensorFlow 2.21 crashes on a slice that is added here.
        level = layers.Add()([level, Channel(base_channel)(given)])
    rest = layers.Conv2D(outputs - 1, 1, kernel_initializer="zeros", name="rest")(x)
    x = layers.Concatenate()([level, rest])
    return keras.Model(given, x, name=name)


def plain_unet(
    size: int, channels: int, *, width: int, residual_channel: int | None, name: str
) -> keras.Model:
    """The U-Net of Ronneberger et al. (2015) with batch normalization, as Geo2SigMap has it.

    Four times down, channels doubling from `width`, transposed convolutions on the way up.

    Parameters
    ----------
    size, channels : int
        Cells along each side and channels in.
    width : int
        Channels of the first level; 64 in the paper.
    residual_channel : int, optional
        An input channel that the output is counted from.
    name : str

    Returns
    -------
    keras.Model
        From [batch, size, size, channels] to [batch, size, size, 1].

    Raises
    ------
    InputError
        If the width is below 1, or the size no multiple of 16.
    """
    if width < 1:
        raise InputError(f"width {width}: must be 1 or more")
    _require_multiple(size, 16, "four levels down")
    given = layers.Input((size, size, channels))

    def twice(x: Tensor, width: int, name: str) -> Tensor:
        for part in ("a", "b"):
            called = f"{name}_{part}"
            x = layers.Conv2D(width, 3, padding="same", use_bias=False, name=called)(x)
            # Running means over some fifty batches. Over ten, PyTorch's default, those of small
            # batches of maps vary so much that the error of a finished network moves by decibels.
            x = layers.BatchNormalization(momentum=0.98, epsilon=1e-5, name=f"{called}_norm")(x)
            x = layers.Activation("relu")(x)
        return x

    kept = [twice(given, width, "down0")]
    for level in range(1, 5):
        kept.append(twice(layers.MaxPooling2D(2)(kept[-1]), width * 2**level, f"down{level}"))
    x = kept.pop()
    while kept:
        skip, called = kept.pop(), f"up{len(kept)}"
        x = layers.Conv2DTranspose(skip.shape[-1], 2, strides=2, name=called)(x)
        x = twice(layers.Concatenate()([skip, x]), skip.shape[-1], called)
    x = layers.Conv2D(1, 1, name="out")(x)
    if residual_channel is not None:
        x = layers.Add()([x, Channel(residual_channel)(given)])
    return keras.Model(given, x, name=name)


@keras.saving.register_keras_serializable("rfplatform")
class Levels(layers.Layer):  # type: ignore[misc]
    """Mean and spread of a channel over each window, [batch, 1, 1, 1] each."""

    def __init__(self, channel: int, **options: object) -> None:
        super().__init__(**options)
        self.channel = channel

    def call(self, x: Tensor) -> tuple[Tensor, Tensor]:
        of = x[..., self.channel : self.channel + 1]
        mean = ops.mean(of, axis=(1, 2), keepdims=True)
        spread = ops.sqrt(ops.mean((of - mean) ** 2, axis=(1, 2), keepdims=True))
        return mean, ops.maximum(spread, 1e-3)


@keras.saving.register_keras_serializable("rfplatform")
class Standardized(layers.Layer):  # type: ignore[misc]
    """Channels counted from a mean in units of a spread; one value, "nothing", becomes -3.

    Parameters
    ----------
    channels : sequence of int
        Those that are levels; the others stay.
    nothing : float
        The level that stands for none.
    """

    def __init__(self, channels: Sequence[int], nothing: float, **options: object) -> None:
        super().__init__(**options)
        self.channels, self.nothing = tuple(channels), nothing

    def call(self, x: Tensor, mean: Tensor, spread: Tensor) -> Tensor:
        parts = []
        for i in range(x.shape[-1]):
            of = x[..., i : i + 1]
            if i in self.channels:
                known = ops.abs(of - self.nothing) > 1e-4
                of = ops.where(known, (of - mean) / spread, -3.0)
            parts.append(of)
        return ops.concatenate(parts, axis=-1)


def levelled(
    network: keras.Model, *, levels: Sequence[int], reference: int, nothing: float
) -> keras.Model:
    """A network made indifferent to a common scale and offset of its levels.

    Levels go in counted from the reference channel's mean over the window, in units of its spread,
    and what comes out is put back. The weights and their names are the network's.

    Parameters
    ----------
    network : keras.Model
        From [batch, size, size, channels] to [batch, size, size, 1].
    levels : sequence of int
        Channels with levels, the reference among them.
    reference : int
    nothing : float
        The level that stands for none.
    """
    given = layers.Input(network.input_shape[1:])
    mean, spread = Levels(reference)(given)
    x = network(Standardized(levels, nothing)(given, mean, spread))
    x = layers.Add()([layers.Multiply()([x, spread]), mean])
    return keras.Model(given, x, name=network.name)


def _require_multiple(size: int, factor: int, why: str) -> None:
    if size % factor:
        raise InputError(f"{why}: windows of {size} cells can't be halved so often")
