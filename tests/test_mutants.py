"""`benchmarks/mutation/mutants.py`: what is changed, and what nothing runs and so is not."""

import sys
from collections import Counter

import pytest

from places import ROOT

pytest.importorskip("cosmic_ray")

SOURCE = '''"""Docstring of 3 - 1 parts."""
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

if TYPE_CHECKING:
    LEAST = 1 < 2 - 3

Kind: TypeAlias = int | Literal[3] | None
LossValue = int | float
LIMIT = 5


def one(a: "int | None", b: Any | None = 3, *c: tuple[int, 3]) -> "str | 3":
    """Add 1 + 2."""
    d: int | None = a + b
    e = cast(int | None, d)
    return [x for x, _ in zip(c, c, strict=True) if x < e]


async def two(a: int | None) -> int | None:
    return a
'''


@pytest.fixture(scope="module")
def made():
    sys.path.insert(0, str(ROOT / "benchmarks" / "mutation"))
    try:
        import mutants
    finally:
        sys.path.pop(0)
    return mutants


@pytest.fixture
def changed(made, tmp_path):
    """Operator, line and what it becomes, of each mutant of a source."""

    def of(source, **options):
        (tmp_path / "module.py").write_text(source)
        found = made.mutants(tmp_path, ["module.py"], None, **options)
        return Counter((x.operator, x.line, x.becomes) for x in found)

    return of


def test_types_annotations_docstrings_and_strict_are_left_as_they_are(changed):
    found = changed(SOURCE)
    lines = {line for _, line, _ in found}
    assert lines == {
        "LIMIT = 5",
        'def one(a: "int | None", b: Any | None = 3, *c: tuple[int, 3]) -> "str | 3":',
        "d: int | None = a + b",
        "return [x for x, _ in zip(c, c, strict=True) if x < e]",
    }
    becomes = {text for _, _, text in found}
    assert not [x for x in becomes if "&" in x or "strict=False" in x]
    defaults = [text for _, line, text in found if line.startswith("def")]
    assert len(defaults) == 2 and all("*c: tuple[int, 3]" in x for x in defaults)


def test_what_runs_is_changed(changed):
    """Negative control: a mask of two arrays is no type, nor is a default of a zip."""
    found = changed("mask = (1 < 2) | (2 < 3)\npairs = zip(mask, 4 * [True])\n")
    becomes = {text for _, _, text in found}
    assert "mask = (1 < 2) & (2 < 3)" in becomes and "mask = (1 <= 2) | (2 < 3)" in becomes
    assert "pairs = zip(mask, 4 * [False])" in becomes


def test_the_mark_of_arguments_that_have_a_name_is_no_product(changed):
    """A default before it and a product are changed all the same."""
    found = changed("def one(a, b=2 * 3, *, c=4):\n    return lambda x, *, y: a * x\n")
    becomes = {text for _, _, text in found}
    assert "def one(a, b=2 / 3, *, c=4):" in becomes and "def one(a, b=2 * 3, *, c= 5):" in becomes
    assert "return lambda x, *, y: a / x" in becomes
    assert not [x for x in becomes if "/, " in x]


def test_caches_and_a_size_that_is_left_to_numpy_are_left_as_they_are(changed):
    """Another decorator is taken away, another size changed, and the minus before the 1."""
    cached = "@lru_cache(maxsize=2)\ndef one(a):\n    return a\n"
    assert not changed(cached) and not changed(cached.replace("lru_cache(maxsize=2)", "f.cache"))
    assert not changed("kept = lru_cache(maxsize=2)(list)\n")
    assert changed(cached.replace("lru_cache", "repeated"))
    becomes = {text for _, _, text in changed("flat = x.reshape(3, -1)\nlast = x[-1]\n")}
    assert "flat = x.reshape(3, 1)" in becomes and "flat = x.reshape( 4, -1)" in becomes
    assert "last = x[- 2]" in becomes and not [x for x in becomes if "- 2)" in x or "- 0)" in x]


def test_another_seed_is_another_sample(made):
    paths = ["elbo_ref/special/roots.py"]
    one, same, other = (made.mutants(ROOT, paths, 5, seed) for seed in (1, 1, 2))
    assert one == same != other and len(one) == len(other) == 5
