"""The data sets: counts as their sources print them, and the values printed beside them.

A value under `published` is what somebody printed, to the digits printed; where it is off, its
note says how. `concentration1` and `concentration0` are given only where they were printed as an
estimate, and log likelihoods include the binomial coefficients.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from elbo_ref.counts import Counts
from elbo_ref.io.datasets.runs import FORUM, PyroRun


@dataclass(frozen=True)
class PublishedValue:
    """One result as printed.

    Attributes
    ----------
    where : str or None
        Who prints it.
    concentration1, concentration0 : float or None
        The estimate, where it is printed in these coordinates.
    log_likelihood : float or None
        The log likelihood printed, or minus the printed negative one.
    note : str
        Which model it belongs to when that is not the Beta-Binomial maximum, and what is off about
        it, if anything.
    """

    where: str | None = None
    concentration1: float | None = None
    concentration0: float | None = None
    log_likelihood: float | None = None
    note: str = ""


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
        What the source calls our ``concentration1`` and ``concentration0``; empty where it does
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


def _frequencies(
    name: str,
    title: str,
    source: str,
    trials: int,
    frequencies: tuple[int, ...],
    published: tuple[PublishedValue, ...] = (),
) -> DataSet:
    """A table of how many latents had 0, 1, ..., `trials` successes."""
    return DataSet(
        name,
        title,
        source,
        successes=tuple(range(trials + 1)),
        total_count=(trials,) * (trials + 1),
        multiplicity=frequencies,
        published=published,
    )


_FORUM = DataSet(
    name="forum",
    title="5000 single trials without a success, one latent",
    source="Pyro forum, 'What is SVI doing to the model side param?', forum.pyro.ai/t/4338",
    successes=(0,) * 5000,
    total_count=(1,) * 5000,
    shared=True,
    published=(
        PublishedValue(
            where="forum.pyro.ai/t/4338",
            note="Nothing to compare with: there is no maximiser, the evidence rises to 0. The "
            "thread passes a0 as concentration0 and b0 as concentration1, both starting at 1, and "
            "its probs=hp must be probs=c. Adam, lr 0.1, TraceEnum_ELBO(num_particles=10), 100 "
            "steps.",
        ),
    ),
    names=MappingProxyType({"concentration0": "a0", "concentration1": "b0"}),
    run=FORUM,
)

_SAXONY = _frequencies(
    "saxony",
    "Boys among twelve children, 6115 families of Saxony",
    "Geissler (1889), as in Wikipedia's article on the beta-binomial distribution",
    trials=12,
    frequencies=(3, 24, 104, 286, 670, 1033, 1343, 1112, 829, 478, 181, 45, 7),
    published=(
        PublishedValue(
            where="Wikipedia, Beta-binomial distribution",
            concentration1=34.09558,
            concentration0=31.5715,
            log_likelihood=-12492.9,
            note="AIC 24989.74. Not the maximiser, which is near (34.10286, 31.57823): the ridge "
            "is flat, and the log likelihoods agree to every printed digit.",
        ),
        PublishedValue(
            where="Wikipedia, Beta-binomial distribution",
            log_likelihood=-12534.17,
            note="The binomial at p = 0.519215, from its AIC of 25070.34.",
        ),
    ),
)

_ALCOHOL_SOURCE = "Alanko & Lemmens (1996), in the R package fitODBOD"

_ALCOHOL_WEEK1 = _frequencies(
    "alcohol_week1",
    "Days of a week with alcohol, 399 people, first week",
    _ALCOHOL_SOURCE,
    trials=7,
    frequencies=(47, 54, 43, 40, 40, 41, 39, 95),
    published=(
        PublishedValue(
            where="fitODBOD",
            concentration1=0.7229420,
            concentration0=0.5808483,
            log_likelihood=-813.4571,
            note="Over-dispersion 1/(a + b + 1) = 0.4340673. An optimizer's answer, 2e-6 from "
            "the maximiser near (0.7229404, 0.5808469).",
        ),
    ),
)

_ALCOHOL_WEEK2 = _frequencies(
    "alcohol_week2",
    "Days of a week with alcohol, 399 people, second week",
    _ALCOHOL_SOURCE,
    trials=7,
    frequencies=(42, 47, 54, 40, 49, 40, 43, 84),
    published=(
        PublishedValue(
            where="fitODBOD",
            concentration1=0.8575339,
            concentration0=0.7007620,
            note="Over-dispersion 1/(a + b + 1) = 0.3908852. An optimizer's answer, 4e-7 from "
            "the maximiser near (0.8575343, 0.7007623).",
        ),
    ),
)

_CHROMOSOME = _frequencies(
    "chromosome",
    "Secondary association of chromosomes, 337 observations",
    "Skellam (1948), Paul (1985), in the R package fitODBOD",
    trials=3,
    frequencies=(32, 103, 122, 80),
    published=(PublishedValue(where="fitODBOD", log_likelihood=-436.813),),
)

_COLDS_FATHER = _frequencies(
    "colds_father",
    "Common colds that follow the father's, 88 outbreaks",
    "R package fitODBOD",
    trials=4,
    frequencies=(53, 31, 4, 0, 0),
)

_GERMINATED_1 = (2, 9, 5, 16, 2, 0), (43, 51, 44, 71, 24, 7)
_GERMINATED_25 = (17, 43, 79, 50, 9), (19, 56, 87, 55, 10)
_GERMINATED_625 = (11, 47, 90, 46, 9), (13, 62, 104, 51, 11)


def _orobanche(
    name: str,
    title: str,
    *sets: tuple[tuple[int, ...], tuple[int, ...]],
    published: tuple[PublishedValue, ...],
) -> DataSet:
    return DataSet(
        name,
        f"Germinating seeds of Orobanche cernua, {title}",
        "Crowder (1978), table 1",
        successes=tuple(k for successes, _ in sets for k in successes),
        total_count=tuple(n for _, total_count in sets for n in total_count),
        published=published,
    )


_OROBANCHE = _orobanche(
    "orobanche",
    "all three dilutions",
    _GERMINATED_1,
    _GERMINATED_25,
    _GERMINATED_625,
    published=(
        PublishedValue(
            where="Crowder (1978)",
            log_likelihood=-56.258,
            note="One Beta-Binomial for all 16 rows.",
        ),
        PublishedValue(
            where="Crowder (1978)",
            log_likelihood=-34.991,
            note="Means 0.132, 0.871, 0.839 of the dilutions 1/1, 1/25, 1/625 and one "
            "a + b = 78.424 for all three, whose last digit is off: it is 78.4233.",
        ),
        PublishedValue(
            where="Crowder (1978)",
            log_likelihood=-34.829,
            note="The three dilutions fitted separately, summed.",
        ),
    ),
)

_DILUTION_MEAN = "Mean {} with a + b = 78.424, which the three dilutions share: not the maximiser."

_OROBANCHE_1, _OROBANCHE_25, _OROBANCHE_625 = (
    _orobanche(
        f"orobanche_{dilution}",
        f"dilution 1/{dilution}",
        rows,
        published=(PublishedValue(where="Crowder (1978)", note=_DILUTION_MEAN.format(mean)),),
    )
    for dilution, rows, mean in (
        (1, _GERMINATED_1, 0.132),
        (25, _GERMINATED_25, 0.871),
        (625, _GERMINATED_625, 0.839),
    )
)

# fmt: off
_TUMORS = (
     0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  0,  1,  1,  1,  1,
     1,  1,  1,  1,  2,  2,  2,  2,  2,  2,  2,  2,  2,  1,  5,  2,  5,  3,
     2,  7,  7,  3,  3,  2,  9, 10,  4,  4,  4,  4,  4,  4,  4, 10,  4,  4,
     4,  5, 11, 12,  5,  5,  6,  5,  6,  6,  6,  6, 16, 15, 15,  9,  4,
)
_RATS = (
    20, 20, 20, 20, 20, 20, 20, 19, 19, 19, 19, 18, 18, 17, 20, 20, 20, 20,
    19, 19, 18, 18, 25, 24, 23, 20, 20, 20, 20, 20, 20, 10, 49, 19, 46, 27,
    17, 49, 47, 20, 20, 13, 48, 50, 20, 20, 20, 20, 20, 20, 20, 48, 19, 19,
    19, 22, 46, 49, 20, 20, 23, 19, 22, 20, 20, 20, 52, 46, 47, 24, 14,
)
# fmt: on

_RAT_TUMORS = DataSet(
    name="rat_tumors",
    title="Rats with a tumour, 71 groups",
    source="Tarone (1982), in Gelman et al., Bayesian Data Analysis, table 5.1",
    successes=_TUMORS,
    total_count=_RATS,
    published=(
        PublishedValue(
            where="Gelman et al., Bayesian Data Analysis",
            note="A posterior mode, not the maximiser: under a hyperprior (a + b)^(-5/2), roughly "
            "at log(a/b) = -1.75, log(a + b) = 2.8 in these coordinates. PyMC's example gallery "
            "has -1.79 and 2.74, that is near (2.2272, 13.2838), which is right. In (a, b) the "
            "same posterior has its mode near (1.8249, 10.8399).",
        ),
    ),
)

_LITTERS_SOURCE = "Weil (1970), Williams (1975)"

_LITTERS_CONTROL = DataSet(
    name="litters_control",
    title="Pups surviving lactation, 16 litters, control diet",
    source=_LITTERS_SOURCE,
    successes=(13, 12, 9, 9, 8, 8, 12, 11, 9, 9, 8, 11, 4, 5, 7, 7),
    total_count=(13, 12, 9, 9, 8, 8, 13, 12, 10, 10, 9, 13, 5, 7, 10, 10),
)

_LITTERS_TREATED = DataSet(
    name="litters_treated",
    title="Pups surviving lactation, 16 litters, treated diet",
    source=_LITTERS_SOURCE,
    successes=(12, 11, 10, 9, 10, 9, 9, 8, 8, 4, 7, 4, 5, 3, 3, 0),
    total_count=(12, 11, 10, 9, 11, 10, 10, 9, 9, 5, 9, 7, 10, 6, 10, 7),
)

_BATTING = DataSet(
    name="batting",
    title="Hits in the first 45 at bats, 18 players",
    source="Efron & Morris (1975)",
    successes=(18, 17, 16, 15, 14, 14, 13, 12, 11, 11, 10, 10, 10, 10, 10, 9, 8, 7),
    total_count=(45,) * 18,
)

_COIN = DataSet(
    name="coin",
    title="Six heads in ten flips of one coin",
    source="Pyro's tutorials",
    successes=(1, 1, 1, 1, 1, 1, 0, 0, 0, 0),
    total_count=(1,) * 10,
    shared=True,
    published=(
        PublishedValue(
            where="Pyro's tutorials",
            note="Under the fixed prior Beta(10, 10) the posterior is Beta(16, 14). The MLE is 0.6 "
            "and the MAP 15/28: the MLE and MAP tutorial prints that figure, but calls "
            "(10 + 6)/30, which is the posterior mean, its closed form.",
        ),
    ),
)

TABLES: Mapping[str, DataSet] = MappingProxyType(
    {
        table.name: table
        for table in (
            _FORUM,
            _SAXONY,
            _ALCOHOL_WEEK1,
            _ALCOHOL_WEEK2,
            _CHROMOSOME,
            _OROBANCHE,
            _OROBANCHE_1,
            _OROBANCHE_25,
            _OROBANCHE_625,
            _RAT_TUMORS,
            _LITTERS_CONTROL,
            _LITTERS_TREATED,
            _BATTING,
            _COLDS_FATHER,
            _COIN,
        )
    }
)
"""Every data set by its name."""
