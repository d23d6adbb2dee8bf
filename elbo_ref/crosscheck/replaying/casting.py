"""Whose parameter is whose in a recording, and what was drawn for whom.

Which guide it is follows from the sites that the recording saw, unless it is said. Which parameter
is which follows from what the sites were distributed by: a parameter that equals an argument of a
site in every step has that role. A site whose argument no parameter equals still has its values,
and there is no gradient to compare. What remains open is guessed as `read_roles` does.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref import guides
from elbo_ref.arguments import FloatArray
from elbo_ref.beta import Beta
from elbo_ref.coordinates import NAMES
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.replaying.batches import Batch
from elbo_ref.crosscheck.replaying.emulation import Program
from elbo_ref.crosscheck.replaying.tape import LOSSES, Tape, latent_site, sites_of
from elbo_ref.crosscheck.roles import Reading, read_roles, roles_of
from elbo_ref.guides.protocol import Guide
from elbo_ref.recording import Recording

REPLAYED = ("beta", "beta_shared", "empty", "tied", "normal", "delta")
"""The guides."""


def read_tape(
    recording: Recording,
    counts: Counts,
    guide: str | None,
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
    loss = loss or _loss_of(recording)
    site = latent_site(recording)
    draws = recording.draws[site]
    size = int(draws.shape[2])
    kind_of_guide = guides.find(guide or _guide_of(recording, site, size))
    if kind_of_guide.name not in REPLAYED:
        raise ValueError(f"guide = {kind_of_guide.name!r} is none of {', '.join(REPLAYED)}")
    given, values = dict(names or {}), _values(recording, kind_of_guide)
    by_hand = batch is not None and batch.of_latents and batch.numbers is None
    if by_hand:
        given = {role: name for role, name in given.items() if role.startswith("prior.")}
        values = {name: x for name, x in values.items() if x[0].size in (1, size)}
    for role, (array, key) in _arguments(recording, kind_of_guide, site).items():
        held = prior is not None and role.startswith("prior.")
        if role in given:
            continue
        fitting = [name for name, value in values.items() if _same(_seen(value, batch), array)]
        if len(fitting) == 1 and fitting[0] not in given.values():
            given[role] = fitting[0]
        elif not fitting and not held:
            given[role], values[key] = key, array
    try:
        width = batch.size if batch is not None and batch.of_latents and not by_hand else size
        reading = read_roles(values, kind_of_guide, width, given, prior)
    except ValueError as error:
        raise ValueError(f"{error} (the recording's parameters are: {_told(recording)})") from None
    data = _data(recording, counts, batch)
    info = np.finfo(recording.dtype)
    numpyro = recording.header.get("framework") == "numpyro"
    seen = {site["class"] for site in sites_of(recording, "model", observed=True)}
    return Tape(
        recording=recording,
        program=Program(
            kind_of_guide,
            recording.dtype,
            loss == "trace_mean_field",
            least=float(info.tiny if numpyro else info.eps),
            single_trials=seen == {"Bernoulli"} and not numpyro,
        ),
        loss=loss,
        reading=_all_steps(reading, recording.num_steps),
        site=site,
        draws=draws,
        logits=_logits(recording, site),
        **data,
    )


def _data(recording: Recording, counts: Counts, batch: Batch | None) -> dict[str, Any]:
    """What a tape has of the data, and of minibatches of them."""
    if batch is None:
        k, n = (x.astype(np.float64) for x in (counts.successes, counts.total_count))
        found = [np.array((k, n - k)), counts.log_coefficient, _coefficient_size(recording, k, n)]
        found = [x[..., None, :] for x in found]
        scales: dict[str, Any] = {}
    else:
        found = [
            batch.outcomes(),
            batch.log_coefficient(),
            _coefficient_size(recording, *batch.rows),
        ]
        scales = {"rows": batch.numbers if batch.of_latents else None, "batches": True}
        scales["scale" if batch.of_latents else "data_scale"] = batch.scale
        if not batch.of_latents:
            found = [x.sum(axis=-1, keepdims=True) for x in found]
    names = "outcomes", "log_coefficient", "coefficient_size"
    return {**dict(zip(names, found, strict=True)), **scales}


def _seen(value: NDArray[Any], batch: Batch | None) -> NDArray[Any]:
    """A parameter of all latents, at those of each step's minibatch."""
    whole = batch is not None and batch.of_latents and value.reshape(len(value), -1).shape[1]
    if batch is None or batch.numbers is None or whole != batch.size:
        return value
    return np.take_along_axis(value.reshape(len(value), -1), batch.numbers, axis=1)


