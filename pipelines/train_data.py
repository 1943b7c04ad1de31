"""Towns to windows that ray tracing has lit: the data set that networks learn radio maps from.

Every window is a file, named by its town and number, that tells by a key what decided it: a second
run makes what is missing or was decided otherwise, and nothing else.
"""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from itertools import combinations
from pathlib import Path
from typing import Any

from pipelines.batch.cluster import default_workers, local_cluster
from pipelines.batch.engine import Engine, Work
from pipelines.batch.inputs import hash_of_files, input_artifact, licence_of
from pipelines.registered import register_input
from pipelines.scene import Report, plain, sha256, slug, versions
from pipelines.towns import AskedTown, TownList, is_list, read_towns, towns_of
from pipelines.window import Extract, WindowTask, is_made, make_window, window_path
from rfplatform.errors import InputError, WorkerError
from rfplatform.formats.scene_parts import ABOUT, BUILDINGS, write_parts
from rfplatform.geodata.load import load_scene, source_path
from rfplatform.geodata.place import FileSource
from rfplatform.propagation.lesson import TeacherConfig
from rfplatform.propagation.lesson_set import (
    FILE,
    SCHEMA,
    LessonFacts,
    Shard,
    Split,
    write_lessons,
)
from rfplatform.propagation.windows import WindowConfig
from rfplatform.registry.artifact import Artifact, File
from rfplatform.registry.registry import Registry
from rfplatform.staging import require_free, staged

NAME = "towns"
"""Of a data set that is given none."""

RETRIES = 1
"""Times that a window is tried again whose worker died, before it is set aside."""

TOWNS = "towns"
"""Folder of the output with what is known of each town; windows lie in another."""


@dataclass(frozen=True)
class Config:
    """What to make, and where. What is None is as the list of towns says, else the default.

    Attributes
    ----------
    towns : tuple of str
        Areas, or one TOML file that lists some: see `pipelines.towns`.
    out : Path, optional
        By default ``out/windows-`` and the name.
    windows : str
        Of every town, and of some another number: ``12,monaco=30``.
    val, test : str
        Towns for validation and for tests, by name, with commas between them.
    extracts : Path, optional
        The folder of the extracts that a TOML file names.
    name : str, optional
        Of the data set; `NAME` by default.
    rays : float, optional
        Of every sector of the maps that are learned.
    coarse_rays : tuple of float, optional
        Of coarse maps beside them; windows take turns.
    least_share, most_share : float, optional
        Of a window's area under buildings.
    seed : int, optional
        Of where windows lie and of the rays.
    workers : int, optional
        Processes; by default as many as the machine holds.
    register : bool
        Whether to take the data set into the registry.
    """

    towns: tuple[str, ...]
    out: Path | None = None
    windows: str = ""
    val: str = ""
    test: str = ""
    extracts: Path | None = None
    name: str | None = None
    rays: float | None = None
    coarse_rays: tuple[float, ...] | None = None
    least_share: float | None = None
    most_share: float | None = None
    seed: int | None = None
    workers: int | None = None
    register: bool = True


@dataclass(frozen=True)
class PlannedTown:
    """A town whose extract was read.

    Attributes
    ----------
    name, windows, split
        See `pipelines.towns.AskedTown`.
    extract : Extract
    bounds_deg : tuple of float
        West, south, east, north.
    buildings : int
    attribution : str
    """

    name: str
    windows: int
    split: Split
    extract: Extract
    bounds_deg: tuple[float, float, float, float]
    buildings: int
    attribution: str


@dataclass(frozen=True)
class Progress:
    """How far it is.

    Attributes
    ----------
    windows, done, already, failed : int
        Asked for; those that are there, of which some were before; those given up.
    running : tuple of str
    elapsed_s, left_s : float, float or None
    """

    windows: int
    done: int
    already: int
    failed: int
    running: tuple[str, ...]
    elapsed_s: float
    left_s: float | None


# ----------------------------------------------------------------------------------------------
# What there is to do
# ----------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Plan:
    """What a configuration asks for, checked.

    Attributes
    ----------
    name : str
        Of the data set.
    out : Path
    windows : WindowConfig
    teacher : TeacherConfig
    seed : int
    towns : tuple of PlannedTown
    """

    name: str
    out: Path
    windows: WindowConfig
    teacher: TeacherConfig
    seed: int
    towns: tuple[PlannedTown, ...]

    @property
    def tasks(self) -> tuple[tuple[WindowTask, Split], ...]:
        """Every window, town by town."""
        return tuple(
            (
                WindowTask(
                    town.name,
                    number,
                    town.extract,
                    self.seed,
                    self.windows,
                    self.teacher,
                    window_path(self.out, town.name, number),
                ),
                town.split,
            )
            for town in self.towns
            for number in range(town.windows)
        )


