"""Packages that are not always there, and the command that brings them."""

from __future__ import annotations

import importlib
from typing import Any

PACKAGES = {
    "arviz_base": ("arviz-base", "arviz"),
    "duckdb": ("duckdb", "duckdb"),
    "matplotlib": ("matplotlib", "plot"),
    "pandas": ("pandas", "pandas"),
    "polars": ("polars", "polars"),
    "pyarrow": ("pyarrow", "arrow"),
    "tqdm": ("tqdm", "progress"),
}
"""Of a module that is imported, the package that has it and the extra that names the package."""


def need(module: str, user: str) -> Any:
    """Import a module of an extra.

    Raises
    ------
    ImportError
        If it is not installed: with the commands, one for a clone, that install it.
    """
    try:
        return importlib.import_module(module)
    except ImportError:
        package, extra = PACKAGES[module]
        install = f"pip install {package}, or in a clone pip install '.[{extra}]'"
        raise ImportError(f"{user} needs {package}: {install}") from None