def mend_names(
    recording: Recording, guide: str | None, names: Mapping[str, str], batch: Batch | None
) -> tuple[dict[str, str], list[Finding]]:
    """The names, exchanged where the sites say so; and that they are."""
    site, mended, findings = latent_site(recording), dict(names), []
    size = int(recording.draws[site].shape[2])
    kind = guides.find(guide or _guide_of(recording, site, size))
    values, arguments = _values(recording, kind), _arguments(recording, kind, site)
    for owner in ("prior", "guide"):
        roles = [f"{owner}.{name}" for name in NAMES]
        if not all(role in arguments and names.get(role) in values for role in roles):
            continue
        one, zero = (_seen(values[names[role]], batch) for role in roles)
        (first, _), (second, _) = (arguments[role] for role in roles)
        if _same(one, second) and _same(zero, first) and not _same(one, first):
            mended |= dict(zip(roles, (names[role] for role in roles[::-1]), strict=True))
            words = f"{names[roles[0]]}, said to be {roles[0]}, at step 0"
            theirs, ours = float(one.flat[0]), float(first.flat[0])
            reason = f"the site {site!r} has it for {NAMES[1]}"
            findings.append(
                Finding("swapped_concentrations", words, theirs, ours, 0.0, reason, "mistake")
            )
    return mended, findings


def _guide_of(recording: Recording, site: str, size: int) -> str:
    """The guide's name, from its sites."""
    kinds = {x["name"]: x["class"] for x in sites_of(recording, "guide", observed=False)}
    if "sites" not in recording.header:
        raise ValueError("guide= is needed: the recording does not say what the guide sampled")
    if site not in kinds:
        return "empty"
    if f"{site}_unconstrained" in kinds and kinds[f"{site}_unconstrained"] == "Normal":
        return "normal"
    if kinds[site] == "Delta":
        return "delta"
    if kinds[site] != "Beta":
        raise ValueError(f"the guide samples {site!r} from a {kinds[site]}, which is not replayed")
    pairs = [
        [recording.arguments.get(f"{program}.{site}.{name}") for name in NAMES]
        for program in ("guide", "model")
    ]
    if all(x is not None and y is not None and _same(x, y) for x, y in zip(*pairs, strict=True)):
        return "tied"
    shared = all(x is not None and x.shape[1] == 1 for x in pairs[0])
    return "beta_shared" if shared and size > 1 else "beta"


def _loss_of(recording: Recording) -> str:
    """By the class or the first of its bases that is known; a loss without a class is a `trace`."""
    noted = recording.header.get("loss") or {}
    kinds = [noted.get("class"), *noted.get("bases", [])]
    known = [LOSSES[kind] for kind in kinds if kind in LOSSES]
    return known[0] if known else str(kinds[0] or "trace")


def _arguments(
    recording: Recording, guide: Guide, site: str
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
    if guide.name == "delta":
        values = _values(recording, guide)
        for name, value in values.items():
            if _same(recording.constrained[name], recording.draws[site][:, 0]):
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


def _told(recording: Recording) -> str:
    return ", ".join(recording.before) or "none"


def _all_steps(reading: Reading, steps: int) -> Reading:
    if reading.num_steps not in (1, steps):
        raise ValueError(f"the parameters have {reading.num_steps} steps, the losses {steps}")
    return reading._replace(
        prior=np.broadcast_to(reading.prior, (2, steps, 1)),
        own=np.broadcast_to(reading.own, (len(reading.own), steps, reading.own.shape[2])),
    )


def _logits(recording: Recording, site: str) -> FloatArray:
    """Of the draws; a guide that draws on the logit says them itself."""
    own = recording.draws.get(f"{site}_unconstrained")
    if own is not None:
        return own.astype(np.float64)
    c = recording.draws[site].astype(np.float64)
    if not np.all((c > 0) & (c < 1)):
        step = int(np.argwhere(~((c > 0) & (c < 1)))[0][0])
        raise ValueError(f"a draw of {site!r} at step {step} is not inside (0, 1)")
    return np.asarray(np.log(c) - np.log1p(-c))


def _coefficient_size(recording: Recording, k: NDArray[Any], n: NDArray[Any]) -> FloatArray:
    """The log factorials of the coefficients; a Bernoulli has none."""
    kinds = {site["class"] for site in sites_of(recording, "model", observed=True)}
    if kinds == {"Bernoulli"}:
        return np.zeros(k.shape)
    return np.asarray(sc.gammaln(n + 1.0) + sc.gammaln(k + 1.0) + sc.gammaln(n - k + 1.0))
