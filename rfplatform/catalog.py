"""What exists, by name: a line for each solver, model and benchmark. Nothing heavy is imported."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, NamedTuple, Protocol

from rfplatform.antennas import NAMED as ANTENNAS
from rfplatform.benchmark import Benchmark
from rfplatform.benchmarks.antenna import ANTENNA
from rfplatform.benchmarks.batch import BATCH
from rfplatform.benchmarks.blender import BLENDER
from rfplatform.benchmarks.denoiser import DENOISER
from rfplatform.benchmarks.duke import DUKE
from rfplatform.benchmarks.learned import LEARNED
from rfplatform.benchmarks.maps import UNSEEN
from rfplatform.benchmarks.oran import FLOORS_BENCHMARK
from rfplatform.benchmarks.oran_relevance import ORAN_RELEVANCE
from rfplatform.benchmarks.oran_retrieval import ORAN_RETRIEVAL
from rfplatform.benchmarks.oran_speed import ORAN_SPEED
from rfplatform.benchmarks.physics import PHYSICS
from rfplatform.benchmarks.registry import REGISTRY
from rfplatform.benchmarks.speed import SPEED
from rfplatform.benchmarks.terrain import TERRAIN
from rfplatform.benchmarks.ui import UI
from rfplatform.errors import unknown_name
from rfplatform.propagation.cascade import Cascade, CascadeNetwork
from rfplatform.propagation.empirical import FreeSpace, TR38901RMa, TR38901UMa, TR38901UMi
from rfplatform.propagation.geo2sigmap import Geo2SigMap, Geo2SigMapNetwork
from rfplatform.propagation.raytraced import RayTraced
from rfplatform.radiomap import RadioMapSolver

if TYPE_CHECKING:
    import keras

    from rfplatform.nn.fit import Stage
    from rfplatform.propagation.lesson import Lesson

__all__ = [
    "ANTENNAS",
    "BENCHMARKS",
    "MODELS",
    "SOLVERS",
    "ModelEntry",
    "SolverConfig",
    "SolverEntry",
    "Trainable",
    "find_solver",
    "find_trainable",
]


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
        "cascade": SolverEntry(
            Cascade, "Learned, in a second; from few rays a converged map; states its spread"
        ),
        "geo2sigmap": SolverEntry(
            Geo2SigMap, "Learned, the published cascade of Geo2SigMap: a point of reference"
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


class Trainable(Protocol):
    """A frozen dataclass of a model's hyperparameters, all with defaults."""

    @property
    def num_stages(self) -> int:
        """Networks that are trained one after the other."""
        ...

    def architecture(self) -> dict[str, Any]:
        """What decides the weights' shapes, as JSON values."""
        ...

    def inputs(self) -> dict[str, Any]:
        """Channels, units and scales of what goes in, as JSON values."""
        ...

    def stage(
        self,
        number: int,
        fitted: Sequence[keras.Model],
        training: Sequence[Lesson],
        validation: Sequence[Lesson],
        *,
        seed: int,
    ) -> Stage:
        """A network with its examples, after those before it were trained."""
        ...


class ModelEntry(NamedTuple):
    """A model's configuration and what it does in one line."""

    config: type[Trainable]
    summary: str


MODELS: Mapping[str, ModelEntry] = MappingProxyType(
    {
        "cascade": ModelEntry(
            CascadeNetwork, "Closed forms, corrected by a U-Net, then by samples or few rays"
        ),
        "geo2sigmap": ModelEntry(
            Geo2SigMapNetwork, "Geo2SigMap's cascade of two U-Nets, as a reference point"
        ),
    }
)
"""What ``rfplatform train`` trains."""

_ALL: tuple[Benchmark[Any], ...] = (
    *PHYSICS,
    *ANTENNA,
    *SPEED,
    UI,
    *TERRAIN,
    BLENDER,
    *BATCH,
    REGISTRY,
    UNSEEN,
    DENOISER,
    DUKE,
    LEARNED,
    FLOORS_BENCHMARK,
    ORAN_RETRIEVAL,
    ORAN_RELEVANCE,
    ORAN_SPEED,
)

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


def find_trainable(name: str) -> ModelEntry:
    """Look up by name what can be trained.

    Raises
    ------
    InputError
        If there is none of that name; the message lists near misses and all known names.
    """
    if name in MODELS:
        return MODELS[name]
    raise unknown_name("model", name, MODELS)
