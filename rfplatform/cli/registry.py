"""The commands of `rfplatform registry`: data sets, maps and models by name."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import interruptible
from rfplatform.cli.options import JsonOption
from rfplatform.cli.show import fact_table, show

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.text import Text

    from rfplatform.registry.lineage import Lineage
    from rfplatform.registry.registry import Registry

FAULTY = 2
SIBLINGS = 8
"""Of one kind in a tree; of more, the first few are shown and the rest counted."""
FEW = 3

_STATES = {
    "here": ("here", "green"),
    "elsewhere": ("elsewhere", "cyan"),
    "shipped": ("comes along", "cyan"),
    "download": ("can be fetched", "cyan"),
    "manual": ("manual download", "yellow"),
}
_KIND_STYLES = {
    "model": "magenta",
    "report": "blue",
    "collection": "cyan",
    "radio-map": "cyan",
    "scene": "green",
    "dataset": "yellow",
}

registry_app = typer.Typer(
    name="registry",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    help="Data sets, maps and models by name: here, in a remote, or to be had.",
    context_settings={"help_option_names": ["-h", "--help"]},
)

RefArgument = Annotated[
    str,
    typer.Argument(metavar="REF", help="NAME@VERSION, or NAME for the newest.", show_default=False),
]
UrlArgument = Annotated[
    str,
    typer.Argument(metavar="URL", help="A store: a folder, s3://..., gs://...", show_default=False),
]
WithParentsOption = Annotated[
    bool,
    typer.Option("--with-parents", help="And the files of all that it was made from."),
]
StoreOption = Annotated[
    str | None,
    typer.Option(metavar="URL", help="A store, in place of what is here."),
]


# ----------------------------------------------------------------------------------------------
# The commands
# ----------------------------------------------------------------------------------------------


@registry_app.command("list")
def list_command(
    names: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="[NAME]...",
            help="Beginnings of names, or patterns such as [bold]'maps/*'[/].",
            show_default=False,
        ),
    ] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            metavar="KIND", help="dataset, scene, radio-map, collection, model or report."
        ),
    ] = None,
    limit: Annotated[int, typer.Option(metavar="N", help="Most to list for each name.")] = 50,
    as_json: JsonOption = False,
) -> None:
    """List what is here, the newest first, and what can be had."""
    from pipelines.registry import listing

    record = listing(_registry(), kind=kind, names=names or (), limit=limit)
    _print(record, _listing, as_json=as_json)


@registry_app.command("show")
def show_command(
    ref: RefArgument,
    lineage: Annotated[
        bool, typer.Option("--lineage", help="Show what it was made from, up to the map data.")
    ] = False,
    as_card: Annotated[
        bool, typer.Option("--card", help="Print its model card or data set card, in Markdown.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Show all that is known of an artifact."""
    from pipelines.registry import describe
    from rfplatform.registry.card import card

    registry = _registry()
    if as_card:
        text = card(registry, ref)
        typer.echo(json.dumps({"ref": ref, "card": text}) if as_json else text, nl=as_json)
        return
    record = describe(registry, ref, lineage=lineage)
    if lineage:
        _print(record, lambda found: _tree(found, registry), as_json=as_json)
    else:
        _print(record, _description, as_json=as_json)


