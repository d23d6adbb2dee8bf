"""Pyro's run of the model beside ours, from the same start, and the verdict on it.

The model is the forum question's: both concentrations of the prior are parameters, c ~ Beta, the
observations Binomial; a latent for each entry of the counts. PyTorch and Pyro are imported when a
run is asked for, and their global state, the parameter store and the default type, is put back.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from importlib import import_module
from typing import Any, Literal, NamedTuple

import numpy as np

from elbo_ref._format.table import Column, Table
from elbo_ref._validation.arguments import FloatArray
from elbo_ref._validation.extras import need
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.check import cross_check
from elbo_ref.crosscheck.findings import OPTIMUM, Verdict, in_order
from elbo_ref.crosscheck.parameters import one_by_one
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GUIDES as CATALOGUE, Guide, GuideName, find
from elbo_ref.objectives import LossName
from elbo_ref.recording import Recording, record
from elbo_ref.recording.replay.check import replay
from elbo_ref.svi.maximize import maximize_elbo
from elbo_ref.svi.optimizers import Adam
from elbo_ref.svi.result import Run

GUIDES = tuple(
    guide.name
    for guide in CATALOGUE.values()
    if guide.has_prior and guide.origin != "posterior" and not guide.jacobian
)
"""The guides that are a statement of Pyro, or an autoguide with its density."""

LOSSES = {
    "trace": "Trace_ELBO",
    "trace_mean_field": "TraceMeanField_ELBO",
    "trace_graph": "TraceGraph_ELBO",
}


class Settings(NamedTuple):
    """The settings of a run: one of `GUIDES`, one of `LOSSES`, and those of the fit."""

    guide: GuideName
    loss: LossName = "trace"
    lr: float = 0.1
    num_steps: int = 100
    num_particles: int = 10
    seed: int = 0
    dtype: Literal["float32", "float64"] = "float32"


class Live(NamedTuple):
    """A live run, ours, and the verdict.

    Attributes
    ----------
    params : mapping
        Pyro's constrained parameters by name, a row for each step and one for the end.
    losses : array, (T,)
    ours : Run
        From the same start with the same optimizer, and other draws.
    verdict : Verdict
    """

    params: Mapping[str, FloatArray]
    losses: FloatArray
    ours: Run
    verdict: Verdict

    def summary(self, *, colour: bool = False) -> str:
        """Format the verdict, and both paths side by side."""
        paths = {
            "Pyro": ([self.params[f"prior.concentration{i}"] for i in "10"], self.losses),
            "elbo_ref": (self.ours.history.prior.arrays(), self.ours.losses),
        }
        last = len(self.losses)
        steps = [t for t in (0, 1, 3, 10, 30, 100, 300, 1000, 3000) if t < last] + [last]
        columns = [Column(steps, heading="step")]
        for who, (prior, losses) in paths.items():
            headings = (f"{who}: concentration1", "concentration0", "loss")
            for heading, values in zip(headings, (*prior, losses), strict=True):
                known = [values[t] if t < len(values) else None for t in steps]
                columns.append(Column(known, heading=heading))
        return f"{self.verdict.summary(colour=colour)}\n\n{Table(columns).to_text()}"


def run_live(counts: Counts, settings: Settings) -> Live:
    """Run Pyro, run ours, and cross-check.

    Raises
    ------
    ImportError
        If Pyro is not there; the message says what to install.
    ValueError
        If Pyro cannot run this guide or loss.
    """
    guide, loss = settings.guide, settings.loss
    for name, value, known in (("guide", guide, GUIDES), ("loss", loss, tuple(LOSSES))):
        if value not in known:
            raise ValueError(f"{name} = {value!r} is not one of those run live: {', '.join(known)}")
    latents = one_by_one(counts)
    counts = Counts(latents.successes, latents.total_count)  # Pyro sees totals, not their rows
    optimizer = Adam(lr=settings.lr)
    ours = maximize_elbo(
        counts,
        guide=guide,
        loss=loss,
        prior=Beta(1.0, 1.0),
        optimizer=optimizer,
        num_steps=settings.num_steps,
        num_particles=settings.num_particles,
        rng=settings.seed,
        progress=False,
    )
    if ours.stopped == "interrupted":
        raise KeyboardInterrupt
    params, recording = _pyro(counts, settings)
    losses = np.asarray(recording.losses)
    verdict = cross_check(
        counts,
        params,
        guide=guide,
        loss=loss,
        num_particles=settings.num_particles,
        losses=losses,
        names=_names(find(guide)),
        dtype=settings.dtype,
        optimizer=optimizer,
    )
    played = replay(recording, counts, guide=guide, loss=loss)
    return Live(params, losses, ours, _together(verdict, played))


def _together(numbers: Verdict, played: Verdict) -> Verdict:
    """Join the verdict on the numbers and that of the replay, which knows more of some things."""
    better = ("untested", "float32_saturation")
    kept = [x for x in numbers.findings if x.name not in better or x.status == "mistake"]
    kept += [x for x in played.findings if x.name not in (*OPTIMUM, "at_optimum")]
    named = {x.name for x in kept}
    ruled_out = dict.fromkeys((*numbers.ruled_out, *played.ruled_out))
    return replace(
        numbers,
        findings=in_order(kept),
        ruled_out=tuple(name for name in ruled_out if name not in named),
    )


def _names(guide: Guide) -> dict[str, str] | None:
    """Pyro's names of the parameters of an autoguide."""
    if guide.is_point:
        return {"guide.probs": "AutoDelta.c"}
    if "loc" in guide.parameter_names:
        return {"guide.loc": "AutoNormal.locs.c", "guide.scale": "AutoNormal.scales.c"}
    return None


