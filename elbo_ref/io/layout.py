"""What a file's columns mean, and what comes out of reading it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from reprlib import Repr
from types import NoneType
from typing import NamedTuple

from elbo_ref._validation.arguments import check_type
from elbo_ref.counts import Counts

_SHORT = Repr()
_SHORT.maxlist = _SHORT.maxtuple = 20
_SHORT.maxstring = _SHORT.maxother = _SHORT.maxlong = 60


class DataError(ValueError):
    """A file that cannot be read; the message says where and why, in one line."""


@dataclass(frozen=True)
class Layout:
    """Which columns hold what, and what is one latent.

    Parameters
    ----------
    successes, total_count : str
        Names of the columns of counts.
    multiplicity : str, optional
        Name of the column that says how many equal latents (or, under `shared` and `group`, equal
        rows) a row stands for; without it ``"multiplicity"``, if there is one.
    group : str, optional
        Name of a column of labels: one latent for each, instead of one for each row.
    shared : bool
        Instead: one latent for all rows.
    columns : tuple of str, optional
        Names of all columns of a text that has no header; its first row fixes the separator.
    in_order : bool
        Whether each row stays an entry of its own, in the order of the file; equal rows are counted
        otherwise.
    drop_blank : bool
        Whether to skip rows where a cell that is needed is blank or ``NA`` (in JSON: ``null``),
        instead of refusing them.

    Raises
    ------
    TypeError
        If a setting is of another kind.
    ValueError
        If the settings contradict each other.
    """

    successes: str = "successes"
    total_count: str = "total_count"
    multiplicity: str | None = None
    group: str | None = None
    shared: bool = False
    columns: tuple[str, ...] | None = None
    drop_blank: bool = False
    in_order: bool = False

    def __post_init__(self) -> None:
        for name in ("successes", "total_count", "multiplicity", "group"):
            optional = () if name in ("successes", "total_count") else (NoneType,)
            check_type(name, getattr(self, name), str, *optional)
        for name in ("shared", "drop_blank", "in_order"):
            check_type(name, getattr(self, name), bool)
        if self.columns is not None:
            check_type("columns", self.columns, tuple, list)
            for i, column in enumerate(self.columns):
                check_type(f"columns[{i}]", column, str)
            object.__setattr__(self, "columns", tuple(self.columns))
        if self.shared and self.group is not None:
            raise ValueError("shared and group exclude each other")
        roles = [self.successes, self.total_count, self.multiplicity]
        named = [name for name in roles if name is not None]
        if len(set(named)) != len(named):
            raise ValueError(f"two of the columns of counts have the same name: {named}")
        if self.columns is not None:
            self.check(self.columns, "the table")

    def check(self, names: Sequence[str], place: str) -> None:
        """Refuse the names of a table's columns unless all that are needed are there, once.

        Raises
        ------
        DataError
            What it says, it says of `place`.
        """
        name, times = Counter(names).most_common(1)[0] if names else ("", 0)
        if times > 1:
            raise DataError(
                f"{place} repeats the column {short(name)}; it has {short(list(names))}"
            )
        for needed in (self.successes, self.total_count, self.multiplicity, self.group):
            if needed is not None and needed not in names:
                raise DataError(
                    f"{place} has no column {short(needed)}; it has {short(list(names))}"
                )

    def counted(self, names: Sequence[str]) -> list[str]:
        """The columns of counts that a table with these columns has: two, or three."""
        others = (self.successes, self.total_count, self.group)
        weight = self.multiplicity
        if weight is None and "multiplicity" in names and "multiplicity" not in others:
            weight = "multiplicity"
        return [self.successes, self.total_count] + ([] if weight is None else [weight])


class Source(NamedTuple):
    """Where counts came from.

    `format` is ``"table"``, ``"json"`` or ``"npz"``; `sha256` of the bytes; `rows` were read and
    `dropped` skipped because of blanks.
    """

    name: str
    format: str
    sha256: str
    rows: int
    dropped: int


class CountsFile(NamedTuple):
    """Counts and where they came from."""

    counts: Counts
    source: Source


def short(value: object) -> str:
    """The value as Python writes it, on one line and shortened."""
    text = _SHORT.repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."


def bare(name: str) -> str:
    """A name without quotes, if that is as clear."""
    return name if name.isprintable() and len(name) <= 60 else short(name)
