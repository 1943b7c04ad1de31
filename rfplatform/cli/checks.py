"""The commands `rfplatform doctor` and `bench`."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from rfplatform.cli.live import SET_ASIDE, interruptible, live
from rfplatform.cli.options import OUTPUT, JsonOption, RegisterOption
from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from pipelines.oran.evaluate import Config as Evaluated

YOURS = "Your measurements (maps:duke)"
"""Panel of the help for what takes the place of a benchmark's own files."""
MODELS = "Language models (oran)"


def doctor_command(as_json: JsonOption = False) -> None:
    """Look at what this machine has for radio maps, and say what to type for what it lacks."""
    from dataclasses import asdict

    from rich.console import Console

    from rfplatform.doctor import diagnose, ok, render

    with live() as (_, report):
        report("Looking around, and tracing a tiny map")
        checks = diagnose()
    if as_json:
        typer.echo(json.dumps([asdict(check) for check in checks], indent=2, ensure_ascii=False))
    else:
        render(checks, Console())
    if not ok(checks):
        raise typer.Exit(MissingError.exit_code)


def bench_command(
    name: Annotated[
        str | None,
        typer.Argument(
            metavar="[NAME]",
            help="A benchmark, or a family such as [bold]speed[/].  [dim]default: all[/]",
            show_default=False,
        ),
    ] = None,
    listing: Annotated[
        bool, typer.Option("--list", help="Tell what there is, and run nothing.")
    ] = False,
    out: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Directory for the figures of the benchmarks that draw any.",
            rich_help_panel=OUTPUT,
        ),
    ] = None,
    measurements: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Drive test to score on (CSV: latitude, longitude, RSRP, cell, device).",
            rich_help_panel=YOURS,
        ),
    ] = None,
    area: Annotated[
        str | None,
        typer.Option(metavar="AREA", help="Their scene, as an extract.", rich_help_panel=YOURS),
    ] = None,
    sites: Annotated[
        Path | None,
        typer.Option(
            metavar="FILE",
            help="Site list; its sectors are called what the drive test calls its cells.",
            rich_help_panel=YOURS,
        ),
    ] = None,
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER/NAME,...",
            help="Ask ORAN-Bench-13K: openai/..., anthropic/..., ollama/..., "
            "openai-api/... with --base-url; or a floor such as [bold]longest-option[/].",
            rich_help_panel=MODELS,
        ),
    ] = None,
    base_url: Annotated[
        str | None,
        typer.Option(metavar="URL", help="The model's server.", rich_help_panel=MODELS),
    ] = None,
    rag: Annotated[
        Path | None,
        typer.Option(
            metavar="INDEX",
            help="Show passages of this index, and compare with the model alone.",
            rich_help_panel=MODELS,
        ),
    ] = None,
    top_k: Annotated[
        int, typer.Option(metavar="N", help="Passages a question.", rich_help_panel=MODELS)
    ] = 5,
    subset: Annotated[
        str,
        typer.Option(
            metavar="NAMES",
            help="easy, medium, hard.  [dim]default: all[/]",
            rich_help_panel=MODELS,
        ),
    ] = "",
    limit: Annotated[
        int | None,
        typer.Option(metavar="N", help="So many questions, drawn by seed.", rich_help_panel=MODELS),
    ] = None,
    orbench_1500: Annotated[
        bool,
        typer.Option("--orbench-1500", help="500 of each difficulty.", rich_help_panel=MODELS),
    ] = False,
    as_published: Annotated[
        bool,
        typer.Option(
            "--as-published",
            help="Keep the options' order instead of mixing it.",
            rich_help_panel=MODELS,
        ),
    ] = False,
    seed: Annotated[
        int, typer.Option(help="Of the draw and of the options' order.", rich_help_panel=MODELS)
    ] = 1,
    epochs: Annotated[
        int,
        typer.Option(metavar="N", help="Ask everything so many times.", rich_help_panel=MODELS),
    ] = 1,
    questions: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Folder with fin_E.json, fin_M.json, fin_H.json.  [dim]default: the registry's[/]",
            rich_help_panel=MODELS,
        ),
    ] = None,
    resume: Annotated[
        bool,
        typer.Option("--resume", help="Ask only what is missing.", rich_help_panel=MODELS),
    ] = False,
    overwrite: Annotated[
        bool,
        typer.Option("--overwrite", help="Begin anew.", rich_help_panel=MODELS),
    ] = False,
    timeout_s: Annotated[
        int,
        typer.Option(
            "--timeout", metavar="S", help="For one attempt at an answer.", rich_help_panel=MODELS
        ),
    ] = 120,
    max_retries: Annotated[
        int,
        typer.Option(
            metavar="N", help="Further attempts, ever longer apart.", rich_help_panel=MODELS
        ),
    ] = 5,
    max_connections: Annotated[
        int | None,
        typer.Option(metavar="N", help="Questions at once.", rich_help_panel=MODELS),
    ] = None,
    max_tokens: Annotated[
        int | None,
        typer.Option(metavar="N", help="Of an answer.", rich_help_panel=MODELS),
    ] = None,
    register: RegisterOption = False,
    as_json: JsonOption = False,
) -> None:
    """Measure accuracy and speed, with a baseline beside every score.

    A missed target is told, and is no error. With --model: exit code 5 if questions are left
    without an answer.
    """
    if model is not None:
        from pipelines.oran import evaluate

        if name != "oran" or measurements or area or sites:
            raise InputError("--model is for rfplatform bench oran, with its options alone")
        config = evaluate.Config(
            tuple(one.strip() for one in model.split(",") if one.strip()),
            base_url,
            questions,
            tuple(one.strip() for one in subset.split(",") if one.strip()),
            limit,
            orbench_1500,
            rag,
            top_k,
            as_published,
            seed,
            epochs,
            out or evaluate.OUT,
            resume,
            overwrite,
            timeout_s,
            max_retries,
            max_connections,
            max_tokens,
        )
        _evaluate(config, register=register, as_json=as_json)
        return
    from rich.console import Console

    from pipelines.bench import Config, listed, main, render, render_list

    console = Console(highlight=False)
    if listing:
        found = listed(name)
        if as_json:
            typer.echo(json.dumps(found, indent=2, ensure_ascii=False))
        else:
            console.print(render_list(found))
        return
    with live() as (_, report):
        result = main(Config(name, out, measurements, area, sites), report=report)
    if register:
        from pipelines.registered import register_report
        from rfplatform.registry.registry import Registry

        report_ref = register_report(Registry.default(), result, name).ref
        typer.echo(f"in the registry as {report_ref}", err=True)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    else:
        console.print(render(result))


def _evaluate(config: Evaluated, *, register: bool, as_json: bool) -> None:
    from rich.console import Console

    from pipelines.oran.evaluate import main
    from pipelines.oran.evaluation_table import render

    with live() as (_, report), interruptible("what was answered is kept; --resume goes on"):

        def tell(what: str, done: int, total: int) -> None:
            report(f"{what}: {done:,} of {total:,}" if total else what)

        result = main(config, tell=tell)
    if as_json:
        typer.echo(json.dumps(result.to_dict(), indent=2, ensure_ascii=False))
    else:
        Console(highlight=False).print(render(result))
    if result.unfinished:
        for name, why in result.unfinished.items():
            typer.echo(f"unfinished: {name}: {why}; --resume asks these again", err=True)
        raise typer.Exit(SET_ASIDE)
    if register:
        from pipelines.registered import register_report
        from rfplatform.registry.registry import Registry

        ref = register_report(Registry.default(), result, "oran").ref
        typer.echo(f"in the registry as {ref}", err=True)
