"""One canonical form of everything that a recording states about its program.

Loops over sites, plates of any shape, events, stacked or computed parameters, a Dirichlet of two
and automatic guides come out alike: L latents in one order, each with its draws, its counts and the
arguments of its prior and its guide, and the gradient of the loss for these arguments. Nothing is
taken from a name, a shape or a size alone: the recorder has looked up which latent a row belongs to
and what an argument was computed from.

A program that is another model than the Beta-Binomial is said to be, with what is other about it;
what its own statement shows to be a mistake is a finding.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from elbo_ref._format.numbers import some_of
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.guides import Guide
from elbo_ref.recording.distribution_kinds import MARGINAL, OF_SEVERAL, ROWS
from elbo_ref.recording.factors import Beside, data_of_factor, factors_beside, no_likelihood
from elbo_ref.recording.guide_sites import EMPTY, Argument, OutsideError, Sites, read_guide
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.parameter_findings import at_ends, detached, other_rows
from elbo_ref.recording.rows import Data, data_of
from elbo_ref.recording.scales import multiplicity_of, scales_of
from elbo_ref.svi.parameters import NAMES

_OTHERS = ("Delta", "Unit")
"""Observed sites that are no data: what is computed, and a factor."""


@dataclass(frozen=True)
class Statement:
    """The model, the guide and the data of a recording in canonical form.

    Attributes
    ----------
    recording : Recording
    latent : str
        Name of the latent site, with a star where there are several.
    draws, logits : array, (T, P, L)
        P is 0 for a model without a latent.
    guide : Guide
    arguments : mapping of roles to `Argument`
    data : Data or None
        None where the likelihood is written by hand and its counts are not to be had.
    scale, likelihood_weight : float
        Factor of all terms of the loss, and a further one of the likelihood.
    findings : tuple of Finding
        Mistakes that the program shows by itself, and notes.
    outside : tuple of str
        What is other than in the Beta-Binomial model, though every step can be made again.
    vector : str
        The guide's site that draws the logits of all latents together, if there is one.
    sizes : tuple of int
        The number of latents of each site that has any.
    """

    recording: Recording
    latent: str
    draws: NDArray[Any]
    logits: FloatArray
    guide: Guide
    arguments: Mapping[str, Argument]
    data: Data | None
    scale: float = 1.0
    likelihood_weight: float = 1.0
    findings: tuple[Finding, ...] = ()
    outside: tuple[str, ...] = ()
    vector: str = ""
    sizes: tuple[int, ...] = ()

    @property
    def marginal(self) -> bool:
        """Tell whether the latent is summed out: the observed site is a BetaBinomial."""
        return bool(self.draws.shape[1] == 0)

    @property
    def num_latents(self) -> int:
        """The number of latents, L."""
        return int(self.draws.shape[2])

    @property
    def prior(self) -> FloatArray:
        """The prior's concentrations, (2, T, 1 or L)."""
        return self._table([f"prior.{name}" for name in NAMES])

    @property
    def guide_parameters(self) -> FloatArray:
        """The guide's parameters, (k, T, 1 or L)."""
        return self._table([f"guide.{name}" for name in self.guide.parameter_names])

    def _table(self, roles: Sequence[str]) -> FloatArray:
        rows = [self.arguments[role].values for role in roles]
        shape = (self.recording.num_steps, max((row.shape[1] for row in rows), default=1))
        wide = [np.broadcast_to(row, shape).astype(np.float64) for row in rows]
        return np.array(wide).reshape(len(rows), *shape)


