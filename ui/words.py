"""Numbers and names as a page says them."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping


def number(value: float | None, digits: int = 0) -> str:
    """With a typographic minus; a dash where there is none."""
    if value is None or value != value:
        return "–"
    # Adding 0 makes a rounded -0.0 positive.
    return f"{round(value, digits) + 0.0:,.{digits}f}".replace("-", "\N{MINUS SIGN}")


def percent(share: float | None, digits: int = 0) -> str:
    """A share in per cent."""
    return "–" if share is None else f"{number(100 * share, digits)} %"


def duration(seconds: float) -> str:
    """In the largest units that say it: "42 s", "3 min 5 s", "2 h 10 min", "4 days"."""
    whole = max(0, round(seconds))
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    if whole < 2 * 86400:
        return f"{whole // 3600} h {whole % 3600 // 60} min"
    return f"{whole // 86400} days"


def size(count: float) -> str:
    """Bytes."""
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"


def distinct(names: Mapping[str, str]) -> dict[str, str]:
    """Names by what they are of; those that stood before have a number: "town.osm (2)".

    Streamlit knows options of a list by what they are called: of equal ones it takes the last.
    """
    seen: Counter[str] = Counter()
    told = {}
    for of, name in names.items():
        seen[name] += 1
        told[of] = name if seen[name] == 1 else f"{name} ({seen[name]})"
    return told
