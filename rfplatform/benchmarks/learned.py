"""How fast learned maps are, against the ray tracer at the setting that taught them.

The same window and the same sectors, on the same machine, in turn.
"""

from __future__ import annotations

import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import partial
from types import MappingProxyType
from typing import TYPE_CHECKING, Literal

from rfplatform.benchmark import Benchmark, Case, Metric, Predictor
from rfplatform.errors import InputError, MissingError

if TYPE_CHECKING:
    from rfplatform.propagation.process import TracingProcess
    from rfplatform.propagation.windows import Window
    from rfplatform.radiomap import RadioMapSolver

TOWN = "helsinki"
TIME_RATIO = 1 / 50

State = Literal["warm", "cold"]

_MISSING = 4
"""Exit code of the process below where weights or a library are missing."""


def _cascade() -> RadioMapSolver:
    from rfplatform.propagation.cascade import Cascade

    return Cascade().load()


def _geo2sigmap() -> RadioMapSolver:
    from rfplatform.propagation.geo2sigmap import Geo2SigMap

    return Geo2SigMap().load()


NETWORKS: Mapping[str, Callable[[], RadioMapSolver]] = MappingProxyType(
    {"cascade": _cascade, "geo2sigmap": _geo2sigmap}
)


@dataclass(frozen=True)
class MapRun:
    """How long a map took, and of how many sectors it was."""

    seconds: float
    sectors: int


@dataclass(eq=False)
class MapJob:
    """A window to map: by a network, and by the ray tracer.

    Attributes
    ----------
    network : str
        Of `NETWORKS`.
    window : Window
    state : str
        "warm": network and tracer have made maps before. "cold": each time in a new process.
    process : TracingProcess
        That stays, for warm maps.
    """

    network: str
    window: Window
    state: State
    process: TracingProcess
    _solver: RadioMapSolver | None = None

    def learn(self) -> MapRun:
        """Map it by the network."""
        if self.state == "cold":
            return MapRun(_cold_s(self.network), len(self.window.sectors))
        if self._solver is None:
            self._solver = NETWORKS[self.network]()
        return MapRun(_map_s(self._solver, self.window), len(self.window.sectors))

    def trace(self) -> MapRun:
        """Map it as the maps were made that taught the network, on all of the CPU's threads."""
        from rfplatform.propagation.lesson import TeacherConfig

        teacher = TeacherConfig().teacher()
        solver = teacher.load(process=self.process if self.state == "warm" else None)
        return MapRun(_map_s(solver, self.window), len(self.window.sectors))


def _map_s(solver: RadioMapSolver, window: Window) -> float:
    from rfplatform.propagation.windows import WindowConfig

    started = time.perf_counter()
    solver(window.scene, window.sectors, WindowConfig().grid())
    return time.perf_counter() - started


def _window() -> Window:
    from rfplatform.benchmarks import unseen

    return unseen.draw(TOWN, 1)[0]


def _cold_s(network: str) -> float:
    """From the start of a process to its end, but for the reading of the town."""
    started = time.perf_counter()
    done = subprocess.run(
        [sys.executable, "-m", __name__, network], capture_output=True, text=True, check=False
    )
    wall_s = time.perf_counter() - started
    last_words = (done.stderr.strip().splitlines() or ["it said nothing"])[-1]
    if done.returncode == _MISSING:
        raise MissingError(last_words)
    if done.returncode:
        raise InputError(f"{network}: a new process could not make a map ({last_words})")
    return wall_s - float(json.loads(done.stdout)["window_s"])


def _cases() -> Iterator[Case]:
    from rfplatform.propagation.process import TracingProcess

    window = _window()
    note = f"{TOWN}, 128 x 128 cells of 4 m, {len(window.sectors)} sectors"
    with TracingProcess() as process:
        states: tuple[State, ...] = ("warm", "cold")
        for state in states:
            for network in NETWORKS:
                job = MapJob(network, window, state, process)
                yield Case(f"{network}, {state}", job, state, note)


def _time_s(run: MapRun, state: State, *, of: State) -> float:
    return run.seconds if state == of else float("nan")


LEARNED: Benchmark[MapRun] = Benchmark(
    "speed:learned",
    "A learned map against a traced one at the setting that taught it, warm and cold",
    _cases,
    (
        Metric("time", "s", partial(_time_s, of="warm"), "lower", TIME_RATIO, True),
        Metric("time, from the start of a process", "s", partial(_time_s, of="cold")),
        Metric("a sector", "s", lambda run, _: run.seconds / run.sectors),
    ),
    baseline=Predictor("ray tracing, 4e6 rays", lambda job: job.trace()),
    subject=Predictor("learned", lambda job: job.learn()),
    repeats=3,
    warm_ups=1,
)


def _main(network: str) -> int:
    """What a cold process does: read the town, then load the network and make one map."""
    started = time.perf_counter()
    try:
        window = _window()
        window_s = time.perf_counter() - started
        _map_s(NETWORKS[network](), window)
    except MissingError as error:
        sys.stderr.write(f"{error}\n")
        return _MISSING
    json.dump({"window_s": window_s}, sys.stdout)
    return 0


if __name__ == "__main__":
    sys.exit(_main(sys.argv[1]))
