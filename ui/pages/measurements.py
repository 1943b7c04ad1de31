"""Measurements: a drive test over a map, how far the map is off, and the map as measured."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import streamlit as st

from pipelines.desk.jobs import Job, find_job
from pipelines.desk.measured import Measured, measured, predicted, report_of
from pipelines.desk.uploads import Upload
from rfplatform.errors import RfplatformError
from ui.charts.residuals import residual_boxes
from ui.context import workspace
from ui.links import page_link
from ui.markdown import plain
from ui.measurements import calibration, choice, views
from ui.plan.shown import Shown, difference, of_run
from ui.telling import tell
from ui.words import number

VIEW = "measurements.view"
LEVEL, RESIDUAL, COMPARED, CHANGE, SPREAD, LEFT_OUT = (
    "Measured level",
    "Residual",
    "Before and after",
    "Change",
    "Spread",
    "Residual after",
)


def page() -> None:
    """Draw the page."""
    _adopt_link()
    left, right = st.columns([1.0, 2.5], gap="medium")
    with left:
        st.subheader("Measurements", anchor=False)
        upload = choice.drive_test()
        columns = None if upload is None else choice.columns_of(upload)
        job = None if upload is None else choice.map_job(choice.finished_maps())
    with right:
        if upload is None:
            _nothing_yet()
            return
        if columns is None:
            st.info(
                "Say at the left which columns hold longitude, latitude and RSRP.",
                icon=":material/view_column:",
            )
            return
    try:
        if job is None:
            with right:
                _levels(upload, columns)
            with left:
                _no_map()
        else:
            _compared(upload, columns, job, left, right)
    except RfplatformError as error:
        with right:
            tell(error)
    _publish_link(upload, job)


def _nothing_yet() -> None:
    st.markdown("##### Hold a map against what was measured")
    st.markdown(
        "Upload a drive test at the left: a table with a header, a reading in each row. "
        "Longitude and latitude are degrees (WGS 84), RSRP is in dBm; cell, device and time may "
        "be left out. Columns with other names can be assigned after the upload."
    )
    st.code(choice.FORMAT, language=None)
    st.markdown(
        "Then choose a finished map: its residuals are shown by cell and by device, and the map "
        "can be calibrated on the readings."
    )


def _no_map() -> None:
    if choice.finished_maps():
        st.caption("Choose a map to see how far it is off.")
        return
    st.info(
        "No map is finished yet. Run one on the Plan page, over the streets that were driven.",
        icon=":material/map:",
    )
    page_link("plan", "Plan", ":material/cell_tower:")


def _levels(upload: Upload, columns: Mapping[str, str]) -> None:
    with st.spinner("Reading the drive test"):
        found = measured(workspace(), upload.text, columns=columns)
    views.draw(_bounds(found), points=views.level_points(found, None))
    st.caption(choice.reading_words(found.stats))


def _compared(
    upload: Upload,
    columns: Mapping[str, str],
    job: Job,
    left: Any,  # noqa: ANN401  (streamlit's container)
    right: Any,  # noqa: ANN401
) -> None:
    with right, st.spinner("Reading the drive test"):
        shown = of_run(job.id)
        by_name = measured(workspace(), upload.text, columns=columns, radio_map=job.out)
    with left:
        sectors = [sector["label"] for sector in shown.display["sectors"]]
        cells = choice.cells_given(by_name.stats, sectors, f"{upload.name}.{job.id}")
    found = by_name
    if cells:
        with right, st.spinner("Comparing"):
            found = measured(
                workspace(), upload.text, columns=columns, radio_map=job.out, cells=cells
            )
    with left, st.container(border=True):
        st.markdown("**Calibrate the map on these readings**")
        calibration.start(job, upload, columns=columns, cells=cells, stats=found.stats)
        calibrated = calibration.chosen(calibration.calibrations(job, upload))
        if calibrated is not None:
            calibration.followed(calibrated)
    with right:
        is_done = calibrated is not None and calibrated.state == "done"
        _results(found, shown, calibrated if is_done else None)


def _results(found: Measured, before: Shown, calibrated: Job | None) -> None:
    options = [LEVEL, RESIDUAL]
    if calibrated is not None:
        options += [COMPARED, CHANGE, SPREAD, LEFT_OUT]
        if st.session_state.get("measurements.opened") != calibrated.id:
            st.session_state["measurements.opened"] = calibrated.id
            st.session_state[VIEW] = COMPARED
    if st.session_state.get(VIEW) not in options:
        st.session_state[VIEW] = RESIDUAL if found.stats["all"] else LEVEL
    view = st.segmented_control(
        "Show", options, key=VIEW, required=True, label_visibility="collapsed"
    )
    if view in (LEVEL, RESIDUAL) or calibrated is None:
        _before(found, before, by_level=view == LEVEL)
    else:
        _after(str(view), before, calibrated)


def _before(found: Measured, shown: Shown, *, by_level: bool) -> None:
    layer = shown.layers[views.RSRP]
    if by_level:
        overlay, points = views.overlay_of(shown, layer), views.level_points(found, layer)
    else:
        overlay = views.overlay_of(shown, layer, opacity=0.35, with_legend=False)
        points = views.error_points(found, "Map less measured")
    views.draw(tuple(shown.display["bounds"]), overlays=[overlay], points=points, shown=shown)
    st.caption(choice.reading_words(found.stats))
    if found.stats["note"]:
        st.warning(found.stats["note"], icon=":material/info:")
    _residuals(found)


def _after(view: str, before: Shown, calibrated: Job) -> None:
    after, report = of_run(calibrated.id), report_of(calibrated.out)
    bounds = tuple(after.display["bounds"])
    was, now = before.layers[views.RSRP], after.layers[views.RSRP]
    if view == COMPARED:
        overlays = [
            views.overlay_of(before, was, title="Before"),
            views.overlay_of(after, now, title="After"),
        ]
        views.draw(bounds, overlays=overlays, shown=after)
        if was["legend"]["range"] != now["legend"]["range"]:
            st.caption("Mind the legends: each map has colours of its own.")
    elif view == CHANGE:
        change = difference(before, after)
        overlay = views.overlay_of(change, change.layers[views.CHANGE])
        views.draw(bounds, overlays=[overlay], shown=after)
        st.caption("The calibrated map less the map as it was.")
    elif view == SPREAD:
        spread = after.layers.get(views.SPREAD)
        if spread is None:
            st.info("This map has no spread.", icon=":material/layers_clear:")
        else:
            views.draw(bounds, overlays=[views.overlay_of(after, spread)], shown=after)
            st.caption(
                "Standard deviation of a place's mean reading from the calibrated map. It grows "
                "where nobody drove."
            )
    else:
        left_out = predicted(workspace(), calibrated.out)
        faint = views.overlay_of(after, now, opacity=0.35, with_legend=False)
        points = views.error_points(left_out, "Calibrated map less measured")
        views.draw(bounds, overlays=[faint], points=points, shown=after)
        st.caption("Each point was predicted while its block of 64 m was left out.")
        _residuals(left_out)
    if report is not None and view != LEFT_OUT:
        calibration.before_and_after(report)
        calibration.offsets(report)
    calibration.downloads(calibrated)


def _residuals(found: Measured) -> None:
    everything = found.stats["all"]
    if everything is None:
        return
    columns = st.columns(4)
    columns[0].metric(
        "Points compared", number(everything["pixels"]), help="Means over cells of the map."
    )
    columns[1].metric(
        "Bias", f"{number(everything['bias_db'], 1)} dB", help="Map less measured, on average."
    )
    columns[2].metric("RMSE", f"{number(everything['rmse_db'], 1)} dB")
    low, high = everything["quantiles_db"][0], everything["quantiles_db"][-1]
    columns[3].metric("90 % lie within", f"{number(low)} to {number(high)} dB")
    by_cell, by_device = found.stats["by_cell"], found.stats["by_device"]
    sides = st.columns(2, gap="medium") if by_cell and by_device else [st.container()] * 2
    for side, title, groups in (
        (sides[0], "By cell", by_cell),
        (sides[1], "By device", by_device),
    ):
        if groups:
            with side:
                st.markdown(f"##### {title}")
                st.altair_chart(residual_boxes(groups), alt=f"Map less measured, {title.lower()}")


def _bounds(found: Measured) -> tuple[float, float, float, float]:
    west, south, east, north = found.stats["bounds"]
    return west, south, east, north


# ----------------------------------------------------------------------------------------------
# The link
# ----------------------------------------------------------------------------------------------


def _adopt_link() -> None:
    """Take over what the URL says, where it is not what this page wrote there.

    Whoever comes back from another page, where lists forget what was chosen in them, gets what was
    shown before.
    """
    told = {
        name: st.query_params[name] for name in ("test", "map", "job") if name in st.query_params
    }
    before: dict[str, str] = st.session_state.get("measurements.link", {})
    if not told and choice.TEST not in st.session_state:
        told = before
    elif told == before:
        return
    if not told:
        return
    st.session_state["measurements.link"] = told
    try:
        if "job" in told:
            options = find_job(workspace(), told["job"]).options
            told = {
                "test": str(options.get("measurements", "")),
                "map": str(options.get("map")),
            } | {"job": told["job"]}
        elif "map" in told:
            find_job(workspace(), told["map"])
    except RfplatformError as error:
        st.warning(f"The link can't be opened: {plain(error)}", icon=":material/link_off:")
        return
    for name, key in (("test", choice.TEST), ("map", choice.MAP), ("job", calibration.JOB)):
        if told.get(name):
            st.session_state[key] = told[name]


def _publish_link(upload: Upload, job: Job | None) -> None:
    link = {"test": upload.text}
    if job is not None:
        link["map"] = job.id
        if st.session_state.get(calibration.JOB):
            link["job"] = st.session_state[calibration.JOB]
    st.session_state["measurements.link"] = link
    if dict(st.query_params) != link:
        st.query_params.from_dict(link)
