"""Small public data sets, each with its source and the values printed for it.

They are read from ``tables.json`` beside this file: the counts exactly as the source prints them
(a table of frequencies as ``trials`` and ``frequencies``; one number for a column that is constant)
and the published values to the digits printed. `available` lists the names, `load` gives the
counts, `describe` the rest.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any

from elbo_ref.counts import Counts

__all__ = ["DataSet", "PublishedValue", "PyroRun", "available", "describe", "load"]

_HERE = Path(__file__).parent


@dataclass(frozen=True)
class PublishedValue:
    """One result as printed.

    Attributes
    ----------
    where : str or None
        Who prints it.
    concentration1, concentration0 : float or None
        The estimate, if these two numbers were printed as one.
    log_likelihood : float or None
        The log likelihood printed, or minus the printed negative one; binomial coefficients
        included.
    note : str
        The model, if it is not the Beta-Binomial maximum, and what is off about the value, if
        anything.
    """

    where: str | None = None
    concentration1: float | None = None
    concentration0: float | None = None
    log_likelihood: float | None = None
    note: str = ""


@dataclass(frozen=True)
class PyroRun:
    """A Pyro run that is bundled with a data set, for a first cross-check.

    The attributes are called as the arguments of `elbo_ref.cross_check` and the options of its
    command. The forum's run was made by docs/forum/forum.py.

    Attributes
    ----------
    params, losses, evaluations : Path
        The parameter store, what each ``svi.step`` returned, and the loss evaluated again and
        again at the parameters that were reached.
    names : mapping of str to str
        The name of each parameter, by its role.
    guide : str
    num_particles : int
    """

    params: Path
    losses: Path
    evaluations: Path
    names: Mapping[str, str] = field(hash=False)
    guide: str
    num_particles: int


@dataclass(frozen=True)
class DataSet:
    """Counts, where they come from, and what was published about them.

    Attributes
    ----------
    name, title, source : str
        The key, one line, and the reference.
    successes, total_count : tuple of int
        One entry per row.
    multiplicity : tuple of int or None
        How often each row was seen, for a table of frequencies.
    shared : bool
        Whether one latent has produced all rows; otherwise every row has its own.
    published : tuple of PublishedValue
    names : mapping of str to str
        The source's own names of ``concentration1`` and ``concentration0``; empty where they do
        not matter.
    run : PyroRun or None
        A Pyro run on it, where one is bundled.

    Examples
    --------
    >>> twins = DataSet("twins", "Two pairs", "made up", successes=(1, 2), total_count=(2, 2))
    >>> twins.counts
    Counts(successes=[1 2], total_count=[2 2])
    """

    name: str
    title: str
    source: str
    successes: tuple[int, ...] = field(repr=False)
    total_count: tuple[int, ...] = field(repr=False)
    multiplicity: tuple[int, ...] | None = field(default=None, repr=False)
    shared: bool = False
    published: tuple[PublishedValue, ...] = ()
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}), hash=False)
    run: PyroRun | None = None

    @property
    def counts(self) -> Counts:
        """The rows as `Counts`: one latent per row, or one for all of them."""
        if self.shared:
            return Counts.shared(self.successes, self.total_count)
        return Counts(self.successes, self.total_count, self.multiplicity)


def available() -> tuple[str, ...]:
    """Names of the data sets.

    Examples
    --------
    >>> available()[:4]
    ('forum', 'saxony', 'alcohol_week1', 'alcohol_week2')
    """
    return tuple(_tables())


def describe(name: str) -> DataSet:
    """Look up a data set with its source and published values.

    Parameters
    ----------
    name : str
        One of `available`.

    Returns
    -------
    DataSet

    Raises
    ------
    ValueError
        If there is no such data set; the message lists those there are.

    See Also
    --------
    load : The counts alone.

    Examples
    --------
    >>> saxony = describe("saxony")
    >>> saxony.title
    'Boys among twelve children, 6115 families of Saxony'
    >>> saxony.published[0].log_likelihood
    -12492.9
    >>> describe("forum").names["concentration0"]
    'a0'
    >>> describe("forum").run.losses.name
    'losses.txt'
    """
    tables = _tables()
    if not isinstance(name, str) or name not in tables:
        raise ValueError(f"name {name!r} is not a data set: choose from {', '.join(tables)}")
    return tables[name]


def load(name: str) -> Counts:
    """Load the counts of a data set.

    Parameters
    ----------
    name : str
        One of `available`.

    Returns
    -------
    Counts
        One entry per latent; a table of frequencies has one entry per line and says with its
        multiplicity how many latents that is.

    Raises
    ------
    ValueError
        If there is no such data set.

    See Also
    --------
    describe : The source and the published values.

    Examples
    --------
    >>> load("orobanche_1")
    Counts(successes=[ 2  9  5 16  2  0], total_count=[43 51 44 71 24  7])
    >>> load("forum")
    Counts(successes=[0], total_count=[5000])
    """
    return describe(name).counts


@cache
def _tables() -> Mapping[str, DataSet]:
    tables = json.loads((_HERE / "tables.json").read_text(encoding="utf-8"))
    return MappingProxyType({name: _data_set(name, table) for name, table in tables.items()})


def _data_set(name: str, table: dict[str, Any]) -> DataSet:
    frequencies = table.get("frequencies")
    if frequencies is None:
        k, n = table["successes"], table["total_count"]
    else:
        k, n = range(table["trials"] + 1), table["trials"]
    rows = table["rows"] if isinstance(k, int) else len(k)
    run = table.get("run")
    return DataSet(
        name,
        table["title"],
        table["source"],
        successes=(k,) * rows if isinstance(k, int) else tuple(k),
        total_count=(n,) * rows if isinstance(n, int) else tuple(n),
        multiplicity=None if frequencies is None else tuple(frequencies),
        shared=table.get("shared", False),
        published=tuple(PublishedValue(**value) for value in table.get("published", ())),
        names=MappingProxyType(table.get("names", {})),
        run=None if run is None else _run(**run),
    )


def _run(folder: str, names: dict[str, str], guide: str, num_particles: int) -> PyroRun:
    place = _HERE / folder
    return PyroRun(
        params=place / "store.pt",
        losses=place / "losses.txt",
        evaluations=place / "evaluations.txt",
        names=MappingProxyType(names),
        guide=guide,
        num_particles=num_particles,
    )
