"""What is shown when a command is done: its summary, or JSON, on standard output."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from rich.console import RenderableType

    from rfplatform.registry.artifact import Kind


def show(
    record: Mapping[str, Any],
    summary: Callable[[Mapping[str, Any]], RenderableType],
    *,
    as_json: bool,
) -> None:
    """Print a summary, or the record as JSON with its warnings on standard error."""
    if as_json:
        for warning in record["warnings"]:
            sys.stderr.write(f"warning: {one_line(warning)}\n")
        is_unicode = "utf" in (sys.stdout.encoding or "").lower()
        sys.stdout.write(json.dumps(record, indent=2, ensure_ascii=not is_unicode) + "\n")
        return
    from rich.console import Console

    # A terminal that knows no Unicode must not turn a finished run into an error.
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="replace")
    console = Console(highlight=False)
    console.print(summary(record))


def title(record: Mapping[str, Any]) -> RenderableType:
    """A rule with the name of the area."""
    from rich.rule import Rule
    from rich.text import Text

    return Rule(Text(record["area"]["name"], style="bold cyan"), align="left", style="cyan")


def fact_table(rows: Sequence[tuple[str, RenderableType]]) -> RenderableType:
    """Names and values in two columns."""
    from rich.table import Table

    table = Table.grid(padding=(0, 3, 0, 0))
    table.add_column(style="dim", no_wrap=True)
    table.add_column(overflow="fold")
    for number, (name, value) in enumerate(rows):
        table.add_row(name, value)
        if number + 1 < len(rows) and name in ("Grid", "Sites", "Solver", "Coverage"):
            table.add_row("", "")
    return table


def notes(record: Mapping[str, Any]) -> list[RenderableType]:
    """Warnings, and whose data it is made from."""
    from rich.table import Table
    from rich.text import Text

    notes = Table.grid(padding=(0, 1, 0, 0))
    notes.add_column(no_wrap=True)
    notes.add_column(overflow="fold")
    for warning in record["warnings"]:
        notes.add_row(Text("!", style="bold yellow"), Text(warning, style="yellow"))
    parts: list[RenderableType] = [Text(), notes] if record["warnings"] else []
    if record["attribution"]:
        parts += [Text(), Text(record["attribution"], style="dim")]
    return parts


def times(stages_s: Mapping[str, float]) -> RenderableType:
    """Seconds of each stage."""
    from rich.text import Text

    return Text(" · ".join(f"{stage} {duration(seconds)}" for stage, seconds in stages_s.items()))


def written(record: Mapping[str, Any]) -> RenderableType:
    """The folder, and what lies in it."""
    from rich.text import Text

    text = Text(f"{record['out']}/", style="bold", overflow="fold")
    text.append("\n" + "  ".join(record["outputs"]), style="not bold")
    if "registered" in record:
        text.append(f"\nin the registry as {record['registered']}", style="not bold")
    return text


def one_line(text: str) -> str:
    """A text without its line breaks."""
    return " ".join(text.split())


def short(number: float) -> str:
    """A large number in thousands, millions or billions."""
    for unit, size in (("G", 1e9), ("M", 1e6), ("k", 1e3)):
        if number >= 0.9995 * size:  # what three digits round up to it
            return f"{number / size:.3g}{unit}"
    return f"{number:.0f}"


def duration(seconds: float) -> str:
    """Seconds for people."""
    if seconds < 60:
        return f"{seconds} s" if isinstance(seconds, int) else f"{seconds:.1f} s"
    minutes, rest = divmod(round(seconds), 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes / 60:.1f} h"


def registered(record: Mapping[str, Any], kind: Kind) -> dict[str, Any]:
    """Take an output into the registry; the record with its name there."""
    from pipelines.registered import register_output
    from rfplatform.registry.registry import Registry

    artifact = register_output(Registry.default(), record, kind)
    return {**record, "registered": artifact.ref}
