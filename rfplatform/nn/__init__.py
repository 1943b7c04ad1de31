"""Networks in Keras 3: the only package that imports it at module level."""

from typing import Any, TypeAlias

Tensor: TypeAlias = Any
"""An array of whichever backend Keras runs on."""
