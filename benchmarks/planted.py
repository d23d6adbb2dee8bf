"""Live Pyro runs with a mistake planted in them, each coded as somebody would make it.

A `Program` is a model, a guide, an optimizer and the way in which the numbers are handed in; a
mistake is a program that differs in one of these. `Program.loss_model` is the loss model
that a mistake makes of the one that is taken for true: its effect is computed from the two.
"""

from __future__ import annotations

import contextlib
import warnings
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from pyro.infer.autoguide import AutoDelta, AutoNormal, init_to_value

import elbo_ref as er
from elbo_ref.cli.live import LOSSES
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.recording import Recording

POSITIVE = dist.constraints.positive


class Setting(NamedTuple):
    """A run: rows, one latent for all of them or one each, and how it is fitted."""

    successes: np.ndarray
    total_count: np.ndarray
    shared: bool
    guide: str = "beta"
    loss: str = "trace"
    dtype: str = "float64"
    lr: float = 0.02
    steps: int = 100
    particles: int = 1
    seed: int = 0
    start: tuple[float, float, float, float] = (1.0, 1.0, 1.0, 1.0)
    """Of the prior's concentration1 and concentration0, then of the guide's."""
    batch: int | None = None
    evaluations: int = 30

    @property
    def counts(self) -> er.Counts:
        make = er.Counts.shared if self.shared else er.Counts
        return make(self.successes, self.total_count)

    @property
    def rows(self) -> int:
        return len(self.successes)


class Recorded(NamedTuple):
    """What somebody hands in: arguments of `elbo_ref.cross_check` and `elbo_ref.replay`."""

    history: dict[str, np.ndarray]
    """Before each step and at the end."""
    losses: np.ndarray
    evaluations: np.ndarray
    recording: Recording
    arguments: dict[str, Any]
    truth: dict[str, np.ndarray] | None = None
    """The history of the losses, where another one is handed in."""

    @property
    def final(self) -> dict[str, np.ndarray]:
        return {name: rows[-1] for name, rows in self.history.items()}


