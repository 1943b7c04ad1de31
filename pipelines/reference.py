"""Trace the reference of the Helsinki case: 1e9 rays, no filter; a quarter of an hour on two cores.

Run it as ``python -m pipelines.reference [RAYS]``.
"""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from rfplatform.benchmarks import helsinki
from rfplatform.propagation.raytraced import RayTraced, TraceProgress
from rfplatform.staging import staged


@dataclass(frozen=True)
class Config:
    """How many rays, and where the result is kept."""

    rays: int = 1_000_000_000
    seed: int = 1
    out: Path | None = None


def main(config: Config) -> Path:
    """Trace and write the reference; return its path."""
    solver = RayTraced(
        rays_per_sector=config.rays, target_noise_db=0.0, seed=config.seed, reconstruct=False
    )
    solve = solver.load(progress=_say)
    radio_map = solve(helsinki.scene(), [helsinki.sector()], helsinki.grid())
    path = config.out or helsinki.reference_path()
    with staged(path, overwrite=True) as partial:
        helsinki.write_reference(radio_map, partial)
    return path


def _say(now: TraceProgress) -> None:
    done = now.rays / now.rays_budget
    left_s = now.elapsed_s * (1 - done) / done
    sys.stderr.write(f"\r{done:6.1%} of {now.rays_budget:.2g} rays, {left_s:5.0f} s left ")
    sys.stderr.flush()


if __name__ == "__main__":
    rays = int(float(sys.argv[1])) if len(sys.argv) > 1 else Config.rays
    sys.stdout.write(f"\n{main(Config(rays=rays))}\n")
