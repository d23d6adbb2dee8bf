"""Who imports whom, what an import costs, and which names are public."""

from __future__ import annotations

import ast
import configparser
import functools
import importlib
import inspect
import re
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import elbo_ref
from places import ROOT as REPOSITORY

ROOT = Path(elbo_ref.__file__).parent

ORACLE = ("elbo_ref.evidence", "elbo_ref.mle", "elbo_ref.optima", "elbo_ref.diagnostics")
"""What the packages that climb must not reach, directly or through others."""


@functools.cache
def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@functools.cache
def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(parsed(path)):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
            if node.module == "elbo_ref":
                found |= {f"elbo_ref.{alias.name}" for alias in node.names}
    return found


@functools.cache
def imports() -> Mapping[str, set[str]]:
    """For each module of the package the modules that it imports."""
    paths = {
        ".".join(("elbo_ref", *path.relative_to(ROOT).with_suffix("").parts)).removesuffix(
            ".__init__"
        ): path
        for path in ROOT.rglob("*.py")
    }
    return {name: imports_of(path) & set(paths) - {name} for name, path in paths.items()}


def closure(package: str, arrows: Mapping[str, set[str]]) -> set[str]:
    """All that the modules of a package reach."""
    reached: set[str] = set()
    todo = {name for name in arrows if inside(name, (package,))}
    while todo:
        todo = set().union(*(arrows[name] for name in todo)) - reached - {"elbo_ref"}
        reached |= todo
    return reached


def inside(module: str, packages: tuple[str, ...]) -> bool:
    return module.startswith(tuple(f"{package}." for package in packages)) or module in packages


@pytest.mark.parametrize("package", ["guides", "objectives", "svi"])
def test_the_oracle_is_independent(package):
    reached = closure(f"elbo_ref.{package}", imports())
    assert reached
    assert not [name for name in reached if inside(name, ORACLE)]


def test_the_closure_would_see_a_detour():
    arrows = {**imports(), "elbo_ref.svi.optimizers": {"elbo_ref.evidence"}}
    assert "elbo_ref.evidence" in closure("elbo_ref.svi.maximize", arrows)


def test_the_map_of_the_readme_is_the_layers():
    """README names the packages row by row as the contract of setup.cfg does, the command aside."""
    config = configparser.ConfigParser()
    config.read(REPOSITORY / "setup.cfg")
    layers = config["importlinter:contract:layers"]["layers"].split("\n")[2:]
    table = (REPOSITORY / "README.md").read_text().split("## Where to read")[1]
    rows = [row.split("|")[1] for row in re.findall(r"^\| \[.*$", table, re.MULTILINE)]
    assert [re.findall(r"`(\w+)`", row) for row in rows] == [x.split(" | ") for x in layers]
    packages = {path.stem for path in ROOT.iterdir() if not path.stem.startswith("__")}
    assert {x for row in layers for x in row.split(" | ")} == packages - {"fit", "py", "schema"}


def test_two_packages_look_for_a_framework():
    """Theirs are the tests that `.ci/run` repeats with PyTorch and Pyro."""
    frameworks = {"torch", "pyro", "jax", "numpyro"}

    def named(path: Path) -> set[str]:
        calls = [node for node in ast.walk(parsed(path)) if isinstance(node, ast.Call)]
        asked = [x.args[0] for x in calls if ast.unparse(x.func).endswith("import_module")]
        names = {x.value for x in asked if isinstance(x, ast.Constant)} | imports_of(path)
        return {name.split(".")[0] for name in names} & frameworks

    found = {path.relative_to(ROOT).parts[0] for path in ROOT.rglob("*.py") if named(path)}
    assert found == {"cli", "recording"}


def test_modules_are_imported_by_full_name_only():
    """`import elbo_ref` inside the package would hide an arrow from this test."""
    for path in ROOT.rglob("*.py"):
        plain = [node for node in ast.walk(parsed(path)) if type(node) is ast.Import]
        assert "elbo_ref" not in {alias.name for node in plain for alias in node.names}, path


def run(code: str, *flags: str) -> str:
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_import_brings_numpy_and_scipy_only():
    code = (
        "import sys; old = set(sys.modules); import elbo_ref;"
        "[getattr(elbo_ref, name) for name in elbo_ref.__all__];"
        "new = [sys.modules[name] for name in set(sys.modules) - old];"
        "files = [getattr(module, '__file__', None) or '' for module in new];"
        "print(*{f.replace('\\\\', '/').split('/site-packages/')[1].split('/')[0]"
        " for f in files if 'site-packages' in f})"
    )
    theirs = {"packaging", "charset_normalizer"}  # SciPy 1.12 and NumPy's f2py import them
    assert set(run(code).split()) - {"elbo_ref"} - theirs == {"numpy", "scipy"}


def test_import_alone_brings_nothing():
    code = (
        "import sys, importlib; old = set(sys.modules); import elbo_ref;"
        "print(set(sys.modules) - old)"
    )
    assert run(code).strip() == "{'elbo_ref'}"


def test_type_checkers_see_the_same_names():
    stub = ast.parse(Path(elbo_ref.__file__).with_suffix(".pyi").read_text())
    told = {
        alias.asname: (node.module, alias.name)
        for node in stub.body
        if isinstance(node, ast.ImportFrom)
        for alias in node.names
    }
    assert set(told) | {"__version__"} == set(elbo_ref.__all__) == set(dir(elbo_ref))
    for name, (module, own) in told.items():
        found = getattr(elbo_ref, name)
        if module is not None and not inspect.ismodule(found):
            assert found is getattr(importlib.import_module(module), own)


def test_the_command_is_not_imported():
    code = "import sys, elbo_ref; print('elbo_ref.cli.fit' in sys.modules)"
    assert run(code, "-W", "error").strip() == "False"


def test_an_exact_answer_imports_little():
    """Beside NumPy, of SciPy the special functions alone, and nothing that draws or checks."""
    code = (
        "import sys, scipy.special; own = {*sys.modules};"
        "from elbo_ref.cli import fit; fit.main(['--example', 'coin', '--exact']);"
        "print({m for m in sys.modules if m not in own and m in"
        " ('scipy.optimize', 'scipy.linalg', 'scipy.interpolate', 'elbo_ref.crosscheck',"
        " 'html', 'elbo_ref.report', 'elbo_ref.guides', 'elbo_ref.objectives', 'elbo_ref.svi',"
        " 'elbo_ref.io.counts_file')})"
    )
    assert run(code).splitlines()[-1] == "set()"


def test_nothing_public_shares_the_name_of_a_module():
    modules = {path.stem for path in ROOT.glob("*.py")} | {p.name for p in ROOT.iterdir()}
    assert set(elbo_ref.__all__) & modules == {"recording"}


def test_the_front_door_is_complete():
    for name in elbo_ref.__all__:
        assert getattr(elbo_ref, name).__doc__, name


def test_files_are_one_idea():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path


def test_functions_can_be_read_at_once():
    for path in ROOT.rglob("*.py"):
        for node in ast.walk(parsed(path)):
            if isinstance(node, ast.FunctionDef):
                body = node.body[ast.get_docstring(node) is not None :]
                lines = body[-1].end_lineno - body[0].lineno + 1 if body else 0
                assert lines <= 60, (path, node.name, lines)
