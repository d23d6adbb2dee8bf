"""Parameters of somebody's in their roles, and what had to be assumed for that."""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.parameters import Reading, learned_of, of_guide, read_roles
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES, Guide
from elbo_ref.io.parameters import Parameters
from elbo_ref.objectives.base import Task
from elbo_ref.svi.parameters import NAMES, Learned

_POSITIVE = ("concentration1", "concentration0", "scale")


class Case(NamedTuple):
    """Parameters in their roles, and what had to be assumed for that."""

    counts: Counts
    guide: str
    reading: Reading
    findings: tuple[Finding, ...]

    @classmethod
    def of(
        cls,
        counts: Counts,
        given: Parameters,
        guide: str,
        names: Mapping[str, str] | None,
        prior: Beta | None,
    ) -> Case:
        findings = [note("parameters", text) for text in _grouped(given.notes)]
        family, values = GUIDES[guide], dict(given.values)
        if _without_guide(values, family, names, prior):
            what = f"the store has no parameter of a {guide} guide"
            findings.append(mistake("latent_not_in_guide", what, "from the names alone"))
            guide, family = "empty", GUIDES["empty"]
        counts = _single(counts, values, family)
        reading = read_roles(values, family, len(counts), names, prior)
        for role in reading.guessed:
            findings.append(note("names", f"{reading.names[role]} was taken for {role}"))
        reading, more = _positive(reading, family)
        if not family.parameter_names:
            own = Task(family, counts).guide.constrain(reading.own)
            reading = reading._replace(own=own)
        return cls(counts, guide, reading, (*findings, *more))

    @property
    def learned(self) -> Learned:
        """Which of the prior's concentrations are parameters."""
        return learned_of(self.reading.names)


def _grouped(notes: tuple[str, ...]) -> list[str]:
    """Notes that say the same of several parameters, once."""
    names: dict[str, list[str]] = {}
    for text in notes:
        name, _, what = text.partition(": ")
        names.setdefault(what, []).append(name)
    return [f"{', '.join(group)}: {what}" for what, group in names.items()]


def _without_guide(
    values: Mapping[str, FloatArray],
    family: Guide,
    names: Mapping[str, str] | None,
    prior: Beta | None,
) -> bool:
    """Whether the store holds the prior's parameters and no other."""
    said = {*(names or {})}
    if (
        not (family.parameter_names and family.has_prior)
        or prior is not None
        or any(role.startswith("guide.") for role in said)
    ):
        return False
    both = {f"prior.{name}" for name in NAMES} <= said
    return len(values) == len(NAMES) and (both or not any(map(of_guide, values)))


def one_by_one(counts: Counts) -> Counts:
    """An entry for each latent.

    Examples
    --------
    >>> one_by_one(Counts([0, 1], 1, multiplicity=[2, 1]))
    Counts(successes=[0 0 1], total_count=[1 1 1])
    """
    times = counts.multiplicity
    columns = counts.successes, counts.total_count, np.ones_like(times), counts.log_split
    return Counts.from_columns(*(np.repeat(column, times) for column in columns))


def _single(counts: Counts, values: Mapping[str, FloatArray], family: Guide) -> Counts:
    """Equal latents one by one, where there are parameters for each of them."""
    sizes = {array.shape[-1] for array in values.values() if array.ndim}
    latents = counts.num_latents
    if not family.parameter_names or len(counts) == latents or latents not in sizes:
        return counts
    return one_by_one(counts)


def other_latents(
    counts: Counts, given: Parameters, names: Mapping[str, str] | None
) -> tuple[Finding, ...]:
    """What the shapes say: parameters with an axis that is not one of these latents."""
    priors = {name for role, name in (names or {}).items() if role.startswith("prior.")}
    shapes = {
        name: array.shape[: -1 if array.shape[-1:] == (1,) else None]
        for name, array in given.values.items()
    }
    fewest = min(map(len, shapes.values()), default=0)
    known = {len(counts), counts.num_latents}
    for name, shape in shapes.items():
        if len(shape) > fewest and shape[-1] not in known and name not in priors:
            what = (
                f"{name} has values for {shape[-1]} latents; the counts have {counts.num_latents}"
            )
            return (mistake("wrong_latents", what, "from the shapes alone"),)
    return ()


def _positive(reading: Reading, family: Guide) -> tuple[Reading, tuple[Finding, ...]]:
    """Concentrations and scales that are none must be unconstrained ones."""
    rows = [name != "loc" and name in _POSITIVE for name in family.parameter_names]
    own = reading.own[rows]
    for name, array in (("prior", reading.prior), ("guide", own)):
        if not np.isfinite(array).all():
            where = int(np.argmax(~np.isfinite(array).all(axis=(0, 2))))
            raise ValueError(f"the {name}'s parameters are not finite at step {where}")
    if (reading.prior > 0).all() and (own > 0).all():
        return reading, ()
    lowest = float(min(reading.prior.min(), own.min(initial=np.inf)))
    positive = reading.own.copy()
    positive[rows] = np.exp(own)
    finding = Finding(
        "unconstrained_values",
        "the smallest parameter that must be positive",
        lowest,
        None,
        None,
        "exp was applied to go on",
        "mistake",
    )
    return reading._replace(prior=np.exp(reading.prior), own=positive), (finding,)


def check_claims(names: object, prior: object) -> None:
    """Raise TypeError unless they are what `cross_check` and `replay` take."""
    if names is not None and not (
        isinstance(names, Mapping)
        and all(isinstance(x, str) for pair in names.items() for x in pair)
    ):
        raise TypeError(f"names must be a mapping of roles to names, all str, not {names!r}")
    if prior is not None and (not isinstance(prior, Beta) or prior.shape != ()):
        raise TypeError(f"prior must be one Beta, not {prior!r}")


def note(name: str, what: str) -> Finding:
    """Something worth knowing."""
    return Finding(name, what, None, None, None, "", "note")


def mistake(name: str, what: str, reason: str) -> Finding:
    """A mistake without a number."""
    return Finding(name, what, None, None, None, reason, "mistake")
