"""The libraries that read documents, which not everyone has."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from rfplatform.errors import MissingError


@contextmanager
def library() -> Iterator[None]:
    """Tell what to install where an import in the block fails.

    Raises
    ------
    MissingError
    """
    try:
        yield
    except ImportError as error:
        raise MissingError(
            f"reading documents needs {error.name}: pip install 'rfplatform[oran]'"
        ) from error
