"""What is seen of the map: which one, which layer, from which level on, how much that covers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import streamlit as st

from pipelines.desk.jobs import Job
from rfplatform.formats.display import share_at_least
from ui.charts.coverage import histogram, server_shares
from ui.jobs.telling import names_of_jobs
from ui.markdown import plain
from ui.plan import state
from ui.plan.shown import Shown
from ui.words import number, percent

QUICK = ""
HOW = {"side": "Side by side", "difference": "Difference"}


def map_choice(runs: Sequence[Job]) -> None:
    """Choose the map, and another to compare it with."""
    names = {QUICK: "Quick map", **names_of_jobs(runs)}
    if state.get("run") not in names:
        state.put("run", QUICK)
    current = state.get("run")
    key = f"plan.map_choice.{current}"
    st.selectbox(
        "Map",
        list(names),
        format_func=names.__getitem__,
        key=key,
        index=list(names).index(current),
        on_change=_choose_map,
        args=(key, {run.id: run for run in runs}),
        help="The quick map follows what you change; runs stay as they were made.",
    )
    others = {"": "Nothing"} | {n: t for n, t in {"quick": "Quick map", **names}.items() if n}
    others.pop(current or "quick", None)
    if len(others) < 2:
        return
    if state.get("versus") not in others:
        state.put("versus", "")
    versus = st.selectbox(
        "Compare with",
        list(others),
        index=list(others).index(state.get("versus", "")),
        format_func=others.__getitem__,
        key=f"plan.versus_choice.{current}",
        help="Another map of the same place, beside this one or as the difference.",
    )
    state.put("versus", versus)
    if versus:
        how = st.segmented_control(
            "How", list(HOW), format_func=HOW.__getitem__, default=state.get("how") or "side",
            key="plan.how_choice", label_visibility="collapsed", width="stretch", required=True,
        )  # fmt: skip
        state.put("how", how)
    else:
        state.put("how", "")


def _choose_map(widget: str, runs: Mapping[str, Job]) -> None:
    chosen = st.session_state[widget]
    if chosen in runs:
        state.open_run(runs[chosen])
    else:
        state.put("run", QUICK)


def layer_choice(shown: Shown) -> Mapping[str, Any]:
    """Choose the layer."""
    layers = shown.layers
    if not state.get("layer"):
        state.put("layer", next(iter(layers)))
    # A layer that this map lacks stays wished for: another may have it.
    wanted = state.get("layer")
    current = wanted if wanted in layers else next(iter(layers))
    key = "plan.layer_choice." + "-".join(layers)[:200] + current
    st.selectbox(
        "Layer",
        list(layers),
        index=list(layers).index(current),
        format_func=lambda name: layers[name]["title"],
        key=key,
        # Before the page is drawn: else the next choice would be made in a list that is gone.
        on_change=lambda: state.put("layer", st.session_state[key]),
        help=_sentence(layers[current].get("comment") or "What is drawn") + ".",
    )
    return layers[current]


def _sentence(text: str) -> str:
    return text[:1].upper() + text[1:]


def threshold_of(layer: Mapping[str, Any]) -> float | None:
    """The level that counts as covered; None for layers without such a level."""
    bounds = layer.get("threshold")
    if bounds is None:
        return None
    low, high = float(bounds["min"]), float(bounds["max"])
    kept: dict[str, float] = state.get("thresholds", {})
    value = st.slider(
        f"Covered from, {layer['unit']}",
        low,
        high,
        min(max(low, kept.get(layer["name"], float(bounds["value"]))), high),
        float(bounds["step"]),
        key=f"plan.threshold.{layer['name']}.{bounds['min']}.{bounds['max']}",
        format="%g",
        help="Cells below are drawn grey.",
    )
    state.put("thresholds", {**kept, layer["name"]: value})
    return float(value)


def coverage(shown: Shown, layer: Mapping[str, Any], threshold: float | None) -> None:
    """The covered share and the histogram."""
    facts = shown.display.get("facts", {})
    if threshold is not None and layer.get("distribution"):
        share = share_at_least(layer, threshold)
        area_km2 = facts.get("outdoor_km2")
        covered = "" if area_km2 is None else f"{number(share * area_km2, 2)} km²"
        _side_by_side(
            ("Covered", percent(share, 1), f"Of the outdoor area: {covered}."),
            (f"Median, {layer['unit']}", number(layer.get("median"), 1), None),
        )
    if "rmse_db" in facts:
        _side_by_side(
            ("Median, dB", number(facts["median_db"], 1), None),
            ("RMS, dB", number(facts["rmse_db"], 1), "Root mean square difference."),
        )
        st.caption(
            f"Coverage gained {percent(facts['gained_share'], 1)}, "
            f"lost {percent(facts['lost_share'], 1)} of the outdoor area."
        )
    if layer["legend"]["kind"] == "scale" and layer.get("distribution"):
        st.altair_chart(
            histogram(layer, threshold),
            width="stretch",
            alt=f"How often each {layer['title']} occurs outdoors",
        )
    else:
        chart = server_shares(layer)
        if chart is not None:
            st.altair_chart(
                chart, width="stretch", alt=f"Shares of the outdoor area by {layer['title']}"
            )
    told = []
    if facts.get("noise_db") is not None:
        told.append(f"median standard error {number(facts['noise_db'], 1)} dB")
    if facts.get("stopped_by") == "interrupted":
        told.append("stopped before it converged")
    if told:
        st.caption(_sentence("; ".join(told)) + ".")
    for warning in facts.get("warnings", ()):
        st.caption(f":material/warning: {plain(_sentence(str(warning)))}")


def _side_by_side(*metrics: tuple[str, str, str | None]) -> None:
    """Numbers with their names, below one another where the page is narrow."""
    with st.container(horizontal=True, gap="medium"):
        for label, value, words in metrics:
            st.metric(label, value, help=words, width="content")
