"""Give ray tracing a libLLVM: find a good one, or install Debian's, or unpack it without root.

    .venv/bin/python tools/install_libllvm.py [--unpack]

`--unpack` passes over what the system has and unpacks a whole copy under the environment.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from rich.console import Console

from rfplatform import libllvm
from rfplatform.errors import MissingError

PACKAGES = ("libllvm19", "libllvm22", "libllvm21", "libllvm20", "libllvm18")
"""In the order of trust: 19 is the one that most maps were traced with."""

# The C library belongs to the running system: a second one in a process's path breaks it.
NEVER_UNPACKED = ("libc6", "libc6-i386", "libcrypt1", "libc-bin")

LIBRARY = re.compile(r"\.so(\.\d+)*$")

console = Console(stderr=True, highlight=False, markup=False, soft_wrap=True)


class AptError(MissingError):
    """apt-get failed."""


def main() -> int:
    """Exit status: 0 with a libLLVM that loads, 4 without."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--unpack", action="store_true", help="ignore the system's libLLVM")
    unpack = parser.parse_args().unpack
    try:
        lib = unpacked_copy(everything=True) if unpack else present() or installed()
    except MissingError as error:
        console.print(str(error), style="red")
        return 4
    console.print(f"{lib} is ready")
    return 0


def present() -> libllvm.LibLLVM | None:
    """The good libLLVM that is there already, None without one."""
    try:
        lib = libllvm.find()
    except MissingError:
        if libllvm.PATH_VARIABLE in os.environ:
            raise
        return None
    problem = libllvm.load_error(lib)
    if problem is None:
        return lib
    console.print(f"{lib} doesn't load: {problem}")
    return None


def installed() -> libllvm.LibLLVM:
    """Debian's libLLVM: through apt-get as root, else unpacked under the environment."""
    if os.geteuid() != 0:
        return unpacked_copy()
    console.print("Installing libLLVM with apt-get ...")
    try:
        package = best_package([])
        apt_get("install", "--quiet", "--yes", "--no-install-recommends", package)
    except AptError as error:
        # A root of a container with a read-only system, or another package half installed.
        console.print(f"{error}; unpacking a copy instead")
        return unpacked_copy()
    lib = present()
    if lib is None:
        raise MissingError(f"{package} is installed, but no libLLVM that loads was found")
    return lib


def unpacked_copy(*, everything: bool = False) -> libllvm.LibLLVM:
    """Unpack a libLLVM, and the libraries of it that the machine lacks, under the environment.

    The copy is moved into place when it is whole, and kept only if it loads.

    Parameters
    ----------
    everything : bool
        Unpack all its libraries, as if the machine had none of them.
    """
    target = libllvm.unpacked_folder()
    target.parent.mkdir(parents=True, exist_ok=True)
    console.print(f"Unpacking libLLVM under {target} ...")
    with tempfile.TemporaryDirectory(dir=target.parent, prefix="libllvm-") as folder:
        work = Path(folder)
        package, debs = downloaded(work, everything=everything)
        flat = work / "libllvm"
        flat.mkdir()
        for deb in debs:
            if deb.name.partition("_")[0] not in NEVER_UNPACKED:
                unpack_libraries(deb, work / "tree", flat)
        shutil.rmtree(target, ignore_errors=True)
        flat.rename(target)
    for lib in libllvm.find_all(patterns=()):
        if lib.unpacked and lib.usable:
            problem = libllvm.load_error(lib)
            if problem is None:
                return lib
            shutil.rmtree(target)
            raise MissingError(
                f"the unpacked {package} doesn't load ({problem}); "
                f"as root type: apt-get install {package}"
            )
    raise MissingError(f"{package} holds no libLLVM; as root type: apt-get install libllvm19")