class Program:
    """The run as it should be."""

    levels: tuple[str, ...] = ("history", "evaluations", "final", "replay")
    name = "clean"
    site = "c"
    """What the guide calls the latent."""

    def __init__(self, setting: Setting) -> None:
        self.setting = setting
        self.successes, self.total_count = (
            torch.tensor(np.asarray(x, float)) for x in (setting.successes, setting.total_count)
        )

    @staticmethod
    def fits(setting: Setting) -> bool:
        """Whether the mistake can be made here at all."""
        return True

    def loss_model(self, given: LossModel) -> LossModel:
        return given

    # the model and the guide

    def pair(self, owner: str, size: tuple[int, ...]) -> tuple[Any, Any]:
        start = self.setting.start[:2] if owner == "prior" else self.setting.start[2:]
        first, second = (
            pyro.param(f"{owner}.concentration{name}", torch.full(size, value), POSITIVE)
            for name, value in zip("10", start, strict=True)
        )
        return first, second

    def prior(self) -> Any:
        return dist.Beta(*self.pair("prior", ()))

    def own(self) -> Any:
        setting = self.setting
        if setting.guide == "tied":
            return self.prior()
        alone = setting.shared or setting.guide == "beta_shared"
        return dist.Beta(*self.pair("guide", () if alone else (setting.rows,)))

    def plate(self, name: str) -> Any:
        return pyro.plate(name, self.setting.rows, subsample_size=self.setting.batch)

    def likelihood(self, c: Any, rows: Any) -> None:
        total_count = self.total_count[rows]
        pyro.sample("k", dist.Binomial(total_count, c), obs=self.successes[rows])

    def model(self, *batch: Any) -> None:
        prior = self.prior()
        if self.setting.shared:
            c = pyro.sample("c", prior)
            with self.plate("rows") as rows:
                self.likelihood(c, rows)
        else:
            with self.plate("latents") as rows:
                self.likelihood(pyro.sample("c", prior), rows)

    def sample_own(self, *batch: Any) -> None:
        if self.setting.shared:
            pyro.sample(self.site, self.own())
            return
        own = self.own()
        with self.plate("latents") as rows:
            pyro.sample(self.site, at_rows(own, rows))

    def guide(self) -> Any:
        kind = self.setting.guide
        if kind == "empty":
            return lambda *batch: None
        if kind in ("normal", "delta"):
            value = torch.tensor(0.4) if self.setting.shared else self.successes * 0 + 0.4
            start = init_to_value(values={"c": value})
            form = AutoNormal if kind == "normal" else AutoDelta
            return form(self.model, init_loc_fn=start)
        return self.sample_own

    # the run

    def elbo(self) -> Any:
        return getattr(pyro.infer, LOSSES[self.setting.loss])

    def optimizer(self) -> Any:
        return pyro.optim.Adam({"lr": self.setting.lr})

    def batches(self) -> tuple[Any, ...]:
        """What each call of the model gets."""
        return ()

    def after_step(self, optimizer: Any) -> None:
        """A scheduler's turn."""

    def run(self) -> Recorded:
        setting = self.setting
        elbo = self.elbo()(
            num_particles=setting.particles, vectorize_particles=True, max_plate_nesting=1
        )
        optimizer = self.optimizer()
        svi = pyro.infer.SVI(self.model, self.guide(), optimizer, elbo)
        rows: dict[str, list[Any]] = {}
        losses = []
        svi.evaluate_loss(*self.batches())  # makes the parameters
        with er.recording.record(svi) as recorder:
            for step in range(setting.steps + 1):
                for name, value in pyro.get_param_store().items():
                    rows.setdefault(name, []).append(value.detach().numpy().copy())
                if step < setting.steps:
                    losses.append(svi.step(*self.batches()))
                    self.after_step(optimizer)
        repeated = [svi.evaluate_loss(*self.batches()) for _ in range(setting.evaluations)]
        history = {name: np.stack(values) for name, values in rows.items()}
        arguments = self.arguments()
        return self.handed_in(
            Recorded(history, np.array(losses), np.array(repeated), recorder.recording, arguments)
        )

    def handed_in(self, recorded: Recorded) -> Recorded:
        """What somebody makes of the run."""
        return recorded

    def arguments(self) -> dict[str, Any]:
        """What the run is said to be."""
        setting = self.setting
        arguments: dict[str, Any] = {
            "counts": setting.counts,
            "guide": setting.guide,
            "loss": setting.loss,
            "num_particles": setting.particles,
            "optimizer": er.Adam(lr=setting.lr),
        }
        if setting.guide == "normal":
            kinds = ("loc", "scale")
            arguments["names"] = {f"guide.{x}": f"AutoNormal.{x}s.c" for x in kinds}
        elif setting.guide == "delta":
            arguments["names"] = {"guide.probs": "AutoDelta.c"}
        if setting.batch is not None:
            arguments["subsample_size"] = setting.batch
        return arguments


def at_rows(own: Any, rows: Any) -> Any:
    """A guide of a pair for each row at some of them."""
    if not own.batch_shape:
        return own
    return type(own)(own.concentration1[..., rows], own.concentration0[..., rows])


@contextlib.contextmanager
def own_state(setting: Setting) -> Iterator[None]:
    """A default type, a parameter store and a seed for one run."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(getattr(torch, setting.dtype))
    try:
        with warnings.catch_warnings(), pyro.get_param_store().scope():
            warnings.simplefilter("ignore")
            pyro.clear_param_store()
            pyro.set_rng_seed(setting.seed)
            yield
    finally:
        torch.set_default_dtype(before)


def record(program: type[Program], setting: Setting) -> Recorded:
    """Run a program in Pyro."""
    with own_state(setting):
        return program(setting).run()


def verdict_at(recorded: Recorded, level: str) -> er.Verdict:
    """On the evidence of one level."""
    if level != "replay":
        return er.cross_check(**at_level(recorded, level))
    said = recorded.arguments
    own = recorded.history if said["guide"] in ("beta", "beta_shared") else ()
    names = {name: name for name in ("prior.concentration1", "prior.concentration0", *own)}
    claims = {name: said[name] for name in ("guide", "optimizer")}
    return er.replay(recorded.recording, said["counts"], names=names, **claims)


def at_level(recorded: Recorded, level: str) -> dict[str, Any]:
    """The arguments of `elbo_ref.cross_check` with the evidence of one level."""
    if level == "history":
        evidence = {"params": recorded.history, "losses": recorded.losses}
    elif level == "evaluations":
        evidence = {"params": recorded.final, "evaluations": recorded.evaluations}
    else:
        evidence = {"params": recorded.final, "losses": recorded.losses}
    return recorded.arguments | evidence
