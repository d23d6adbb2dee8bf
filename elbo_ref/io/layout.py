"""The meaning of a file's columns of counts, and of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from elbo_ref._validation.advice import AdvisedError
from elbo_ref._validation.arguments import check_known, check_type
from elbo_ref.counts.columns import Columns
from elbo_ref.counts.frames import NA
from elbo_ref.io.errors import DataError, bare, short

_NAMES = (
    "successes",
    "failures",
    "proportion",
    "total_count",
    "outcome",
    "multiplicity",
    "group",
    "by",
)
"""The options that name a column, those of counts first."""


@dataclass(frozen=True)
class Layout:
    """The options of `elbo_ref.read_counts`, which documents them.

    Attributes
    ----------
    by : str, optional
        The column of a level that each latent has, such as its treatment.
    guess : dict
        The options that were known by the names of a table's columns.

    Raises
    ------
    TypeError
        If a setting is of another kind.
    ValueError
        If the settings contradict each other.
    """

    successes: str | None = None
    total_count: str | None = None
    failures: str | None = None
    outcome: str | None = None
    proportion: str | None = None
    multiplicity: str | None = None
    group: str | None = None
    by: str | None = None
    shared: bool = False
    columns: Sequence[str] | None = None
    na: Literal["error", "drop"] = "error"
    in_order: bool = False
    guess: dict[str, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.named()
        check_known("na", self.na, NA)
        for name in ("shared", "in_order"):
            check_type(name, getattr(self, name), bool)
        if self.shared and self.group is not None:
            raise ValueError("shared and group exclude each other")
        if self.shared and self.by is not None:
            raise ValueError("shared and by exclude each other: one latent has one level")
        if self.columns is not None:
            check_type("columns", self.columns, tuple, list)
            for i, column in enumerate(self.columns):
                check_type(f"columns[{i}]", column, str)
            object.__setattr__(self, "columns", tuple(self.columns))
            _resolved(self.named(), self.columns, "the table")

    def named(self) -> Columns:
        """Return the names of the columns."""
        return Columns(**{name: getattr(self, name) for name in _NAMES})

    def of(self, names: Sequence[str], place: str) -> Layout:
        """Return the layout of a table with these columns.

        Raises
        ------
        DataError
            Unless all that are needed are there, once; its message begins with `place`.
        """
        columns, guess = _resolved(self.named(), names, place)
        found = {name: getattr(columns, name) for name in _NAMES}
        return replace(self, **found, guess=guess)

    @property
    def counted(self) -> list[str]:
        """The columns of counts: one to three, and that of the multiplicity."""
        return [x for name in _NAMES[:-2] if (x := getattr(self, name)) is not None]

    @property
    def needed(self) -> list[str]:
        """The columns of counts, and those of labels."""
        return self.counted + self.labelled

    @property
    def labelled(self) -> list[str]:
        """The columns of labels: of the group, of the level."""
        return [name for name in (self.group, self.by) if name is not None]

    @property
    def is_checked(self) -> bool:
        """True if there are successes, failures and trials, which have to agree."""
        return None not in (self.successes, self.failures, self.total_count)

    def disagreement(self, first: str, second: str, third: str) -> DataError:
        """Make the error of successes and failures that are not the trials together."""
        options = {"successes": str(self.successes), "failures": str(self.failures)}
        when = f"if {bare(str(self.total_count))} are something else"
        return DataError(f"{first} and {second} are not {third} together", when=when, **options)

    def pair(self, first: Any, second: Any = None, third: Any = None) -> tuple[Any, Any]:
        """Return successes, or their proportion, and trials, of values of the columns of counts.

        Trials that successes and failures do not make together are -1.
        """
        if third is not None:
            agree = first + second == third
            return first, agree * third - (1 - agree)
        if self.outcome is not None:
            return first, first * 0 + 1
        if self.proportion is not None:
            return first, second
        if self.successes is None:
            return second - first, second
        return first, second if self.failures is None else first + second


def _resolved(columns: Columns, names: Sequence[str], place: str) -> tuple[Columns, dict[str, str]]:
    name, times = Counter(names).most_common(1)[0] if names else ("", 0)
    if times > 1:
        raise DataError(f"{place} repeats the column {short(name)}; it has {short(list(names))}")
    try:
        return columns.resolved(names, place)
    except AdvisedError as error:
        raise DataError.of(error) from None
