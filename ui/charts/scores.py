"""Scores of benchmarks, each beside its baseline: a table, a plot by case, and one over time."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, TypeAlias

if TYPE_CHECKING:
    import altair as alt
    import pandas as pd

Row = Mapping[str, Any]
Chart: TypeAlias = "alt.LayerChart | alt.FacetChart"

SCORE, BASELINE, TARGET = "Score", "Baseline", "Target"
_COLORS = {SCORE: "#2a8fbd", BASELINE: "#e08214", TARGET: "#8a8f98"}
_UPRIGHT, _LEVEL = "M-.15,-1.5L.15,-1.5L.15,1.5L-.15,1.5Z", "M-1,-.15L1,-.15L1,.15L-1,.15Z"
_SHAPES = {SCORE: "circle", BASELINE: "diamond", TARGET: _LEVEL}
_AROUND = 120
"""Height in pixels of all that is around the cases."""

_WIDE = 30.0
"""Largest over smallest, from which an axis is logarithmic."""

_VERDICTS = {True: "✓ met", False: "✗ missed", None: ""}


def number(value: float | None) -> str:
    """Three digits or more, with thousands marked and a typographic minus; "–" for none."""
    if value is None:
        return "–"
    text = f"{value:,.0f}" if value == 0 or abs(value) >= 100 else f"{value:.3g}"
    return text.replace("-", "\N{MINUS SIGN}")


def target(row: Row) -> str:
    """What is to be reached: "≤ 0.5", "ratio ≤ 1.1", or nothing."""
    if row.get("target") is None:
        return ""
    sign = "≤" if row.get("better") == "lower" else "≥"
    return f"{'ratio ' if row.get('target_is_ratio') else ''}{sign} {number(row['target'])}"


def table(rows: Sequence[Row]) -> pd.DataFrame:
    """Rows of scores as texts; those that were skipped are left out.

    Benchmarks are named where there are several.

    Parameters
    ----------
    rows : sequence of mapping
        See `rfplatform.benchmark.Row.to_dict`.
    """
    import pandas as pd

    scored = [row for row in rows if row.get("metric") and not row.get("skipped")]
    frame = pd.DataFrame(
        {
            "Case": [row.get("case") or "–" for row in scored],
            "Metric": [metric_of(row) for row in scored],
            "Score": [number(row.get("value")) for row in scored],
            "Baseline": [number(row.get("baseline_value")) for row in scored],
            "Ratio": [_ratio(row) for row in scored],
            "Better": [_BETTER.get(row.get("better", ""), "") for row in scored],
            "Target": [target(row) for row in scored],
            "Verdict": [_VERDICTS.get(row.get("met"), "") for row in scored],
            "Baseline is": [row.get("baseline") or "–" for row in scored],
        }
    )
    if len({row.get("benchmark") for row in scored}) > 1:
        frame.insert(0, "Benchmark", [row.get("benchmark") or "–" for row in scored])
    return frame


_BETTER = {"lower": "↓ lower", "higher": "↑ higher"}


def metric_of(row: Row) -> str:
    """A metric with its unit."""
    return f"{row['metric']}, {row['unit']}" if row.get("unit") else str(row["metric"])


def columns(rows: Sequence[Row]) -> dict[str, Any]:
    """How a data frame of `table` is shown."""
    import streamlit as st

    subjects = sorted({str(row["subject"]) for row in rows if row.get("subject")})
    column = st.column_config
    return {
        "Benchmark": column.TextColumn(width=130, pinned=True),
        "Case": column.TextColumn(width=112, pinned=True),
        "Metric": column.TextColumn(width=188),
        "Score": column.TextColumn(
            width=70, alignment="right", help=f"Of {', '.join(subjects)}." if subjects else None
        ),
        "Baseline": column.TextColumn(
            width=74, alignment="right", help="The same score of what it is compared with."
        ),
        "Ratio": column.TextColumn(
            width=56, alignment="right", help="Score over baseline; median over the repeats."
        ),
        "Better": column.TextColumn(width=74, help="Whether a lower or a higher score is better."),
        "Target": column.TextColumn(width=94),
        "Verdict": column.TextColumn(width=84, help="Whether the target is met, if there is one."),
        "Baseline is": column.TextColumn(width=200, help="What it is compared with."),
    }


def by_case(rows: Sequence[Row]) -> Chart:
    """One metric's scores and baselines, a line for each case.

    Parameters
    ----------
    rows : sequence of mapping
        Of one metric.
    """
    import altair as alt
    import pandas as pd

    frame = pd.DataFrame([point for row in rows for point in _points(row)])
    title = metric_of(rows[0])
    order = list(dict.fromkeys(row["case"] for row in rows))
    base = alt.Chart(frame).encode(
        y=alt.Y(
            "case:N",
            sort=order,
            title=None,
            axis=alt.Axis(labelLimit=240, labelOverlap=False, grid=False),
        )
    )
    ways = (
        base.transform_filter(alt.datum.what != TARGET)
        .mark_rule(strokeWidth=2, opacity=0.45, color=_COLORS[TARGET])
        .encode(x=alt.X("min(value):Q", title=title), x2="max(value):Q")
    )
    dots = base.mark_point(size=120, filled=True, opacity=1.0).encode(
        x=alt.X("value:Q", title=title, scale=_scale(frame["value"]), axis=_axis()),
        color=_legend("color", _COLORS, frame),
        shape=_legend("shape", {**_SHAPES, TARGET: _UPRIGHT}, frame),
        tooltip=_tips(title),
    )
    return alt.layer(ways, dots).properties(height=_AROUND + 34 * len(order))


def over_time(runs: Sequence[tuple[Mapping[str, Any], Row]]) -> Chart:
    """One metric of one case, run by run.

    Parameters
    ----------
    runs : sequence of tuple
        What is told of a run ("time" in Unix seconds, "version", "platform"), and its row.
    """
    import altair as alt
    import pandas as pd

    points = [
        {**point, "time": pd.Timestamp(about["time"], unit="s"), "version": about["version"],
         "platform": about["platform"]}
        for about, row in runs
        for point in _points(row)
    ]  # fmt: skip
    frame = pd.DataFrame(points)
    row = runs[0][1]
    base = alt.Chart(frame).encode(
        x=alt.X("time:T", title=None, axis=alt.Axis(format="%Y-%m-%d", tickCount=6, grid=False)),
        y=alt.Y(
            "value:Q",
            title=row.get("unit") or None,
            scale=_scale(frame["value"]),
            axis=_axis(),
        ),
        color=_legend("color", _COLORS, frame),
    )
    lines = base.mark_line(strokeWidth=1.5).encode(
        strokeDash=alt.condition(alt.datum.what == SCORE, alt.value([1, 0]), alt.value([4, 4]))
    )
    dots = base.mark_point(size=90, filled=True, opacity=1.0).encode(
        shape=_legend("shape", _SHAPES, frame),
        tooltip=[
            alt.Tooltip("time:T", title="when (UTC)", format="%Y-%m-%d %H:%M"),
            alt.Tooltip("version:N", title="rfplatform"),
            alt.Tooltip("platform:N", title="on"),
            *_tips(metric_of(row)),
        ],
    )
    return alt.layer(lines, dots).properties(height=280)


def _tips(title: str) -> list[Any]:
    import altair as alt

    return [
        alt.Tooltip("case:N", title="case"),
        alt.Tooltip("what:N", title="what"),
        alt.Tooltip("name:N", title="of"),
        alt.Tooltip("text:N", title=title),
    ]


def _ratio(row: Row) -> str:
    return number(None if row.get("baseline_value") is None else row.get("ratio"))


def _points(row: Row) -> list[dict[str, Any]]:
    values = {SCORE: row.get("value"), BASELINE: row.get("baseline_value"), TARGET: _target(row)}
    names = {SCORE: row.get("subject"), BASELINE: row.get("baseline"), TARGET: target(row)}
    return [
        {"case": row["case"], "what": what, "value": value, "name": names[what] or "",
         "text": number(value)}
        for what, value in values.items()
        if value is not None
    ]  # fmt: skip


def _target(row: Row) -> float | None:
    """On the axis of the scores."""
    if row.get("target") is None:
        return None
    if not row.get("target_is_ratio"):
        return float(row["target"])
    baseline = row.get("baseline_value")
    return None if baseline is None else float(row["target"] * baseline)


def _legend(channel: str, table: Mapping[str, str], frame: pd.DataFrame) -> Any:  # noqa: ANN401
    import altair as alt

    shown = [what for what in table if (frame["what"] == what).any()]
    kind = alt.Color if channel == "color" else alt.Shape
    return kind(
        "what:N",
        scale=alt.Scale(domain=shown, range=[table[what] for what in shown]),
        legend=alt.Legend(title=None, orient="top", symbolOpacity=1.0),
    )


def _axis() -> Any:  # noqa: ANN401
    import altair as alt

    return alt.Axis(tickCount=6, labelOverlap="greedy", format=",.3~r")


def _scale(values: pd.Series[float]) -> Any:  # noqa: ANN401
    import altair as alt

    low, high = float(values.min()), float(values.max())
    if low > 0.0 and high / low > _WIDE:
        return alt.Scale(type="log", nice=True)
    return alt.Scale(zero=low >= 0.0, nice=True)
