"""Registry: what is kept here and what can be had, where it comes from, and whether it is whole."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Any

import streamlit as st

from pipelines import registry as pipeline
from rfplatform.errors import RfplatformError
from rfplatform.registry.registry import Registry
from ui.listed import selection, side_by_side
from ui.markdown import plain
from ui.registry.detail import (
    ARTIFACT,
    KIND_WORDS,
    STATE_WORDS,
    close_artifact,
    details,
    open_artifact,
)
from ui.telling import tell
from ui.words import size

LISTED = 200
"""Most artifacts of the table."""

KINDS: Mapping[str, str] = {
    "dataset": "Data sets",
    "scene": "Scenes",
    "radio-map": "Radio maps",
    "collection": "Collections",
    "model": "Models",
    "report": "Reports",
}
_PLACES: Mapping[str, tuple[str, ...]] = {
    "In the registry": ("here", "elsewhere"),
    "Can be had": ("shipped", "download", "manual"),
}
_TABLE = "registry.table"
_HINT = (
    "Select a row, by its box or with Shift and Space, to see where it comes from, its files and "
    "its card."
)


def page() -> None:
    """Draw the page."""
    registry = Registry.default()
    st.header("Registry", anchor=False)
    kind, place, words = _filters()
    try:
        listed = _listed(registry, kind, words)
    except RfplatformError as error:
        tell(error, before="The registry can't be read: ")
        return
    rows = [row for row in listed["rows"] if place is None or row["state"] in _PLACES[place]]
    if not listed["any_here"]:
        _nothing_yet()
    ref = _asked(rows)
    left, right = side_by_side("stretch" if ref is None else 650)
    with left:
        _table(rows, ref)
        _count(rows, listed, ref)
    if ref is not None:
        with right:
            _details(registry, ref)


def _details(registry: Registry, ref: str) -> None:
    try:
        details(registry, ref)
    except RfplatformError as error:
        st.error(f"It can't be opened: {plain(error)}", icon=":material/link_off:")


def _asked(rows: Sequence[Mapping[str, Any]]) -> str | None:
    """What the URL asks for; a name without a version is that of the newest."""
    ref = st.query_params.get(ARTIFACT)
    if not ref or "@" in ref:
        return ref or None
    return next((row["ref"] for row in rows if row["ref"].startswith(f"{ref}@")), ref)


# ----------------------------------------------------------------------------------------------
# What there is
# ----------------------------------------------------------------------------------------------


def _filters() -> tuple[str | None, str | None, list[str]]:
    """Kind, place and words that are wanted; they stand in the URL."""
    with st.container(horizontal=True, vertical_alignment="bottom", gap="medium"):
        text = st.text_input(
            "Search",
            key="search",
            placeholder="name, title or licence",
            icon=":material/search:",
            help="All of the words, in any order.",
            width=300,
            bind="query-params",
        )
        place = st.segmented_control(
            "Where",
            list(_PLACES),
            key="where",
            help="What is kept on this machine or known of another store, or what comes with "
            "rfplatform and what others publish.",
            bind="query-params",
        )
        kind = st.pills(
            "Kind", list(KINDS), format_func=KINDS.__getitem__, key="kind", bind="query-params"
        )
    return kind, place, (text or "").lower().split()


def _listed(registry: Registry, kind: str | None, words: Sequence[str]) -> dict[str, Any]:
    """Rows of the table: what is here, the newest first, and what can be had."""
    found = pipeline.listing(registry, kind=kind, limit=LISTED)
    if found["more"] and words:
        # Too many to look through: those whose names have the longest word.
        longest = max(words, key=len).translate(dict.fromkeys(map(ord, "*?[]")))
        found = pipeline.listing(registry, kind=kind, names=(f"*{longest}*",), limit=LISTED)
    rows = [*found["artifacts"], *found["public"]]
    return {
        "more": found["more"],
        "any_here": bool(found["artifacts"]) or registry.count() > 0,
        "rows": [row for row in rows if _has_words(row, words)],
    }


def _has_words(row: Mapping[str, Any], words: Iterable[str]) -> bool:
    text = " ".join(str(row[name]) for name in ("ref", "title", "licence")).lower()
    return all(word in text for word in words)


def _nothing_yet() -> None:
    st.info(
        "Nothing is kept here yet. Save a map from the Plan page, or run "
        "`rfplatform map AREA --register`. What is listed below comes with rfplatform, or can be "
        "had from others.",
        icon=":material/inventory_2:",
    )


def _table(rows: Sequence[Mapping[str, Any]], ref: str | None) -> None:
    import pandas as pd

    if not rows:
        st.info("Nothing matches. Change the search or the filters.", icon=":material/search_off:")
        return
    refs = [row["ref"] for row in rows]
    table = pd.DataFrame(
        {
            "Name": [row["ref"].partition("@")[0] for row in rows],
            "Kind": [KIND_WORDS.get(row["kind"], row["kind"]) for row in rows],
            "Size": [
                None if row["size_bytes"] is None else size(row["size_bytes"]) for row in rows
            ],
            "Made": [_time(row.get("created")) for row in rows],
            "Licence": [row["licence"] for row in rows],
            "Where": [STATE_WORDS[row["state"]] for row in rows],
            "Title": [row["title"] for row in rows],
            "Version": [row["ref"].partition("@")[2] for row in rows],
        }
    )
    st.session_state[_TABLE] = selection(refs.index(ref) if ref in refs else None)
    column = st.column_config
    st.dataframe(
        table,
        key=_TABLE,
        height=520 if len(rows) > 12 else "auto",
        hide_index=True,
        placeholder="–",
        on_select=lambda: _chosen(refs),
        selection_mode="single-row",
        alt="Artifacts of the registry, and what can be had",
        column_config={
            "Name": column.TextColumn(width=172, pinned=True),
            "Kind": column.TextColumn(width=84),
            "Size": column.TextColumn(width=66, alignment="right"),
            "Made": column.DatetimeColumn(width=92, format="YYYY-MM-DD"),
            "Licence": column.TextColumn(width=98),
            "Where": column.TextColumn(
                width=88,
                help="Here: in the registry. Elsewhere: in another store that it knows. Included: "
                "comes with rfplatform. Download, by hand: what others publish.",
            ),
            "Title": column.TextColumn(width=300),
            "Version": column.TextColumn(width=130),
        },
    )


def _chosen(refs: Sequence[str]) -> None:
    """A row was selected, or no longer is."""
    rows = st.session_state[_TABLE]["selection"]["rows"]
    if rows:
        open_artifact(refs[rows[0]])
    else:
        close_artifact()


def _count(rows: Sequence[Mapping[str, Any]], listed: Mapping[str, Any], ref: str | None) -> None:
    here = sum(row["state"] in _PLACES["In the registry"] for row in rows)
    more = f" {listed['more']:,} more are not listed: search by name." if listed["more"] else ""
    hint = f"{_HINT} " if not ref else ""
    st.caption(f"{hint}{here:,} in the registry, {len(rows) - here:,} that can be had.{more}")


def _time(created: str | None) -> datetime | None:
    return datetime.fromisoformat(created) if created else None