@registry_app.command("fetch")
def fetch_command(
    ref: RefArgument,
    out: Annotated[
        Path | None, typer.Option(metavar="DIR", help="Put its files into this folder, too.")
    ] = None,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace the folder.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Download a public data set, or put an artifact's files into a folder.

    Every file is checked by its SHA-256. A download that was cut off goes on where it stopped.
    """
    from pipelines.registry import fetch

    with _live() as (_, progress):
        record = fetch(_registry(), ref, out=out, overwrite=overwrite, progress=progress)
    _print(record, _arrival, as_json=as_json)


@registry_app.command("add")
def add_command(
    ref: Annotated[
        str, typer.Argument(metavar="NAME@VERSION", help="What to call it.", show_default=False)
    ],
    sources: Annotated[
        list[Path],
        typer.Argument(metavar="FILES...", help="Files, or folders with them.", show_default=False),
    ],
    kind: Annotated[
        str,
        typer.Option(
            metavar="KIND",
            help="dataset, scene, radio-map, collection, model or report.",
            show_default=False,
        ),
    ],
    title: Annotated[str, typer.Option(metavar="TEXT", help="In a line.")] = "",
    licence: Annotated[str, typer.Option(metavar="SPDX", help="Such as CC-BY-4.0.")] = "",
    citation: Annotated[str, typer.Option(metavar="TEXT", help="Whom to cite.")] = "",
    schema: Annotated[str, typer.Option(metavar="TEXT", help="What the files hold.")] = "",
    parent: Annotated[
        list[str] | None,
        typer.Option(metavar="REF", help="What it was made from; may be repeated."),
    ] = None,
    config: Annotated[str, typer.Option(metavar="JSON|FILE", help="What it was made with.")] = "",
    as_json: JsonOption = False,
) -> None:
    """Add files to the registry, under a name and a version that nothing else has."""
    from pipelines.registry import Addition, add

    addition = Addition(
        ref,
        kind,
        tuple(sources),
        title=title,
        licence=licence,
        citation=citation,
        schema=schema,
        parents=tuple(parent or ()),
        config=config,
    )
    with _live() as (report, _):
        record = add(_registry(), addition, report)
    _print(record, _arrival, as_json=as_json)


@registry_app.command("push")
def push_command(
    ref: RefArgument,
    url: UrlArgument,
    with_parents: WithParentsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy an artifact to a store, for others to pull."""
    from pipelines.registry import push

    with _live() as (_, progress):
        record = push(_registry(), ref, url, with_parents=with_parents, progress=progress)
    _print(record, _transfer, as_json=as_json)


@registry_app.command("pull")
def pull_command(
    ref: RefArgument,
    url: UrlArgument,
    with_parents: WithParentsOption = False,
    as_json: JsonOption = False,
) -> None:
    """Copy an artifact from a store."""
    from pipelines.registry import pull

    with _live() as (_, progress):
        record = pull(_registry(), ref, url, with_parents=with_parents, progress=progress)
    _print(record, _transfer, as_json=as_json)


@registry_app.command("verify")
def verify_command(
    ref: Annotated[
        str | None,
        typer.Argument(metavar="[REF]", help="One artifact.  [dim]default: all[/]"),
    ] = None,
    store: StoreOption = None,
    as_json: JsonOption = False,
) -> None:
    """Read every file anew and compare it with what was recorded; exit with 2 on any fault."""
    from pipelines.registry import verify

    with _live() as (report, _):
        record = verify(_registry(), ref, store=store, report=report)
    _print(record, _faults, as_json=as_json)
    if record["faults"]:
        raise typer.Exit(FAULTY)


@registry_app.command("gc")
def gc_command(
    drop: Annotated[
        list[str] | None,
        typer.Option(metavar="REF", help="Keep this no longer; may be repeated."),
    ] = None,
    store: StoreOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Tell what would go, and remove nothing.")
    ] = False,
    older_than: Annotated[
        float,
        typer.Option(
            metavar="HOURS",
            help="Leave files that no artifact names yet if they are younger: someone may be "
            "adding them.",
        ),
    ] = 1.0,
    as_json: JsonOption = False,
) -> None:
    """Remove what nothing that is kept was made from, and files that no artifact names."""
    from pipelines.registry import clean

    with _live() as (report, _):
        report("Looking for what nothing needs")
        record = clean(
            _registry(), tuple(drop or ()), store=store, dry_run=dry_run, older_than_h=older_than
        )
    _print(record, _cleaning, as_json=as_json)


@registry_app.command("export-mlflow")
def export_command(
    ref: RefArgument,
    tracking_uri: Annotated[
        str,
        typer.Option(
            metavar="URI",
            help="As MLflow takes it: http://host:5000, sqlite:///mlflow.db.",
            show_default=False,
        ),
    ],
    experiment: Annotated[
        str, typer.Option(metavar="NAME", help="Made if need be.")
    ] = "rfplatform",
    as_json: JsonOption = False,
) -> None:
    """Log an artifact to MLflow as a run; a model becomes a version of a registered model."""
    from dataclasses import asdict

    from rfplatform.registry.mlflow_export import export_mlflow

    with _live() as (report, _):
        report(f"Logging {ref}")
        export = export_mlflow(_registry(), ref, tracking_uri, experiment=experiment)
    record = {"ref": ref, "tracking_uri": tracking_uri, **asdict(export), "warnings": []}
    _print(record, _export, as_json=as_json)


