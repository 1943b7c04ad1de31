"""A question to an index: the answer with its sources, or the passages that come nearest."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pipelines.desk.assistant import (
    MODEL_VARIABLE,
    PASSAGES,
    URL_VARIABLE,
    Model,
    ask,
    configured_model,
    search,
)
from pipelines.desk.assistant_answers import (
    Kept,
    find_answer,
    forget,
    list_answers,
    worded,
)
from pipelines.desk.assistant_indexes import Found, Place, find_index, list_indexes
from rfplatform.errors import RfplatformError
from rfplatform.registry.registry import Registry
from ui.assistant.links import INDEX, QUESTION, asked_section, show
from ui.assistant.reading import drawer
from ui.assistant.sources import cards
from ui.assistant.words import answered
from ui.context import workspace
from ui.markdown import plain
from ui.telling import tell
from ui.words import distinct, duration, number, percent

_CHOSEN, _WORDS, _WANTED, _SEEN = (
    f"assistant.{name}" for name in ("index", "question", "wanted", "seen")
)
"""Keys of the session: two widgets, what a button asked for, and the question that was adopted."""

LONGEST_QUESTION = 4_000
NEAREST = 3

_STYLE = """<style>
div:has(> .st-key-assistant-main) { min-width: min(34rem, 100%); }
.st-key-assistant-main blockquote, .st-key-assistant-main blockquote p {
  color: inherit; opacity: 1;
}
.st-key-assistant-earlier button p { text-align: left; }
</style>"""

_INDEX_COMMANDS = """rfplatform oran index DOCS... --out specs --register"""


def draw() -> None:
    """Draw the tab."""
    ws, registry = workspace(), Registry.default()
    try:
        places = list_indexes(ws, registry)
    except RfplatformError as error:
        tell(error, before="The registry can't be read: ")
        return
    wanted = st.query_params.get(INDEX)
    if not places and not wanted:
        _no_index()
        return
    index, fault = _opened(registry, wanted or places[0].name)
    model = configured_model()
    _question_form(places, wanted or places[0].name if index is None else index.name, model)
    if index is None:
        tell(f"{fault}", before="The index can't be opened: ")
        return
    st.html(_STYLE)
    row = st.container(horizontal=True, gap="large")
    with row.container(width="stretch", key="assistant-main"):
        _main(index, model)
    with row.container(width=270, key="assistant-earlier", gap="xsmall"):
        _earlier()


def _opened(registry: Registry, name: str) -> tuple[Found | None, str]:
    try:
        return find_index(workspace(), registry, name), ""
    except RfplatformError as error:
        return None, workspace().own_words(error)


def _no_index() -> None:
    st.info(
        "No documents are indexed here yet. Index your own copies of the specifications (PDF, "
        "Word, HTML, Markdown, reStructuredText, text, YANG, ASN.1, JSON lines), and ask them "
        "here.",
        icon=":material/library_books:",
    )
    st.markdown("On the machine that this dashboard runs on:")
    st.code(_INDEX_COMMANDS, language=None, wrap_lines=True)
    st.caption(
        "The index goes into the registry, and appears here at once. The documents stay where "
        "they are; what was read of them stays on that machine."
    )


# ----------------------------------------------------------------------------------------------
# The question
# ----------------------------------------------------------------------------------------------


def _question_form(places: Sequence[Place], name: str, model: Model | None) -> None:
    names = _names(places)
    options = list(names) if name in names else [name, *names]
    question = st.query_params.get(QUESTION, "")
    st.session_state[_CHOSEN] = name
    if _WORDS not in st.session_state or st.session_state.get(_SEEN) != question:
        st.session_state[_WORDS] = question[:LONGEST_QUESTION]
    st.session_state[_SEEN] = question
    with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
        st.selectbox(
            "Index",
            options,
            format_func=lambda one: names.get(one, one),
            key=_CHOSEN,
            width=270,
            help="Of the registry, and of the workspace's folder `indexes`. Make one with "
            f"`{_INDEX_COMMANDS}`.",
            on_change=_rechosen,
        )
        with st.form("assistant.form", border=False, width="stretch"):  # noqa: SIM117
            with st.container(horizontal=True, vertical_alignment="bottom", gap="small"):
                st.text_input(
                    "Question" if model else "Words",
                    key=_WORDS,
                    max_chars=LONGEST_QUESTION,
                    placeholder="What does the E2 node report in an indication?"
                    if model
                    else "E2 indication report",
                    width="stretch",
                )
                st.form_submit_button(
                    "Ask" if model else "Search",
                    icon=":material/send:" if model else ":material/search:",
                    type="primary",
                    on_click=_submitted,
                )
    if model is None:
        st.caption(
            ":material/search: This server has no language model: passages are found, and not "
            f"summed up. Who runs it can name one: `{MODEL_VARIABLE}=PROVIDER/NAME`, and "
            f"`{URL_VARIABLE}=URL` where it has a server of its own."
        )
    else:
        st.caption(
            f":material/neurology: {plain(model.name)} answers from the documents alone, and what "
            "it quotes is looked up in them. What you ask and the passages that are found go to "
            "that model."
        )


def _names(places: Sequence[Place]) -> dict[str, str]:
    return distinct(
        {
            one.name: f"{one.name.partition('@')[0].removeprefix('indexes/')} · "
            f"{one.documents:,} {'document' if one.documents == 1 else 'documents'}"
            for one in places
        }
    )


def _rechosen() -> None:
    show(index=st.session_state[_CHOSEN], question=st.query_params.get(QUESTION, ""))


def _submitted() -> None:
    question = worded(st.session_state[_WORDS])
    show(index=st.session_state[_CHOSEN], question=question)
    st.session_state[_WANTED] = "ask"


def _want(how: str) -> None:
    st.session_state[_WANTED] = how


# ----------------------------------------------------------------------------------------------
# What comes of it
# ----------------------------------------------------------------------------------------------


def _main(index: Found, model: Model | None) -> None:
    question = worded(st.query_params.get(QUESTION, ""))[:LONGEST_QUESTION]
    wanted = st.session_state.pop(_WANTED, "")
    if not question:
        _about(index)
        _drawer(index, (), ())
        return
    st.markdown(f"#### {plain(question)}", anchors=False)
    kept = find_answer(workspace(), index.name, question)
    fault = ""
    if model is not None and wanted and (kept is None or wanted != "ask"):
        kept, fault = _asked(index, model, question, wanted, kept)
    if fault:
        tell(fault)
    if kept is not None:
        _answer(index, kept, model)
        _drawer(index, kept.record["citations"], kept.record["hits"])
        return
    found = _found(index, question)
    if found is not None:
        _passages(found, model, failed=bool(fault))
    _drawer(index, (), found["hits"] if found else ())


def _asked(
    index: Found, model: Model, question: str, wanted: str, kept: Kept | None
) -> tuple[Kept | None, str]:
    """The new answer; the one that was there, and why, where none comes."""
    try:
        with st.spinner(f"Asking {plain(model.name)}", show_time=True):
            return (
                ask(
                    workspace(),
                    model,
                    index,
                    question,
                    again=wanted != "ask",
                    anyway=wanted == "anyway",
                ),
                "",
            )
    except RfplatformError as error:
        return kept, str(error)


def _drawer(index: Found, citations: Sequence[Any], hits: Sequence[Any]) -> None:
    """The section that the URL opens, if it opens one."""
    if asked_section() is not None:
        drawer(index, citations, hits)


@st.cache_data(
    max_entries=64,
    show_spinner="Searching",
    hash_funcs={Found: lambda index: (str(index.path), index.digest)},
)
def _searched(index: Found, words: str) -> dict[str, Any]:
    return search(workspace(), index, words)


def _found(index: Found, question: str) -> dict[str, Any] | None:
    try:
        return _searched(index, question)
    except RfplatformError as error:
        tell(error)
        return None


def _passages(found: Mapping[str, Any], model: Model | None, *, failed: bool) -> None:
    """What a search found; and the model's answer for a click, where there is a model."""
    if model is not None:
        with st.container(horizontal=True, vertical_alignment="center", gap="small"):
            st.button(
                "Try again" if failed else f"Ask {plain(model.name)}",
                icon=":material/send:",
                on_click=_want,
                args=("ask",),
            )
            if not failed:
                st.caption("It was not asked yet. These passages come nearest.", width="content")
    if not found["hits"]:
        st.info("No passage holds any of these words.", icon=":material/search_off:")
        return
    shown, expansions = len(found["hits"]), found["expansions"]
    told = f"The {shown} best" if shown == PASSAGES else f"{shown}"
    also = f" Also looked for: {plain(', '.join(expansions))}." if expansions else ""
    st.caption(f"{told} of {found['chunks']:,} passages.{also}")
    cards(found["hits"], "assistant.hit")
    _told(found["warnings"], "Remarks")