def _pyro(counts: Counts, settings: Settings) -> tuple[dict[str, FloatArray], Recording]:
    """Run Pyro: the constrained parameters before each step and at the end, and the recording."""
    pyro, torch = need("pyro", "a live run"), import_module("torch")
    need("pyro.infer.autoguide", "a live run")
    with warnings.catch_warnings(), _own_state(pyro, torch, getattr(torch, settings.dtype)):
        warnings.simplefilter("ignore")
        pyro.set_rng_seed(settings.seed)
        model, form = _model_and_guide(pyro, torch, counts, find(settings.guide))
        elbo = getattr(pyro.infer, LOSSES[settings.loss])(
            num_particles=settings.num_particles, vectorize_particles=True, max_plate_nesting=1
        )
        svi = pyro.infer.SVI(model, form, pyro.optim.Adam({"lr": settings.lr}), elbo)
        rows: dict[str, list[Any]] = {}
        svi.evaluate_loss()  # makes the parameters
        pyro.set_rng_seed(settings.seed)
        with record(svi) as recorder:
            for step in range(settings.num_steps + 1):
                for name, value in pyro.get_param_store().items():
                    rows.setdefault(name, []).append(value.detach().numpy().copy())
                if step < settings.num_steps:
                    svi.step()
    history = {name: np.stack(values).astype(np.float64) for name, values in rows.items()}
    return history, recorder.recording


def _model_and_guide(pyro: Any, torch: Any, counts: Counts, guide: Guide) -> tuple[Any, Any]:
    dist, auto = pyro.distributions, pyro.infer.autoguide
    positive = dist.constraints.positive
    k, n = (
        torch.tensor(x.astype(float)).to(torch.get_default_dtype())
        for x in (counts.successes, counts.total_count)
    )
    shape = () if guide.shared else (len(counts),)

    def pair(owner: str, size: tuple[int, ...]) -> Any:
        a, b = (
            pyro.param(f"{owner}.concentration{name}", torch.ones(size), positive) for name in "10"
        )
        return dist.Beta(a, b)

    def model() -> None:
        prior = pair("prior", ())
        with pyro.plate("latents", len(counts)):
            c = pyro.sample("c", prior)
            pyro.sample("k", dist.Binomial(n, c), obs=k)

    def with_source() -> None:
        source = pair("prior", ()) if guide.origin == "prior" else pair("guide", shape)
        with pyro.plate("latents", len(counts)):
            pyro.sample("c", source)

    half = auto.init_to_value(values={"c": k * 0 + 0.5})
    if guide.is_point:
        return model, auto.AutoDelta(model, init_loc_fn=half)
    if "loc" in guide.parameter_names:
        return model, auto.AutoNormal(model, init_loc_fn=half)
    if not guide.source_weight:
        return model, lambda: None
    return model, with_source


@contextmanager
def _own_state(pyro: Any, torch: Any, dtype: Any) -> Iterator[None]:
    """Give a run a parameter store and a default type of its own."""
    before, kept = torch.get_default_dtype(), pyro.get_param_store().get_state()
    random = pyro.util.get_rng_state()
    torch.set_default_dtype(dtype)
    pyro.clear_param_store()
    try:
        yield
    finally:
        torch.set_default_dtype(before)
        pyro.clear_param_store()
        pyro.get_param_store().set_state(kept)
        pyro.util.set_rng_state(random)
