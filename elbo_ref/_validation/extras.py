"""Packages that are not always there, and the command that brings them."""

from __future__ import annotations

import importlib
from typing import Any

PACKAGES = {
    "arviz_base": ("arviz-base", "arviz"),
    "arviz_stats": ("arviz-stats", "arviz"),
    "duckdb": ("duckdb", "duckdb"),
    "jinja2": ("jinja2", "report"),
    "matplotlib": ("matplotlib", "plot"),
    "numpyro": ("numpyro", "numpyro"),
    "pandas": ("pandas", "pandas"),
    "polars": ("polars", "polars"),
    "pyarrow": ("pyarrow", "arrow"),
    "pyro": ("pyro-ppl", "pyro"),
    "tqdm": ("tqdm", "progress"),
}
"""Of a module that is imported, the package that has it and the extra that names the package."""


def command(package: str) -> str:
    """Return the commands that install a package, the second for a clone.

    Examples
    --------
    >>> command("pyro-ppl")
    "pip install pyro-ppl, or in a clone pip install '.[pyro]'"
    """
    extra = dict(PACKAGES.values())[package]
    return f"pip install {package}, or in a clone pip install '.[{extra}]'"


def need(module: str, user: str) -> Any:
    """Import a module of an extra, or one within it.

    Raises
    ------
    ImportError
        If it is not installed: with the commands, one for a clone, that install it.
    """
    whole = module.partition(".")[0]
    try:
        importlib.import_module(whole)
        return importlib.import_module(module)
    except ImportError:
        package, _ = PACKAGES[whole]
        raise ImportError(f"{user} needs {package}: {command(package)}") from None
