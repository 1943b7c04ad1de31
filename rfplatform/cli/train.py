"""The command `rfplatform train`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from rfplatform.cli.live import interruptible
from rfplatform.cli.options import OUTPUT, JsonOption, OverwriteOption
from rfplatform.cli.show import duration, fact_table, notes, show

if TYPE_CHECKING:
    from rich.console import RenderableType

    from pipelines.scene import Report
    from pipelines.train import Progress

KEPT = "what was trained up to the last whole epoch is kept, and the same command goes on"

_TRAINING = "Training"


def train_command(
    model: Annotated[
        str,
        typer.Argument(
            metavar="MODEL",
            help="[bold]cascade[/] or [bold]geo2sigmap[/].",
            show_default=False,
        ),
    ],
    data: Annotated[
        str,
        typer.Option(
            metavar="NAME@VERSION",
            help="What to learn from: a data set of the registry, a .zarr.zip, or the folder of "
            "[bold]rfplatform train-data[/].",
            show_default=False,
        ),
    ],
    epochs: Annotated[
        int,
        typer.Option(
            metavar="N", help="Times through all maps, at most.", rich_help_panel=_TRAINING
        ),
    ] = 40,
    patience: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Epochs without a better validation score after which it ends.",
            rich_help_panel=_TRAINING,
        ),
    ] = 10,
    seed: Annotated[
        int,
        typer.Option(
            metavar="N",
            help="Of first weights, order and augmentation.",
            rich_help_panel=_TRAINING,
        ),
    ] = 1,
    settings: Annotated[
        list[str] | None,
        typer.Option(
            "--set",
            metavar="NAME=VALUE",
            help="A hyperparameter of the model, as widths=32,64,112; again for another.",
            rich_help_panel=_TRAINING,
            show_default=False,
        ),
    ] = None,
    begin_from: Annotated[
        str,
        typer.Option(
            "--from",
            metavar="NAME@VERSION",
            help="Begin with the weights of a trained model.",
            show_default=False,
            rich_help_panel=_TRAINING,
        ),
    ] = "",
    val: Annotated[
        str,
        typer.Option(
            metavar="NAME,...",
            help="Towns for validation, where the data are a folder of single windows.",
            rich_help_panel=_TRAINING,
        ),
    ] = "",
    name: Annotated[
        str | None,
        typer.Option(
            metavar="NAME@VERSION",
            help="In the registry.  [dim]default: models/MODEL, its version the weights' hash[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="For checkpoints, learning curves and the model.  "
            "[dim]default: out/train-MODEL[/]",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    tensorboard: Annotated[
        bool,
        typer.Option(
            "--tensorboard",
            help="Write event files for TensorBoard, too.",
            rich_help_panel=OUTPUT,
        ),
    ] = False,
    overwrite: OverwriteOption = False,
    as_json: JsonOption = False,
) -> None:
    r"""Train a model on ray-traced windows, into the registry.

    Needs Keras and a backend ([bold]pip install 'rfplatform\[learn]'[/]); KERAS_BACKEND chooses
    among several, and a GPU is used where the backend finds one. Run the same again after whatever
    stopped it: it goes on after the last whole epoch. The best weights by the validation towns are
    kept.
    """
    from pipelines.train import Config, main

    config = Config(
        model.strip(),
        data.strip(),
        epochs=epochs,
        patience=patience,
        seed=seed,
        settings=tuple(settings or ()),
        begin_from=begin_from,
        val=val,
        out=out,
        name=name,
        tensorboard=tensorboard,
        overwrite=overwrite,
    )
    with _training_live() as (progress, report):
        record = main(config, progress=progress, report=report)
    show(record, _summary, as_json=as_json)


@contextmanager
def _training_live() -> Iterator[tuple[Callable[[Progress], None], Report]]:
    """A bar on standard error; where that is no terminal, a line for each epoch."""
    from rich.console import Console
    from rich.live import Live
    from rich.text import Text

    console = Console(stderr=True)
    if not console.is_terminal:
        with interruptible(KEPT):
            yield _Lines().progress, lambda _: None
        return
    with interruptible(KEPT), Live(console=console, transient=True, refresh_per_second=4) as live:

        def report(text: str) -> None:
            live.update(Text(text, style="cyan"))

        def progress(now: Progress) -> None:
            live.update(_bar(now))

        yield progress, report


class _Lines:
    """A line for each epoch in a log, told when the next one begins: scores come last."""

    def __init__(self) -> None:
        self._last: Progress | None = None

    def progress(self, now: Progress) -> None:
        last, self._last = self._last, now
        if last is None or (last.stage, last.epoch) == (now.stage, now.epoch):
            return
        scores = _scores(now.scores) if last.stage == now.stage else ""
        sys.stderr.write(
            f"{last.stage} epoch {last.epoch}/{last.epochs}: loss {last.loss:.4f}"
            f"{', ' if scores else ''}{scores}\n"
        )
        sys.stderr.flush()


def _scores(scores: Mapping[str, float]) -> str:
    return ", ".join(f"{name} {value:.4g}" for name, value in scores.items())


def _bar(now: Progress) -> RenderableType:
    from rich.console import Group
    from rich.progress_bar import ProgressBar
    from rich.table import Table
    from rich.text import Text

    done, total = (now.epoch - 1) * now.steps + now.step, now.epochs * now.steps
    left = "" if now.left_s is None else f"at most {duration(round(now.left_s))} left"
    table = Table.grid(padding=(0, 2, 0, 0))
    table.add_row(
        Text(now.stage, style="bold cyan"),
        ProgressBar(total=total, completed=done, width=28, complete_style="cyan"),
        Text(f"epoch {now.epoch}/{now.epochs}", style="bold"),
        Text(f"batch {now.step}/{now.steps}"),
        Text(f"loss {now.loss:.4f}"),
        Text(left),
        Text(duration(round(now.elapsed_s)), style="dim"),
    )
    lines: list[RenderableType] = [table]
    if now.scores:
        told = f"last epoch  {_scores(now.scores)}"
        lines.append(Text(told, style="dim", overflow="ellipsis", no_wrap=True))
    if now.stages > 1:
        lines.append(Text(f"network {now.number} of {now.stages}", style="dim"))
    return Group(*lines)


def _summary(record: Mapping[str, Any]) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    rows: list[tuple[str, RenderableType]] = [
        (
            "Model",
            Text.assemble(
                (record["model"], "bold"),
                (
                    f"   {record['parameters']:,} weights, "
                    f"{record['weights_bytes'] / 2**20:.2f} MiB",
                    "dim",
                ),
            ),
        )
    ]
    for side in ("training", "validation"):
        told = record[side]
        towns = ", ".join(told["towns"])
        rows.append((side.capitalize(), Text(f"{told['maps']:,} maps of {towns}")))
    for stage in record["stages"]:
        rows.append(
            (
                stage["name"].capitalize(),
                Text(
                    f"{stage['epochs']} epochs (ended by {stage['stopped_by']}), "
                    f"the weights of epoch {stage['best_epoch']}"
                ),
            )
        )
        rows += [(f"  {row['metric']}", _scored(row)) for row in stage["metrics"]]
    backend = record["backend"]
    rows += [
        (
            "Backend",
            Text(
                f"{backend['backend']} {backend['backend_version']} on "
                f"{', '.join(backend['devices'])}"
            ),
        ),
        ("Time", Text(duration(record["seconds"]))),
        ("Written", Text(f"{record['out']}/\n{'  '.join(record['outputs'])}", overflow="fold")),
        ("Registry", Text(record["registered"], style="bold", overflow="fold")),
    ]
    return Group(fact_table(rows), *notes(record), Text())


def _scored(row: Mapping[str, Any]) -> RenderableType:
    from rich.text import Text

    style = "bold green" if row["value"] < row["baseline_value"] else "bold yellow"
    return Text.assemble(
        (f"{row['value']:.2f} {row['unit']}", style),
        (f"   {row['baseline']} {row['baseline_value']:.2f}", "dim"),
    )
