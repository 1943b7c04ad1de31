"""What this machine has for radio maps, what it lacks, and what to type about it.

Nothing heavy is imported here: versions come from the packages' metadata, and the ray-traced
map is made in a child process, whose abort or crash becomes a line of the table.
"""

from __future__ import annotations

import importlib.metadata
import json
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from rfplatform import __version__, libllvm
from rfplatform.errors import MissingError

if TYPE_CHECKING:
    from rich.console import Console

MINIMUM_PYTHON = (3, 11)
MINIMUM_MEMORY_BYTES = 2 * 2**30
"""Where a warning is due: the tiny map alone takes 0.2 GB, a city's scene and rays far more."""
MINIMUM_DISK_BYTES = 2**30
"""Room for the outputs, the compiled kernels and downloaded extracts."""

BLENDER_REMEDY = "pip install rfplatform[blender]"
_EXTRA = "sh tools/env.sh --extra"

CUDA_VARIANT = "cuda_ad_mono_polarized"
LLVM_VARIANT = "llvm_ad_mono_polarized"

GAIN_TOLERANCE_DB = 0.5
"""How far the tiny map may lie from free space; its own sampling error is about 0.04 dB."""

TINY_MAP = """
import json, time

started = time.perf_counter()
import mitsuba
import numpy as np
import sionna.rt as rt

imported = time.perf_counter()
scene = rt.load_scene(rt.scene.floor_wall)
scene.frequency = 3.5e9
scene.tx_array = rt.PlanarArray(num_rows=1, num_cols=1, pattern="iso", polarization="V")
scene.rx_array = scene.tx_array
# The plane lies above the wall, so every cell is in line of sight.
scene.add(rt.Transmitter("tx", position=[0.0, 0.0, 9.0]))
plane = dict(center=[0.0, 0.0, 4.0], orientation=[0.0, 0.0, 0.0], size=[8.0, 8.0],
             cell_size=[1.0, 1.0], los=True, refraction=False)
solve = rt.RadioMapSolver()
direct = solve(scene, samples_per_tx=1_000_000, max_depth=0, specular_reflection=False, **plane)
gain_db = 10.0 * np.log10(np.array(direct.path_gain)[0])
distance_m = np.linalg.norm(np.array(direct.cell_centers) - [0.0, 0.0, 9.0], axis=-1)
# Friis: (wavelength / 4 pi d)^2 between isotropic antennas.
free_space_db = 20.0 * np.log10(299_792_458.0 / 3.5e9 / (4.0 * np.pi * distance_m))
# Reflection and diffraction compile other kernels; the bad libLLVMs abort here at the latest.
full = solve(scene, samples_per_tx=100_000, max_depth=3, specular_reflection=True,
             diffraction=True, **plane)
print(json.dumps({
    "variant": mitsuba.variant(),
    "error_db": float(np.abs(gain_db - free_space_db).max()),
    "dark_cells": int((np.array(full.path_gain)[0] <= 0.0).sum()),
    "import_s": imported - started,
    "trace_s": time.perf_counter() - imported,
}))
"""
"""The child's program; it ends with one line of JSON on standard output."""


@dataclass(frozen=True)
class Check:
    """One line of the diagnosis.

    Attributes
    ----------
    name : str
        What was looked at.
    found : str
        What is there.
    ok : bool or None
        False is a fault that keeps maps from being traced; None is optional and absent.
    remedy : str
        What to type about it; empty where nothing is wrong.
    """

    name: str
    found: str
    ok: bool | None
    remedy: str = ""


@dataclass(frozen=True)
class Gpu:
    """An NVIDIA GPU as its driver names it."""

    name: str
    driver: str
    memory: str

    def __str__(self) -> str:
        return f"{self.name}, {self.memory}, driver {self.driver}"


def diagnose(*, traced_map: bool = True) -> list[Check]:
    """Look at everything that tracing a map depends on; takes no network.

    Parameters
    ----------
    traced_map : bool
        Also trace a tiny map in a child process: 2 to 4 s on two cores, nearly all of it imports.

    Returns
    -------
    list of Check
        In the order to show them.
    """
    gpus = find_gpus()
    checks = [
        _python_check(),
        Check("rfplatform", __version__, ok=True),
        *(_package_check(package) for package in ("sionna-rt", "mitsuba", "drjit")),
        _libllvm_check(has_gpu=bool(gpus)),
        _gpu_check(gpus),
        _variant_check(gpus),
        _optional_check("TensorFlow", ("tensorflow", "tensorflow-cpu"), f"{_EXTRA} learn"),
        _optional_check("Streamlit", ("streamlit",), f"{_EXTRA} ui"),
        _optional_check("Blender (bpy)", ("bpy",), BLENDER_REMEDY),
        _memory_check(),
        _disk_check(Path.cwd()),
        _cache_check(),
    ]
    if traced_map:
        checks.append(traced_map_check(has_gpu=bool(gpus)))
    return checks


