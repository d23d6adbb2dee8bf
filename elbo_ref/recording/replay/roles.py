"""Whose parameter is whose in a recording, and what was drawn for whom.

Which guide it is follows from the sites that the recording saw, unless it is said. Which parameter
is which follows from what the sites were distributed by: a parameter that equals an argument of a
site in every step has that role. A site whose argument no parameter equals still has its values,
and there is no gradient to compare. What remains open is guessed as `assign_roles` does.
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
from elbo_ref.recording.replay.batches import Batch
from elbo_ref.recording.replay.bound import Bound
from elbo_ref.recording.replay.program import Program, binomial, single_trials
from elbo_ref.recording.replay.trace import LOSSES, Tape
from elbo_ref.svi.parameters import NAMES

REPLAYED = (
    "beta",
    "beta_shared",
    "empty",
    "tied",
    "conjugate",
    "conjugate_detached",
    "normal",
    "laplace",
    "delta",
)
"""The guides."""

_NEAR = 8
"""Roundings, in units of eps, that make a posterior's concentrations of the prior's and counts."""


class Cast(NamedTuple):
    """What there is to be given roles.

    Attributes
    ----------
    recording : Recording
    site : str
        The latent's.
    guide : Guide
    values : mapping of names to arrays
        Parameters as their role has them: constrained, but a point as its logit.
    arguments : mapping of roles to an array and what it is called
        What the sites were distributed by.
    """

    recording: Recording
    site: str
    guide: Guide
    values: dict[str, NDArray[Any]]
    arguments: dict[str, tuple[NDArray[Any], str]]

    @classmethod
    def of(cls, recording: Recording, guide: str | None, counts: Counts) -> Cast:
        """By the guide's name, or without it by its sites and what the posterior would be."""
        site = latent_site(recording)
        kind = guides.find(guide or _guide_of(recording, site, counts))
        values = _values(recording, kind)
        return cls(recording, site, kind, values, _arguments(recording, kind, site, values))

    @property
    def draws(self) -> NDArray[Any]:
        """Of the latents, (T, P, L)."""
        return self.recording.draws[self.site]


def read_tape(
    cast: Cast,
    counts: Counts,
    loss: str | None,
    names: Mapping[str, str] | None,
    prior: Beta | None,
    batch: Batch | None,
) -> Tape:
    """Put a recording into roles.

    Raises
    ------
    ValueError
        If the recording does not say what is needed, and the arguments do not either.
    """
    recording, guide = cast.recording, cast.guide
    loss, size, bound = loss or _loss_of(recording), int(cast.draws.shape[2]), None
    if loss == "renyi":
        alpha = _alpha_of(recording)
        if alpha is None:
            raise ValueError("loss = 'renyi': the recording does not say the alpha of the bound")
        bound = Bound(alpha)
    numpyro = recording.header.get("framework") == "numpyro"
    if numpyro and loss == "trace_mean_field" and guide.name in ("normal", "laplace"):
        loss = "trace"  # NumPyro counts the Jacobian there, which Pyro drops
    if guide.name not in REPLAYED:
        raise ValueError(f"guide = {guide.name!r} is none of {', '.join(REPLAYED)}")
    given, values, unclear = dict(names or {}), dict(cast.values), ""
    by_hand = batch is not None and batch.of_latents and batch.numbers is None
    if by_hand:
        given = {role: name for role, name in given.items() if role.startswith("prior.")}
        values = {name: x for name, x in values.items() if x[0].size in (1, size)}
    for role, (array, key) in cast.arguments.items():
        held = prior is not None and role.startswith("prior.")
        if role in given:
            continue
        fitting = _fitting(values, array, batch)
        if len(fitting) == 1 and fitting[0] not in given.values():
            given[role] = fitting[0]
        elif len(fitting) > 1:
            unclear = f"; {', '.join(fitting)} are the same in all steps"
        elif not fitting and not held:
            alike = role.startswith("prior.") and _for_all(array[:, :1], array)
            given[role], values[key] = key, array[:, :1] if alike else array
    try:
        width = batch.size if batch is not None and batch.of_latents and not by_hand else size
        flat = {name: x.reshape(len(x), -1) for name, x in values.items()}
        reading = assign_roles(flat, guide, width, names=given, prior=prior)
    except ValueError as error:
        told = f"the recording's parameters are: {_told(recording)}{unclear}"
        raise ValueError(f"{error} ({told})") from None
    outcomes, log_coefficient, coefficient_size = _data(recording, counts, batch)
    reading = _all_steps(reading, recording.num_steps)
    if guide.origin == "posterior":
        if batch is not None:
            raise ValueError(f"guide = {guide.name!r} is not replayed on minibatches")
        reading = reading._replace(
            guide_parameters=np.repeat(outcomes, recording.num_steps, axis=1)
        )
    info = np.finfo(recording.dtype)
    seen = {site["class"] for site in recording.sites("model", observed=True)}
    return Tape(
        recording=recording,
        program=Program(
            guide,
            recording.dtype,
            loss == "trace_mean_field",
            least=float(info.tiny if numpyro else info.eps),
            likelihood=single_trials if seen == {"Bernoulli"} and not numpyro else binomial,
        ),
        loss=loss,
        reading=reading,
        site=cast.site,
        draws=cast.draws,
        logits=_logits(recording, cast.site),
        outcomes=outcomes,
        log_coefficient=log_coefficient,
        coefficient_size=coefficient_size,
        batch=batch,
        bound=bound,
    )