def planned(config: Config, report: Report = lambda _: None) -> Plan:
    """Read and check everything before the long work.

    What is known of a town is kept in the output's folder, and so is what was downloaded.

    Raises
    ------
    InputError
        Anything wrong: a town that is in two splits, extracts of two splits that overlap, an
        extract that can't be read or has no buildings.
    MissingError
        The network is needed and does not answer.
    """
    if not config.towns:
        raise InputError("no towns: give areas, or a .toml that lists some")
    listed = _listed(config)
    settings = listed.settings
    seed = int(_chosen(config.seed, settings, "seed", 1))
    windows, teacher = _configs(config, settings, seed)
    name = slug(str(_chosen(config.name, settings, "name", NAME)))
    out = config.out or Path("out") / f"windows-{name}"
    if out.exists() and not (out / TOWNS).is_dir():
        require_free(out, overwrite=False)
    towns = []
    for town in listed.towns:
        report(f"Reading {town.name}")
        towns.append(_planned_town(town, out))
    _require_apart(towns)
    return Plan(name, out, windows, teacher, seed, tuple(towns))


def _listed(config: Config) -> TownList:
    if not any(map(is_list, config.towns)):
        if config.extracts is not None:
            raise InputError("--extracts is for a .toml that lists towns: give paths to the areas")
        return TownList(towns_of(config.towns, config.windows, config.val, config.test), {})
    if len(config.towns) > 1:
        raise InputError(f"{config.towns[0]}: a .toml that lists towns stands alone")
    if config.windows or config.val or config.test:
        raise InputError(
            f"{config.towns[0]}: says itself how many windows, and which split: --windows, --val "
            "and --test are for towns on the command line"
        )
    return read_towns(Path(config.towns[0]).expanduser(), config.extracts)


def _chosen(given: object, settings: Mapping[str, Any], name: str, otherwise: object) -> Any:  # noqa: ANN401
    return settings.get(name, otherwise) if given is None else given


def _configs(
    config: Config, settings: Mapping[str, Any], seed: int
) -> tuple[WindowConfig, TeacherConfig]:
    default, lights = WindowConfig(), TeacherConfig()
    windows = WindowConfig(
        least_share=_chosen(config.least_share, settings, "least_share", default.least_share),
        most_share=_chosen(config.most_share, settings, "most_share", default.most_share),
    )
    coarse = _chosen(config.coarse_rays, settings, "coarse_rays", lights.coarse_rays)
    if not coarse:
        raise InputError("coarse rays: give one number or more")
    teacher = TeacherConfig(
        rays_per_sector=_rays(_chosen(config.rays, settings, "rays", lights.rays_per_sector)),
        coarse_rays=tuple(map(_rays, coarse)),
        seed=seed,
    )
    teacher.teacher()
    for number in range(len(coarse)):
        teacher.coarse(number)
    return windows, teacher


def _rays(number: float) -> int:
    try:
        return round(number)
    except (OverflowError, ValueError):
        raise InputError(f"rays {number}: must be a whole number") from None


def _planned_town(town: AskedTown, out: Path) -> PlannedTown:
    extract = _extract(town, out)
    if town.sha256 and town.sha256 != extract.sha256:
        raise InputError(
            f"{town.where}: {extract.path} has the SHA-256 {extract.sha256}, and not "
            f"{town.sha256}: get the extract that the list was written for, or leave sha256 out"
        )
    about = _about(town, extract, out)
    return PlannedTown(
        town.name,
        town.windows,
        town.split,
        extract,
        tuple(about["bounds_deg"]),
        about["buildings"],
        about["attribution"],
    )


def _extract(town: AskedTown, out: Path) -> Extract:
    path = source_path(town.source)
    if path is not None:
        kind = town.source.kind if isinstance(town.source, FileSource) else "osm"
        return Extract(path.absolute(), kind, sha256(path))
    # From the network once: what was downloaded is what all windows are cut from.
    folder = (out / TOWNS / town.name).absolute()
    if not folder.is_dir():
        scene = load_scene(town.source)
        if not scene.buildings:
            raise InputError(f"{town.where}: has no buildings to learn from")
        with staged(folder) as partial:
            partial.mkdir()
            write_parts(scene, partial)
    files = [File.of(folder / name) for name in (BUILDINGS, ABOUT)]
    return Extract(folder, "parts", hash_of_files(files))