def _answer(index: Found, kept: Kept, model: Model | None) -> None:
    record = kept.record
    if kept.digest != index.digest:
        st.caption(
            ":material/history: The index was changed since this was answered: sections may have "
            "moved. Ask again for an answer from what it holds now."
        )
    cited = {one["number"] for one in record["citations"]}
    rest = [hit for hit in record["hits"] if hit["number"] not in cited]
    if record["found"]:
        with st.container(key="assistant-answer"):
            st.markdown(answered(record["text"], sorted(cited)))
        st.markdown("##### Sources")
        cards(record["citations"], "assistant.cited")
        if rest:
            with st.expander(
                f"Also found, and not cited: {len(rest)}", icon=":material/manage_search:"
            ):
                cards(rest, "assistant.rest")
    else:
        st.warning(f"**Not in the documents.** {_why_not(record)}", icon=":material/search_off:")
        if record["outcome"] == "nothing relevant" and record["hits"] and model is not None:
            st.button(
                f"Ask {plain(model.name)} anyway",
                icon=":material/send:",
                help="The model sees the passages below. It may still find no answer in them.",
                on_click=_want,
                args=("anyway",),
            )
        if rest:
            st.markdown("##### Nearest passages")
            cards(rest[:NEAREST], "assistant.nearest")
        if rest[NEAREST:]:
            with st.expander(f"{len(rest) - NEAREST} more", icon=":material/manage_search:"):
                cards(rest[NEAREST:], "assistant.more")
    _told(record["warnings"], "Left out, and why")
    _footer(kept, model)


