"""Small public data sets, each with its source and the values printed for it.

They are what the rest of the package is tried on, and what a reader can check it with: `available`
lists the names, `load` gives the counts, `describe` the rest.
"""

from __future__ import annotations

from elbo_ref.counts import Counts
from elbo_ref.io.datasets.runs import PyroRun
from elbo_ref.io.datasets.tables import TABLES, DataSet, PublishedValue

__all__ = ["DataSet", "PublishedValue", "PyroRun", "available", "describe", "load"]


def available() -> tuple[str, ...]:
    """The names of the data sets.

    Examples
    --------
    >>> available()[:4]
    ('forum', 'saxony', 'alcohol_week1', 'alcohol_week2')
    """
    return tuple(TABLES)


def describe(name: str) -> DataSet:
    """A data set with its source and published values.

    Parameters
    ----------
    name : str
        One of `available`.

    Raises
    ------
    ValueError
        If there is no such data set; the message lists those there are.

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
    if not isinstance(name, str) or name not in TABLES:
        raise ValueError(f"name {name!r} is not a data set: choose from {', '.join(TABLES)}")
    return TABLES[name]


def load(name: str) -> Counts:
    """The counts of a data set.

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

    Examples
    --------
    >>> load("orobanche_1")
    Counts(successes=[ 2  9  5 16  2  0], total_count=[43 51 44 71 24  7])
    >>> load("forum")
    Counts(successes=[0], total_count=[5000])
    """
    return describe(name).counts
