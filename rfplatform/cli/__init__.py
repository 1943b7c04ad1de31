"""The command line: a module a command, or for a few that belong together.

Nothing heavy is imported until a command runs, so that help is quick. Results go to standard
output; progress, warnings and errors to standard error.

Exit codes: 0 done; 1 an error of the program's own; 2 bad input; 3 a worker's process died;
4 the machine lacks something; 5 a batch ended, but for maps that it set aside, or an evaluation,
but for questions without an answer; 130 interrupted (an
interrupted trace still writes its map, and a batch keeps what is finished).
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, nullcontext
from typing import Annotated, Any

import typer

from rfplatform import __version__
from rfplatform.cli.antenna import antenna_command
from rfplatform.cli.batch import batch_command
from rfplatform.cli.calibrate import calibrate_command
from rfplatform.cli.checks import bench_command, doctor_command
from rfplatform.cli.learn import train_data_command
from rfplatform.cli.live import INTERRUPTED, Interrupted
from rfplatform.cli.map import map_command
from rfplatform.cli.mosaic import mosaic_command
from rfplatform.cli.oran import oran_app
from rfplatform.cli.registry import registry_app
from rfplatform.cli.scene import render_command, scene_command
from rfplatform.cli.show import one_line
from rfplatform.cli.train import train_command
from rfplatform.cli.ui import ui_command
from rfplatform.errors import InputError, RfplatformError

UNEXPECTED = 1

_NEGATIVE_LIST = re.compile(r"-[\d.][^,]*,.*")
"""A list of numbers whose first is negative, such as a box in the western hemisphere."""

app = typer.Typer(
    name="rfplatform",
    no_args_is_help=True,
    add_completion=False,
    rich_markup_mode="rich",
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _show_version(wanted: bool) -> None:
    if wanted:
        typer.echo(f"rfplatform {__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool,
        typer.Option(
            "--version", callback=_show_version, is_eager=True, help="Show the version and exit."
        ),
    ] = False,
    debug: Annotated[
        bool, typer.Option("--debug", help="Show tracebacks; may stand after a command, too.")
    ] = False,
) -> None:
    """Radio maps that can be trusted, from OpenStreetMap to georeferenced coverage."""


for _name, _command in (
    ("map", map_command),
    ("calibrate", calibrate_command),
    ("batch", batch_command),
    ("mosaic", mosaic_command),
    ("scene", scene_command),
    ("render", render_command),
    ("antenna", antenna_command),
    ("train-data", train_data_command),
    ("train", train_command),
    ("doctor", doctor_command),
    ("bench", bench_command),
    ("ui", ui_command),
):
    app.command(_name)(_command)
app.add_typer(registry_app)
app.add_typer(oran_app)


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command line; what the `rfplatform` script calls.

    Parameters
    ----------
    arguments : sequence of str, optional
        Without the program's name; by default those of the process.

    Returns
    -------
    int
        The exit code; see the module.
    """
    given = list(sys.argv[1:] if arguments is None else arguments)
    debug = "--debug" in given
    # A leading space makes "-74.02,40.70,..." a value instead of an option; it is stripped later.
    given = [f" {a}" if _NEGATIVE_LIST.fullmatch(a) else a for a in given if a != "--debug"]
    try:
        with nullcontext() if debug else _quiet_libraries():
            code = typer.main.get_command(app).main(
                given, prog_name="rfplatform", standalone_mode=False
            )
    except RfplatformError as error:
        if debug:
            raise
        return _fail(str(error), error.exit_code)
    except Interrupted as wish:
        sys.stderr.write(f"{wish}\n")
        return INTERRUPTED
    except Exception as error:
        if hasattr(error, "format_message"):  # a usage error
            return _usage_error(error)
        if debug:
            raise
        text = one_line(f"{type(error).__name__}: {error}")
        return _fail(f"{text} (a fault in rfplatform: --debug shows where)", UNEXPECTED)
    return code if isinstance(code, int) else 0


def _usage_error(error: Any) -> int:  # noqa: ANN401  (click's, or typer's own copy of click's)
    """One line; or the help where nothing was asked for."""
    message = error.format_message()
    if type(error).__name__ == "NoArgsIsHelpError":
        if message:
            sys.stderr.write(message.rstrip() + "\n")
        return 2
    return _fail(message, InputError.exit_code)


def _fail(message: str, code: int) -> int:
    sys.stderr.write(f"error: {one_line(message)}\n")
    return code


@contextmanager
def _quiet_libraries() -> Iterator[None]:
    """Keep libraries' warnings out of the one line that an error is told in."""
    import logging
    import warnings

    disabled = logging.root.manager.disable
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        logging.disable(logging.CRITICAL)
        try:
            yield
        finally:
            logging.disable(disabled)