def _why_not(record: Mapping[str, Any]) -> str:
    if record["outcome"] == "denied":
        return "The model found no answer in the passages below."
    if record["outcome"] == "ungrounded":
        return "The model's reply rests on no passage, and is not shown: no quote of it was found."
    if not record["hits"]:
        return "No passage holds any of the question's words; no model was asked."
    return (
        f"The best passages hold {percent(record['relevance'])} of what the question is about, "
        f"and {percent(record['least_relevance'])} is the least; no model was asked."
    )


def _told(lines: Sequence[str], title: str) -> None:
    if lines:
        with st.expander(title, icon=":material/notes:"):
            for line in lines:
                st.markdown(f"- {plain(line)}")


def _footer(kept: Kept, model: Model | None) -> None:
    record = kept.record
    tokens = record["tokens"]
    told = [
        plain(record["model"]) if record["calls"] else "",
        f"asked {duration(time.time() - kept.asked)} ago",
        f"relevance {number(record['relevance'], 2)}",
        f"{number(tokens['in'])} + {number(tokens['out'])} tokens" if tokens["in"] else "",
        f"{record['calls']} calls" if record["calls"] > 1 else "",
        f"{number(record['seconds'], 1)} s" if record["calls"] else "",
    ]
    with st.container(horizontal=True, vertical_alignment="center", gap="small"):
        st.caption(" · ".join(part for part in told if part), width="stretch")
        if model is not None:
            st.button(
                "Ask again",
                icon=":material/refresh:",
                type="tertiary",
                help="A new answer takes this one's place.",
                on_click=_want,
                args=("again",),
            )
        st.button(
            "Remove",
            icon=":material/delete:",
            type="tertiary",
            help="From the questions that were asked here.",
            on_click=_removed,
            args=(kept,),
        )


def _removed(kept: Kept) -> None:
    forget(workspace(), kept.index, kept.question)
    show(index=kept.index, question="")


# ----------------------------------------------------------------------------------------------
# Beside it
# ----------------------------------------------------------------------------------------------


def _earlier() -> None:
    """What was asked here before; kept on the disk, for everyone who uses this dashboard."""
    answers = list_answers(workspace())
    st.markdown("**Asked before**")
    if not answers:
        st.caption("Questions and their answers are kept here.")
    for place, kept in enumerate(answers):
        question = kept.question
        st.button(
            plain(question if len(question) <= 90 else f"{question[:89]}…"),
            key=f"assistant.earlier.{place}",
            icon=":material/check:" if kept.record.get("found") else ":material/search_off:",
            type="tertiary",
            help=f"{plain(kept.index.partition('@')[0])}, {duration(time.time() - kept.asked)} ago",
            on_click=show,
            kwargs={"index": kept.index, "question": question},
        )


def _about(index: Found) -> None:
    """What the index holds, for who has not asked yet."""
    import pandas as pd

    manifest = index.manifest
    st.markdown("**What this index holds**")
    st.caption(
        f"{plain(index.name)} · {len(manifest.documents):,} documents in "
        f"{manifest.chunks:,} passages"
        + (f", with vectors of {plain(manifest.dense.embedder)}" if manifest.dense else "")
    )
    column = st.column_config
    table = pd.DataFrame(
        {
            "Document": [document.title or document.name for document in manifest.documents],
            "Version": [document.version or None for document in manifest.documents],
            "Sections": [document.sections for document in manifest.documents],
            "Licence": [document.licence or None for document in manifest.documents],
            "File": [document.name for document in manifest.documents],
            "Not made out": ["; ".join(d.notes) or None for d in manifest.documents],
        }
    )
    st.dataframe(
        table.dropna(axis="columns", how="all"),
        hide_index=True,
        placeholder="–",
        height=460 if len(table) > 12 else "auto",
        alt="Documents of the index",
        column_config={
            "Document": column.TextColumn(width=300, pinned=True),
            "Version": column.TextColumn(width=80),
            "Sections": column.NumberColumn(width=76),
            "Licence": column.TextColumn(width=110),
            "File": column.TextColumn(width=260),
            "Not made out": column.TextColumn(
                width=220, help="What the reader could not make out of the document."
            ),
        },
    )
