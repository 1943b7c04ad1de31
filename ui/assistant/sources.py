"""Passages as cards: where each stands, what it says, and the way to its section."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from ui.assistant.links import open_section
from ui.assistant.words import snippet
from ui.markdown import plain

Passage = Mapping[str, Any]

_LONGEST_TITLE = 120


def cards(passages: Sequence[Passage], key: str) -> None:
    """A card for each passage.

    Parameters
    ----------
    passages : sequence of mapping
        Citations with "quotes", or hits with a "snippet"; see `pipelines.oran`.
    key : str
        Before the buttons' keys.
    """
    for one in passages:
        _card(one, f"{key}.{one['number']}")


def _card(one: Passage, key: str) -> None:
    with st.container(border=True, gap="xsmall"):
        with st.container(horizontal=True, vertical_alignment="top", gap="small"):
            with st.container(width="stretch", gap=None):
                st.markdown(f":primary-badge[{int(one['number'])}] **{_titled(one)}**")
                st.caption(place(one))
            st.button(
                "Open section",
                key=key,
                icon=":material/menu_book:",
                type="tertiary",
                help="The whole section, with this passage marked.",
                on_click=open_section,
                args=(one["document"], one["section_ordinal"]),
            )
        if "quotes" in one:
            _quotes(one["quotes"])
        else:
            st.markdown(snippet(one["snippet"]["text"], one["snippet"]["marks"]))


def _titled(one: Passage) -> str:
    title = str(one["title"] or one["document"])
    if len(title) > _LONGEST_TITLE:
        title = f"{title[: _LONGEST_TITLE - 1].rstrip()}…"
    parts = (title, one["version"])
    return " ".join(plain(part) for part in parts if part)


def place(one: Passage) -> str:
    """Section, page and licence of a passage, and its file."""
    return " · ".join(
        plain(part)
        for part in (
            one["section"],
            "" if one["page"] is None else f"page {one['page']}",
            one["licence"] or "no licence stated",
            one["document"] if one["document"] != one["title"] else "",
        )
        if part
    )


def _quotes(quotes: Sequence[Mapping[str, Any]]) -> None:
    if not quotes:
        st.caption("Named by the model, without a quote.")
    for quote in quotes:
        st.markdown(f"> “{plain(quote['text'])}”")
