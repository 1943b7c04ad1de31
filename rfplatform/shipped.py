"""Files that come with rfplatform: beside the package in a checkout, within it when installed."""

from pathlib import Path

import rfplatform


def shipped_folder(name: str) -> Path | None:
    """A folder of the shipped data, as "sites" or "reference"; None where it is missing."""
    package = Path(rfplatform.__file__).parent
    folders = (data / name for data in (package / "data", package.parent / "data"))
    return next((folder for folder in folders if folder.is_dir()), None)
