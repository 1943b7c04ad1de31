"""Evaluations of the registry: models beside what knows nothing, and what others report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from pipelines.desk.assistant_reports import (
    Evaluated,
    Gained,
    Point,
    Reported,
    Scored,
    list_evaluations,
)
from rfplatform.errors import RfplatformError
from rfplatform.registry.registry import Registry
from ui.assistant.links import REPORT
from ui.links import page_link
from ui.markdown import plain
from ui.telling import tell
from ui.words import distinct, number, percent

if TYPE_CHECKING:
    import pandas as pd

_CHOSEN = "assistant.report"
_FIRST = ("macro", "weighted", "easy", "medium", "hard")
_APART = (
    "usable macro",
    "usable weighted",
    "negated",
    "not negated",
    "provided context",
    "no provided context",
)
_COMMAND = "rfplatform bench oran --model PROVIDER/NAME --register"
_FLOOR_COLOR = "color: #8a8f98"
_LONGEST_NAME = 60


def draw() -> None:
    """Draw the tab."""
    try:
        found = list_evaluations(Registry.default())
    except RfplatformError as error:
        tell(error, before="The registry can't be read: ")
        return
    if not found:
        _nothing_yet()
        return
    one = _chosen(found)
    if one is None:
        return
    _about(one, with_name=len(found) == 1)
    case = _case(one)
    from ui.charts.accuracies import accuracies

    shown = [scored for scored in one.scored if case in scored.points]
    st.altair_chart(
        accuracies(shown, _beside(one.reported, case), case),
        width="stretch",
        alt=f"Accuracy, {case}: models, floors and what others report, with 95 % intervals",
    )
    _table(one.scored, _FIRST, "Scores over all rows", with_unparsed=True)
    _remarks(one)
    _gains(one.gains)
    st.markdown("##### Usable rows alone, and kinds of questions")
    _table(one.scored, _APART, "Scores over usable rows, and over kinds of questions")
    st.caption(
        "Negated questions ask what is not the case. Questions with provided context speak of a "
        "text that does not come with them."
    )
    _quoted(one.reported)
    if one.command:
        st.markdown("##### The command that made it")
        st.code(one.command, language=None, wrap_lines=True)
    page_link("registry", "Open the report", ":material/lab_profile:", artifact=one.ref)


def _nothing_yet() -> None:
    st.info(
        "No language model was evaluated here yet. Have one answer ORAN-Bench-13K; what knows "
        "nothing is scored beside it.",
        icon=":material/leaderboard:",
    )
    st.code(_COMMAND, language=None, wrap_lines=True)
    st.caption(
        "With `--rag INDEX`, what retrieval from your documents gains is measured as well; with "
        "`--limit 500`, on so many questions. `--register` keeps the report, which then appears "
        "here."
    )


def _chosen(found: Sequence[Evaluated]) -> Evaluated | None:
    known = {one.ref: one for one in found}
    wanted = st.query_params.get(REPORT)
    if wanted is not None and wanted not in known:
        st.error(
            f"The link can't be opened: there is no evaluation {plain(wanted)}.",
            icon=":material/link_off:",
        )
        return None
    if len(found) == 1:
        return found[0]
    names = distinct({one.ref: f"{_named(one)} · {_moment(one.made)}" for one in found})
    st.session_state[_CHOSEN] = wanted or found[0].ref
    st.selectbox(
        "Evaluation",
        list(names),
        format_func=names.__getitem__,
        key=_CHOSEN,
        help="The newest first.",
        width=520,
        on_change=_rechosen,
    )
    return known[wanted or found[0].ref]


def _rechosen() -> None:
    st.query_params[REPORT] = st.session_state[_CHOSEN]


def _named(one: Evaluated) -> str:
    text = ", ".join(one.models) or "Floors alone"
    return text if len(text) <= _LONGEST_NAME else f"{text[: _LONGEST_NAME - 1]}…"


def _moment(made: str) -> str:
    return f"{datetime.fromisoformat(made):%d %b %Y, %H:%M} UTC"


def _about(one: Evaluated, *, with_name: bool) -> None:
    if with_name:
        st.markdown(f"#### {plain(_named(one))}", anchors=False)
    total, unusable = sum(one.questions.values()), sum(one.unusable.values())
    parts = ", ".join(f"{count:,} {plain(name)}" for name, count in one.questions.items())
    told = [
        f"{total:,} questions ({parts})" if total else "",
        f"{unusable:,} of them unusable" if unusable else "",
        f"options {plain(one.order)}" if one.order else "",
        _moment(one.made),
        f"rfplatform {plain(one.version)}" if one.version else "",
        plain(one.platform),
    ]
    st.caption(" · ".join(part for part in told if part))
    for name, why in one.unfinished.items():
        st.warning(f"Unfinished: {plain(name)}: {plain(why)}", icon=":material/warning:")


def _case(one: Evaluated) -> str:
    cases = [case for case in _FIRST if any(case in scored.points for scored in one.scored)]
    names = {case: case.capitalize() for case in cases}
    default = "macro" if "macro" in cases else next(iter(cases), "")
    chosen = st.segmented_control(
        "Score",
        cases,
        default=default,
        format_func=names.__getitem__,
        key=f"assistant.case.{one.ref}",
        required=True,
        help="Macro: the mean of the three difficulties. Weighted: by how many rows each has.",
    )
    return str(chosen or default)


def _beside(reported: Sequence[Reported], case: str) -> list[Reported]:
    """What can be shown beside a score: ORANBench's accuracy is its macro and weighted score."""
    measures = {"macro": ("macro", "accuracy"), "weighted": ("weighted", "accuracy")}
    return [one for one in reported if one.measure in measures.get(case, ())]