def ok(checks: Sequence[Check]) -> bool:
    """Whether no check is a fault; what is optional may be absent."""
    return all(check.ok is not False for check in checks)


def render(checks: Sequence[Check], console: Console) -> None:
    """Print the table, then for each fault, and each absent option, what to type."""
    from rich.table import Table
    from rich.text import Text

    marks = {True: ("ok", "green"), False: ("fault", "bold red"), None: ("absent", "dim")}
    table = Table(box=None, pad_edge=False)
    table.add_column("", no_wrap=True)
    table.add_column("Check", no_wrap=True)
    table.add_column("Found", overflow="fold")
    for check in checks:
        # Text, not markup: "rfplatform[learn]" would lose its brackets.
        table.add_row(Text(*marks[check.ok]), Text(check.name), Text(check.found))
    console.print(table)
    for title, state in (("To mend:", False), ("Optional:", None)):
        lines = [check for check in checks if check.ok is state and check.remedy]
        if lines:
            console.print(Text(f"\n{title}"))
        for check in lines:
            console.print(Text(f"  {check.name}: {check.remedy}"), soft_wrap=True)


def find_gpus() -> tuple[Gpu, ...]:
    """The NVIDIA GPUs that the driver lists; empty without a driver or a GPU."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return ()
    try:
        listing = subprocess.run(
            [program, "--query-gpu=name,driver_version,memory.total", "--format=csv,noheader"],
            capture_output=True,
            text=True,
            check=False,
            timeout=20.0,
        )
    except (subprocess.TimeoutExpired, OSError):
        return ()
    if listing.returncode != 0:
        return ()
    rows = (line.split(", ") for line in listing.stdout.strip().splitlines())
    return tuple(Gpu(*row) for row in rows if len(row) == 3)


def traced_map_check(*, has_gpu: bool = False, timeout_s: float = 180.0) -> Check:
    """Trace a tiny map in a child process and compare it with free space.

    The scene is a floor and a wall; the transmitter stands 5 m above a plane of 8 x 8 cells
    that are all in line of sight, so with direct paths alone each cell's path gain is that of
    free space (ITU-R P.525-4, clause 2.2). A second map with reflection and diffraction
    must run and reach every cell.

    Parameters
    ----------
    has_gpu : bool
        Trace also without a good libLLVM, which the CUDA variant doesn't need.
    timeout_s : float
        After this the child is ended.

    Returns
    -------
    Check
        A fault with the child's last words if it fails, aborts, crashes or hangs.
    """
    name = "Ray-traced map"
    environment = dict(os.environ)
    try:
        environment |= libllvm.environment(libllvm.find())
    except MissingError:
        if not has_gpu:
            return Check(name, "not tried: no good libLLVM", ok=False, remedy=_libllvm_remedy())
    try:
        child = subprocess.run(
            [sys.executable, "-c", TINY_MAP],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
            timeout=timeout_s,
        )
    except subprocess.TimeoutExpired:
        return Check(
            name,
            f"no answer within {timeout_s:g} s",
            ok=False,
            remedy="try again with nothing else running: rfplatform doctor",
        )
    if child.returncode != 0:
        return _dead_child_check(name, child.returncode, child.stderr)
    return _judged_map_check(name, json.loads(child.stdout.strip().splitlines()[-1]))


def _judged_map_check(name: str, result: dict[str, float | str]) -> Check:
    error_db = float(result["error_db"])
    found = (
        f"within {error_db:.2f} dB of free space, {float(result['trace_s']):.1f} s "
        f"after {float(result['import_s']):.1f} s of imports, {result['variant']}"
    )
    reinstall = "make the environment anew: rm -r .venv && make llvm"
    # Written so that a NaN is a fault.
    if not error_db <= GAIN_TOLERANCE_DB:
        return Check(name, f"wrong by {error_db:.2f} dB against free space", False, reinstall)
    if result["dark_cells"]:
        return Check(name, f"{result['dark_cells']} cells in sight got no path", False, reinstall)
    return Check(name, found, ok=True)


def _dead_child_check(name: str, status: int, stderr: str) -> Check:
    words = last_words(stderr)
    if status > 0:
        missing = "No module named" in words
        remedy = "make -B env" if missing else _libllvm_remedy()
        return Check(name, f"failed: {words}", ok=False, remedy=remedy)
    number = -status
    try:
        signal_name = signal.Signals(number).name
    except ValueError:
        signal_name = f"signal {number}"
    remedy = (
        "the system ended it, most likely for want of memory: close other programs, try again"
        if number == signal.SIGKILL
        else f"for another libLLVM {_libllvm_remedy()}"
    )
    return Check(name, f"died of {signal_name}: {words}", ok=False, remedy=remedy)


def last_words(stderr: str) -> str:
    """The line of a process's error output that says why it ended.

    LLVM prints its error first and pages of the program that it was compiling after it, a
    Python traceback ends with the error.
    """
    lines = [line.strip() for line in stderr.splitlines() if line.strip()]
    if not lines:
        return "it said nothing"
    for line in lines:
        if "LLVM ERROR" in line:
            return line
    return lines[-1]


def _python_check() -> Check:
    wanted = ".".join(map(str, MINIMUM_PYTHON))
    good = sys.version_info[:2] >= MINIMUM_PYTHON
    found = f"{platform.python_version()} ({sys.executable})"
    remedy = "" if good else f"make env PYTHON=/path/to/python{wanted}"
    return Check("Python", found, good, remedy)


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _package_check(package: str) -> Check:
    version = _version(package)
    if version is None:
        remedy = f"pip install {package}, or in a checkout: make -B env"
        return Check(package, "not installed", ok=False, remedy=remedy)
    return Check(package, version, ok=True)


def _optional_check(name: str, packages: Sequence[str], remedy: str) -> Check:
    for package in packages:
        version = _version(package)
        if version is not None:
            return Check(name, version, ok=True)
    return Check(name, "not installed", ok=None, remedy=remedy)


def _libllvm_check(*, has_gpu: bool) -> Check:
    name = "libLLVM"
    # The CUDA variant compiles with the GPU's driver.
    fault = None if has_gpu else False
    try:
        lib = libllvm.find()
    except MissingError:
        named = os.environ.get(libllvm.PATH_VARIABLE)
        versions = sorted({lib.version[0] for lib in libllvm.find_all() if lib.version})
        if named:
            found = f"{libllvm.PATH_VARIABLE}={named} doesn't serve"
        else:
            found = f"only {', '.join(map(str, versions))}" if versions else "none"
        found += f"; a CPU needs {libllvm.MINIMUM_MAJOR} or newer, a GPU none"
        return Check(name, found, fault, _libllvm_remedy())
    problem = libllvm.load_error(lib)
    if problem is not None:
        return Check(name, f"{lib.path} doesn't load: {problem}", fault, _libllvm_remedy())
    return Check(name, f"{'.'.join(map(str, lib.version))} ({lib.path})", ok=True)


def _libllvm_remedy() -> str:
    named = libllvm.PATH_VARIABLE in os.environ
    return f"unset {libllvm.PATH_VARIABLE}" if named else libllvm.REMEDY


def _gpu_check(gpus: Sequence[Gpu]) -> Check:
    if not gpus:
        return Check("GPU", "no NVIDIA GPU: rays are traced on the CPU", ok=None)
    return Check("GPU", "; ".join(map(str, gpus)), ok=True)


def _variant_check(gpus: Sequence[Gpu]) -> Check:
    return Check("Tracing variant", CUDA_VARIANT if gpus else LLVM_VARIANT, ok=True)


def _memory_check() -> Check:
    import psutil

    memory = psutil.virtual_memory()
    found = f"{_gib(memory.available)} of {_gib(memory.total)}"
    if memory.available < MINIMUM_MEMORY_BYTES:
        remedy = "close other programs, or map a smaller --bbox or a coarser --resolution"
        return Check("Free memory", found, ok=False, remedy=remedy)
    return Check("Free memory", found, ok=True)


def _disk_check(folder: Path) -> Check:
    free = shutil.disk_usage(folder).free
    found = f"{_gib(free)} in {folder}"
    if free < MINIMUM_DISK_BYTES:
        remedy = "free some, or write elsewhere with --out"
        return Check("Free disk", found, ok=False, remedy=remedy)
    return Check("Free disk", found, ok=True)


def _cache_check() -> Check:
    import platformdirs

    folder = platformdirs.user_cache_path("rfplatform")
    try:
        folder.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder) as probe:
            probe.write(b"probe")
    except OSError as error:
        remedy = "set XDG_CACHE_HOME to a folder that you may write"
        return Check("Cache folder", f"{folder}: {error.strerror}", ok=False, remedy=remedy)
    return Check("Cache folder", str(folder), ok=True)


def _gib(count: float) -> str:
    return f"{count / 2**30:.1f} GiB"
