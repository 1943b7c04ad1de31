"""The libLLVM that ray tracing on a CPU compiles its kernels with: which one, and how to use it.

Dr.Jit, under sionna-rt, loads LLVM at run time and takes what it finds; not every version serves.
Measured with Dr.Jit 1.5 and sionna-rt 2.2: 14 is refused at import, 15 and 16 abort the process
inside a radio map ("Cannot select ... fminimum"), 19 and 22 work. 17 was never tried and counts
as too old. The CUDA variant needs no libLLVM.
"""

from __future__ import annotations

import os
import re
import subprocess
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from rfplatform.errors import MissingError

PATH_VARIABLE = "DRJIT_LIBLLVM_PATH"
"""The environment variable that Dr.Jit takes libLLVM's path from."""

MINIMUM_MAJOR = 18
TESTED_MAJORS = (19, 22)
"""Versions that radio maps were traced with; they go before other good ones."""

REMEDY = "`make llvm`, or as root `apt-get install libllvm19`"

_SYSTEM_PATTERNS = (
    "/usr/lib/*/libLLVM*.so*",
    "/usr/lib/libLLVM*.so*",
    "/usr/lib64/libLLVM*.so*",
    "/usr/lib/llvm-*/lib/libLLVM*.so*",
    "/usr/lib/llvm*/lib64/libLLVM*.so*",
    "/usr/lib64/llvm*/lib*/libLLVM*.so*",
    "/usr/local/lib/libLLVM*.so*",
    "/usr/local/lib/*/libLLVM*.so*",
)
_HOMEBREW_PATTERNS = tuple(
    f"{prefix}/{folder}/lib/libLLVM*.dylib"
    for prefix in ("/opt/homebrew", "/usr/local")
    for folder in ("opt/llvm", "opt/llvm@*")
)

# libLLVM-14.so.1 (version before .so), libLLVM.so.19.1 (after it), libLLVM-15.0.7.so,
# libLLVM.dylib; not libLLVM-C.dylib, libLLVMSupport.so or a compiler's own private build.
_NAME = re.compile(
    r"libLLVM(?:-(?P<before>\d+(?:\.\d+)*))?\.(?:so(?:\.(?P<after>\d+(?:\.\d+)*))?|dylib)"
)
# .../Cellar/llvm/19.1.7/lib/libLLVM.dylib, .../llvm-19/lib/libLLVM.so
_FOLDER = re.compile(r"llvm(?:@\d+)?[-/](?P<version>\d+(?:\.\d+)*)/lib")

# LLVMGetVersion exists since LLVM 16; without it the version stays unknown, and is too old.
_ASK = """
import ctypes, sys
numbers = [ctypes.c_uint() for _ in range(3)]
ctypes.CDLL(sys.argv[1]).LLVMGetVersion(*map(ctypes.byref, numbers))
print(".".join(str(number.value) for number in numbers))
"""


@dataclass(frozen=True)
class LibLLVM:
    """One libLLVM file.

    Attributes
    ----------
    path : Path
        The file, symbolic links resolved.
    version : tuple of int
        Major first, as many numbers as its name tells; empty where it can't be told.
    """

    path: Path
    version: tuple[int, ...]

    @property
    def usable(self) -> bool:
        """Whether its version is one that ray tracing can trust."""
        return bool(self.version) and self.version[0] >= MINIMUM_MAJOR

    @property
    def unpacked(self) -> bool:
        """Whether it lies in the project environment's own copy, beside its dependencies."""
        return self.path.is_relative_to(unpacked_folder().resolve())

    def __str__(self) -> str:
        version = ".".join(map(str, self.version)) or "of unknown version"
        return f"libLLVM {version} ({self.path})"


def unpacked_folder() -> Path:
    """Where the project environment keeps a libLLVM that was unpacked without root."""
    return Path(sys.prefix) / "lib" / "libllvm"


def find_all(patterns: Sequence[str] | None = None) -> list[LibLLVM]:
    """Every libLLVM of this machine, good or not, in the order in which they are considered.

    `DRJIT_LIBLLVM_PATH` first, then the environment's unpacked copy, then the environment's
    own lib folder (conda), then the system's folders, there the versions that were tested
    before the others and newer before older. A file that several links lead to comes once, and
    one for another processor (a 32-bit library beside a 64-bit Python) not at all.

    Parameters
    ----------
    patterns : sequence of str, optional
        Absolute glob patterns to look through in place of the system's folders.
    """
    prefix = Path(sys.prefix)
    named = os.environ.get(PATH_VARIABLE)
    groups: list[Iterable[Path]] = [
        [Path(named)] if named else [],
        sorted(unpacked_folder().glob("**/libLLVM*.so*")),
        sorted(prefix.glob("lib/libLLVM*.so*")) + sorted(prefix.glob("lib/libLLVM*.dylib")),
        _globbed(_system_patterns() if patterns is None else patterns),
    ]
    found: dict[Path, LibLLVM] = {}
    for group in groups:
        candidates = {path: _read(path) for path in _real_files(group) if path not in found}
        found |= dict(sorted(candidates.items(), key=_preference))
    return list(found.values())


