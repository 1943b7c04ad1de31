"""The folder in which a dashboard keeps all that it knows: nothing is lost with a process."""

from __future__ import annotations

import json
import os
import re
import secrets
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rfplatform.errors import InputError, MissingError

VARIABLE = "RFPLATFORM_WORKSPACE"
UPLOADED = "upload:"
"""Before the name of an uploaded file, where a path could stand: ``upload:9f86d08188.osm.pbf``."""

_NAME = re.compile(r"[0-9a-z][0-9a-z._-]{0,80}")


@dataclass(frozen=True)
class Workspace:
    """A dashboard's folder.

    Attributes
    ----------
    root : Path
        ``areas/``, ``drafts/``, ``previews/``, ``jobs/``, ``uploads/`` and ``assistant/`` are in
        it, and ``indexes/`` where somebody puts any.
    """

    root: Path

    @classmethod
    def open(cls, root: str | Path | None = None) -> Workspace:
        """The folder that is given, else that of RFPLATFORM_WORKSPACE, else the user's own.

        Raises
        ------
        MissingError
            If it can't be made or written to.
        """
        import platformdirs

        default = Path(platformdirs.user_data_dir("rfplatform"), "workspace")
        place = Path(root or os.environ.get(VARIABLE) or default).expanduser().absolute()
        workspace = cls(place)
        try:
            for folder in workspace.folders:
                folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise MissingError(
                f"workspace {place}: can't be made ({error.strerror}); give another with "
                f"--workspace or {VARIABLE}"
            ) from error
        if not os.access(place, os.W_OK):
            raise MissingError(f"workspace {place}: can't be written to; give another")
        return workspace

    @property
    def areas(self) -> Path:
        """What is drawn of an area, a folder each."""
        return self.root / "areas"

    @property
    def drafts(self) -> Path:
        """Drafts, a JSON file each, named by what is in them."""
        return self.root / "drafts"

    @property
    def previews(self) -> Path:
        """Quick maps and differences, a folder each; they can be made again at any time."""
        return self.root / "previews"

    @property
    def jobs(self) -> Path:
        """Long work, a folder each."""
        return self.root / "jobs"

    @property
    def uploads(self) -> Path:
        """Uploaded files, named by their hash."""
        return self.root / "uploads"

    @property
    def folders(self) -> tuple[Path, ...]:
        """All of them."""
        return self.areas, self.drafts, self.previews, self.jobs, self.uploads

    def inside(self, folder: Path, name: str) -> Path:
        """A name's place in one of the folders.

        Raises
        ------
        InputError
            If the name is none that the workspace gives, as one that was typed into a URL may be.
        """
        if not _NAME.fullmatch(name) or ".." in name:
            raise InputError(f"no {folder.name.removesuffix('s')} of the name {name[:40]!r}")
        return folder / name

    def resolved(self, text: str) -> str:
        """A path in place of ``upload:NAME``; any other text as it is.

        Raises
        ------
        InputError
            If there is no such upload.
        """
        if not text.startswith(UPLOADED):
            return text
        place = self.inside(self.uploads, text.removeprefix(UPLOADED))
        if not place.is_file():
            raise InputError(f"{text}: no such upload here; upload the file again")
        return str(place)

    def own_words(self, told: object, *more: Path) -> str:
        """What an error or a note says, in a line with "upload:NAME" for uploads, and no folder.

        Parameters
        ----------
        told : object
        *more : Path
            Folders in this one that are left out, too.
        """
        line = " ".join(str(told).split())
        said = {self.uploads: UPLOADED, **dict.fromkeys(more, ""), self.root: ""}
        for folder, word in said.items():
            for place in dict.fromkeys((folder, folder.resolve())):
                line = line.replace(f"{place}/", word)
        return line


def write_json_file(values: Mapping[str, Any], path: Path) -> None:
    """Write JSON that a reader finds old or new, and never half; NaN is written as null."""
    part = path.with_name(f".{path.name}.{secrets.token_hex(4)}")
    part.write_text(json.dumps(finite(values), ensure_ascii=False), encoding="utf-8")
    part.replace(path)


def finite(value: Any) -> Any:  # noqa: ANN401  (any JSON value)
    """The same JSON value, with None for numbers that JSON has not."""
    if isinstance(value, float):
        return value if value - value == 0.0 else None
    if isinstance(value, Mapping):
        return {str(key): finite(inner) for key, inner in value.items()}
    if isinstance(value, list | tuple):
        return [finite(inner) for inner in value]
    return value


def read_json_file(path: Path) -> dict[str, Any] | None:
    """What `write_json_file` wrote; None where there is nothing, or nothing that can be read."""
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None
