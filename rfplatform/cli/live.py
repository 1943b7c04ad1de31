"""What is shown while a command runs, on standard error."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from rfplatform.cli.show import duration, short

if TYPE_CHECKING:
    from rich.console import Console
    from rich.progress import Progress

    from pipelines.scene import Report
    from rfplatform.propagation.raytraced import TraceProgress


INTERRUPTED = 130
"""Exit code after Ctrl-C."""

SET_ASIDE = 5
"""Exit code where the work ended, but for some maps, windows or questions."""


class Interrupted(Exception):  # noqa: N818  (a wish, not an error)
    """Ctrl-C, with what is said of it; typer makes a mere exit code of the original."""


@contextmanager
def live() -> Iterator[tuple[Callable[[TraceProgress], None], Report]]:
    """A spinner, then a bar, on standard error; nothing where that is no terminal."""
    from rich.console import Console

    console = Console(stderr=True)
    progress = _progress(console)
    task = progress.add_task("Starting", total=None, noise="", batches="", rate="")
    # Where nobody watches, a log gets the errors alone.
    progress.disable = not console.is_terminal
    with interruptible(), progress:

        def report(text: str) -> None:
            progress.reset(task, description=text, total=None, noise="", batches="", rate="")

        def show(now: TraceProgress) -> None:
            noise = f"noise {now.noise_db:.2f} dB" if now.noise_db == now.noise_db else ""
            progress.update(
                task,
                description="Tracing",
                completed=now.rays,
                total=now.rays_budget,
                batches=f"batch {min(now.rounds + 1, now.num_rounds)}/{now.num_rounds}",
                rate=f"{short(now.rays / max(now.elapsed_s, 1e-9))} rays/s",
                noise=noise,
            )

        yield show, report


@contextmanager
def interruptible(words: str = "nothing was written") -> Iterator[None]:
    """Tell of Ctrl-C in these words."""
    try:
        yield
    except KeyboardInterrupt as error:
        raise Interrupted(f"interrupted: {words}") from error


def _progress(console: Console) -> Progress:
    from rich.progress import BarColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
    from rich.progress import TimeRemainingColumn as Remaining

    class TimeLeft(Remaining):
        """Time left, and nothing before it is known."""

        def render(self, task: Any) -> Any:  # noqa: ANN401  (rich's own types)
            from rich.text import Text

            if task.total is None or task.time_remaining is None:
                return Text("")
            return Text(f"{duration(round(task.time_remaining))} left", style="progress.remaining")

    return Progress(
        SpinnerColumn(style="cyan"),
        TextColumn("{task.description}"),
        BarColumn(bar_width=28, pulse_style="grey37", complete_style="cyan"),
        TextColumn("{task.fields[batches]}"),
        TextColumn("[dim]{task.fields[rate]}"),
        TextColumn("[bold]{task.fields[noise]}"),
        TimeLeft(),
        TimeElapsedColumn(),
        console=console,
        transient=True,
    )