# ----------------------------------------------------------------------------------------------
# Tables
# ----------------------------------------------------------------------------------------------


def _table(
    scored: Sequence[Scored], cases: Sequence[str], alt: str, *, with_unparsed: bool = False
) -> None:
    frame = _frame(scored, cases, with_unparsed=with_unparsed)
    is_floor = [not one.is_model for one in scored]

    def dimmed(row: pd.Series[Any]) -> list[str]:
        return [_FLOOR_COLOR if is_floor[int(row.name)] else ""] * len(row)  # type: ignore[call-overload]

    column = st.column_config
    texts = {
        name: column.TextColumn(width=_WIDTHS.get(name, 82), alignment="right", help=help_)
        for name, help_ in _HELP.items()
    }
    st.dataframe(
        frame.style.apply(dimmed, axis=1),
        hide_index=True,
        height="content",
        placeholder="–",
        alt=alt,
        column_config={"": column.TextColumn(width=230), **texts},
    )


_HELP: Mapping[str, str | None] = {
    "Macro": "Mean of the three difficulties.",
    "Macro, 95 %": "By bootstrap over questions of the same words.",
    "Weighted": "By how many rows each difficulty has.",
    "Weighted, 95 %": "By bootstrap over questions of the same words.",
    "Easy": None,
    "Medium": None,
    "Hard": None,
    "Unparsed": "Answers that could not be read; they count as wrong.",
    "Usable macro": "Without rows that lack a question or options.",
    "Usable weighted": "Without rows that lack a question or options.",
    "Negated": None,
    "Not negated": None,
    "Provided context": None,
    "No provided context": None,
}
_WIDTHS = {
    "Macro, 95 %": 110,
    "Weighted, 95 %": 118,
    "Usable macro": 112,
    "Usable weighted": 128,
    "Not negated": 100,
    "Provided context": 130,
    "No provided context": 150,
}


def _frame(scored: Sequence[Scored], cases: Sequence[str], *, with_unparsed: bool) -> pd.DataFrame:
    import pandas as pd

    columns: dict[str, list[str | None]] = {"": [one.name for one in scored]}
    for case in cases:
        points = [one.points.get(case) for one in scored]
        if not any(points):
            continue
        name = case.capitalize()
        columns[name] = [None if point is None else _share(point.value) for point in points]
        if case in ("macro", "weighted"):
            columns[f"{name}, 95 %"] = [None if p is None else _interval(p) for p in points]
    if with_unparsed:
        columns["Unparsed"] = [
            percent(one.unparsed, 1) if one.is_model and one.unparsed is not None else None
            for one in scored
        ]
    return pd.DataFrame(columns)


def _share(value: float) -> str:
    return f"{value:.3f}"


def _interval(point: Point) -> str:
    return f"{point.low:.3f} – {point.high:.3f}"


def _remarks(one: Evaluated) -> None:
    told = [
        f"{plain(scored.name)}: mean of {scored.repeats} repeats"
        for scored in one.scored
        if scored.repeats > 1
    ]
    lines = ["Grey: floors, which know nothing of the subject.", *told]
    st.caption(" · ".join(lines))


def _gains(gains: Sequence[Gained]) -> None:
    if not gains:
        return
    st.markdown("##### Gains, paired over the same questions")
    with st.container(horizontal=True, gap="medium"):
        for gain in gains:
            point, name = (gain.weighted, "weighted") if gain.weighted else (gain.macro, "macro")
            if point is None:
                continue
            with st.container(border=True, width=360, gap="xsmall"):
                st.metric(
                    plain(gain.what),
                    f"{_signed(point.value)} {name}",
                    help="How much better the first is than the second.",
                )
                macro = f" · macro {_signed(gain.macro.value)}" if gain.macro else ""
                st.caption(
                    f"95 % {_signed(point.low)} to {_signed(point.high)} · "
                    f"{point.count:,} questions{macro if name == 'weighted' else ''}"
                )


def _signed(value: float) -> str:
    return f"{'+' if round(value, 3) > 0 else ''}{number(value, 3)}"


def _quoted(reported: Sequence[Reported]) -> None:
    """What others report, with its sources; none of it was measured here."""
    if not reported:
        return
    with st.expander("Reported by others, not measured here", icon=":material/format_quote:"):
        for source in dict.fromkeys(one.source for one in reported):
            own = [one for one in reported if one.source == source]
            told = "; ".join(
                f"{plain(one.name)} {_share(one.value)}"
                + (f" {plain(one.measure)}" if one.measure != "accuracy" else "")
                for one in own
            )
            st.markdown(f"**{plain(own[0].questions)}:** {told}")
            st.caption(plain(source))