def read_statement(recording: Recording) -> Statement:
    """Bring a recording into its canonical form.

    Raises
    ------
    OutsideError
        If its program is another model.
    ValueError
        If an argument is none that its distribution can have.
    """
    rows = [site for site in recording.sites("model") if site["class"] in ROWS]
    if recording.sites("guide") and not recording.sites("model"):
        raise OutsideError(
            "the guide runs the model itself, so that their sites are not told apart: an "
            "AutoNormal, say, stands beside it"
        )
    _check_observed(recording, rows)
    marginal = any(site["class"] in MARGINAL for site in rows)
    stated = (_marginal if marginal else _of_latents)(recording, rows)
    factors = factors_beside(recording, stated.logits, stated.prior, stated.data)
    others = [f"the factor {x!r} is a term of its own" for x in factors if not factors[x].what]
    other = no_likelihood(recording, stated.logits) if stated.data is None else ""
    others += [f"the factor {other!r} is no binomial likelihood of the latent"] * bool(other)
    stated = replace(stated, outside=(*stated.outside, *others))
    for name, beside in factors.items():
        stated = _counted_again(stated, name, beside)
    return stated


def _counted_again(stated: Statement, name: str, beside: Beside) -> Statement:
    """Say that a factor is what counts already; the likelihood then has the weight two."""
    if not beside.what:
        return stated
    prior = beside.what == "prior"
    words = f"the factor {name!r} is the {'density of the prior' if prior else beside.what} again"
    mistake = "loss_mismatch" if prior else "likelihood_weight"
    found = replace(stated, findings=(*stated.findings, Finding(mistake, words, status="mistake")))
    if prior or stated.data is None or (stated.scale, stated.likelihood_weight) != (1.0, 1.0):
        return found
    of_both = stated.data.log_coefficient + beside.constant / stated.num_latents
    data = stated.data._replace(log_coefficient=of_both / 2)
    return replace(found, data=data, likelihood_weight=2.0)


def _of_latents(recording: Recording, rows: Sequence[Mapping[str, Any]]) -> Statement:
    """Read a model that draws its latents."""
    sites = Sites(recording, _latents(recording, rows))
    data = data_of(recording, rows, sites.places, sites.size) if rows else None
    prior = {f"prior.{name}": sites.argument("model", "", name) for name in NAMES}
    seen = read_guide(sites, prior, data)
    if seen.guide.source_weight and not sites.kept.all():
        _check_masks(sites, seen.vector)
    if data is None and sites.kept.all():
        data = data_of_factor(recording, seen.logits)
    of_guide = {} if seen.guide.origin == "posterior" else seen.arguments
    findings = [*seen.findings, *detached(recording, prior | of_guide)]
    if seen.guide.origin != "own":
        pairs = [(f"prior.{name}", seen.arguments.get(f"guide.{name}")) for name in NAMES]
        prior = {role: prior[role].plus(x) if x else prior[role] for role, x in pairs}
    _check_sources(recording, prior)
    prior, outside, shared = _prior(sites, prior, seen.arguments)
    scale, weight, of_scales = scales_of(sites, rows, data)
    times, of_elements = multiplicity_of(sites, rows)
    findings += [*at_ends(recording, seen.own), *other_rows(recording, seen.own)]
    findings += [*_in_guide_alone(sites, seen.vector), *_of_same_parameters(prior, seen.own)]
    _check_arguments(prior | seen.own)
    return Statement(
        recording,
        sites.name,
        sites.draws,
        seen.logits,
        seen.guide,
        {role: x.select(sites.kept, sites.sizes) for role, x in (prior | seen.own).items()},
        data and data.select(sites.kept)._replace(multiplicity=times),
        scale,
        weight,
        (*findings, *shared, *of_scales, *of_elements, *(data.findings if data else ())),
        outside,
        seen.vector,
        tuple(n for n in sites.sizes if n),
    )


def _in_guide_alone(sites: Sites, vector: str) -> list[Finding]:
    """Find sites that the guide draws and the model has not, beside the latents themselves."""
    recording = sites.recording
    drawn = {x["name"]: x["class"] for x in recording.sites("guide") if not x["observed"]}
    if any(drawn.get(name) in (None, "Delta") for name in sites.names):  # drawn through another
        return []
    own = [*recording.sites("model"), *sites.described("guide")]
    known = {vector, *(x["name"] for x in own)}
    others = [name for name in drawn if name not in known]
    words = f"the guide draws {some_of(others)}, which the model has not"
    reason = "its log density is in the loss"
    return [Finding("loss_mismatch", words, reason=reason, status="mistake")] * bool(others)