def _data(recording: Recording, counts: Counts, batch: Batch | None) -> list[FloatArray]:
    """Outcomes, log coefficients and what those are made of, as a tape has them."""
    if batch is None:
        k, n = (x.astype(np.float64) for x in (counts.successes, counts.total_count))
        found = [np.array((k, n - k)), counts.log_coefficient, _coefficient_size(recording, k, n)]
        return [x[..., None, :] for x in found]
    k, n = batch.rows
    found = [batch.outcomes(), batch.log_coefficient(), _coefficient_size(recording, k, n)]
    return found if batch.of_latents else [x.sum(axis=-1, keepdims=True) for x in found]


def _fitting(
    values: Mapping[str, NDArray[Any]], array: NDArray[Any], batch: Batch | None
) -> list[str]:
    """The parameters that an argument may be: equal to it, or one value for all latents."""
    now = {name: _seen(value, batch) for name, value in values.items()}
    equal = [name for name, value in now.items() if _same(value, array)]
    return equal or [name for name, value in now.items() if _for_all(value, array)]


def _seen(value: NDArray[Any], batch: Batch | None) -> NDArray[Any]:
    """A parameter at the latents of each step's minibatch, (T, ...)."""
    return value if batch is None else batch.seen(value.reshape(len(value), -1))


def mend_names(
    cast: Cast, names: Mapping[str, str], batch: Batch | None
) -> tuple[dict[str, str], list[Finding]]:
    """The names, exchanged where the sites say so; and that they are."""
    mended, findings = dict(names), []
    for owner in ("prior", "guide"):
        roles = [f"{owner}.{name}" for name in NAMES]
        if not all(role in cast.arguments and names.get(role) in cast.values for role in roles):
            continue
        one, zero = (_seen(cast.values[names[role]], batch) for role in roles)
        (first, _), (second, _) = (cast.arguments[role] for role in roles)
        if _same(one, second) and _same(zero, first) and not _same(one, first):
            mended |= dict(zip(roles, (names[role] for role in roles[::-1]), strict=True))
            words = f"{names[roles[0]]}, said to be {roles[0]}, at step 0"
            theirs, ours = float(one.flat[0]), float(first.flat[0])
            reason = f"the site {cast.site!r} has it for {NAMES[1]}"
            findings.append(
                Finding("swapped_concentrations", words, theirs, ours, 0.0, reason, "mistake")
            )
    return mended, findings


def latent_site(recording: Recording) -> str:
    """Of the one latent site that the model has.

    Raises
    ------
    ValueError
        If there is none, or another one.
    """
    found = [site["name"] for site in recording.sites("model", observed=False)]
    found = found or [name for name in recording.draws if not name.endswith("_unconstrained")]
    if len(found) != 1 or found[0] not in recording.draws:
        told = ", ".join(map(repr, found)) or "none"
        raise ValueError(f"a replay needs a model with one latent site; its latent sites: {told}")
    return str(found[0])


def _guide_of(recording: Recording, site: str, counts: Counts) -> str:
    """The guide's name, from its sites."""
    kinds = {x["name"]: x["class"] for x in recording.sites("guide", observed=False)}
    if "sites" not in recording.header:
        raise ValueError("guide= is needed: the recording does not say what the guide sampled")
    if site not in kinds:
        return "empty"
    of_logit = {"Normal": "normal", "Delta": "laplace"}
    kind = kinds.get(f"{site}_unconstrained", kinds[site])
    if kind in of_logit and f"{site}_unconstrained" in kinds:
        return of_logit[kind]
    if kind == "Delta":
        return "delta"
    if kind != "Beta":
        raise ValueError(f"the guide samples {site!r} from a {kind}, which is not replayed")
    own, prior = (
        [recording.arguments.get(f"{program}.{site}.{name}") for name in NAMES]
        for program in ("guide", "model")
    )
    known = [(x, y) for x, y in zip(own, prior, strict=True) if x is not None and y is not None]
    if len(known) == 2:
        if all(_same(x, y) for x, y in known):
            return "tied"
        if _posterior(recording, known, counts):
            return "conjugate"
    shared = all(x is not None and x.shape[1] == 1 for x in own)
    return "beta_shared" if shared and recording.draws[site].shape[2] > 1 else "beta"


def _posterior(
    recording: Recording, known: list[tuple[NDArray[Any], NDArray[Any]]], counts: Counts
) -> bool:
    """Whether the guide's concentrations, beside the prior's, are computed as the posterior's."""
    free = [
        value
        for value in recording.constrained.values()
        if not any(_same(prior, value) for _, prior in known)
    ]
    if any(_same(own, value) for own, _ in known for value in free):
        return False
    outcomes = counts.successes, counts.total_count - counts.successes
    if any(x.shape[1] not in (1, len(counts)) for pair in known for x in pair):
        return False
    for (own, prior), more in zip(known, outcomes, strict=True):
        room = _NEAR * np.finfo(own.dtype).eps * (prior + counts.total_count)
        if np.any(abs(own - prior - more) > room):
            return False
    return True


