"""Write surface.txt: what callers and keepers of results rely on beside values.

The arguments of every public function and method with their defaults, properties, whether all of
them let underflow be zero under any errstate (`underflow_is_zero`), and of every dataclass
in the package whether it is frozen, by what it is equal, and the fields that its repr leaves out.
A line that changes is a change for users: `python tests/reference/make_surface.py` after it.
"""

from __future__ import annotations

import dataclasses
import importlib
import inspect
import pkgutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import elbo_ref

SURFACE = Path(__file__).with_name("surface.txt")
HEAVY = ("__main__", "torch", "pyro", "numpyro")
"""Modules that are run, or that import a framework."""


def arguments(function: Any) -> str:
    """Names, kinds and defaults, and whether a caller's errstate matters; no annotations."""
    signature = inspect.signature(function)
    bare = [
        x.replace(annotation=inspect.Parameter.empty)
        for x in signature.parameters.values()
        if x.name not in ("self", "cls")
    ]
    words = str(inspect.Signature(bare))
    return words if inspect.unwrap(function) is function else f"{words}, underflow is zero"


def public() -> Iterator[str]:
    """Each public function, and the members of each public class and of its bases, once."""
    values = [getattr(elbo_ref, name) for name in elbo_ref.__all__]
    for function in filter(inspect.isfunction, values):
        yield f"{function.__name__}{arguments(function)}"
    bases = {x for value in values if inspect.isclass(value) for x in value.__mro__}
    for owner in sorted(bases, key=lambda x: x.__qualname__):
        for key, found in sorted(vars(owner).items()):
            function = getattr(found, "__func__", None) or getattr(found, "fget", None)
            function = function or getattr(found, "func", found)
            ours = inspect.isfunction(function) and function.__module__.startswith("elbo_ref")
            if ours and not key.startswith("_"):
                yield f"{owner.__qualname__}.{key}{arguments(function)}"


def dataclasses_of_the_package() -> Iterator[str]:
    """Each dataclass, public or not, whose module needs no framework."""
    for found in sorted(x.name for x in pkgutil.walk_packages(elbo_ref.__path__, "elbo_ref.")):
        if found.split(".")[-1].startswith(HEAVY) or found == "elbo_ref.fit":
            continue
        for name, value in sorted(vars(importlib.import_module(found)).items()):
            if dataclasses.is_dataclass(value) and value.__module__ == found:
                params, fields = value.__dataclass_params__, dataclasses.fields(value)
                hidden = [x.name for x in fields if not x.repr]
                unhashed = [x.name for x in fields if x.hash is False]
                words = "frozen" if params.frozen else "not frozen"
                words += ", by value" if params.eq else ", by identity"
                words += f", shows all but {', '.join(hidden)}" if hidden else ""
                words += f", hash without {', '.join(unhashed)}" if unhashed else ""
                defaults = [x for x in fields if x.default is not dataclasses.MISSING]
                given = ", ".join(f"{x.name}={_shown(x.default)}" for x in defaults)
                yield f"{found}.{name}: {words}" + (f", {given}" if given else "")


def _shown(default: Any) -> str:
    """The repr, or the name where that holds an address."""
    words = repr(default)
    return getattr(default, "name", type(default).__name__) if " at 0x" in words else words


def surface() -> str:
    """All lines."""
    return "\n".join([*public(), "", *dataclasses_of_the_package(), ""])


if __name__ == "__main__":
    SURFACE.write_text(surface(), "utf-8")
