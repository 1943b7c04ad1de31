"""What is shown of an evaluation in a terminal: a line for each model and floor."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

from pipelines.oran.evaluation import Evaluation, cases_of

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table
    from rich.text import Text

    from rfplatform.oran.scores import Score


def render(result: Evaluation) -> RenderableType:
    """A line for each model and floor; then what retrieval gains, and what others report."""
    from rich.console import Group
    from rich.rule import Rule
    from rich.text import Text

    title = Rule(Text(" ORAN-Bench-13K ", style="bold cyan"), align="left", style="cyan")
    return Group(
        title,
        Text(_what_was_asked(result), style="dim"),
        Text(),
        *_tables(result),
        *_remarks(result),
        Text(),
        _quoted(result),
        *(
            Text(f"unfinished: {name}: {why}", style="bold red")
            for name, why in result.unfinished.items()
        ),
    )


def _what_was_asked(result: Evaluation) -> str:
    total = sum(result.asked.values())
    parts = ", ".join(f"{count:,} {name}" for name, count in result.asked.items())
    faults = ", ".join(f"{count} with {name}" for name, count in result.faults.items())
    unusable = sum(result.faults.values())
    told = f"{total:,} question{'s' * (total != 1)} ({parts}), options {result.order}"
    if not unusable:
        return f"{told}; all usable"
    return f"{told}; {unusable} unusable ({faults}), {total - unusable:,} usable"


_DIFFICULTIES = {
    "easy": "easy",
    "medium": "medium",
    "hard": "hard",
    "macro": "macro",
    "weighted": "weighted",
}
_APART = {
    "macro, usable rows": "macro",
    "weighted, usable rows": "weighted",
    "negated": "negated",
    "not negated": "others",
    "provided context": "context",
    "no provided context": "without",
}
"""Cases that are shown, and what they are called in the tables."""


def _tables(result: Evaluation) -> list[RenderableType]:
    from rich.text import Text

    all_rows, usable = _table(result, _DIFFICULTIES), _table(result, _APART)
    all_rows.add_column("95 %", justify="right", no_wrap=True, style="dim")
    usable.add_column("unparsed", justify="right", no_wrap=True)
    for entrant in result.entrants:
        scores = cases_of(entrant.scores)
        model = entrant.kind == "model"
        name = Text(entrant.name, style="bold" if model else "")
        weighted = scores["weighted"]
        interval = f"{_share(weighted.low)}–{_share(weighted.high)}"
        unparsed = f"{entrant.scores.unparsed:.1%}" if model else ""
        for table, cases, last in (
            (all_rows, _DIFFICULTIES, interval),
            (usable, _APART, unparsed),
        ):
            shown = (_score(scores.get(case), bold=model) for case in cases)
            table.add_row(name, *shown, Text(last))
    return [all_rows, Text(), Text("Usable rows alone, and kinds of questions", "dim"), usable]


def _table(result: Evaluation, cases: Mapping[str, str]) -> Table:
    from rich.table import Table

    table = Table(box=None, padding=(0, 1, 0, 0), pad_edge=False, header_style="dim")
    longest = max(len(entrant.name) for entrant in result.entrants)
    table.add_column("", overflow="fold", min_width=min(longest, 22))
    for name in cases.values():
        table.add_column(name, justify="right", no_wrap=True)
    return table


def _score(score: Score | None, *, bold: bool) -> Text:
    from rich.text import Text

    if score is None:
        return Text("–", style="dim")
    return Text(_share(score.value), style="bold" if bold else "")


def _share(value: float) -> str:
    """Three digits without the zero before the point, as accuracies are printed."""
    return f"{value:.3f}".removeprefix("0")


def _remarks(result: Evaluation) -> list[Text]:
    from rich.text import Text

    remarks = [
        Text("95 %: of weighted, by bootstrap over questions of the same words", style="dim")
    ]
    for entrant in result.entrants:
        if entrant.answers is None:
            continue
        if entrant.scores.repeats > 1:
            remarks.append(
                Text(
                    f"{entrant.name}: mean of {entrant.scores.repeats} repeats, which differ by "
                    f"{entrant.scores.spread:.3f} (standard deviation of weighted)",
                    style="dim",
                )
            )
        if entrant.answers.refused:
            remarks.append(
                Text(f"{entrant.name}: {entrant.answers.refused:,} answers were refused", "yellow")
            )
    for gain in result.gains:
        score = gain.part.weighted
        remarks.append(
            Text(
                f"{gain.what}: {score.value:+.3f} weighted (95 % {score.low:+.3f} to "
                f"{score.high:+.3f}), {gain.part.macro.value:+.3f} macro; "
                f"paired over {score.count:,} questions",
                style="bold",
            )
        )
    return remarks


def _quoted(result: Evaluation) -> RenderableType:
    from rich.console import Group
    from rich.text import Text

    lines = [Text("Reported by others, not measured here", style="dim")]
    sources = list(dict.fromkeys(p.source for p in result.published))
    for source in sources:
        told = "; ".join(
            f"{p.name} {_share(p.value)}" + (f" {p.measure}" if p.measure != "accuracy" else "")
            for p in result.published
            if p.source == source
        )
        questions = next(p.questions for p in result.published if p.source == source)
        lines.append(Text(f"{questions}: {told} [{source}]", style="dim"))
    return Group(*lines)
