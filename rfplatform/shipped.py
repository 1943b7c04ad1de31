"""Files that come with rfplatform: beside the package in a checkout, within it when installed.

And where further data is, which benchmarks read and nothing else needs.
"""

import os
from pathlib import Path

import rfplatform

DATA_VARIABLE = "RFPLATFORM_DATA"
"""Environment variable: a folder with further data, such as ``osm/monaco.osm.pbf``."""


def shipped_folder(name: str) -> Path | None:
    """A folder of the shipped data, as "sites" or "reference"; None where it is missing."""
    package = Path(rfplatform.__file__).parent
    folders = (data / name for data in (package / "data", package.parent / "data"))
    return next((folder for folder in folders if folder.is_dir()), None)


def data_folder() -> Path:
    """Where further data is: `DATA_VARIABLE`, or ``shared/data`` beside the checkout."""
    if folder := os.environ.get(DATA_VARIABLE):
        return Path(folder)
    return Path(rfplatform.__file__).parents[2] / "shared" / "data"
