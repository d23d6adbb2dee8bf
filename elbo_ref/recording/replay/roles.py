"""The parameter roles of a recording, and what was drawn for whom.

Which guide it is follows from the sites that the recording saw, unless it is said. Which parameter
is which follows from what the sites were distributed by: a parameter that equals an argument of a
site in every step has that role. A site whose argument no parameter equals still has its values,
and there is no gradient to compare. Roles that remain open are guessed as `assign_roles` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref import guides
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.parameters import ParameterRoles, assign_roles, roles_of
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import Guide
from elbo_ref.recording import Recording
from elbo_ref.recording.replay.program import Program, binomial, single_trials
from elbo_ref.recording.replay.rows import Batch
from elbo_ref.recording.replay.trace import LOSSES, Bound, ReplayTrace, from_numpyro
from elbo_ref.svi.parameters import NAMES

_NEAR = 8
"""Roundings, in units of eps, that make a posterior's concentrations of the prior's and counts."""


def guide_with(**fields: object) -> Guide:
    """Find the guide whose fields have these values."""
    return next(
        guide
        for guide in guides.GUIDES.values()
        if all(getattr(guide, name) == value for name, value in fields.items())
    )


EMPTY = guide_with(origin="prior", source_weight=0)
"""The guide of a model whose latent no guide samples."""


class Candidates(NamedTuple):
    """Values to be given roles.

    Attributes
    ----------
    recording : Recording
    site : str
        Name of the latent site.
    guide : Guide
    values : mapping of names to arrays (T, ...)
        Parameters as their role has them: constrained, but a point as its logit.
    arguments : mapping of roles to an array (T, 1 or latents) and its name
        Arguments of the distributions of the sites.
    """

    recording: Recording
    site: str
    guide: Guide
    values: dict[str, NDArray[Any]]
    arguments: dict[str, tuple[NDArray[Any], str]]

    @classmethod
    def of(cls, recording: Recording, guide: str | None, counts: Counts) -> Candidates:
        """Collect them for a guide of that name, or for the one that the sites show."""
        site = latent_site(recording)
        kind = guides.find(guide) if guide else _guide_of(recording, site, counts)
        constraints = recording.header.get("constraints", {})
        point_of_c = kind.is_point and not kind.jacobian
        values = {
            name: recording.before[name]
            if point_of_c and constraints.get(name) == "unit_interval"
            else array
            for name, array in recording.constrained.items()
        }
        return cls(recording, site, kind, values, _arguments(recording, kind, site, values))

    @property
    def draws(self) -> NDArray[Any]:
        """Draws of the latents, (T, P, L)."""
        return self.recording.draws[self.site]

    def match_names(
        self, names: Mapping[str, str], batch: Batch | None
    ) -> tuple[dict[str, str], list[Finding]]:
        """Exchange names where the sites say so; findings say where."""
        matched, findings = dict(names), []
        for owner in ("prior", "guide"):
            roles = [f"{owner}.{name}" for name in NAMES]
            if not all(x in self.arguments and names.get(x) in self.values for x in roles):
                continue
            one, zero = (_of_batch(self.values[names[role]], batch) for role in roles)
            (first, _), (second, _) = (self.arguments[role] for role in roles)
            if _equal(one, second) and _equal(zero, first) and not _equal(one, first):
                matched |= dict(zip(roles, (names[role] for role in roles[::-1]), strict=True))
                words = f"{names[roles[0]]}, said to be {roles[0]}, at step 0"
                numbers = float(one.flat[0]), float(first.flat[0]), 0.0
                reason = f"the site {self.site!r} has it for {NAMES[1]}"
                findings.append(
                    Finding("swapped_concentrations", words, *numbers, reason, "mistake")
                )
        return matched, findings

    def assign(
        self, names: Mapping[str, str], prior: Beta | None, batch: Batch | None
    ) -> ParameterRoles:
        """Assign roles by `names`, then by the arguments of the sites, then by guessing."""
        given, values, ambiguous = dict(names), dict(self.values), ""
        size = int(self.draws.shape[2])
        if batch is not None and batch.of_latents and batch.numbers is None:  # whose is not known
            given = {role: name for role, name in given.items() if role.startswith("prior.")}
            values = {name: x for name, x in values.items() if x[0].size in (1, size)}
        elif batch is not None and batch.of_latents:
            size = batch.size
        parameters = dict(values)
        for role, (array, name) in self.arguments.items():
            if role in given:
                continue
            of_prior = role.startswith("prior.")
            fitting = _fitting(parameters, array, batch)
            if len(fitting) == 1 and fitting[0] not in given.values():
                given[role] = fitting[0]
            elif len(fitting) > 1:
                ambiguous = f"; {', '.join(fitting)} are the same in all steps"
            elif not fitting and not (of_prior and prior is not None):
                alike = of_prior and _one_for_all(array[:, :1], array)
                given[role], values[name] = name, array[:, :1] if alike else array
        try:
            flat = {name: x.reshape(len(x), -1) for name, x in values.items()}
            return assign_roles(flat, self.guide, size, names=given, prior=prior)
        except ValueError as error:
            listed = ", ".join(self.recording.before) or "none"
            raise ValueError(
                f"{error} (the recording's parameters are: {listed}{ambiguous})"
            ) from None


def make_trace(
    candidates: Candidates,
    counts: Counts,
    *,
    loss: str | None = None,
    names: Mapping[str, str] | None = None,
    prior: Beta | None = None,
    batch: Batch | None = None,
) -> ReplayTrace:
    """Put a recording into roles.

    Raises
    ------
    ValueError
        If the recording does not say what is needed, and the arguments do not either.
    """
    recording, guide = candidates.recording, candidates.guide
    loss, bound = _loss(recording, guide, loss)
    if not guide.has_prior:
        known = ", ".join(name for name, guide in guides.GUIDES.items() if guide.has_prior)
        raise ValueError(f"guide = {guide.name!r} is none of {known}")
    roles = candidates.assign(names or {}, prior, batch)
    outcomes, log_coefficient, coefficient_magnitude = _data(recording, counts, batch)
    steps = recording.num_steps
    if roles.num_steps not in (1, steps):
        raise ValueError(f"the parameters have {roles.num_steps} steps, the losses {steps}")
    if guide.origin == "posterior" and batch is not None:
        raise ValueError(f"guide = {guide.name!r} is not replayed on minibatches")
    params = outcomes if guide.origin == "posterior" else roles.guide_parameters
    numpyro = from_numpyro(recording)
    single = _observed_classes(recording) == {"Bernoulli"} and not numpyro
    info = np.finfo(recording.dtype)
    return ReplayTrace(
        recording=recording,
        program=Program(
            guide,
            recording.dtype,
            loss == "trace_mean_field",
            least=float(info.tiny if numpyro else info.eps),
            likelihood=single_trials if single else binomial,
        ),
        loss=loss,
        roles=roles._replace(
            prior=np.broadcast_to(roles.prior, (2, steps, 1)),
            guide_parameters=np.broadcast_to(params, (len(params), steps, params.shape[2])),
        ),
        draws=candidates.draws,
        logits=_logits(recording, candidates.site),
        outcomes=outcomes,
        log_coefficient=log_coefficient,
        coefficient_magnitude=coefficient_magnitude,
        batch=batch,
        bound=bound,
    )


def latent_site(recording: Recording) -> str:
    """Find the one latent site of the model.

    Raises
    ------
    ValueError
        If there is none, or more than one.
    """
    names = [site["name"] for site in recording.sites("model", observed=False)]
    names = names or [name for name in recording.draws if not name.endswith("_unconstrained")]
    if len(names) != 1 or names[0] not in recording.draws:
        listed = ", ".join(map(repr, names)) or "none"
        raise ValueError(f"a replay needs a model with one latent site; its latent sites: {listed}")
    return str(names[0])


def _loss(recording: Recording, guide: Guide, loss: str | None) -> tuple[str, Bound | None]:
    """Name the loss, if need be by the first of class and bases that is known; and its bound."""
    noted = recording.header.get("loss") or {}
    alpha = noted.get("alpha")
    bound = Bound(float(alpha)) if isinstance(alpha, int | float) and alpha != 1 else None
    if not loss:
        kinds = [noted.get("class"), *noted.get("bases", [])]
        loss = next((LOSSES[kind] for kind in kinds if kind in LOSSES), None)
        if loss is None or (loss == "renyi" and bound is None):
            loss = str(kinds[0] or "trace")
    if loss == "renyi":
        if bound is None:
            raise ValueError("loss = 'renyi': the recording does not say the alpha of the bound")
        return loss, bound
    numpyro = from_numpyro(recording)
    if loss == "trace_mean_field" and numpyro and guide.without_jacobian() is not guide:
        loss = "trace"  # NumPyro counts the Jacobian there, which Pyro drops
    return loss, None


def _guide_of(recording: Recording, site: str, counts: Counts) -> Guide:
    """Find the guide that the sites show."""
    kinds = {x["name"]: x["class"] for x in recording.sites("guide", observed=False)}
    if "sites" not in recording.header:
        raise ValueError("guide= is needed: the recording does not say what the guide sampled")
    if site not in kinds:
        return EMPTY
    on_logit = f"{site}_unconstrained" in kinds
    kind = kinds.get(f"{site}_unconstrained", kinds[site])
    if kind == "Normal" and on_logit:
        return guide_with(parameter_names=("loc", "scale"))
    if kind == "Delta":
        return guide_with(is_point=True, has_prior=True, jacobian=int(on_logit))
    if kind != "Beta":
        raise ValueError(f"the guide samples {site!r} from a {kind}, which is not replayed")
    params, prior = (
        [recording.arguments.get(f"{program}.{site}.{name}") for name in NAMES]
        for program in ("guide", "model")
    )
    known = [(x, y) for x, y in zip(params, prior, strict=True) if x is not None and y is not None]
    if len(known) == len(NAMES):
        if all(_equal(x, y) for x, y in known):
            return guide_with(origin="prior", source_weight=1)
        if _is_posterior(recording, known, counts):
            return guide_with(origin="posterior", detached=False)
    one_pair = all(x is not None and x.shape[1] == 1 for x in params)
    shared = one_pair and recording.draws[site].shape[2] > 1
    return guide_with(origin="own", parameter_names=NAMES, shared=shared)


def _is_posterior(
    recording: Recording, known: list[tuple[NDArray[Any], NDArray[Any]]], counts: Counts
) -> bool:
    """Tell whether the guide's concentrations are computed as the posterior's of the prior."""
    free = [
        value
        for value in recording.constrained.values()
        if not any(_equal(prior, value) for _, prior in known)
    ]
    if any(_equal(params, value) for params, _ in known for value in free):
        return False
    if any(x.shape[1] not in (1, len(counts)) for pair in known for x in pair):
        return False
    outcomes = counts.successes, counts.total_count - counts.successes
    for (params, prior), more in zip(known, outcomes, strict=True):
        room = _NEAR * np.finfo(params.dtype).eps * (prior + counts.total_count)
        if np.any(abs(params - prior - more) > room):
            return False
    return True


def _arguments(
    recording: Recording, guide: Guide, site: str, values: Mapping[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], str]]:
    """Find for each role the argument of its site, and its name; for a point its values."""
    names = {f"guide.{name}": f"guide.{site}_unconstrained.{name}" for name in ("loc", "scale")}
    for name in NAMES:
        names |= {f"prior.{name}": f"model.{site}.{name}", f"guide.{name}": f"guide.{site}.{name}"}
    known = {
        role: (recording.arguments[name], name)
        for role in roles_of(guide)
        if (name := names.get(role, "")) in recording.arguments
    }
    if guide.is_point:
        points = recording.draws.get(f"{site}_unconstrained" if guide.jacobian else site)
        for name, value in values.items():
            if points is not None and _equal(recording.constrained[name], points[:, 0]):
                known["guide.logits"] = (value, name)
    return known


def _fitting(
    values: Mapping[str, NDArray[Any]], array: NDArray[Any], batch: Batch | None
) -> list[str]:
    """List parameters that an argument may be: equal to it, or one value for all latents."""
    now = {name: _of_batch(value, batch) for name, value in values.items()}
    equal = [name for name, value in now.items() if _equal(value, array)]
    return equal or [name for name, value in now.items() if _one_for_all(value, array)]


def _of_batch(value: NDArray[Any], batch: Batch | None) -> NDArray[Any]:
    """Take a parameter at the latents of each step's minibatch, (T, ...)."""
    return value if batch is None else batch.select(value.reshape(len(value), -1))


