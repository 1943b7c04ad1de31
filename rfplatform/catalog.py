"""What exists, by name: one line for each solver and benchmark. Nothing heavy is imported here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import Any, NamedTuple, Protocol

from rfplatform.antennas import NAMED as ANTENNAS
from rfplatform.benchmark import Benchmark
from rfplatform.benchmarks.antenna import ANTENNA
from rfplatform.benchmarks.batch import BATCH
from rfplatform.benchmarks.blender import BLENDER
from rfplatform.benchmarks.physics import PHYSICS
from rfplatform.benchmarks.registry import REGISTRY
from rfplatform.benchmarks.speed import SPEED
from rfplatform.benchmarks.terrain import TERRAIN
from rfplatform.errors import unknown_name
from rfplatform.propagation.empirical import FreeSpace, TR38901RMa, TR38901UMa, TR38901UMi
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.radiomap import RadioMapSolver

__all__ = ["ANTENNAS", "BENCHMARKS", "SOLVERS", "SolverConfig", "SolverEntry", "find_solver"]


class SolverConfig(Protocol):
    """A frozen dataclass of a solver's options, all with defaults."""

    def load(self, progress: Callable[[Any], None] | None = None) -> RadioMapSolver:
        """The solver; `progress` is told how far it is, where it tells at all."""
        ...


class SolverEntry(NamedTuple):
    """A solver's configuration and what it does in one line."""

    config: type[SolverConfig]
    summary: str


SOLVERS: Mapping[str, SolverEntry] = MappingProxyType(
    {
        "raytraced": SolverEntry(
            RayTraced, "Ray tracing (Sionna RT): reflections, diffraction, a stated error"
        ),
        "tr38901-uma": SolverEntry(
            TR38901UMa, "3GPP TR 38.901 urban macro, line of sight from the scene"
        ),
        "tr38901-umi": SolverEntry(
            TR38901UMi, "3GPP TR 38.901 urban micro, line of sight from the scene"
        ),
        "tr38901-rma": SolverEntry(
            TR38901RMa, "3GPP TR 38.901 rural macro, line of sight from the scene"
        ),
        "free-space": SolverEntry(FreeSpace, "Free space, as if no building stood in the way"),
    }
)
"""Solvers by the names that ``--solver`` takes."""

_ALL: tuple[Benchmark[Any], ...] = (*PHYSICS, *ANTENNA, *SPEED, *TERRAIN, BLENDER, *BATCH, REGISTRY)

BENCHMARKS: Mapping[str, Benchmark[Any]] = MappingProxyType(
    {benchmark.name: benchmark for benchmark in _ALL}
)
"""What ``rfplatform bench`` runs."""


def find_solver(name: str) -> SolverEntry:
    """Look a solver up by name.

    Raises
    ------
    InputError
        If there is none of that name; the message lists near misses and all known names.
    """
    if name in SOLVERS:
        return SOLVERS[name]
    raise unknown_name("solver", name, SOLVERS)