def _about(town: AskedTown, extract: Extract, out: Path) -> dict[str, Any]:
    """What is known of a town's extract: read once, and kept."""
    place = out / TOWNS / f"{town.name}.json"
    try:
        kept: dict[str, Any] = json.loads(place.read_text(encoding="utf-8"))
        if kept["sha256"] == extract.sha256 and kept.keys() >= {"bounds_deg", "buildings"}:
            return kept
    except (OSError, ValueError, KeyError, TypeError):
        pass
    try:
        scene = extract.scene()
    except InputError as error:
        raise InputError(f"{town.where}: {error}") from error
    if not scene.buildings:
        raise InputError(f"{town.where}: has no buildings to learn from")
    about = {
        "sha256": extract.sha256,
        "bounds_deg": list(scene.area.bounds_deg),  # type: ignore[union-attr]
        "buildings": len(scene.buildings),
        "attribution": scene.attribution,
    }
    with staged(place, overwrite=True) as partial:
        partial.write_text(json.dumps(about, indent=2) + "\n", encoding="utf-8")
    return about


def _require_apart(towns: Sequence[PlannedTown]) -> None:
    """What a network is tested on, it must not have seen under another name."""
    for one, other in combinations(towns, 2):
        if one.split == other.split:
            continue
        same = one.extract.sha256 == other.extract.sha256
        if same or _overlap(one.bounds_deg, other.bounds_deg):
            raise InputError(
                f"{one.name} ({one.split}) and {other.name} ({other.split}) "
                f"{'have the same extract' if same else 'overlap'}: a place belongs to one split"
            )


def _overlap(one: tuple[float, ...], other: tuple[float, ...]) -> bool:
    return one[0] < other[2] and other[0] < one[2] and one[1] < other[3] and other[1] < one[3]


# ----------------------------------------------------------------------------------------------
# The run
# ----------------------------------------------------------------------------------------------


@dataclass(eq=False)
class _Course:
    """A run: what is there, what runs, what was given up."""

    tasks: Sequence[tuple[WindowTask, Split]]
    progress: Callable[[Progress], None]
    started: float = field(default_factory=time.monotonic)
    done: set[Path] = field(default_factory=set)
    already: int = 0
    made: int = 0
    undrawn: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.engine = Engine(RETRIES, self._made, self._failed, self.word)

    def begin(self) -> None:
        for task, _ in self.tasks:
            if is_made(task):
                self.done.add(task.path)
                self.already += 1
            else:
                label = task.path.stem
                self.engine.add(Work(task.key, label, make_window, task, traces=True))
        self.word()

    def _made(self, work: Work, result: Mapping[str, Any]) -> None:
        if result["undrawn"]:
            self.undrawn[work.label] = result["undrawn"]
        else:
            self.made += 1
            self.done.add(work.task.path)
        self.word()

    def _failed(self, work: Work, words: str) -> None:
        self.failed[work.label] = words
        self.word()

    def word(self) -> None:
        elapsed_s = time.monotonic() - self.started
        running = tuple(work.label for work, _ in self.engine.running.values())
        left = len(self.engine.waiting) + len(running) / 2
        self.progress(
            Progress(
                windows=len(self.tasks),
                done=len(self.done),
                already=self.already,
                failed=len(self.failed) + len(self.undrawn),
                running=running,
                elapsed_s=elapsed_s,
                left_s=left * elapsed_s / self.made if self.made else None,
            )
        )

    def shards(self) -> Iterator[Shard]:
        for task, split in self.tasks:
            if task.path in self.done:
                yield Shard(task.path, split)