def _registry() -> Registry:
    from rfplatform.registry.registry import Registry

    return Registry.default()


# ----------------------------------------------------------------------------------------------
# While it runs
# ----------------------------------------------------------------------------------------------


@contextmanager
def _live() -> Iterator[tuple[Callable[[str], None], Callable[[str, int, int | None], None]]]:
    """A spinner, then a bar for each file, on standard error; nothing where that is no terminal."""
    from rich.console import Console
    from rich.progress import (
        BarColumn,
        Progress,
        SpinnerColumn,
        TextColumn,
        TimeElapsedColumn,
    )

    console = Console(stderr=True)
    bar = Progress(
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28, pulse_style="grey37", complete_style="cyan"),
        TextColumn("{task.fields[amount]}"),
        TimeElapsedColumn(),
        console=console,
        transient=True,
        disable=not console.is_terminal,
    )
    task = bar.add_task("Starting", total=None, amount="")

    def report(text: str) -> None:
        bar.update(task, description=text, total=None, amount="")

    def amount_done(what: str, done: int, total: int | None) -> None:
        of = f" of {_bytes(total)}" if total else ""
        amount = f"{_bytes(done)}{of}"
        bar.update(task, description=what or None, completed=done, total=total, amount=amount)

    with interruptible("the same again goes on from here"), bar:
        yield report, amount_done


# ----------------------------------------------------------------------------------------------
# When it is done
# ----------------------------------------------------------------------------------------------


def _print(
    record: Mapping[str, Any],
    summary: Callable[[Mapping[str, Any]], RenderableType],
    *,
    as_json: bool,
) -> None:
    show({"warnings": [], **record}, summary, as_json=as_json)


def _listing(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    parts: list[RenderableType] = []
    if record["artifacts"]:
        parts += [_heading("Here", record["home"]), _artifacts(record["artifacts"])]
        if record["more"]:
            parts.append(Text(f"and {record['more']:,} more: --limit, or a NAME", style="dim"))
        parts.append(Text())
    if record["public"]:
        parts.append(_heading("To be had", "rfplatform registry fetch NAME"))
        parts += [_artifacts(record["public"]), Text()]
    if not parts:
        return Text("There is nothing of that name, neither here nor to be had.", style="dim")
    return Group(*parts)


def _artifacts(rows: Sequence[Mapping[str, Any]]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 2, 0, 0), pad_edge=False, header_style="dim", expand=True)
    table.add_column("artifact", overflow="fold", ratio=1)
    table.add_column("kind", no_wrap=True, width=10)
    table.add_column("size", no_wrap=True, width=8, justify="right")
    table.add_column("licence", overflow="fold", width=14)
    table.add_column("state", overflow="fold", width=15)
    for row in rows:
        name = _ref(row["ref"], row["kind"])
        if row["title"]:
            name.append(f"\n{row['title']}", style="dim")
        state, style = _STATES[row["state"]]
        size = "" if row["size_bytes"] is None else _bytes(row["size_bytes"])
        # The prefix marks what has no SPDX identifier, and says nothing else.
        licence = row["licence"].removeprefix("LicenseRef-") or "not stated"
        table.add_row(name, Text(row["kind"]), size, Text(licence), Text(state, style))
    return table


