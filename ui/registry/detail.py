"""What is told of one artifact: its facts, where it comes from, its files, and its card."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

import streamlit as st

from pipelines import registry as pipeline
from rfplatform.errors import RfplatformError
from rfplatform.registry.registry import Registry
from ui.links import page_link
from ui.markdown import plain
from ui.telling import tell
from ui.words import size

if TYPE_CHECKING:
    import pandas as pd

ARTIFACT = "artifact"
"""The query parameter of what is open."""

LARGEST_DOWNLOAD_BYTES = 64_000_000
"""Of a file that is handed out through the browser."""

LONGEST_TABLE = 16
"""Rows of a table that is shown at full length."""

KIND_WORDS: Mapping[str, str] = {
    "dataset": "Data set",
    "scene": "Scene",
    "radio-map": "Radio map",
    "collection": "Collection",
    "model": "Model",
    "report": "Report",
}
KIND_ICONS: Mapping[str, str] = {
    "dataset": ":material/table_chart:",
    "scene": ":material/location_city:",
    "radio-map": ":material/cell_tower:",
    "collection": ":material/stacks:",
    "model": ":material/model_training:",
    "report": ":material/lab_profile:",
}
STATE_WORDS: Mapping[str, str] = {
    "here": "Here",
    "elsewhere": "Elsewhere",
    "shipped": "Included",
    "download": "Download",
    "manual": "By hand",
}
_TABS = ("Overview", "Lineage", "Files", "Card")


def open_artifact(ref: str) -> None:
    """Have the URL ask for an artifact."""
    st.query_params[ARTIFACT] = ref


def close_artifact() -> None:
    """Have it ask for none."""
    if ARTIFACT in st.query_params:
        del st.query_params[ARTIFACT]


def details(registry: Registry, ref: str) -> None:
    """Show an artifact, or something that can be had.

    Parameters
    ----------
    registry : Registry
    ref : str
        Of any origin, as from a link.

    Raises
    ------
    InputError
        If there is none of that name, or its record is damaged.
    """
    about = pipeline.describe(registry, ref)
    with st.container(border=True):
        with st.container(horizontal=True, vertical_alignment="top", wrap=False):
            st.subheader(plain(about["title"] or about["name"]), anchor=False)
            st.button(
                "Close",
                key="registry.close",
                icon=":material/close:",
                type="tertiary",
                on_click=close_artifact,
            )
        with st.container(horizontal=True, gap="small"):
            st.badge(KIND_WORDS[about["kind"]], icon=KIND_ICONS[about["kind"]], color="primary")
            st.badge(STATE_WORDS[about["state"]], color="gray")
            st.badge(plain(about["licence"] or "no licence stated"), color="gray")
        st.code(about["ref"], language=None, wrap_lines=True)
        if "digest" not in about:
            _offer(registry, about)
            return
        overview, lineage, files, card = st.tabs(
            _TABS, key="tab", on_change="rerun", bind="query-params"
        )
        with overview:
            if overview.open:
                _overview(registry, about)
        with lineage:
            if lineage.open:
                _lineage(registry, about)
        with files:
            if files.open:
                _files(registry, about)
        with card:
            if card.open:
                _card(registry, about["ref"])


def _offer(registry: Registry, data: Mapping[str, Any]) -> None:
    """What can be had, and how."""
    _facts(
        {
            "Holds": data["schema"],
            "How it was made": data["made"],
            "Source": data["homepage"],
            "Licence": data["licence"],
            "Cite": data["citation"],
            "Size": size(data["size_bytes"]) if data["size_bytes"] is not None else "not known",
        }
    )
    if data["files"]:
        _file_table(data["files"])
    if data["unpinned"]:
        st.caption("No hash was known beforehand: that of what comes is recorded.")
    if data["state"] == "shipped":
        if st.button(
            "Add to the registry",
            icon=":material/add:",
            help="Copies its files into the registry; nothing is downloaded.",
        ):
            _fetch(registry, data["ref"])
    elif data["state"] == "download":
        st.markdown("To download it into the registry:")
        st.code(f"rfplatform registry fetch {data['ref']}", language=None, wrap_lines=True)
    else:
        st.markdown("**A person must get it:**")
        st.text(data["manual"])


def _fetch(registry: Registry, ref: str) -> None:
    try:
        pipeline.fetch(registry, ref)
    except RfplatformError as error:
        tell(error)
    else:
        st.rerun()


def _overview(registry: Registry, about: Mapping[str, Any]) -> None:
    facts = about["facts"]
    _facts(
        {
            "Holds": about["schema"],
            "How it was made": facts.get("made"),
            "Source": facts.get("homepage") or facts.get("attribution"),
            "Licence": about["licence"] or "not stated",
            "Cite": about["citation"],
            "Made": _moment(about["created"]),
            "Size": f"{size(about['size_bytes'])} in {_files_of(len(about['files']))}",
            # Where it lies on this server is nobody's concern.
            "Stored at": about["store_url"] if "://" in about["store_url"] else None,
        }
    )
    _scores(registry, about)
    told = ("made", "homepage", "attribution", "metrics", "inputs", "limits", "warnings")
    for limit in _lines(facts.get("limits")) + _lines(facts.get("warnings")):
        st.warning(plain(limit), icon=":material/warning:")
    _section("Configuration", about["config"])
    _section("Facts", {name: value for name, value in facts.items() if name not in told})
    _section("How the making went", about["run"], expanded=False)


def _files_of(count: int) -> str:
    return "1 file" if count == 1 else f"{count:,} files"


def _moment(created: str) -> str:
    return f"{datetime.fromisoformat(created):%d %b %Y, %H:%M} UTC"


def _lines(value: object) -> list[object]:
    return value if isinstance(value, list) else [value] if value else []


def _section(title: str, values: object, *, expanded: bool = True) -> None:
    from rfplatform.registry.card import flat

    rows = flat(values) if isinstance(values, Mapping) else {}
    if not rows:
        return
    with st.expander(title, expanded=expanded):
        if len(rows) <= LONGEST_TABLE:
            _facts(rows)
        else:
            _long(title, rows)


def _long(title: str, rows: Mapping[str, str]) -> None:
    """A table that scrolls, and can be searched."""
    column = st.column_config
    st.dataframe(
        {"Name": list(rows), "Value": list(rows.values())},
        hide_index=True,
        height=360,
        alt=title,
        column_config={
            "Name": column.TextColumn(width=270, pinned=True),
            "Value": column.TextColumn(width=200),
        },
    )


def _facts(values: Mapping[str, object]) -> None:
    """A table of names and values, without those that are not known."""
    known = {name: value for name, value in values.items() if value not in (None, "")}
    st.table(
        {"": [f"**{plain(name)}**" for name in known], " ": [plain(v) for v in known.values()]},
        border="horizontal",
        hide_index=True,
        hide_header=True,
    )


def _scores(registry: Registry, about: Mapping[str, Any]) -> None:
    from rfplatform.registry.card import scores_of
    from ui.charts.scores import columns, table

    scores = scores_of(registry, registry.get(about["ref"]))
    if scores:
        st.markdown("**Scores**, each beside its baseline")
        frame = table(scores)
        st.dataframe(
            frame, hide_index=True, column_config=columns(scores), placeholder="–", alt="Scores"
        )
    if about["kind"] == "report":
        page_link("benchmarks", "Open in Benchmarks", ":material/leaderboard:", job=about["ref"])


# ----------------------------------------------------------------------------------------------
# Where it comes from
# ----------------------------------------------------------------------------------------------


def _lineage(registry: Registry, about: Mapping[str, Any]) -> None:
    from ui.charts.lineage import MOST, dot

    nodes = pipeline.describe(registry, about["ref"], lineage=True)["lineage"]
    children = [
        {"ref": entry.ref, "kind": entry.kind}
        for entry in registry.children(about["ref"], limit=pipeline.CHILDREN)
    ]
    if len(nodes) == 1 and not children:
        st.caption("Nothing is known of what it was made from, and nothing was made from it.")
        return
    st.graphviz_chart(
        dot(nodes, children, dark=st.context.theme.type == "dark"),
        width="content",
        alt=f"What {about['ref']} was made from, and what was made from it",
    )
    if len(nodes) + len(children) > MOST:
        st.caption(f"The nearest {MOST} of {len(nodes) + len(children):,} are drawn.")
    kinds = {node["ref"]: node["kind"] for node in [*nodes, *children]}
    _links("Made from", about["parents"], kinds, len(about["parents"]))
    _links("Used by", [child["ref"] for child in children], kinds, about["num_children"])


def _links(title: str, refs: Sequence[str], kinds: Mapping[str, str], total: int) -> None:
    """Buttons that open parents or children; those of which only a name is known do not."""
    if not refs:
        return
    shown = refs[: pipeline.CHILDREN]
    st.markdown(f"**{title}**" + (f" ({len(shown)} of {total:,})" if total > len(shown) else ""))
    for number, ref in enumerate(shown):
        kind = kinds.get(ref, "")
        st.button(
            plain(ref),
            key=f"registry.{title}.{number}",
            icon=KIND_ICONS.get(kind, ":material/question_mark:"),
            type="tertiary",
            disabled=not kind,
            help=f"Open this {KIND_WORDS[kind].lower()}."
            if kind
            else "It is not here: only its name is known.",
            on_click=open_artifact,
            args=(ref,),
        )


# ----------------------------------------------------------------------------------------------
# Its files
# ----------------------------------------------------------------------------------------------


def _files(registry: Registry, about: Mapping[str, Any]) -> None:
    if not about["files"]:
        st.caption("It has no files.")
        return
    _file_table(about["files"])
    artifact = registry.get(about["ref"])
    here = [
        file.path
        for file in artifact.files
        if file.size_bytes <= LARGEST_DOWNLOAD_BYTES and registry.store.has_file(file)
    ]
    with st.container(horizontal=True, vertical_alignment="bottom"):
        if here:
            path = st.selectbox("File", here, key=f"registry.file.{about['ref']}", width=240)
            st.download_button(
                "Download",
                lambda: registry.path(artifact.ref, path).read_bytes(),
                path.rpartition("/")[2],
                mime="application/octet-stream",
                icon=":material/download:",
                help=f"{size(artifact.file(path).size_bytes)}. Checked against its hash first.",
                on_click="ignore",
            )
        is_near = "://" not in about["store_url"]
        verify = st.button(
            "Verify",
            icon=":material/verified:",
            disabled=not is_near,
            help="Read every file anew, and compare it with its hash."
            if is_near
            else f"Its files are elsewhere: rfplatform registry verify {about['ref']}",
        )
    if len(here) < len(artifact.files):
        st.caption(
            f"Only files that lie in this registry and have at most "
            f"{size(LARGEST_DOWNLOAD_BYTES)} are downloaded here. For the others: "
            f"`rfplatform registry fetch {artifact.ref} --out FOLDER`"
        )
    if verify:
        _verify(registry, artifact.ref)


def _file_table(files: Sequence[Mapping[str, Any]]) -> None:
    table = _files_frame(files)
    column = st.column_config
    st.dataframe(
        table,
        hide_index=True,
        placeholder="–",
        alt="Files",
        column_config={
            "File": column.TextColumn(width=190, pinned=True),
            "Size": column.TextColumn(width=76, alignment="right"),
            "SHA-256": column.TextColumn(width=150, help="Of its contents."),
            "Comes from": column.TextColumn(width=220),
        },
    )


def _files_frame(files: Sequence[Mapping[str, Any]]) -> pd.DataFrame:
    import pandas as pd

    table = pd.DataFrame(
        {
            "File": [file["path"] for file in files],
            "Size": [
                None if file["size_bytes"] is None else size(file["size_bytes"]) for file in files
            ],
            "SHA-256": [file["sha256"] or None for file in files],
            "Comes from": [file.get("url") or file.get("shipped") or None for file in files],
        }
    )
    return table if table["Comes from"].notna().any() else table.drop(columns="Comes from")


def _verify(registry: Registry, ref: str) -> None:
    with st.status("Reading and hashing its files …", expanded=True) as status:
        try:
            faults = pipeline.verify(registry, ref)["faults"]
        except RfplatformError as error:
            status.update(label="It could not be verified", state="error")
            st.markdown(plain(error))
            return
        if not faults:
            status.update(
                label="Every file is as it was recorded", state="complete", expanded=False
            )
            return
        status.update(label=f"Faults in {_files_of(len(faults))}", state="error")
        for fault in faults:
            st.markdown(f"- **{plain(fault['path'])}** {plain(fault['detail'])}")


def _card(registry: Registry, ref: str) -> None:
    from rfplatform.registry.card import card

    text = card(registry, ref)
    _, _, body = text.removeprefix("---\n").partition("\n---\n")
    st.download_button(
        "Card as Markdown",
        text,
        "README.md",
        mime="text/markdown",
        icon=":material/download:",
        help="With the metadata that Hugging Face reads.",
        on_click="ignore",
    )
    st.markdown(_smaller(body), anchors=False)


def _smaller(body: str) -> str:
    """Without title and files, which stand elsewhere on the page, and with smaller headings."""
    sections = body.split("\n## ")
    told = [part for part in sections[1:] if not part.startswith("Files\n")]
    intro = "\n".join(line for line in sections[0].splitlines() if not line.startswith("# "))
    return "\n#### ".join((intro, *told))
