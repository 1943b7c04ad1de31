import io
import subprocess
import sys

import pytest
from rich.console import Console

from rfplatform import doctor, libllvm
from rfplatform.doctor import Check


def shown(checks: list[Check], width: int = 200) -> str:
    console = Console(file=io.StringIO(), width=width)
    doctor.render(checks, console)
    return console.file.getvalue()


def child(monkeypatch, source: str) -> Check:
    """The verdict on a child with another program in the tiny map's place."""
    monkeypatch.setattr(doctor, "TINY_MAP", source)
    return doctor.traced_map_check(has_gpu=True, timeout_s=20.0)


def verdict(error_db: str, dark_cells: int = 0) -> str:
    return (
        f'print(\'noise\'); print(\'{{"error_db": {error_db}, "dark_cells": {dark_cells}, '
        '"import_s": 2.0, "trace_s": 1.0, "variant": "llvm_ad_mono_polarized"}\')'
    )


def test_the_tiny_map_agrees_with_free_space():
    check = doctor.traced_map_check()
    assert check.ok, check
    assert "dB of free space" in check.found
    assert "ad_mono_polarized" in check.found


@pytest.mark.parametrize(
    ("error_db", "dark_cells", "ok"),
    [("0.04", 0, True), ("0.6", 0, False), ("NaN", 0, False), ("Infinity", 0, False),
     ("0.04", 3, False)],
)  # fmt: skip
def test_a_wrong_map_is_a_fault(monkeypatch, error_db, dark_cells, ok):
    check = child(monkeypatch, verdict(error_db, dark_cells))
    assert check.ok is ok
    assert bool(check.remedy) is not ok


def test_an_abort_becomes_a_fault_with_llvms_own_words(monkeypatch):
    check = child(
        monkeypatch,
        "import os, sys; sys.stderr.write('warming up\\nLLVM ERROR: Cannot select: f32 = "
        "fmaximum\\n  0x5: i64\\nIn function: drjit_1\\n'); sys.stderr.flush(); os.abort()",
    )
    assert check.ok is False
    assert check.found == "died of SIGABRT: LLVM ERROR: Cannot select: f32 = fmaximum"
    assert "make llvm" in check.remedy


@pytest.mark.parametrize(
    ("signal_name", "remedy"), [("SIGSEGV", "make llvm"), ("SIGKILL", "memory")]
)
def test_a_crash_is_named(monkeypatch, signal_name, remedy):
    check = child(monkeypatch, f"import os, signal; os.kill(os.getpid(), signal.{signal_name})")
    assert check.ok is False
    assert check.found == f"died of {signal_name}: it said nothing"
    assert remedy in check.remedy


def test_an_exception_gives_its_last_line(monkeypatch):
    check = child(monkeypatch, "import no_such_package")
    assert check.found == "failed: ModuleNotFoundError: No module named 'no_such_package'"
    assert check.remedy == "make -B env"


def test_a_hanging_child_is_ended(monkeypatch):
    monkeypatch.setattr(doctor, "TINY_MAP", "import time; time.sleep(60)")
    check = doctor.traced_map_check(has_gpu=True, timeout_s=0.5)
    assert check.ok is False
    assert "0.5 s" in check.found


def test_without_a_good_libllvm_nothing_is_traced_on_a_cpu(monkeypatch):
    monkeypatch.setenv(libllvm.PATH_VARIABLE, "/nowhere/libLLVM.so.19.1")
    check = doctor.traced_map_check()
    assert check.ok is False
    assert check.remedy == f"unset {libllvm.PATH_VARIABLE}"


def test_diagnosis_of_a_good_machine():
    checks = doctor.diagnose(traced_map=False)
    by_name = {check.name: check for check in checks}
    assert len(by_name) == len(checks)
    assert by_name["libLLVM"].ok or by_name["GPU"].ok
    for name in ("Python", "rfplatform", "sionna-rt", "mitsuba", "drjit", "Cache folder"):
        assert by_name[name].ok, by_name[name]
    assert "GiB" in by_name["Free memory"].found
    assert by_name["Tracing variant"].found.endswith("_ad_mono_polarized")
    assert all(check.remedy for check in checks if check.ok is False)


def test_faults_of_the_machine(monkeypatch):
    monkeypatch.setenv(libllvm.PATH_VARIABLE, "/nowhere/libLLVM.so.19.1")
    monkeypatch.setenv("XDG_CACHE_HOME", "/proc/nowhere")
    monkeypatch.setattr(doctor, "MINIMUM_MEMORY_BYTES", 2**60)
    monkeypatch.setattr(doctor, "MINIMUM_DISK_BYTES", 2**60)
    monkeypatch.setattr(doctor, "find_gpus", lambda: ())
    checks = doctor.diagnose(traced_map=False)
    faults = {check.name for check in checks if check.ok is False}
    assert faults == {"libLLVM", "Free memory", "Free disk", "Cache folder"}
    assert not doctor.ok(checks)
    text = shown(checks)
    assert f"libLLVM: unset {libllvm.PATH_VARIABLE}" in text
    assert "Cache folder: set XDG_CACHE_HOME" in text


def test_gpus_as_nvidia_smi_lists_them(monkeypatch, tmp_path):
    program = tmp_path / "nvidia-smi"
    program.write_text("#!/bin/sh\necho 'NVIDIA L4, 550.54.15, 23034 MiB'\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    (gpu,) = doctor.find_gpus()
    assert gpu == doctor.Gpu("NVIDIA L4", "550.54.15", "23034 MiB")
    monkeypatch.setenv(libllvm.PATH_VARIABLE, "/nowhere/libLLVM.so.19.1")
    by_name = {check.name: check for check in doctor.diagnose(traced_map=False)}
    assert by_name["Tracing variant"].found == "cuda_ad_mono_polarized"
    assert by_name["libLLVM"].ok is None
    program.write_text("#!/bin/sh\necho 'NVIDIA-SMI has failed: no driver' >&2\nexit 9\n")
    assert doctor.find_gpus() == ()
    program.unlink()
    assert doctor.find_gpus() == ()


def test_the_table_keeps_brackets_and_says_what_to_type():
    checks = [
        Check("Python", "3.11.7", ok=True),
        Check("TensorFlow", "not installed", ok=None, remedy="pip install 'rfplatform[learn]'"),
        Check("libLLVM", "only 15", ok=False, remedy="`make llvm`"),
        Check("GPU", "none", ok=None),
    ]
    text = shown(checks)
    assert "TensorFlow: pip install 'rfplatform[learn]'" in text
    assert text.index("To mend:") < text.index("libLLVM: `make llvm`") < text.index("Optional:")
    assert "GPU:" not in text
    assert not doctor.ok(checks)
    assert doctor.ok([*checks[:2], checks[3]])
    narrow = shown(checks, width=40)
    assert "TensorFlow: pip install 'rfplatform[learn]'" in narrow


def test_importing_the_doctor_stays_light():
    source = "import sys, rfplatform.doctor; print(*sys.modules)"
    loaded = subprocess.run(
        [sys.executable, "-c", source], capture_output=True, text=True, check=True
    ).stdout.split()
    heavy = {"sionna", "mitsuba", "drjit", "tensorflow", "numpy", "rich", "psutil"}
    assert not heavy & set(loaded)