def _loss_of(recording: Recording) -> str:
    """By the class or the first of its bases that is known; a loss without a class is a `trace`."""
    noted = recording.header.get("loss") or {}
    kinds = [noted.get("class"), *noted.get("bases", [])]
    known = [LOSSES[kind] for kind in kinds if kind in LOSSES]
    if not known or (known[0] == "renyi" and _alpha_of(recording) is None):
        return str(kinds[0] or "trace")
    return known[0]


def _alpha_of(recording: Recording) -> float | None:
    """Of a Renyi bound, if it is noted."""
    alpha = (recording.header.get("loss") or {}).get("alpha")
    return float(alpha) if isinstance(alpha, int | float) and alpha != 1 else None


def _arguments(
    recording: Recording, guide: Guide, site: str, values: Mapping[str, NDArray[Any]]
) -> dict[str, tuple[NDArray[Any], str]]:
    """For each role what its site was distributed by, and what that is called."""
    places = {"guide.loc": f"guide.{site}_unconstrained.loc"}
    places["guide.scale"] = f"guide.{site}_unconstrained.scale"
    for name in NAMES:
        places |= {f"prior.{name}": f"model.{site}.{name}", f"guide.{name}": f"guide.{site}.{name}"}
    known = {
        role: (recording.arguments[place], place)
        for role in roles_of(guide)
        if (place := places.get(role, "")) in recording.arguments
    }
    if guide.name in ("delta", "laplace"):
        points = recording.draws.get(site if guide.name == "delta" else f"{site}_unconstrained")
        for name, value in values.items():
            if points is not None and _same(recording.constrained[name], points[:, 0]):
                known["guide.logits"] = (value, name)
    return known


def _values(recording: Recording, guide: Guide) -> dict[str, NDArray[Any]]:
    """Parameters as their role has them: constrained, but a point as its logit."""
    constraints = recording.header.get("constraints", {})
    logits = [name for name, kind in constraints.items() if kind == "unit_interval"]
    keep = logits if guide.name == "delta" else []
    return {
        name: recording.before[name] if name in keep else array
        for name, array in recording.constrained.items()
    }


def _same(x: NDArray[Any], y: NDArray[Any]) -> bool:
    flat = [z.reshape(len(z), -1) for z in (x, y)]
    return flat[0].shape == flat[1].shape and bool(np.all(flat[0] == flat[1]))


def _for_all(value: NDArray[Any], array: NDArray[Any]) -> bool:
    """Whether it is one value for all latents, and an argument has it for each of them."""
    flat = value.reshape(len(value), -1)
    return flat.shape[1] == 1 and len(flat) == len(array) and bool(np.all(array == flat))


def _told(recording: Recording) -> str:
    return ", ".join(recording.before) or "none"


def _all_steps(reading: ParameterRoles, steps: int) -> ParameterRoles:
    if reading.num_steps not in (1, steps):
        raise ValueError(f"the parameters have {reading.num_steps} steps, the losses {steps}")
    own = reading.guide_parameters
    return reading._replace(
        prior=np.broadcast_to(reading.prior, (2, steps, 1)),
        guide_parameters=np.broadcast_to(own, (len(own), steps, own.shape[2])),
    )


def _logits(recording: Recording, site: str) -> FloatArray:
    """Of the draws; a guide that draws on the logit says them itself."""
    drawn, own = recording.draws[site], recording.draws.get(f"{site}_unconstrained")
    if own is not None:
        if own.shape != drawn.shape:
            found = f"{own.shape}, not the {drawn.shape} of {site!r}"
            raise ValueError(f"the draws of '{site}_unconstrained' have shape {found}")
        return own.astype(np.float64)
    c = drawn.astype(np.float64)
    if not np.all((c > 0) & (c < 1)):
        step = int(np.argwhere(~((c > 0) & (c < 1)))[0][0])
        raise ValueError(f"a draw of {site!r} at step {step} is not inside (0, 1)")
    return np.asarray(np.log(c) - np.log1p(-c))


def _coefficient_size(recording: Recording, k: NDArray[Any], n: NDArray[Any]) -> FloatArray:
    """The log factorials of the coefficients; a Bernoulli has none.

    Times how much coarser than the run's the data's precision is, in which they are computed.
    """
    kinds = {site["class"] for site in recording.sites("model", observed=True)}
    if kinds == {"Bernoulli"}:
        return np.zeros(k.shape)
    own = np.finfo(recording.dtype).eps
    kept = [np.finfo(x.dtype).eps for x in recording.observed.values()]
    coarser = max([float(eps / own) for eps in kept], default=1.0)
    whole = sc.gammaln(n + 1.0) + sc.gammaln(k + 1.0) + sc.gammaln(n - k + 1.0)
    return np.asarray(max(1.0, coarser) * whole)
