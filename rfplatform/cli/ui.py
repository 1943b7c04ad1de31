"""The command `rfplatform ui`."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer


def ui_command(
    host: Annotated[
        str,
        typer.Option(
            metavar="ADDRESS",
            help="Where to listen; 0.0.0.0 lets others in, see docs/deploy.md.",
        ),
    ] = "127.0.0.1",
    port: Annotated[int, typer.Option(metavar="N", help="Port.", min=1, max=65535)] = 8501,
    workspace: Annotated[
        Path | None,
        typer.Option(
            metavar="DIR",
            help="Where plans, jobs and uploads are kept.  [dim]default: RFPLATFORM_WORKSPACE, or "
            "your user's data[/]",
            show_default=False,
        ),
    ] = None,
    base_path: Annotated[
        str,
        typer.Option(metavar="/PATH", help="What a reverse proxy puts before every path."),
    ] = "",
    model: Annotated[
        str | None,
        typer.Option(
            metavar="PROVIDER/NAME",
            help="Language model of the Assistant.  [dim]default: RFPLATFORM_MODEL, or search "
            "alone[/]",
            show_default=False,
        ),
    ] = None,
    model_base_url: Annotated[
        str | None,
        typer.Option(
            metavar="URL",
            help="Its server.  [dim]default: RFPLATFORM_MODEL_BASE_URL[/]",
            show_default=False,
        ),
    ] = None,
) -> None:
    """Open the coverage-map dashboard in a browser: plan, measure, compare."""
    from ui.server import Config, serve

    def tell(address: str) -> None:
        sys.stderr.write(f"rfplatform at {address}  (Ctrl-C ends it)\n")

    serve(Config(host, port, workspace, base_path, model, model_base_url), tell)