def _of_same_parameters(
    prior: Mapping[str, Argument], own: Mapping[str, Argument]
) -> list[Finding]:
    """Note parameters that both prior and guide are computed from, without being the same."""
    first, second = ({name for x in each.values() for name in x.sources} for each in (prior, own))
    names = ", ".join(sorted(first & second))
    equal = any(
        _is_shared(prior[f"prior.{name}"], own[f"guide.{name}"])
        for name in NAMES
        if f"guide.{name}" in own
    )
    words = f"prior and guide are both computed from {names}"
    return [Finding("common_source", words, status="note", of=names)] * bool(names and not equal)


def _check_arguments(arguments: Mapping[str, Argument]) -> None:
    for role, argument in arguments.items():
        if role.endswith((*NAMES, "scale")) and not (argument.values > 0).all():
            step, latent = np.argwhere(~(argument.values > 0))[0]
            value = float(argument.values[step, latent])
            raise ValueError(f"{role} is {value:g} at step {step}, and has to be positive")


def _check_sources(recording: Recording, prior: Mapping[str, Argument]) -> None:
    """Check that the prior does not depend on the guide's parameters, which its draws do."""
    stated_in = recording.header.get("programs", {})
    names = {name for x in prior.values() for name in x.sources}
    of_guide = sorted(name for name in names if set(stated_in.get(name, ())) == {"guide"})
    if of_guide:
        what = f"the prior depends on the guide's draws or parameters: {some_of(of_guide)}"
        raise OutsideError(what)


def _check_masks(sites: Sites, vector: str) -> None:
    """Check that the guide's densities of latents that a mask leaves out are left out too."""
    noted = sites.recording.observed
    for name in sites.names:
        mask = noted.get(f"model.{name}.mask", np.ones((1, 1)))
        own = [f"guide.{name}.mask", f"guide.{name}_unconstrained.mask"]
        masks = [noted[x] for x in own if x in noted and not vector]
        if not mask.all() and not any(np.array_equal(mask, x) for x in masks):
            raise OutsideError(f"a mask leaves out latents of {name!r} that the guide counts")


def _check_observed(recording: Recording, rows: Sequence[Mapping[str, Any]]) -> None:
    for site in recording.sites("model"):
        if site["observed"] and site["class"] not in (*ROWS, *_OTHERS):
            raise OutsideError(f"the model observes {site['name']!r} from a {site['class']}")
    for site in rows:
        if site.get("enumerated"):
            raise OutsideError(f"{site['name']!r} is a discrete latent, enumerated: a mixture")
        known = site.keys() >= {"rows", "elements"}
        if not known and site["class"] in OF_SEVERAL:
            raise OutsideError(f"{site['name']!r} has more than two outcomes")
        if site["class"] not in MARGINAL and "latent" not in site:
            raise OutsideError(
                f"the probability of {site['name']!r} is not the latent itself, but computed "
                "otherwise"
            )
        if not known:
            raise ValueError(f"the recording does not say how many rows {site['name']!r} has")


def _latents(recording: Recording, rows: Sequence[Mapping[str, Any]]) -> list[str]:
    """Name the Beta sites that rows are observed of; any other latent is another model."""
    unobserved = [x for x in recording.sites("model") if not x["observed"]]
    latents = [x for x in unobserved if x["class"] not in (*ROWS, *_OTHERS)]
    linked = {site["latent"] for site in rows}
    betas = [x for x in latents if f"model.{x['name']}.concentration1" in recording.arguments]
    varying = any(x.get("varying") for x in betas)
    for site in latents:
        name, kind = site["name"], site["class"]
        if site not in betas and (name in linked or not betas):
            raise OutsideError(f"{name!r} is drawn from a {kind}, not from a Beta")
        if site not in betas or (linked and name not in linked):
            role = "a hyperprior" if varying or site not in betas else "a latent without data"
            raise OutsideError(f"the model draws {name!r} from a {kind} too: {role}")
    if varying:
        raise OutsideError("the prior of the latent is computed from other draws")
    if not betas:
        raise OutsideError("the model has no latent probability")
    return [site["name"] for site in betas]


