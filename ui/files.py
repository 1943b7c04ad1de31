"""Buttons for the files that a job wrote."""

from __future__ import annotations

import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import streamlit as st

from pipelines.map import FORMATS
from ui.words import size

STORE = FORMATS["zarr"]

KNOWN: Mapping[str, tuple[str, str]] = {
    "radio_map.tif": ("GeoTIFF", "For QGIS: a band for each sector and planning layer."),
    "quantiles.tif": ("P10, P50, P90", "GeoTIFF of what nine, five and one of ten places exceed."),
    "radio_map.kmz": ("KMZ", "For Google Earth, with legends."),
    "radio_map.png": ("Picture", "For a report."),
    "contours.gpkg": ("GeoPackage", "Polygons of levels and of servers."),
    "residuals.png": ("Residuals", "Picture: what the calibrated map still misses."),
    "held_out.csv": ("Left out", "Each point: measured, and predicted while left out."),
    "offsets.csv": ("Offsets", "Of cells and devices, with standard errors."),
    "rejected_rows.csv": ("Rejected rows", "Rows of the drive test that can't be used, and why."),
    "calibration.json": ("Report", "All scores, and how they were made."),
    "failures.csv": ("Failures", "What was set aside, with its last words."),
    "catalog.parquet": ("Catalogue", "A table of all maps with their footprints (GeoParquet)."),
    "radio_map.zarr.zip": ("Zarr", "The whole map, for xarray; zipped."),
    "buildings.parquet": ("Buildings", "Footprints and heights (GeoParquet)."),
    "building_heights.tif": ("Heights", "GeoTIFF of the buildings' heights."),
    "result.json": ("Scores", "Every score beside its baseline."),
    "map.json": ("Record", "Every option, seed and input of this map."),
    "run.json": ("Record", "Every option, seed, version and input."),
}
"""Files of an output: what a button says of each, in a few words and in more."""


def file_buttons(out: Path, key: str, *, title: str = "") -> None:
    """A button for each file of an output; the Zarr store as a ZIP that is made when asked for.

    Parameters
    ----------
    out : Path
    key : str
        Before the buttons' keys.
    title : str
        Above them, where there are any.
    """
    found = [name for name in KNOWN if (out / name).is_file()]
    has_store = (out / STORE).is_dir()
    if title and (found or has_store):
        st.markdown(f"##### {title}")
    with st.container(horizontal=True, gap="small"):
        if has_store:
            st.download_button(
                "Zarr",
                lambda: zipped(out / STORE),
                f"{STORE}.zip",
                "application/zip",
                icon=":material/folder_zip:",
                help="The whole map, for xarray; zipped.",
                on_click="ignore",
                key=f"{key}.zarr",
            )
        for name in found:
            file_button(out / name, *KNOWN[name], f"{key}.{name}")


def file_button(path: Path, label: str, words: str, key: str) -> None:
    """A button for one file, which is read when it is asked for."""
    st.download_button(
        label,
        path.read_bytes,
        path.name,
        icon=":material/download:",
        help=f"{words} {size(path.stat().st_size)}.",
        on_click="ignore",
        key=key,
    )


def zipped(folder: Path) -> bytes:
    """A folder as a ZIP file; its chunks are compressed already."""
    body = io.BytesIO()
    with zipfile.ZipFile(body, "w", zipfile.ZIP_STORED) as archive:
        for path in sorted(p for p in folder.rglob("*") if p.is_file()):
            archive.write(path, path.relative_to(folder).as_posix())
    return body.getvalue()
