"""What the tests of networks share: a quiet backend, imported once."""

import importlib.util

import pytest

from rfplatform.nn.quiet import quiet_start

if importlib.util.find_spec("keras") is None:
    collect_ignore_glob = ["test_*.py"]
else:
    with quiet_start():
        import rfplatform.nn.backend
        import rfplatform.nn.fit

        rfplatform.nn.backend.backend_facts()


@pytest.fixture(autouse=True)
def _seeded():
    rfplatform.nn.backend.seed_everything(1)
