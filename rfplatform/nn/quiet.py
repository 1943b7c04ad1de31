"""TensorFlow's words at its start, kept off the terminal. Imports nothing heavy."""

from __future__ import annotations

import os
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager

_LEVEL = "TF_CPP_MIN_LOG_LEVEL"


@contextmanager
def quiet_start() -> Iterator[None]:
    """For a block that imports Keras and looks for devices: only what fails is told.

    TensorFlow's C++ writes past Python to the standard error's descriptor, some of it whatever
    ``TF_CPP_MIN_LOG_LEVEL`` says. Where that is set already, all is left as it is.
    """
    if _LEVEL in os.environ:
        yield
        return
    os.environ[_LEVEL] = "2"
    sys.stderr.flush()
    kept = os.dup(2)
    with tempfile.TemporaryFile() as words:
        os.dup2(words.fileno(), 2)
        try:
            yield
        except BaseException:
            words.seek(0)
            os.write(kept, words.read())
            raise
        finally:
            sys.stderr.flush()
            os.dup2(kept, 2)
            os.close(kept)
