"""Keras is slow to import and must not meet Dr.Jit: rfplatform.nn alone imports it at its top."""

import ast
from collections.abc import Iterator
from pathlib import Path

import rfplatform

ROOT = Path(rfplatform.__file__).parents[1]
HEAVY = ("keras", "tensorflow", "jax", "torch")
LIGHT = ("rfplatform.nn.quiet",)


def imported_at_once(body: list[ast.stmt]) -> Iterator[str]:
    """Modules that importing a file imports: not within functions, not for type checkers alone."""
    for node in body:
        if isinstance(node, ast.Import):
            yield from (name.name for name in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""
        elif isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            yield from imported_at_once(node.orelse)
        elif not isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            for part in ("body", "orelse", "finalbody", "handlers"):
                inner = getattr(node, part, [])
                yield from imported_at_once(
                    [
                        s
                        for n in inner
                        for s in (n.body if isinstance(n, ast.ExceptHandler) else [n])
                    ]
                )


def test_it_finds_what_a_file_imports():
    program = """
import keras
if TYPE_CHECKING:
    import jax
else:
    import torch
try:
    from keras import ops
except ImportError:
    import numpy
def f():
    import tensorflow
class C:
    import math
"""
    found = list(imported_at_once(ast.parse(program).body))
    assert found == ["keras", "torch", "keras", "numpy", "math"]


def test_only_the_networks_import_keras_at_once():
    files = [p for top in ("rfplatform", "pipelines", "ui") for p in (ROOT / top).rglob("*.py")]
    assert len(files) > 100
    wrong = [
        f"{path.relative_to(ROOT)}: {name}"
        for path in files
        if "nn" not in path.relative_to(ROOT).parts
        for name in imported_at_once(ast.parse(path.read_text(encoding="utf-8")).body)
        if name.split(".")[0] in HEAVY or (name.startswith("rfplatform.nn") and name not in LIGHT)
    ]
    assert wrong == []


def test_tests_trace_in_processes_of_their_own():
    """TensorFlow and Dr.Jit crash in one process, and the tests of a session share theirs."""
    files = sorted((ROOT / "tests").rglob("*.py"))
    tracers = ("drjit", "mitsuba", "sionna")
    for path in files:
        tree = ast.parse(path.read_text(encoding="utf-8"))
        names = [
            name.name if isinstance(node, ast.Import) else node.module or ""
            for node in ast.walk(tree)
            if isinstance(node, ast.Import | ast.ImportFrom)
            for name in (node.names if isinstance(node, ast.Import) else [node])
        ]
        assert not [n for n in names if n.split(".")[0] in tracers], path
