"""How the dashboard looks: Streamlit's theme, in light and dark, and what it has no option for."""

from __future__ import annotations

from collections.abc import Mapping

THEME: Mapping[str, object] = {
    "theme.light.primaryColor": "#1f6f8b",
    "theme.light.backgroundColor": "#ffffff",
    "theme.light.secondaryBackgroundColor": "#f3f6f8",
    "theme.light.textColor": "#1b252d",
    "theme.light.borderColor": "#dde4e9",
    "theme.dark.primaryColor": "#4fb3d1",
    "theme.dark.backgroundColor": "#11171c",
    "theme.dark.secondaryBackgroundColor": "#1a232b",
    "theme.dark.textColor": "#e6edf2",
    "theme.dark.borderColor": "#2c3842",
    "theme.baseRadius": "small",
}

STYLE = """
[data-testid="stMainBlockContainer"] { padding: 3.9rem 1.4rem 1.5rem; max-width: none; }
[data-testid="stVerticalBlock"] { gap: .7rem; }
[data-testid="stMetricValue"] { font-size: 1.55rem; }
[data-testid="stMetricLabel"] { opacity: .75; }
h1, h2 { font-size: 1.7rem !important; padding: .3rem 0 .2rem !important; }
h2, h3 { letter-spacing: -.01em; }
:focus-visible { outline: 2px solid var(--st-primary-color, #1f6f8b); outline-offset: 2px; }
"""
