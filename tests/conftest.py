"""What every test shares."""

import gc
import os

import pytest
from hypothesis import settings

# The same examples everywhere: a suite that gates a change may not fail by luck. No deadline,
# since a busy machine is no fault of the code. HYPOTHESIS_PROFILE=explore looks further.
settings.register_profile("gate", derandomize=True, deadline=None)
settings.register_profile("explore", max_examples=2000, deadline=None)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "gate"))


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin with the files that take minutes: begun last, one would keep a lone worker waiting."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(scope="module", autouse=True)
def _heap_set_aside() -> None:
    """Leave what stands in memory out of garbage collections.

    A run has a million objects, most of them of libraries, and Streamlit looks through all of them
    after each rerun of a page.
    """
    gc.collect()
    gc.freeze()
