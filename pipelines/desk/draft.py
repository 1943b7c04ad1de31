"""What a planner has on the table: an area, its sites, and how they are to be mapped."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from pathlib import Path
from typing import Any

from pipelines.desk.workspace import Workspace, read_json_file, write_json_file
from pipelines.map import Config
from rfplatform.errors import InputError
from rfplatform.geodata.sites import SiteRow, write_sites


@dataclass(frozen=True)
class Draft:
    """Everything that a link reopens, but for how it is looked at.

    Attributes
    ----------
    area : str
        "helsinki", "upload:NAME" or "W,S,E,N".
    bbox : str, optional
        "W,S,E,N" to keep of it.
    terrain : str, optional
        Elevation model for the ground, "upload:NAME"; flat without.
    rows : tuple of SiteRow
        Sectors; an antenna may be "upload:NAME".
    solver : str
        Of the quick map.
    resolution_m, receiver_height_m, noise_figure_db, load : float
        See `pipelines.map.Config`.
    """

    area: str = "helsinki"
    bbox: str | None = None
    terrain: str | None = None
    rows: tuple[SiteRow, ...] = ()
    solver: str = "tr38901-uma"
    resolution_m: float = 4.0
    receiver_height_m: float = 1.5
    noise_figure_db: float = 7.0
    load: float = 1.0

    @property
    def id(self) -> str:
        """Of what is in it: equal drafts have the same."""
        text = json.dumps(self.to_dict(), sort_keys=True)
        return hashlib.sha256(text.encode()).hexdigest()[:16]

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = [
            {k: v for k, v in asdict(row).items() if k not in ("row", "local_m")}
            for row in self.rows
        ]
        return {**asdict(self), "rows": rows}

    @classmethod
    def from_dict(cls, values: Mapping[str, Any]) -> Draft:
        """The draft that `to_dict` told.

        Raises
        ------
        InputError
            If it is none.
        """
        known = {field.name for field in fields(cls)}
        try:
            rows = tuple(SiteRow(**row) for row in values["rows"])
            return cls(**{**{k: v for k, v in values.items() if k in known}, "rows": rows})
        except (KeyError, TypeError) as error:
            raise InputError(f"not a draft of this version ({error})") from error

    def saved(self, workspace: Workspace) -> str:
        """Keep the draft; its name."""
        place = workspace.drafts / f"{self.id}.json"
        if not place.is_file():
            write_json_file(self.to_dict(), place)
        return self.id

    @classmethod
    def opened(cls, workspace: Workspace, name: str) -> Draft:
        """The draft of a name.

        Raises
        ------
        InputError
            If there is none here.
        """
        found = read_json_file(workspace.inside(workspace.drafts, f"{name}.json"))
        if found is None:
            raise InputError(f"no plan {name!r} here: it was made on another server, or removed")
        return cls.from_dict(found)

    def resolved_rows(self, workspace: Workspace) -> tuple[SiteRow, ...]:
        """The rows, with paths for uploaded antennas."""
        return tuple(replace(r, antenna=workspace.resolved(r.antenna)) for r in self.rows)

    def terrain_path(self, workspace: Workspace) -> Path | None:
        """The elevation model's file."""
        return None if self.terrain is None else Path(workspace.resolved(self.terrain))

    def map_config(self, workspace: Workspace, sites: Path, **more: Any) -> Config:  # noqa: ANN401
        """The options of `rfplatform map` for it; the site list is written to `sites`.

        Parameters
        ----------
        workspace : Workspace
        sites : Path
        **more
            Fields of `pipelines.map.Config` in place of the draft's.

        Raises
        ------
        InputError
            If it has no sectors, or names an upload that is not there.
        """
        if not self.rows:
            raise InputError("no sectors to map: place a site first")
        write_sites(self.resolved_rows(workspace), sites)
        values = {
            "area": workspace.resolved(self.area),
            "bbox": self.bbox,
            "terrain": self.terrain_path(workspace),
            "sites": sites,
            "solver": self.solver,
            "resolution_m": self.resolution_m,
            "receiver_height_m": self.receiver_height_m,
            "noise_figure_db": self.noise_figure_db,
            "load": self.load,
        }
        return Config(**{**values, **more})