def _description(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    from rfplatform.registry.card import flat

    state, style = _STATES[record["state"]]
    where = record.get("store_url") or record.get("homepage", "")
    rows: list[tuple[str, RenderableType]] = [
        ("Kind", Text.assemble(record["kind"], (f"   {state}", style), (f"   {where}", "dim"))),
        *(
            (name, Text(record[key]))
            for name, key in (
                ("Holds", "schema"),
                ("Licence", "licence"),
                ("Cite", "citation"),
                ("How made", "made"),
                ("To get it", "manual"),
                ("Created", "created"),
            )
            if record.get(key)
        ),
    ]
    if record.get("unpinned"):
        rows.append(("Check", Text("no SHA-256 known beforehand: what comes is recorded")))
    for name, key in (("Parents", "parents"), ("Children", "children")):
        refs = record.get(key, [])
        count = record.get(f"num_{key}", len(refs))
        if refs:
            rows.append((name, _some(refs, count)))
    facts = dict(record.get("facts", {}))
    scores = facts.pop("metrics", [])
    lines = [(name, facts.pop(name.lower(), [])) for name in ("Limits", "Warnings")]
    for name, values in (("Config", record.get("config", {})), ("Facts", facts)):
        if flat(values):
            rows.append((name, _values(flat(values))))
    rows += [("Scores", _scores(scores))] if scores else []
    rows += [(name, Text("\n".join(map(str, texts)))) for name, texts in lines if texts]
    if flat(record.get("run", {})):
        rows.append(("Run", _values(flat(record["run"]))))
    if record["files"]:
        rows.append(("Files", _files(record["files"])))
    if record.get("digest"):
        rows.append(("Digest", Text(record["digest"], style="dim")))
    title = Text(record["title"]) if record["title"] else Text()
    return Group(_title(record["ref"], record["kind"]), title, Text(), fact_table(rows), Text())


def _some(refs: Sequence[str], count: int) -> Text:
    from rich.text import Text

    text = Text("\n".join(refs[:SIBLINGS]))
    if count > len(refs[:SIBLINGS]):
        text.append(f"\nand {count - len(refs[:SIBLINGS]):,} more", style="dim")
    return text


def _values(values: Mapping[str, str]) -> RenderableType:
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_column(style="dim", overflow="fold", max_width=32)
    table.add_column(overflow="fold")
    for name, value in values.items():
        table.add_row(Text(name), Text(value))
    return table


def _scores(scores: Sequence[Mapping[str, Any]]) -> RenderableType:
    """Every score with its baseline beside it."""
    from rich.table import Table
    from rich.text import Text

    table = Table(box=None, padding=(0, 3, 0, 0), pad_edge=False, header_style="dim")
    table.add_column("on", overflow="fold")
    table.add_column("metric", overflow="fold")
    table.add_column("score", justify="right", no_wrap=True)
    table.add_column("baseline", overflow="fold")
    for score in scores:
        where = " ".join(str(score[key]) for key in ("benchmark", "case") if score.get(key))
        unit = f" [{score['unit']}]" if score.get("unit") else ""
        value, baseline = (
            f"{score[key]:.4g}" if isinstance(score.get(key), int | float) else "none"
            for key in ("value", "baseline_value")
        )
        table.add_row(
            Text(where),
            Text(f"{score['metric']}{unit}"),
            Text(value, style="bold"),
            Text.assemble(baseline, (f"  {score.get('baseline', '')}", "dim")),
        )
    return table


def _files(files: Sequence[Mapping[str, Any]]) -> RenderableType:
    """A path and its size; beneath, the hash, which nothing else on its line may break."""
    from rich.table import Table
    from rich.text import Text

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(overflow="fold")
    table.add_column(justify="right", no_wrap=True)
    for file in files:
        cell = Text(file["path"])
        cell.append(f"\n{file['sha256'] or 'no SHA-256 known'}", style="dim")
        size = file["size_bytes"]
        table.add_row(cell, "" if size is None else _bytes(size))
    return table


def _tree(record: Mapping[str, Any], registry: Registry) -> RenderableType:
    """From weights to map data; without recursion, as a chain of versions may be long."""
    from rich.tree import Tree

    if "lineage" not in record:  # it can be had, but is not here
        return _description(record)
    root = registry.lineage(record["ref"])
    tree = Tree(_node(root, registry), guide_style="grey37")
    left = [(root, tree)]
    while left:
        above, branch = left.pop()
        for parent in _shown(above.parents):
            if isinstance(parent, str):
                branch.add(f"[dim]{parent}[/]")
            else:
                left.append((parent, branch.add(_node(parent, registry))))
    return tree


def _shown(parents: Sequence[Lineage]) -> Iterator[Lineage | str]:
    """Parents by kind, in their order; of many of one kind the first few, and how many more."""
    from rfplatform.registry.card import PLURALS

    kinds: dict[str, list[Lineage]] = {}
    for parent in parents:
        kinds.setdefault(parent.kind, []).append(parent)
    for kind, group in kinds.items():
        if len(group) <= SIBLINGS:
            yield from group
        else:
            yield from group[:FEW]
            yield f"and {len(group) - FEW:,} more {PLURALS.get(kind, 'that are not here')}"


def _node(node: Lineage, registry: Registry) -> Text:
    text = _ref(node.ref, node.kind)
    if not node.here:
        return text.append("   only its name is known", style="dim")
    if node.repeated:
        return text.append("   as above", style="dim")
    artifact = registry.get(node.ref)
    told = "   ".join(part for part in (artifact.title, artifact.licence) if part)
    return text.append(f"   {told}", style="dim")


def _arrival(record: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    rows: list[tuple[str, RenderableType]] = [
        ("Files", Text(f"{_files_of(len(record['files']))}, {_bytes(record['size_bytes'])}")),
        *(
            (name, Text(record[key], overflow="fold"))
            for name, key in (("Licence", "licence"), ("Cite", "citation"), ("Written", "out"))
            if record.get(key)
        ),
    ]
    return _told(record, rows)


def _transfer(record: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    way = "to" if "to" in record else "from"
    rows: list[tuple[str, RenderableType]] = [
        ("Copied", Text(f"{_files_of(record['num_files'])}, {_bytes(record['size_bytes'])}"))
    ]
    if record["num_parents"]:
        size = f"{_files_of(record['num_parent_files'])}, {_bytes(record['parents_size_bytes'])}"
        rows.append(("With", Text(f"{size}, of {record['num_parents']:,} that it was made from")))
    return _told(record, [*rows, (way.capitalize(), Text(record[way]))])


def _export(record: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    rows: list[tuple[str, RenderableType]] = [
        ("Run", Text.assemble(record["run_id"], (f"   in {record['experiment']}", "dim"))),
    ]
    if record["model"]:
        rows.append(("Model", Text(f"{record['model']}, version {record['model_version']}")))
    return _told(record, [*rows, ("At", Text(record["tracking_uri"]))])


def _told(record: Mapping[str, Any], rows: Sequence[tuple[str, RenderableType]]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    warnings = [Text(f"! {text}", style="yellow") for text in record["warnings"]]
    title = [Text(record["title"])] if record.get("title") else []
    return Group(_title(record["ref"], record.get("kind", "")), *title, fact_table(rows), *warnings)


def _faults(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    faults, checked = record["faults"], f"{record['checked']:,} artifacts at {record['store']}"
    if record["checked"] == 1:
        checked = checked.replace("artifacts", "artifact")
    if not faults:
        return Text.assemble(("✓ ", "green"), f"{checked}: every file is as it was recorded")
    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="red", no_wrap=True)
    table.add_column(overflow="fold")
    for fault in faults:
        cell = Text(f"{fault['ref']}  {fault['path']}")
        cell.append(f"\n{fault['detail']}", style="dim")
        table.add_row(Text(fault["problem"]), cell)
    wrong = f"{len(faults):,} {'fault' if len(faults) == 1 else 'faults'}"
    return Group(Text.assemble(("✗ ", "red"), f"{checked}: ", (wrong, "bold red")), table)


def _cleaning(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    artifacts = f"{record['artifacts']:,} artifact{'' if record['artifacts'] == 1 else 's'}"
    lines = [
        Text.assemble(
            ("Would go   " if record["dry_run"] else "Removed   ", "dim"),
            f"{artifacts}, {_files_of(record['files'])}, ",
            (_bytes(record["size_bytes"]), "bold"),
            (f"   {record['store']}", "dim"),
        )
    ]
    for ref, others in record["needed_by"].items():
        lines.append(
            Text(f"! {ref} stays: {', '.join(others[:FEW])} was made from it", style="yellow")
        )
    return Group(*lines)


def _heading(text: str, more: str) -> RenderableType:
    from rich.text import Text

    return Text.assemble((text, "bold cyan"), (f"   {more}", "dim"))


def _title(ref: str, kind: str) -> RenderableType:
    from rich.rule import Rule

    return Rule(_ref(ref, kind), align="left", style="grey37")


def _ref(ref: str, kind: str) -> Text:
    from rich.text import Text

    name, at, version = ref.partition("@")
    return Text.assemble((name, f"bold {_KIND_STYLES.get(kind, '')}"), (f"{at}{version}", "dim"))


def _files_of(count: int) -> str:
    return f"{count:,} file{'' if count == 1 else 's'}"


def _bytes(size: int) -> str:
    for unit, scale in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)):
        if size >= 0.9995 * scale:
            return f"{size / scale:.3g} {unit}"
    return f"{size} B"
