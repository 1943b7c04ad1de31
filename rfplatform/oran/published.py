"""What others report of ORAN-Bench-13K and of ORANBench: quoted, none of it measured here.

ORANBench is 3 x 500 of the 13,952 questions. Prompts, the order of options and what counts as an
answer differ from source to source, so that none of these is comparable to the last percent.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

_ORANSIGHT = (
    "P. Gajjar and V. K. Shah, ORAN-Bench-13K, IEEE CCNC 2025, "
    "doi:10.1109/CCNC54725.2025.10975994, arXiv:2407.06245"
)
_LEADERBOARD = (
    "GSMA Open-Telco leaderboard, snapshot of 7 August 2026 in github.com/open-experiments/"
    "Telco-AIX, telco-sme/benchmarks/open-telco: 89 models"
)


@dataclass(frozen=True)
class Published:
    """A figure that somebody reports.

    Attributes
    ----------
    name : str
        Of the model, or of what was taken over several.
    questions : {"ORAN-Bench-13K", "ORANBench"}
    measure : {"macro", "weighted", "accuracy"}
        ORANBench has as many questions of each difficulty: all three are the same there.
    value : float
    source : str
    """

    name: str
    questions: Literal["ORAN-Bench-13K", "ORANBench"]
    measure: Literal["macro", "weighted", "accuracy"]
    value: float
    source: str


PUBLISHED: tuple[Published, ...] = (
    Published("ORANSight (RAG)", "ORAN-Bench-13K", "macro", 0.784, _ORANSIGHT),
    Published("ORANSight (RAG)", "ORAN-Bench-13K", "weighted", 0.776, _ORANSIGHT),
    Published("best of 89 models", "ORANBench", "accuracy", 0.90, _LEADERBOARD),
    Published("claude-opus-4.6", "ORANBench", "accuracy", 0.90, _LEADERBOARD),
    Published("gpt-5.2", "ORANBench", "accuracy", 0.867, _LEADERBOARD),
    Published("median of 89 models", "ORANBench", "accuracy", 0.76, _LEADERBOARD),
    Published("qwen2.5-0.5b", "ORANBench", "accuracy", 0.479, _LEADERBOARD),
)
"""As quoted by their sources."""
