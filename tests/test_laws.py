"""The laws of the house: who may import whom, what an import costs, what the front door shows."""

from __future__ import annotations

import ast
import functools
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path

import pytest

import elbo_ref

ROOT = Path(elbo_ref.__file__).parent

ALLOWED = {
    "version": set(),
    "arguments": set(),
    "atomic": set(),
    "archive": set(),
    "fields": set(),
    "generators": {"fields"},
    "checkpoint_fields": {"coordinates", "fields", "generators", "guides", "objectives"},
    "documents": {"version"},
    "special": {"arguments"},
    "quadrature": {"arguments"},
    "adam": {"arguments"},
    "values": {"arguments"},
    "quantile": {"arguments", "special"},
    "beta": {"arguments", "quantile", "special", "values"},
    "pathwise": {"arguments", "special", "values"},
    "counts": {"arguments", "special"},
    "words": {"arguments", "beta"},
    "evidence": {"arguments", "special", "beta", "counts"},
    "logit_normal": {"arguments", "beta", "quadrature", "values"},
    "guides": {"arguments", "special", "beta", "logit_normal", "pathwise", "values"},
    "objectives": {
        "arguments",
        "special",
        "beta",
        "counts",
        "guides",
        "logit_normal",
        "pathwise",
        "quadrature",
        "values",
    },
    "losses": {
        "arguments",
        "beta",
        "coordinates",
        "counts",
        "destinations",
        "guides",
        "leads",
        "logit_normal",
        "objectives",
        "supremum",
        "words",
    },
    "importance": {"arguments", "beta", "counts", "guides", "logit_normal", "objectives", "values"},
    "coordinates": {"arguments", "beta", "guides", "objectives"},
    "latents": {"arguments", "beta", "counts", "documents", "words"},
    "settings": {
        "arguments",
        "adam",
        "beta",
        "coordinates",
        "counts",
        "documents",
        "guides",
        "objectives",
        "words",
    },
    "climb": {"arguments", "adam", "beta", "coordinates", "objectives", "settings", "values"},
    "convergence": {"arguments", "adam", "coordinates", "objectives"},
    "history": {"arguments", "beta", "guides", "values"},
    "run": {
        "convergence",
        "settings",
        "history",
        "arguments",
        "adam",
        "beta",
        "climb",
        "coordinates",
        "counts",
        "documents",
        "guides",
        "latents",
        "logit_normal",
        "objectives",
        "words",
    },
    "svi": {
        "convergence",
        "settings",
        "arguments",
        "adam",
        "beta",
        "climb",
        "coordinates",
        "counts",
        "guides",
        "objectives",
        "run",
    },
    "checkpoint": {
        "checkpoint_fields",
        "fields",
        "generators",
        "settings",
        "svi",
        "coordinates",
        "objectives",
        "adam",
        "archive",
        "arguments",
        "atomic",
        "beta",
        "climb",
        "counts",
        "guides",
        "run",
    },
    "ladder": {"arguments", "counts"},
    "terrain": {"arguments", "ladder"},
    "proof": {"arguments", "terrain"},
    "charts": {"arguments", "beta", "counts", "ladder", "terrain"},
    "candidates": {"beta", "documents", "words"},
    "supremum": {
        "beta",
        "candidates",
        "charts",
        "counts",
        "evidence",
        "ladder",
        "proof",
        "special",
    },
    "components": {"beta", "charts", "counts", "proof", "supremum"},
    "intervals": {"arguments", "beta", "documents", "words"},
    "profiles": {
        "beta",
        "candidates",
        "components",
        "counts",
        "evidence",
        "intervals",
        "supremum",
    },
    "maximum": {
        "arguments",
        "beta",
        "candidates",
        "counts",
        "documents",
        "intervals",
        "profiles",
        "supremum",
        "words",
    },
    "inference": {
        "arguments",
        "charts",
        "counts",
        "evidence",
        "latents",
        "maximum",
        "special",
        "supremum",
        "words",
    },
    "destinations": {
        "beta",
        "counts",
        "maximum",
        "objectives",
        "special",
        "supremum",
        "values",
        "words",
    },
    "estimates": {
        "arguments",
        "beta",
        "counts",
        "destinations",
        "documents",
        "evidence",
        "intervals",
        "supremum",
        "values",
        "words",
    },
    "leads": {
        "arguments",
        "beta",
        "counts",
        "destinations",
        "evidence",
        "guides",
        "logit_normal",
        "objectives",
        "special",
        "supremum",
        "words",
    },
    "recording": {"archive", "arguments", "atomic", "fields"},
    "crosscheck": {
        "convergence",
        "arguments",
        "beta",
        "climb",
        "coordinates",
        "counts",
        "datasets",
        "destinations",
        "diagnosis",
        "documents",
        "evidence",
        "guides",
        "logit_normal",
        "losses",
        "maximum",
        "objectives",
        "pathwise",
        "quadrature",
        "readers",
        "special",
        "words",
        "adam",
        "svi",
        "console",
        "delivery",
        "inputs",
        "version",
        "run",
        "recording",
    },
    "diagnosis": {
        "convergence",
        "arguments",
        "beta",
        "climb",
        "coordinates",
        "counts",
        "destinations",
        "losses",
        "logit_normal",
        "objectives",
        "documents",
        "evidence",
        "latents",
        "maximum",
        "run",
        "supremum",
        "svi",
        "words",
    },
    "readers": {"archive", "arguments", "counts", "fields"},
    "datasets": {"counts"},
    "conclusion": {"convergence", "diagnosis", "words"},
    "report": {
        "arguments",
        "beta",
        "conclusion",
        "counts",
        "diagnosis",
        "documents",
        "evidence",
        "guides",
        "latents",
        "logit_normal",
        "run",
        "words",
    },
    "console": set(),
    "delivery": {"atomic", "console"},
    "inputs": {"beta", "console", "counts", "datasets", "documents", "readers"},
    "fit_options": {
        "beta",
        "coordinates",
        "guides",
        "inputs",
        "objectives",
        "version",
    },
    "fit": {
        "delivery",
        "fit_options",
        "adam",
        "arguments",
        "atomic",
        "beta",
        "checkpoint",
        "climb",
        "console",
        "counts",
        "datasets",
        "diagnosis",
        "documents",
        "estimates",
        "inputs",
        "maximum",
        "objectives",
        "report",
        "run",
        "svi",
        "version",
    },
}
"""What each room may import from the others, top level; `elbo_ref/__init__.py` may import all."""


