"""Accuracies of models with their intervals, between what knows nothing and what others report."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from pipelines.desk.assistant_reports import Reported, Scored
from ui.charts.scores import Chart

MODEL, FLOOR, REPORTED = "Models", "Floors, which know nothing", "Reported by others"
_COLORS = {MODEL: "#2a8fbd", FLOOR: "#8a8f98", REPORTED: "#e08214"}
_SHAPES = {MODEL: "circle", FLOOR: "diamond", REPORTED: "circle"}
_ROW, _AROUND = 26, 84
"""Heights in pixels: of a line, and of all that is around the lines."""


def accuracies(scored: Sequence[Scored], reported: Sequence[Reported], case: str) -> Chart:
    """A line each: a dot, and whiskers over its 95 % interval; floors go on as faint lines.

    Parameters
    ----------
    scored : sequence of Scored
        With a score of the case.
    reported : sequence of Reported
        That can be shown beside it; hollow.
    case : str
        Of `pipelines.desk.assistant_reports.CASES`.
    """
    import altair as alt
    import pandas as pd

    rows = [_row(one, case) for one in scored] + [_reported_row(one) for one in reported]
    # What others report is called as its models are, which may be ours as well.
    frame = pd.DataFrame(rows).drop_duplicates(["name", "what", "value"])
    shown = [what for what in _COLORS if (frame["what"] == what).any()]
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "name:N",
            sort=list(dict.fromkeys(frame["name"])),
            title=None,
            axis=alt.Axis(labelLimit=260, labelOverlap=False, labelFlush=False, grid=False),
        )
    )
    stroke = _legend(alt.Stroke, _COLORS, shown)
    tips = [
        alt.Tooltip("name:N", title="what"),
        alt.Tooltip("told:N", title=f"accuracy, {case}"),
        alt.Tooltip("source:N", title="of"),
    ]
    scale = alt.Scale(domain=_domain(frame), nice=False, zero=False)
    x = alt.X(
        "value:Q",
        title=f"Accuracy, {case}",
        scale=scale,
        axis=alt.Axis(format=".2f", tickCount=8),
    )
    floors = (
        alt.Chart(frame[frame["what"] == FLOOR])
        .mark_rule(color=_COLORS[FLOOR], opacity=0.3, strokeDash=[3, 3])
        .encode(x=alt.X("value:Q", scale=scale))
    )
    whiskers = (
        base.transform_filter(alt.datum.high > alt.datum.low)
        .mark_rule(strokeWidth=2, opacity=0.75)
        .encode(x=alt.X("low:Q", scale=scale), x2="high:Q", stroke=stroke, tooltip=tips)
    )
    dots = base.mark_point(size=90, opacity=1.0, strokeWidth=1.8).encode(
        x=x,
        stroke=stroke,
        fill=_legend(alt.Fill, {**_COLORS, REPORTED: "transparent"}, shown),
        shape=_legend(alt.Shape, _SHAPES, shown),
        tooltip=tips,
    )
    lines = frame["name"].nunique()
    return alt.layer(floors, whiskers, dots).properties(height=_AROUND + _ROW * lines)


def _legend(kind: Any, table: Mapping[str, str], shown: Sequence[str]) -> Any:  # noqa: ANN401
    """A channel of what a point is; all of them are one legend."""
    import altair as alt

    return kind(
        "what:N",
        scale=alt.Scale(domain=shown, range=[table[what] for what in shown]),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1.0, labelLimit=260),
    )


def _row(one: Scored, case: str) -> dict[str, Any]:
    point = one.points[case]
    return {
        "name": one.name,
        "what": MODEL if one.is_model else FLOOR,
        "value": point.value,
        "low": point.low,
        "high": point.high,
        "told": f"{point.value:.3f}, 95 % {point.low:.3f} to {point.high:.3f}",
        "source": f"{point.count:,} questions",
    }


def _reported_row(one: Reported) -> dict[str, Any]:
    return {
        "name": f"{one.name}, {one.questions}",
        "what": REPORTED,
        "value": one.value,
        "low": one.value,
        "high": one.value,
        "told": f"{one.value:.3f}",
        "source": one.source,
    }


def _domain(frame: Any) -> tuple[float, float]:  # noqa: ANN401  (pandas has no types here)
    low, high = float(frame["low"].min()), float(frame["high"].max())
    return max(0.0, low - 0.03), min(1.0, high + 0.03)
