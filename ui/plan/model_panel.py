"""How the quick map is made: formula, cells, receivers, load."""

from __future__ import annotations

from dataclasses import replace

import streamlit as st

from ui.plan import state

_FORMULAS = {
    "tr38901-uma": "Urban macro (3GPP TR 38.901 UMa)",
    "tr38901-umi": "Urban street canyon (UMi)",
    "tr38901-rma": "Rural macro (RMa)",
    "free-space": "Free space",
}
_CELLS_M = (2.0, 4.0, 8.0, 10.0, 16.0, 25.0, 50.0)


def model_panel() -> None:
    """Choose the formula and what is assumed; all of it holds for runs, too, but the formula."""
    draft = state.draft()
    # A key that holds the value: another draft (undo, a link) shows its own.
    solver = st.selectbox(
        "Quick map",
        list(_FORMULAS),
        index=list(_FORMULAS).index(draft.solver),
        format_func=_FORMULAS.__getitem__,
        key=f"plan.solver.{draft.solver}",
        help="A closed formula, with line of sight from the buildings. It answers at once; it "
        "knows no reflections and no street canyons. For those, start a run.",
    )
    cells, receiver = st.columns(2)
    sizes = sorted({*_CELLS_M, draft.resolution_m})
    resolution_m = cells.selectbox(
        "Cells, m", sizes, index=sizes.index(draft.resolution_m), format_func=lambda m: f"{m:g}",
        key=f"plan.cells.{draft.resolution_m}", help="Edge of a cell of the map.",
    )  # fmt: skip
    receiver_height_m = receiver.number_input(
        "Receiver, m", 0.5, 200.0, draft.receiver_height_m, 0.5,
        key=f"plan.receiver.{draft.receiver_height_m}", help="Height above the ground.",
    )  # fmt: skip
    load = st.slider(
        "Load of every sector, %", 0, 100, round(100 * draft.load), 5,
        key=f"plan.load.{draft.load}",
        help="How busy the neighbours are: it decides interference, and so SINR and rate.",
    )  # fmt: skip
    changed = replace(
        draft,
        solver=solver,
        resolution_m=resolution_m,
        receiver_height_m=receiver_height_m,
        load=load / 100.0,
    )
    if changed != draft:
        state.change(changed)
        st.rerun()
