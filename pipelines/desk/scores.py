"""What benchmarks scored, by whom it was kept: jobs of a workspace, reports of a registry."""

from __future__ import annotations

import os
import platform
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from typing import Any, Literal

from pipelines.desk.jobs import list_jobs
from pipelines.desk.kinds import RESULT
from pipelines.desk.workspace import Workspace, read_json_file
from rfplatform import __version__
from rfplatform.registry.registry import Registry

MOST_REPORTS = 200
"""Of a registry, the newest."""


@dataclass(frozen=True)
class Scores:
    """Rows of one run of benchmarks.

    Attributes
    ----------
    source : {"job", "report"}
    name : str
        The job's id, or the report's full name in the registry.
    time : float
        Unix seconds, at which it ended.
    version, python, platform : str
        Of rfplatform, Python and the operating system; "" where it is not told.
    cpus : int or None
    given : mapping
        Names of the user's files that were scored in place of the benchmark's own; mostly empty.
    rows : tuple of mapping
        Of the form of `rfplatform.benchmark.Row.to_dict`.
    """

    source: Literal["job", "report"]
    name: str
    time: float
    version: str
    python: str
    platform: str
    cpus: int | None
    given: Mapping[str, str]
    rows: tuple[Mapping[str, Any], ...]

    def of(self, benchmark: str) -> Scores:
        """The rows of one benchmark alone."""
        return replace(self, rows=tuple(r for r in self.rows if r["benchmark"] == benchmark))

    @property
    def differences(self) -> tuple[str, ...]:
        """In what the run was not made as one here and now would be, in a few words each."""
        told = {
            "another version of rfplatform": (self.version, __version__),
            "another Python": (self.python, platform.python_version()),
            "another machine or system": (self.platform, platform.platform()),
            "another number of CPUs": (self.cpus, os.cpu_count()),
        }
        return tuple(
            words for words, (there, here) in told.items() if there not in ("", None, here)
        )


def all_scores(ws: Workspace, registry: Registry) -> list[Scores]:
    """Everything that was scored, the newest first.

    Raises
    ------
    InputError
        If the registry is damaged.
    """
    found = [*job_scores(ws), *_of_reports(registry)]
    return sorted(found, key=lambda scores: scores.time, reverse=True)


def job_scores(ws: Workspace) -> list[Scores]:
    """What the workspace's own jobs scored, the newest first."""
    found = [(job, read_json_file(job.out / RESULT)) for job in list_jobs(ws, "bench")]
    return [
        _scores("job", job.id, job.ended or job.created, body, body.get("rows"))
        for job, body in found
        if body is not None
    ]


def scores_of(scores: Sequence[Scores], benchmark: str) -> list[Scores]:
    """Those that have rows of a benchmark, with these rows alone."""
    narrowed = (one.of(benchmark) for one in scores)
    return [one for one in narrowed if one.rows]


def _of_reports(registry: Registry) -> Iterator[Scores]:
    for entry in registry.entries("report", limit=MOST_REPORTS):
        artifact = registry.get(entry.ref)
        time = datetime.fromisoformat(artifact.created).timestamp()
        yield _scores("report", artifact.ref, time, artifact.run, artifact.facts.get("metrics"))


def _scores(
    source: Literal["job", "report"],
    name: str,
    time: float,
    about: Mapping[str, Any],
    rows: object,
) -> Scores:
    given = about.get("given")
    cpus = about.get("cpus")
    return Scores(
        source,
        name,
        time,
        str(about.get("rfplatform", "")),
        str(about.get("python", "")),
        str(about.get("platform", "")),
        cpus if isinstance(cpus, int) else None,
        given if isinstance(given, Mapping) else {},
        # A report that was added by hand may hold anything.
        tuple(row for row in rows if isinstance(row, dict) and row.get("benchmark"))
        if isinstance(rows, list)
        else (),
    )