def _prior(
    sites: Sites, prior: Mapping[str, Argument], guide: Mapping[str, Argument]
) -> tuple[dict[str, Argument], tuple[str, ...], list[Finding]]:
    """Give all latents one prior; what is other, and a parameter that the guide has too."""
    pairs = [(prior[f"prior.{name}"], guide.get(f"guide.{name}")) for name in NAMES]
    one = {role: argument.one_for_all() for role, argument in prior.items()}
    single = all(x.values.shape[1] == 1 for x in one.values())
    conflicts = set(sites.recording.header.get("conflicts", ()))
    shared = [theirs is not None and _is_shared(mine, theirs) for mine, theirs in pairs]
    same = all(shared)
    names = sorted({name for mine, _ in pairs for name in mine.sources})
    if same and (not single or conflicts.intersection(names)):
        words = f"model and guide have {', '.join(names)} in common"
        reason = "values for each latent" if not single else "stated with other initial values"
        return one, (), [Finding("shared_parameter", words, reason=reason, status="mistake")]
    apart = all(
        x or not theirs or {*mine.sources}.isdisjoint(theirs.sources)
        for x, (mine, theirs) in zip(shared, pairs, strict=True)
    )
    if any(shared) and not same and apart:
        place = shared.index(True)
        role, (mine, _) = NAMES[place], pairs[place]
        words = f"{', '.join(mine.sources)} is prior.{role} and guide.{role}"
        reason = "the sites have the same values in every step"
        return one, (), [Finding("shared_parameter", words, reason=reason, status="mistake")]
    if single:
        words = f"prior and guide are the same parameters: {', '.join(names)}"
        tied = Finding("tied", words, status="note", of=", ".join(names))
        return one, (), [tied] if same else []
    if sites.several_priors():
        return one, (f"several sites have a prior each: {some_of(sites.names)}",), []
    source = f": it is computed from {', '.join(names)}" if names else ""
    return one, (f"the prior of {sites.name} differs from one latent to the next{source}",), []


def _is_shared(one: Argument, other: Argument) -> bool:
    """Return True if two arguments are the same parameter in every step."""
    same = bool(one.sources) and one.sources == other.sources
    return same and bool(np.all(one.values == other.values))


def _marginal(recording: Recording, rows: Sequence[Mapping[str, Any]]) -> Statement:
    """Read a model whose observed sites are BetaBinomial, each row of which has a latent."""
    others = [
        x["name"]
        for x in recording.sites("model")
        if x not in rows and not (x["observed"] and x["class"] in _OTHERS)
    ]
    if others or any(site["class"] not in MARGINAL for site in rows):
        raise OutsideError(f"beside a BetaBinomial the model has {', '.join(others) or 'others'}")
    linked = [{**site, "latent": site["name"]} for site in rows]
    sites = Sites(recording, [site["name"] for site in rows])
    recording_rows = {
        f"{site['name']}.index": np.arange(site["rows"])[None].astype(np.float64) for site in rows
    }
    indexed = recording.with_observed(recording_rows)
    data = data_of(indexed, linked, sites.places, sites.size)
    prior = {f"prior.{name}": sites.argument("model", "", name) for name in NAMES}
    one, outside, _ = _prior(sites, prior, {})
    _check_arguments(one)
    scale, _, findings = scales_of(sites, (), data)
    times, _ = multiplicity_of(sites, ())
    none = np.zeros((recording.num_steps, 0, sites.size))
    return Statement(
        recording,
        sites.name,
        none,
        none,
        EMPTY,
        {role: x.select(sites.kept) for role, x in one.items()},
        data.select(sites.kept)._replace(multiplicity=times),
        scale,
        1.0,
        (*findings, *data.findings, *detached(recording, prior)),
        outside,
    )