def _equal(x: NDArray[Any], y: NDArray[Any]) -> bool:
    return np.array_equal(x.reshape(len(x), -1), y.reshape(len(y), -1))


def _one_for_all(value: NDArray[Any], array: NDArray[Any]) -> bool:
    """Tell whether it is one value for all latents, and an argument has it for each of them."""
    flat = value.reshape(len(value), -1)
    return flat.shape[1] == 1 and len(flat) == len(array) and bool(np.all(array == flat))


def _logits(recording: Recording, site: str) -> FloatArray:
    """Compute logits of the draws; a guide that draws on the logit says them itself."""
    drawn, params = recording.draws[site], recording.draws.get(f"{site}_unconstrained")
    if params is not None:
        if params.shape != drawn.shape:
            shapes = f"{params.shape}, not the {drawn.shape} of {site!r}"
            raise ValueError(f"the draws of '{site}_unconstrained' have shape {shapes}")
        return params.astype(np.float64)
    c = drawn.astype(np.float64)
    outside = ~((c > 0) & (c < 1))
    if outside.any():
        step = int(np.argwhere(outside)[0][0])
        raise ValueError(f"a draw of {site!r} at step {step} is not inside (0, 1)")
    return np.asarray(np.log(c) - np.log1p(-c))


def _data(recording: Recording, counts: Counts, batch: Batch | None) -> tuple[FloatArray, ...]:
    """Collect outcomes, log coefficients and their magnitudes, as a trace has them."""
    if batch is None:
        k, n = (x[None].astype(np.float64) for x in (counts.successes, counts.total_count))
        outcomes, log_coefficient = np.array((k, n - k)), counts.log_coefficient[None]
    else:
        (k, n), outcomes, log_coefficient = batch.rows, batch.outcomes, batch.log_coefficient
    arrays = outcomes, log_coefficient, _coefficient_magnitude(recording, k, n)
    if batch is None or batch.of_latents:
        return arrays
    return tuple(x.sum(axis=-1, keepdims=True) for x in arrays)


def _coefficient_magnitude(recording: Recording, k: NDArray[Any], n: NDArray[Any]) -> FloatArray:
    """Add up the log factorials of the coefficients, in units of the run's precision.

    They are computed in the data's, which may be coarser. A Bernoulli has none.
    """
    if _observed_classes(recording) == {"Bernoulli"}:
        return np.zeros(k.shape)
    params = np.finfo(recording.dtype).eps
    kept = [np.finfo(x.dtype).eps for x in recording.observed.values()]
    coarser = max([float(eps / params) for eps in kept], default=1.0)
    factorials = sc.gammaln(n + 1.0) + sc.gammaln(k + 1.0) + sc.gammaln(n - k + 1.0)
    return np.asarray(max(1.0, coarser) * factorials)


def _observed_classes(recording: Recording) -> set[str]:
    return {site["class"] for site in recording.sites("model", observed=True)}
