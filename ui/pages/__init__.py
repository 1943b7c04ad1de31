"""The pages of the dashboard: a file each, and one line each in `PAGES`."""

from __future__ import annotations

import importlib
from dataclasses import dataclass


@dataclass(frozen=True)
class Page:
    """A page.

    Attributes
    ----------
    module : str
        Of `ui.pages`; its function ``page()`` draws it. It is imported when it is first opened.
    title : str
    icon : str
        A name of the Material symbols that Streamlit carries.
    """

    module: str
    title: str
    icon: str

    def draw(self) -> None:
        """Draw the page."""
        importlib.import_module(f"ui.pages.{self.module}").page()


PAGES: tuple[Page, ...] = (
    Page("plan", "Plan", ":material/cell_tower:"),
    Page("measurements", "Measurements", ":material/timeline:"),
    Page("jobs", "Jobs", ":material/pending_actions:"),
    Page("registry", "Registry", ":material/inventory_2:"),
    Page("assistant", "Assistant", ":material/forum:"),
    Page("benchmarks", "Benchmarks", ":material/leaderboard:"),
)
"""In the order of the navigation; the first opens at the root."""
