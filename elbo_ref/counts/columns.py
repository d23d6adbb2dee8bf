"""The columns of a table that hold its counts: named, or known by their names.

Six layouts are known, each of which gives successes K and trials N of a row:

    successes and total_count      successes and failures      failures and total_count
    successes, failures and total_count, which have to agree
    outcome                        one trial a row, 0 or 1, or False or True
    proportion and total_count     K = N times the proportion, which has to be K/N as it is printed

Where none of them is named, the names of the columns say it, if they say one thing only.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from itertools import chain, product

from elbo_ref._validation.advice import AdvisedError, as_arguments, listed, quoted

COUNTED = ("successes", "failures", "total_count", "outcome", "proportion")
"""The roles that a layout consists of."""

ALL_THREE = "successes", "failures", "total_count"
LAYOUTS = (
    ("successes", "total_count"),
    ("successes", "failures"),
    ("failures", "total_count"),
    ("proportion", "total_count"),
    ("outcome",),
    ALL_THREE,
)

_TOTALS = {
    "successes": "trials total totalcount n attempts",
    "success": "trials total n",
    "nsuccess nsuccesses numsuccesses": "ntrials numtrials n trials",
    "k x y r": "n",
    "hits h": "atbats ab",
    "made makes": "attempted attempts shots",
    "fgm": "fga",
    "goals": "shots",
    "wins": "games matches",
    "heads": "tosses flips",
    "conversions converted": "visitors visits sessions users",
    "clicks": "impressions views",
    "events": "trials total n",
    "positive positives": "tested tests",
    "deaths cases": "population patients",
    "tumors tumours": "rats animals",
    "methylated meth": "coverage total reads",
    "correct": "total answered questions",
    "yes": "asked total n",
}
"""Names of successes, in lower case and letters alone, and those of their trials."""

_FAILURES = {
    "successes success nsuccess nsuccesses": "failures failure nfailure nfailures",
    "wins": "losses",
    "heads": "tails",
    "yes": "no",
    "passed pass": "failed fail",
    "hits": "misses",
    "methylated": "unmethylated",
    "positive": "negative",
}
_PROPORTIONS = {"proportion prop rate share fraction": "n trials total totalcount"}
_OUTCOMES = "outcome outcomes converted clicked succeeded issuccess"
_ONE_TRIAL = {
    *(x.removesuffix("s") for words in (*_TOTALS, *_FAILURES) for x in words.split() if x[1:]),
    *("response", "result", "survived", "died", "bought", "responded"),
}
"""Names that may be those of an outcome."""


def _pairs(first: str, second: str, table: dict[str, str]) -> list[dict[str, str]]:
    """List the pairs of names of a table, each as a mapping from role to name."""
    words = ((left.split(), right.split()) for left, right in table.items())
    pairs = chain.from_iterable(product(left, right) for left, right in words)
    return [{first: one, second: other} for one, other in pairs]


_KNOWN = [
    *_pairs("successes", "total_count", _TOTALS),
    *_pairs("successes", "failures", _FAILURES),
    *({"outcome": name} for name in _OUTCOMES.split()),
]
_KNOWN_PROPORTIONS = _pairs("proportion", "total_count", _PROPORTIONS)
"""Where there are no counts: a rate may stand beside them."""


@dataclass(frozen=True)
class Columns:
    """Names of the columns of counts, of group, level (`by`) and multiplicity.

    Raises
    ------
    TypeError
        If a name is no string.
    ValueError
        If the roles are none of `LAYOUTS`, nor a part of one, or two have the same name.
    """

    successes: str | None = None
    failures: str | None = None
    total_count: str | None = None
    outcome: str | None = None
    proportion: str | None = None
    group: str | None = None
    by: str | None = None
    multiplicity: str | None = None

    def __post_init__(self) -> None:
        named = {}
        for role, name in vars(self).items():
            if name is not None and not isinstance(name, str):
                several = isinstance(name, list | tuple)
                rule = "make one column of several first" if several else "rename it first"
                kind = type(name).__name__
                raise TypeError(f"{role} must be a column's name, a str, not {kind}: {rule}")
            if name is not None:
                named[role] = name
        for role, name in named.items():
            others = [other for other in named if other != role and named[other] == name]
            if others:
                raise ValueError(f"{role} and {others[0]} are both {quoted(name)}")
        given = {role for role in named if role in COUNTED}
        if not any(given <= set(layout) for layout in LAYOUTS):
            known = "; ".join(" and ".join(layout) for layout in LAYOUTS)
            raise ValueError(f"{', '.join(sorted(given))} do not go together: give {known}")

    @property
    def counted(self) -> dict[str, str]:
        """The columns of counts, by role."""
        return {role: name for role, name in self.named.items() if role in COUNTED}

    @property
    def named(self) -> dict[str, str]:
        """The columns that are needed, by role."""
        return {role: name for role, name in vars(self).items() if name is not None}

    def resolved(
        self, names: Sequence[str], place: str = "the frame"
    ) -> tuple[Columns, dict[str, str]]:
        """Find the columns among those of a table.

        Returns
        -------
        columns : Columns
            With a complete layout, and ``"multiplicity"`` if there is such a column.
        guess : dict
            The arguments that were known by their names, to be said; else empty.

        Raises
        ------
        AdvisedError
            If a column is not there, or no layout or more than one is found; the message begins
            with `place`.
        """
        known = f"its columns are {listed(names)}"
        for role, name in self.named.items():
            if name not in names:
                raise AdvisedError(f"{place} has no column {quoted(name)} of {role}; {known}")
        guessed = self._guessed(names, place, known)
        columns = replace(self, **guessed)
        free = set(names) - set(columns.named.values())
        if self.multiplicity is None and "multiplicity" in free:
            columns = replace(columns, multiplicity="multiplicity")
        plain = all(role == name for role, name in guessed.items())
        return columns, {} if plain else guessed

    def _guessed(self, names: Sequence[str], place: str, known: str) -> dict[str, str]:
        """Complete the layout by names of columns."""
        given = self.counted
        if set(given) in map(set, LAYOUTS):
            return {}
        taken = set(self.named.values())
        free = [name for name in names if isinstance(name, str) and name not in taken]
        for layout in (ALL_THREE, *LAYOUTS[:2]):  # named as the arguments are
            rest = [role for role in layout if role not in given]
            if set(given) < set(layout) and set(rest) <= set(free):
                return _with_trials({role: role for role in rest}, given, free)
        distinct = _matches(_KNOWN, given, free) or _matches(_KNOWN_PROPORTIONS, given, free)
        distinct = _three(distinct) or distinct
        if len(distinct) == 1:
            return distinct[0]
        if distinct:
            options = " or ".join(as_arguments(guess) for guess in distinct[:4])
            text = f"{place} has several columns that may be the counts: {options}"
            raise AdvisedError(text, **distinct[0])
        halves = {"successes", "failures", "proportion"} & {*given, *free}
        missing = [] if halves else ["successes"]
        if "total_count" not in {*given, *free}:
            missing.append("total_count")
        trial = "" if given or not missing[1:] else ", or the outcome of one trial"
        text = f"{place} does not say which column is {' and which '.join(missing)}{trial}; {known}"
        trials = [name for name in free if _plain(name) in _ONE_TRIAL]
        if trial and len(trials) == 1 and not any(_plain(name) in _ALL_TOTALS for name in free):
            raise AdvisedError(text, when="if a row is one trial", outcome=trials[0])
        raise AdvisedError(text, **dict.fromkeys(missing, "COLUMN"))


_ALL_TOTALS = {word for words in _TOTALS.values() for word in words.split()}


def _three(guesses: Sequence[dict[str, str]]) -> list[dict[str, str]]:
    """Join two guesses that differ in whether they have failures or trials to one of all three."""
    if len(guesses) == 2 and {*guesses[0]} ^ {*guesses[1]} == {"failures", "total_count"}:
        both = {**guesses[0], **guesses[1]}
        if all(both[role] == name for guess in guesses for role, name in guess.items()):
            return [both]
    return []


def _with_trials(
    guess: dict[str, str], given: Iterable[str], free: Sequence[str]
) -> dict[str, str]:
    """Add a column of trials beside successes and failures, if there is one by its name."""
    if "total_count" in {*guess, *given}:
        return guess
    names = _TOTALS["successes"].split()
    trials = [name for name in free if _plain(name) in names]
    return {**guess, "total_count": trials[0]} if len(trials) == 1 else guess


def _plain(name: str) -> str:
    return re.sub("[^a-z]", "", name.lower())


def _matches(
    known: Sequence[dict[str, str]], given: Iterable[str], free: Sequence[str]
) -> list[dict[str, str]]:
    """List the ways to complete the roles that are given by columns with known names."""
    plain = {name: _plain(name) for name in free}
    found = []
    for pair in known:
        others = {role: name for role, name in pair.items() if role not in given}
        if set(given) < set(pair):
            choices = [[x for x in free if plain[x] == name] for name in others.values()]
            found += [dict(zip(others, chosen, strict=True)) for chosen in product(*choices)]
    return [x for i, x in enumerate(found) if x not in found[:i]]
