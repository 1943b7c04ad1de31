"""The section that is open: its text with what is marked, and where it stands in its document."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pipelines.desk.assistant_indexes import Found
from pipelines.desk.assistant_section import Neighbour, Part, Reading, read_section
from rfplatform.errors import RfplatformError
from ui.assistant import words
from ui.assistant.links import asked_section, close_section, open_section
from ui.context import workspace
from ui.markdown import plain
from ui.telling import tell

WIDTH = 720
"""Of the drawer, in pixels."""

_STYLE = """<style>
[role="dialog"] h2 { padding: 1.3rem 1.5rem .2rem !important; font-size: 1.15rem !important; }
.rf-section { line-height: 1.6; overflow-wrap: anywhere; }
.rf-section p { margin: 0 0 .8rem; white-space: pre-line; }
.rf-section pre {
  font-size: .82rem; line-height: 1.45; margin: 0 0 .8rem; padding: .6rem .8rem; overflow-x: auto;
  white-space: pre; background: color-mix(in srgb, currentColor 6%, transparent); color: inherit;
  border-radius: 4px;
}
.rf-section .rf-page { font-size: .75rem; opacity: .6; margin: .2rem 0 .4rem; }
.rf-table { overflow-x: auto; margin: 0 0 .8rem; }
.rf-table table { border-collapse: collapse; font-size: .85rem; }
.rf-table th, .rf-table td {
  border: 1px solid color-mix(in srgb, currentColor 20%, transparent); padding: .3rem .5rem;
  text-align: left; vertical-align: top; overflow-wrap: normal;
}
.rf-table th { background: color-mix(in srgb, currentColor 6%, transparent); font-weight: 600; }
.rf-section mark {
  color: inherit; padding: .05em 0; border-radius: 2px; scroll-margin: 6rem;
  background: color-mix(in srgb, #f5b301 38%, transparent);
}
</style>"""

# Ours alone; only the comment changes, so that it runs again where another section is opened.
_TO_THE_MARK = """<script>/* {} */
document.querySelector(".rf-section mark")?.scrollIntoView({{ block: "center" }})
</script>"""

_HTML = {"text": words.paragraphs, "table": words.table, "code": words.listing}


def drawer(index: Found, citations: Sequence[Mapping[str, Any]], hits: Sequence[Any]) -> None:
    """Show the section that the URL opens, beside the page.

    Parameters
    ----------
    index : Found
    citations, hits : sequence of mapping
        Of what is shown: their quotes and passages are marked.
    """

    def draw() -> None:
        asked = asked_section()
        if asked is None:
            return
        document, ordinal = asked
        here = [
            one
            for one in (*citations, *hits)
            if one["document"] == document and one["section_ordinal"] == ordinal
        ]
        quotes = [quote["text"] for one in here for quote in one.get("quotes", ())]
        try:
            _read(
                read_section(
                    workspace(),
                    index,
                    document,
                    ordinal,
                    quotes=quotes,
                    passages=[one["text"] for one in here],
                )
            )
        except RfplatformError as error:
            tell(error, before="The section can't be opened: ")

    st.dialog(
        "Source", width=WIDTH, position="right", icon=":material/menu_book:",
        on_dismiss=close_section,
    )(draw)()  # fmt: skip


def _read(reading: Reading) -> None:
    st.html(_STYLE)
    st.caption(_document(reading))
    _above(reading.parents)
    st.subheader(plain(reading.heading or "Before the first heading"), anchor=False)
    told = [
        f"Section {reading.ordinal + 1:,} of {reading.count:,}",
        "" if reading.page is None else f"page {reading.page}",
        {"quote": "the quote is marked", "passage": "the passage is marked"}.get(
            reading.marked, ""
        ),
    ]
    st.caption(" · ".join(plain(part) for part in told if part))
    if reading.parts:
        st.html(f"<div class='rf-section'>{_text(reading)}</div>")
    else:
        st.caption("Nothing stands here but what is in the sections below it.")
    _turn(reading)
    if reading.marked:
        opened = f"{reading.document}#{reading.ordinal}"
        name = hashlib.sha256(opened.encode()).hexdigest()[:12]
        st.html(_TO_THE_MARK.format(name), unsafe_allow_javascript=True)


def _document(reading: Reading) -> str:
    name = reading.document if reading.document != reading.title else ""
    parts = (name, reading.licence or "no licence stated")
    title = " ".join(part for part in (reading.title, reading.version) if part)
    return " · ".join([f"**{plain(title)}**", *(plain(part) for part in parts if part)])


def _above(parents: Sequence[Neighbour]) -> None:
    """The headings above it; each opens its section."""
    if not parents:
        return
    with st.container(horizontal=True, gap="small", vertical_alignment="center"):
        for depth, parent in enumerate(parents):
            st.button(
                plain(_short(parent.heading, 60)),
                key=f"assistant.above.{depth}",
                icon=":material/chevron_right:",
                type="tertiary",
                on_click=open_section,
                args=(asked_document(), parent.ordinal),
            )


def asked_document() -> str:
    """The name of the document that is open."""
    asked = asked_section()
    return "" if asked is None else asked[0]


def _text(reading: Reading) -> str:
    page = reading.page
    pieces = []
    for part in reading.parts:
        if part.page is not None and part.page != page:
            page = part.page
            pieces.append(f"<div class='rf-page'>page {int(page)}</div>")
        pieces.append(_part(part))
    return "".join(pieces)


def _part(part: Part) -> str:
    return _HTML[part.kind](part.text, part.marks)


def _turn(reading: Reading) -> None:
    with st.container(horizontal=True, horizontal_alignment="distribute", gap="small"):
        for neighbour, name, icon in (
            (reading.before, "before", ":material/arrow_back:"),
            (reading.after, "after", ":material/arrow_forward:"),
        ):
            if neighbour is not None:
                st.button(
                    plain(_short(neighbour.heading or "Before the first heading", 40)),
                    key=f"assistant.{name}",
                    icon=icon,
                    icon_position="left" if name == "before" else "right",
                    help="The section before." if name == "before" else "The section after.",
                    on_click=open_section,
                    args=(asked_document(), neighbour.ordinal),
                )


def _short(text: str, most: int) -> str:
    return text if len(text) <= most else f"{text[: most - 1].rstrip()}…"