def room_of(module: str) -> str | None:
    parts = module.split(".")
    return parts[1] if parts[0] == "elbo_ref" and len(parts) > 1 else None


def imports_of(path: Path) -> set[str]:
    """Every module that a file imports, also inside functions."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path} has a relative import"
            found.add(node.module or "")
            if node.module == "elbo_ref":
                found |= {f"elbo_ref.{alias.name}" for alias in node.names}
    return found


@functools.cache
def house() -> Mapping[str, set[str]]:
    """For each room the rooms that its files import."""
    rooms: dict[str, set[str]] = {}
    for path in ROOT.rglob("*.py"):
        parts = path.relative_to(ROOT).with_suffix("").parts
        if parts == ("__init__",):
            continue
        reached = {room_of(module) for module in imports_of(path)} - {None, parts[0]}
        rooms.setdefault(parts[0], set()).update(reached)  # type: ignore[arg-type]
    return rooms


def closure(room: str, arrows: Mapping[str, set[str]]) -> set[str]:
    reached: set[str] = set()
    todo = {room}
    while todo:
        todo = set().union(*(arrows[r] for r in todo)) - reached
        reached |= todo
    return reached


def test_every_room_is_in_the_table():
    assert set(house()) == set(ALLOWED)


@pytest.mark.parametrize("room", sorted(ALLOWED))
def test_imports_are_allowed(room):
    assert house()[room] <= ALLOWED[room]


@pytest.mark.parametrize(
    "room", ["guides", "objectives", "coordinates", "climb", "run", "svi", "checkpoint"]
)
def test_the_oracle_is_independent(room):
    assert not closure(room, house()) & {"evidence", "maximum", "supremum", "diagnosis"}


def test_the_closure_would_see_a_detour():
    arrows = {**house(), "adam": house()["adam"] | {"evidence"}}
    assert "evidence" in closure("svi", arrows)


def test_modules_are_imported_by_full_name_only():
    """`import elbo_ref` inside the package would hide an arrow from this test."""
    for path in ROOT.rglob("*.py"):
        plain = [node for node in ast.walk(ast.parse(path.read_text())) if type(node) is ast.Import]
        assert "elbo_ref" not in {alias.name for node in plain for alias in node.names}, path


def run(code: str, *flags: str) -> str:
    command = [sys.executable, *flags, "-c", code]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout


def test_import_brings_numpy_and_scipy_only():
    code = (
        "import sys; old = set(sys.modules); import elbo_ref;"
        "new = [sys.modules[name] for name in set(sys.modules) - old];"
        "files = [getattr(module, '__file__', None) or '' for module in new];"
        "print(*{f.replace('\\\\', '/').split('/site-packages/')[1].split('/')[0]"
        " for f in files if 'site-packages' in f})"
    )
    scipys_own = {"packaging"}  # SciPy 1.12 imports it
    assert set(run(code).split()) - {"elbo_ref"} - scipys_own == {"numpy", "scipy"}


def test_the_command_is_not_imported():
    code = "import sys, elbo_ref; print('elbo_ref.fit' in sys.modules)"
    assert run(code, "-W", "error").strip() == "False"


def test_nothing_public_shares_the_name_of_a_module():
    modules = {path.stem for path in ROOT.glob("*.py")} | {p.name for p in ROOT.iterdir()}
    packages = {"datasets", "recording"}
    assert set(elbo_ref.__all__) & modules == packages
    for name in packages:
        assert getattr(elbo_ref, name).__name__ == f"elbo_ref.{name}"


def test_the_front_door_is_complete():
    for name in elbo_ref.__all__:
        assert getattr(elbo_ref, name).__doc__, name


def test_files_are_one_idea():
    for path in ROOT.rglob("*.py"):
        assert len(path.read_text().splitlines()) <= 400, path
