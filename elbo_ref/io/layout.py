"""The meaning of a file's columns of counts, and of its rows."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from types import NoneType

from elbo_ref._validation.arguments import check_type
from elbo_ref.io.errors import DataError, short


class MissingColumnError(DataError):
    """A table without a column that is needed."""


@dataclass(frozen=True)
class Layout:
    """The options of `elbo_ref.read_counts`, which documents them.

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
    columns: Sequence[str] | None = None
    drop_blank: bool = False
    in_order: bool = False

    def __post_init__(self) -> None:
        for name in ("successes", "total_count"):
            check_type(name, getattr(self, name), str)
        for name in ("multiplicity", "group"):
            check_type(name, getattr(self, name), str, NoneType)
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
        """Refuse the column names of a table unless all that are needed are there, once.

        Raises
        ------
        DataError
            Its message begins with `place`.
        """
        name, times = Counter(names).most_common(1)[0] if names else ("", 0)
        known = f"it has {short(list(names))}"
        if times > 1:
            raise DataError(f"{place} repeats the column {short(name)}; {known}")
        for needed in (self.successes, self.total_count, self.multiplicity, self.group):
            if needed is not None and needed not in names:
                raise MissingColumnError(f"{place} has no column {short(needed)}; {known}")

    def counted(self, names: Sequence[str]) -> list[str]:
        """Choose the columns of counts among those of a table: two, or three."""
        others = (self.successes, self.total_count, self.group)
        weight = self.multiplicity
        if weight is None and "multiplicity" in names and "multiplicity" not in others:
            weight = "multiplicity"
        return [self.successes, self.total_count] + ([] if weight is None else [weight])