def downloaded(work: Path, *, everything: bool) -> tuple[str, list[Path]]:
    """Fetch a good libLLVM's package, and the packages that it needs, into a folder.

    apt gets lists and a cache of its own there, since only root may write the system's.

    Returns
    -------
    tuple of str and list of Path
        The package's name, and the .deb files.
    """
    options = private_apt(work)
    package = best_package(options)
    # An empty list of what is installed makes apt fetch every library down to the C library.
    nothing = work / "status"
    nothing.touch()
    bare = ["-o", f"Dir::State::Status={nothing}"]
    words = ["install", "--quiet", "--yes", "--no-install-recommends", "--download-only"]
    archives = work / "cache" / "archives"
    if not everything:
        try:
            apt_get(*words, *options, package)
        except AptError as error:
            # The system's own packages may be half installed, which is not our business.
            console.print(f"{error}; fetching every library instead")
    # Nothing comes where apt takes the package for installed, though its file doesn't serve.
    if not list(archives.glob(f"{package}_*.deb")):
        apt_get(*words, *options, *bare, package)
    return package, sorted(archives.glob("*.deb"))


def private_apt(work: Path) -> list[str]:
    """apt-get's options for lists, cache and locks in a folder of one's own."""
    for name in ("lists/partial", "cache/archives/partial"):
        (work / name).mkdir(parents=True)
    options = {
        "Dir::State::Lists": str(work / "lists"),
        "Dir::Cache": str(work / "cache"),
        "Dir::Cache::Archives": str(work / "cache" / "archives"),
        "Debug::NoLocking": "true",
        "APT::Sandbox::User": "",
    }
    return [word for name, value in options.items() for word in ("-o", f"{name}={value}")]


def best_package(options: list[str]) -> str:
    """The first of the good packages that apt knows, from fresh lists."""
    log = apt_get("update", "--quiet", *options)
    for package in PACKAGES:
        shown = subprocess.run(
            [tool("apt-cache"), "show", *options, package], capture_output=True, check=False
        )
        if shown.returncode == 0 and shown.stdout.strip():
            return package
    # Without a network `apt-get update` only warns.
    faults = [line for line in log.splitlines() if line.startswith(("W:", "E:"))]
    if faults:
        raise AptError(f"apt-get can't fetch its lists: {faults[0]}")
    raise MissingError(
        f"apt knows none of {', '.join(PACKAGES)}: this release is too old; get libLLVM "
        f"{libllvm.MINIMUM_MAJOR} or newer another way and set {libllvm.PATH_VARIABLE} to its file"
    )


def apt_get(*words: str) -> str:
    """Run apt-get and return what it printed; where it fails, its faults become the error."""
    run = subprocess.run(
        [tool("apt-get"), "-o", "DPkg::Lock::Timeout=120", *words],
        env=os.environ | {"DEBIAN_FRONTEND": "noninteractive", "LC_ALL": "C"},
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    if run.returncode != 0:
        lines = run.stdout.strip().splitlines()
        faults = [line for line in lines if line.startswith("E:")] or lines[-1:]
        raise AptError(f"apt-get {words[0]} failed: {' '.join(map(str.strip, faults))}")
    return run.stdout


def tool(name: str) -> str:
    """The path of one of Debian's programs."""
    path = shutil.which(name)
    if path is None:
        raise MissingError(
            f"no libLLVM {libllvm.MINIMUM_MAJOR} or newer, and no {name} to get it with: "
            "install your system's LLVM (dnf install llvm-libs, brew install llvm), then "
            f"`make llvm` again, or set {libllvm.PATH_VARIABLE} to its file"
        )
    return path


def unpack_libraries(deb: Path, tree: Path, flat: Path) -> None:
    """Unpack a package and keep its shared libraries, all in one folder.

    Links keep their names and lead to a file in the same folder, which also serves libLLVM's
    own `$ORIGIN/../lib`.
    """
    subprocess.run([tool("dpkg-deb"), "-x", str(deb), str(tree)], check=True)
    for path in sorted(tree.rglob("*.so*")):
        if not LIBRARY.search(path.name):
            continue
        place = flat / path.name
        if path.is_symlink():
            name = path.readlink().name
            if name != path.name and not place.exists():
                place.symlink_to(name)
        elif path.is_file():
            place.unlink(missing_ok=True)
            path.rename(place)
    shutil.rmtree(tree)


if __name__ == "__main__":
    sys.exit(main())
