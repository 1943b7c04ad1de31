"""Addresses on our own host, for what a page shows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import streamlit as st

Kind = Literal["previews", "jobs"]


def base() -> str:
    """The path that the dashboard lives under: "" or "/rf" behind a reverse proxy."""
    path = str(st.get_option("server.baseUrlPath") or "").strip("/")
    return f"/{path}" if path else ""


def tile_url(
    kind: Kind,
    name: str,
    layer: str,
    threshold: float | None = None,
    ends: Sequence[float] | None = None,
) -> str:
    """The template of a layer's tiles.

    Parameters
    ----------
    kind, name : str
        Whose display: a preview's or a job's, and which.
    layer : str
    threshold : float, optional
        Below which cells are drawn faintly.
    ends : sequence of float, optional
        Of the scale: those of a map that this one is seen beside.
    """
    asked = [] if threshold is None else [f"threshold={threshold:g}"]
    if ends is not None:
        asked.append(f"ends={ends[0]:g},{ends[1]:g}")
    query = f"?{'&'.join(asked)}" if asked else ""
    return f"{base()}/tiles/{kind}/{name}/{layer}/{{z}}/{{x}}/{{y}}.png{query}"


def area_urls(key: str) -> dict[str, str]:
    """GeoJSON of an area: "background" and "buildings"."""
    return {name: f"{base()}/areas/{key}/{name}.geojson" for name in ("background", "buildings")}


def points_url(name: str) -> str:
    """GeoJSON of measured points that a preview's folder holds."""
    return f"{base()}/points/{name}.geojson"
