"""The outputs of a run, as files."""

from __future__ import annotations

import io
import zipfile
from pathlib import Path

import streamlit as st

from ui.plan.shown import Shown
from ui.words import size

_FILES = {
    "radio_map.tif": ("GeoTIFF", "For QGIS: a band a sector, and every planning layer."),
    "radio_map.kmz": ("KMZ", "For Google Earth, with legends."),
    "radio_map.png": ("Picture", "For a report."),
    "contours.gpkg": ("GeoPackage", "Polygons of levels and of servers."),
    "run.json": ("Record", "Every option, seed, version and input."),
    "quantiles.tif": ("Quantiles", "P10, P50 and P90 of a calibrated map."),
}
_STORE = "radio_map.zarr"


def downloads(shown: Shown | None) -> None:
    """Buttons for all that a run wrote."""
    if shown is None or shown.kind != "jobs":
        st.info(
            "Files belong to runs: start one at the left, then choose it under **Map**. The site "
            "list of the plan is under **Sectors**.",
            icon=":material/download:",
        )
        return
    out = shown.folder.parent / "out"
    with st.container(horizontal=True):
        if (out / _STORE).is_dir():
            st.download_button(
                "Zarr",
                lambda: _zipped(out / _STORE),
                f"{_STORE}.zip",
                "application/zip",
                icon=":material/folder_zip:",
                help="Everything, for xarray.",
                on_click="ignore",
            )
        for name, (label, words) in _FILES.items():
            path = out / name
            if path.is_file():
                st.download_button(
                    label,
                    path.read_bytes,
                    name,
                    icon=":material/download:",
                    help=f"{words} {size(path.stat().st_size)}.",
                    on_click="ignore",
                    key=f"plan.download.{name}",
                )


def _zipped(folder: Path) -> bytes:
    """A folder as a ZIP file; its chunks are compressed already."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return body.getvalue()