def main(
    config: Config,
    *,
    progress: Callable[[Progress], None] | None = None,
    report: Report | None = None,
) -> dict[str, Any]:
    """Make what is missing of a data set, and write it as one file.

    Parameters
    ----------
    config : Config
    progress : callable, optional
        Told about twice a second how far it is.
    report : callable, optional
        Told what is done next.

    Returns
    -------
    dict
        "name", "out", "data" (the file), "registered" (its name there, or ""), "windows" (asked
        for), "done", "made", "already", "undrawn" and "failed" (windows and why), "towns", what
        `LessonFacts` has under "facts", "seconds", "attribution", "licence", "warnings".

    Raises
    ------
    InputError
        See `planned`; or not a single window could be made.
    """
    tell = report or (lambda _: None)
    if config.workers is not None and config.workers < 1:
        raise InputError(f"workers {config.workers}: must be 1 or more")
    plan = planned(config, tell)
    course = _Course(plan.tasks, progress or (lambda _: None))
    tell("Looking at what is there")
    course.begin()
    if course.engine.waiting:
        tell("Starting the workers")
        _run(course.engine, config.workers or min(default_workers(), len(course.engine.waiting)))
    shards = list(course.shards())
    if not shards:
        raise InputError(_none_made(course))
    tell("Writing the data set")
    attribution = "; ".join(sorted({t.attribution for t in plan.towns if t.attribution}))
    data = plan.out / FILE
    facts = write_lessons(shards, data, title=_title(plan), attribution=attribution, overwrite=True)
    record = {
        "name": plan.name,
        "out": str(plan.out),
        "data": str(data),
        "windows": len(course.tasks),
        "done": len(course.done),
        "made": course.made,
        "already": course.already,
        "undrawn": course.undrawn,
        "failed": course.failed,
        "towns": [_told(town) for town in plan.towns],
        "facts": plain(asdict(facts)),
        "seconds": round(time.monotonic() - course.started, 2),
        "attribution": attribution,
        "licence": licence_of(attribution),
        "warnings": _warnings(plan, facts),
    }
    artifact = _register(Registry.default(), plan, record) if config.register else None
    return {**record, "registered": artifact.ref if artifact else ""}


def _run(engine: Engine, workers: int) -> None:
    """Until nothing is left, on workers of this machine."""
    ended: BaseException | None = None
    try:
        with local_cluster(workers) as client:
            try:
                engine.run(client)
            except BaseException as error:
                ended = error
                raise
    except TimeoutError:
        # Of Dask's, as it closes on a machine that is too busy: what was made is there all the
        # same, and what ended the run is what there is to tell.
        if engine.waiting or engine.running:
            raise ended or WorkerError("the workers did not start: run the same again") from None


def _none_made(course: _Course) -> str:
    label, words = next(iter({**course.failed, **course.undrawn}.items()))
    return f"none of {len(course.tasks):,} windows could be made; {label}: {words}"


def _title(plan: Plan) -> str:
    return f"Ray-traced windows of {len(plan.towns)} town{'s' if len(plan.towns) > 1 else ''}"


def _told(town: PlannedTown) -> dict[str, Any]:
    return {
        "name": town.name,
        "split": town.split,
        "windows": town.windows,
        "buildings": town.buildings,
        "bounds_deg": list(town.bounds_deg),
        "extract": town.extract.path.name,
        "sha256": town.extract.sha256,
    }


def _warnings(plan: Plan, facts: LessonFacts) -> list[str]:
    missing = [split for split in ("train", "val") if split not in facts.towns]
    warnings = [
        f"no town for {'training' if split == 'train' else 'validation'}: "
        "a network can't be trained on this data set alone"
        for split in missing
    ]
    bare = [town.name for town in plan.towns if not town.attribution]
    if bare:
        warnings.append(f"{', '.join(bare)}: tell not whose data they are")
    return warnings


def _register(registry: Registry, plan: Plan, record: Mapping[str, Any]) -> Artifact:
    """Take the data set into the registry, with the extracts as its parents."""
    data = Path(record["data"])
    files = (File.of(data, FILE),)
    parents = tuple(dict.fromkeys(_parent(registry, town) for town in plan.towns))
    artifact = Artifact(
        f"windows/{plan.name}",
        hash_of_files(files)[:16],
        "dataset",
        files,
        parents,
        title=_title(plan),
        licence=record["licence"],
        schema=SCHEMA,
        config={
            "seed": plan.seed,
            "windows": plain(asdict(plan.windows)),
            "teacher": plain(asdict(plan.teacher)),
            "towns": record["towns"],
        },
        facts={
            **record["facts"],
            "attribution": record["attribution"],
            "undrawn": len(record["undrawn"]),
            "failed": len(record["failed"]),
        },
        run={"versions": versions(), "seconds": record["seconds"], "made": record["made"]},
    )
    if registry.has(artifact.ref):
        return registry.get(artifact.ref)
    return registry.add(artifact, {FILE: data})


def _parent(registry: Registry, town: PlannedTown) -> str:
    """Make a town's extract known; what was downloaded is taken in."""
    extract = town.extract
    if extract.kind != "parts":
        return register_input(registry, extract.path, extract.sha256)
    local = {name: extract.path / name for name in (BUILDINGS, ABOUT)}
    files = tuple(File.of(path, name) for name, path in local.items())
    artifact = input_artifact(files, town.name, licence_of(town.attribution))
    return registry.add(artifact, local).ref
