"""Streets, water and buildings under what a page shows, where they were drawn already."""

from __future__ import annotations

from pipelines.desk.area import read_area
from ui.components.map import Background, Bounds
from ui.context import workspace
from ui.urls import area_urls


def background_over(bounds: Bounds) -> Background:
    """The area that was drawn here and holds most of a box; an empty one where there is none.

    Parameters
    ----------
    bounds : tuple of float
        West, south, east, north in degrees: where the map opens.
    """
    best, most = Background("", "", bounds, ""), (0.0, 0.0)
    for folder in sorted(workspace().areas.iterdir()):
        about = read_area(folder)
        if about is None:
            continue
        west, south, east, north = about["bounds"]
        width = min(east, bounds[2]) - max(west, bounds[0])
        height = min(north, bounds[3]) - max(south, bounds[1])
        shared = max(width, 0.0) * max(height, 0.0)
        # Of several that hold the same of it, the smallest was meant.
        rank = (shared, -(east - west) * (north - south))
        if shared > 0.0 and rank > most:
            urls, most = area_urls(folder.name), rank
            best = Background(
                urls["background"], urls["buildings"], bounds, about.get("attribution", "")
            )
    return best


def united(boxes: list[Bounds]) -> Bounds:
    """The box around some."""
    return (
        min(box[0] for box in boxes),
        min(box[1] for box in boxes),
        max(box[2] for box in boxes),
        max(box[3] for box in boxes),
    )