def find(patterns: Sequence[str] | None = None) -> LibLLVM:
    """The libLLVM to trace with.

    `DRJIT_LIBLLVM_PATH`, where it is set, is the user's decision: it is taken or refused, and
    never passed over.

    Parameters
    ----------
    patterns : sequence of str, optional
        As in `find_all`.

    Raises
    ------
    MissingError
        If the machine has none of version 18 or newer, or `DRJIT_LIBLLVM_PATH` names a file
        that isn't there, isn't a libLLVM for this machine, or is too old.
    """
    named = os.environ.get(PATH_VARIABLE)
    candidates = find_all(patterns)
    if named:
        path = Path(named).resolve()
        if not path.is_file():
            raise MissingError(f"{PATH_VARIABLE}={named}: no such file; unset it, or type {REMEDY}")
        candidates = [lib for lib in candidates if lib.path == path]
        if not candidates:
            raise MissingError(
                f"{PATH_VARIABLE}={named} is not a libLLVM that this Python can load; "
                f"unset it, or type {REMEDY}"
            )
    for lib in candidates:
        if lib.usable:
            return lib
    raise MissingError(_nothing_usable(candidates, named))


def environment(lib: LibLLVM, base: Mapping[str, str] | None = None) -> dict[str, str]:
    """What a process's environment needs, from its start, to trace with a libLLVM.

    Parameters
    ----------
    lib : LibLLVM
        The library.
    base : mapping of str to str, optional
        The environment that the answer will be laid over; by default this process's own.

    Returns
    -------
    dict of str to str
        `DRJIT_LIBLLVM_PATH`, and for an unpacked copy `LD_LIBRARY_PATH`, with its folder before
        what was there: its dependencies lie beside it, and the loader reads that variable only
        when a process starts.
    """
    variables = {PATH_VARIABLE: str(lib.path)}
    if lib.unpacked:
        earlier = (os.environ if base is None else base).get("LD_LIBRARY_PATH", "")
        folders = [str(lib.path.parent), *filter(None, earlier.split(":"))]
        variables["LD_LIBRARY_PATH"] = ":".join(dict.fromkeys(folders))
    return variables


def load_error(lib: LibLLVM, timeout_s: float = 60.0) -> str | None:
    """Why a child process can't load a libLLVM, in the loader's words; None if it can.

    Tells a library whose own dependencies are missing, which its name doesn't show. The child
    keeps its 100 MB, and a crash, away from the caller.
    """
    try:
        child = _ask(lib.path, environment(lib), timeout_s)
    except subprocess.TimeoutExpired:
        return f"it didn't load within {timeout_s:g} s"
    if child.returncode == 0:
        return None
    return (child.stderr.strip().splitlines() or [f"exit status {child.returncode}"])[-1]


def _nothing_usable(candidates: Sequence[LibLLVM], named: str | None) -> str:
    rule = f"ray tracing on a CPU needs libLLVM {MINIMUM_MAJOR} or newer"
    if named:
        return f"{PATH_VARIABLE} names {candidates[0]}, but {rule}: unset it, or type {REMEDY}"
    versions = sorted({lib.version[0] for lib in candidates if lib.version})
    found = f"only {', '.join(map(str, versions))}" if versions else "none"
    return f"{rule} and this machine has {found}: type {REMEDY} (an NVIDIA GPU needs none)"


def _system_patterns() -> tuple[str, ...]:
    return _SYSTEM_PATTERNS + (_HOMEBREW_PATTERNS if sys.platform == "darwin" else ())


def _globbed(patterns: Iterable[str]) -> Iterator[Path]:
    for pattern in patterns:
        yield from Path("/").glob(pattern.removeprefix("/"))


def _real_files(paths: Iterable[Path]) -> Iterator[Path]:
    """The files behind paths that look like a libLLVM of this machine, once each."""
    seen = set()
    for path in paths:
        real = path.resolve()
        if real in seen or not real.is_file() or not os.access(real, os.R_OK):
            continue
        seen.add(real)
        if (_NAME.fullmatch(path.name) or _NAME.fullmatch(real.name)) and _same_machine(real):
            yield real


def _same_machine(path: Path) -> bool:
    """Whether a library is built for the interpreter's processor, as far as ELF headers tell."""
    with path.open("rb") as library, Path(sys.executable).open("rb") as interpreter:
        theirs, ours = library.read(20), interpreter.read(20)
    if not ours.startswith(b"\x7fELF"):
        return True
    # Word size and byte order in e_ident (4 and 5), the processor in e_machine (18 and 19).
    return theirs[:6] == ours[:6] and theirs[18:20] == ours[18:20]


def _read(path: Path) -> LibLLVM:
    return LibLLVM(path, version_in_name(path) or _version_by_loading(path))


def version_in_name(path: Path) -> tuple[int, ...]:
    """The version that a library's file name or folder states; empty where neither does.

    Parameters
    ----------
    path : Path
        With symbolic links resolved: `libLLVM.so.1` is a link to `libLLVM.so.19.1`, and its 1
        is the interface's number, not LLVM's.
    """
    texts = []
    if name := _NAME.fullmatch(path.name):
        texts += [name["before"], name["after"]]
    if folder := _FOLDER.search(str(path.parent)):
        texts.append(folder["version"])
    for text in filter(None, texts):
        version = tuple(map(int, text.split(".")))
        # libLLVM.so.1: the interface's number. LLVM had no such name before version 3.
        if version[0] >= 3:
            return version
    return ()


def _version_by_loading(path: Path) -> tuple[int, ...]:
    try:
        child = _ask(path, environment(LibLLVM(path, ())), timeout_s=60.0)
    except subprocess.TimeoutExpired:
        return ()
    if child.returncode != 0:
        return ()
    return tuple(map(int, child.stdout.split(".")))


def _ask(
    path: Path, variables: Mapping[str, str], timeout_s: float
) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-I", "-c", _ASK, str(path)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        check=False,
        timeout=timeout_s,
    )


def _preference(item: tuple[Path, LibLLVM]) -> tuple[bool, bool, tuple[int, ...]]:
    lib = item[1]
    tested = bool(lib.version) and lib.version[0] in TESTED_MAJORS
    return (not lib.usable, not tested, tuple(-number for number in lib.version))
