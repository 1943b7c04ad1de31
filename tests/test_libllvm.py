import importlib.util
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from rfplatform import libllvm
from rfplatform.errors import MissingError
from rfplatform.libllvm import LibLLVM

ELF_HEADER_BYTES = 20


@pytest.fixture(autouse=True)
def _no_library_named(monkeypatch, tmp_path):
    """Neither the user's variable nor a copy in the running environment decides a test."""
    monkeypatch.delenv(libllvm.PATH_VARIABLE, raising=False)
    monkeypatch.setattr(sys, "prefix", str(tmp_path / "prefix"))


def library(path: Path, *, machine: bytes | None = None) -> Path:
    """A file with the interpreter's ELF header, or one for another machine."""
    header = bytearray(Path(sys.executable).read_bytes()[:ELF_HEADER_BYTES])
    if machine is not None:
        header[18:20] = machine
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(bytes(header))
    return path


def link(path: Path, target: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.symlink_to(target)
    return path


@pytest.mark.parametrize(
    ("path", "version"),
    [
        ("/usr/lib/x86_64-linux-gnu/libLLVM.so.19.1", (19, 1)),
        ("/usr/lib/x86_64-linux-gnu/libLLVM-14.so.1", (14,)),
        ("/usr/lib/x86_64-linux-gnu/libLLVM-15.0.7.so", (15, 0, 7)),
        ("/usr/lib64/libLLVM-17.so", (17,)),
        ("/usr/lib/llvm-18/lib/libLLVM.so", (18,)),
        ("/usr/lib/llvm-18/lib/libLLVM.so.1", (18,)),
        ("/opt/homebrew/Cellar/llvm/19.1.7/lib/libLLVM.dylib", (19, 1, 7)),
        ("/opt/homebrew/Cellar/llvm@20/20.1.8/lib/libLLVM.dylib", (20, 1, 8)),
        ("/usr/local/lib/libLLVM.so", ()),
        ("/usr/local/lib/libLLVM.so.1", ()),
        ("/usr/lib/libLLVM-C.so.19.1", ()),
    ],
)
def test_version_in_name(path, version):
    assert libllvm.version_in_name(Path(path)) == version


@pytest.mark.parametrize(
    ("version", "usable"),
    [
        ((), False),
        ((14,), False),
        ((15, 0, 7), False),
        ((16,), False),
        ((17, 0, 6), False),
        ((18,), True),
        ((19, 1), True),
        ((22, 1), True),
    ],
)
def test_only_18_and_newer_are_usable(version, usable):
    assert LibLLVM(Path("/x/libLLVM.so"), version).usable is usable


def test_system_folders_are_searched_tested_versions_first_and_links_counted_once(tmp_path):
    folder = tmp_path / "usr/lib/x86_64-linux-gnu"
    library(folder / "libLLVM-14.so.1")
    library(folder / "libLLVM-15.so.1")
    nineteen = library(folder / "libLLVM.so.19.1")
    link(folder / "libLLVM-19.so", nineteen)
    link(tmp_path / "usr/lib/llvm-19/lib/libLLVM.so.1", nineteen)
    library(folder / "libLLVM.so.21.1")
    library(folder / "libLLVM.so.22.1")
    library(folder / "libLLVMSupport.so.19.1")
    library(folder / "libLLVM-C.so.19.1")
    patterns = [f"{tmp_path}/usr/lib/*/libLLVM*.so*", f"{tmp_path}/usr/lib/llvm-*/lib/libLLVM*"]
    versions = [lib.version for lib in libllvm.find_all(patterns)]
    assert versions == [(22, 1), (19, 1), (21, 1), (15,), (14,)]
    assert libllvm.find(patterns).path == (folder / "libLLVM.so.22.1").resolve()


@pytest.mark.skipif(sys.platform != "linux", reason="reads ELF headers")
def test_a_library_for_another_processor_is_passed_over(tmp_path):
    library(tmp_path / "libLLVM.so.22.1", machine=b"\x03\x00")
    good = library(tmp_path / "libLLVM.so.19.1")
    (tmp_path / "libLLVM.so.20.1").write_bytes(b"")
    assert [lib.path for lib in libllvm.find_all([f"{tmp_path}/libLLVM*"])] == [good.resolve()]


def test_unpacked_copy_goes_before_the_system_and_brings_its_folder(tmp_path, monkeypatch):
    system = library(tmp_path / "system/libLLVM.so.22.1")
    copy = library(libllvm.unpacked_folder() / "libLLVM.so.19.1")
    lib = libllvm.find([f"{tmp_path}/system/libLLVM*"])
    assert lib == LibLLVM(copy.resolve(), (19, 1))
    assert lib.unpacked
    monkeypatch.setenv("LD_LIBRARY_PATH", "/opt/one::/opt/two")
    assert libllvm.environment(lib) == {
        "DRJIT_LIBLLVM_PATH": str(copy.resolve()),
        "LD_LIBRARY_PATH": f"{copy.parent.resolve()}:/opt/one:/opt/two",
    }
    once = os.environ | libllvm.environment(lib)
    assert libllvm.environment(lib, once) == libllvm.environment(lib)
    assert libllvm.environment(LibLLVM(system, (22, 1))) == {"DRJIT_LIBLLVM_PATH": str(system)}


def test_named_library_wins_over_all(tmp_path, monkeypatch):
    library(libllvm.unpacked_folder() / "libLLVM.so.19.1")
    named = library(tmp_path / "mine/libLLVM.so.20.1")
    monkeypatch.setenv(libllvm.PATH_VARIABLE, str(named))
    assert libllvm.find([]).path == named.resolve()


def test_named_library_that_does_not_serve_is_refused_not_passed_over(tmp_path, monkeypatch):
    library(libllvm.unpacked_folder() / "libLLVM.so.19.1")
    monkeypatch.setenv(libllvm.PATH_VARIABLE, str(tmp_path / "gone/libLLVM.so.19.1"))
    with pytest.raises(MissingError, match=r"no such file; unset it, or type `make llvm`"):
        libllvm.find([])
    monkeypatch.setenv(libllvm.PATH_VARIABLE, str(library(tmp_path / "old/libLLVM-16.so.1")))
    with pytest.raises(MissingError, match=r"names libLLVM 16 \(.*needs libLLVM 18 or newer"):
        libllvm.find([])
    monkeypatch.setenv(libllvm.PATH_VARIABLE, str(library(tmp_path / "other/libz.so.1")))
    with pytest.raises(MissingError, match="not a libLLVM that this Python can load"):
        libllvm.find([])


def test_nothing_usable_says_what_there_is_and_what_to_type(tmp_path):
    with pytest.raises(MissingError, match=r"this machine has none: type `make llvm`, or as root"):
        libllvm.find([])
    library(tmp_path / "libLLVM-14.so.1")
    library(tmp_path / "libLLVM-17.so.1")
    with pytest.raises(MissingError, match=r"only 14, 17: type `make llvm`") as caught:
        libllvm.find([f"{tmp_path}/libLLVM*"])
    assert "\n" not in str(caught.value)


def test_a_nameless_library_that_does_not_load_is_of_unknown_version(tmp_path):
    library(tmp_path / "libLLVM.so")
    (lib,) = libllvm.find_all([f"{tmp_path}/libLLVM*"])
    assert lib.version == ()
    assert "unknown version" in str(lib)
    assert libllvm.load_error(lib) is not None


def test_the_machines_own_library_states_the_version_that_its_name_does(tmp_path):
    """Behind a name without a version, the library itself must be asked."""
    try:
        lib = libllvm.find()
    except MissingError:
        pytest.skip("the system's folders have none; an unpacked copy can't be moved")
    assert libllvm.load_error(lib) is None
    hidden = tmp_path / "hidden" / "libLLVM.so"
    hidden.parent.mkdir()
    try:
        os.link(lib.path, hidden)
    except OSError:
        subprocess.run(["cp", "--reflink=auto", str(lib.path), str(hidden)], check=True)
    (asked,) = libllvm.find_all([str(hidden)])
    assert len(asked.version) == 3
    assert asked.version[: len(lib.version)] == lib.version


@pytest.mark.skipif(shutil.which("dpkg-deb") is None, reason="needs Debian's dpkg-deb")
def test_a_package_is_unpacked_flat_with_its_links(tmp_path):
    """Without root, libraries of several folders must serve from one, links included."""
    tree = tmp_path / "package"
    library(tree / "usr/lib/x86_64-linux-gnu/libLLVM.so.19.1")
    link(tree / "usr/lib/x86_64-linux-gnu/libLLVM-19.so", Path("libLLVM.so.19.1"))
    link(
        tree / "usr/lib/llvm-19/lib/libLLVM.so.1",
        Path("../../x86_64-linux-gnu/libLLVM.so.19.1"),
    )
    library(tree / "lib/x86_64-linux-gnu/libtinfo.so.6.4")
    library(tree / "usr/share/gdb/libstdc++.so.6.0.30-gdb.py")
    (tree / "DEBIAN").mkdir()
    (tree / "DEBIAN/control").write_text(
        "Package: x\nVersion: 1\nArchitecture: all\nMaintainer: x <x@x>\nDescription: x\n"
    )
    subprocess.run(["dpkg-deb", "-b", str(tree), str(tmp_path / "x.deb")], check=True)
    flat = tmp_path / "flat"
    flat.mkdir()
    script = Path(__file__).parents[1] / "tools/install_libllvm.py"
    spec = importlib.util.spec_from_file_location("install_libllvm", script)
    tool = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(tool)
    tool.unpack_libraries(tmp_path / "x.deb", tmp_path / "unpacked", flat)
    names = {"libLLVM.so.19.1", "libLLVM-19.so", "libLLVM.so.1", "libtinfo.so.6.4"}
    assert {path.name for path in flat.iterdir()} == names
    assert (flat / "libLLVM.so.1").resolve() == (flat / "libLLVM.so.19.1").resolve()
    assert (flat / "libLLVM-19.so").resolve().is_file()
