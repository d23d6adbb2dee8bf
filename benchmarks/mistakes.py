"""The mistakes that `crosscheck_rates.py` plants: each a `planted.Program` with one thing changed.

`MISTAKES` has them all; several programs may make the same mistake, under the same name.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pyro
import pyro.distributions as dist
import torch
from planted import Program, Recorded, Setting, at_rows
from pyro import poutine

import elbo_ref as er
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.guides import GUIDES

ONE_PAIR = ("beta", "beta_shared")


def _binomial(setting: Setting) -> bool:
    return abs(float(setting.counts.log_coefficient.sum())) > 1e-9


def _drawn(setting: Setting) -> bool:
    return setting.guide != "delta"


class SwappedPrior(Program):
    name = "swapped_concentrations"
    swapped: tuple[str, ...] = ("prior",)

    def pair(self, owner: str, size: tuple[int, ...]) -> tuple[Any, Any]:
        found = super().pair(owner, size)
        return found[::-1] if owner in self.swapped else found

    def loss_model(self, given: LossModel) -> LossModel:
        parts = {"prior": given.prior, "guide": given.guide_parameters}
        swapped = {name: x[::-1] if name in self.swapped else x for name, x in parts.items()}
        return given._replace(prior=swapped["prior"], guide_parameters=swapped["guide"])


class SwappedGuide(SwappedPrior):
    swapped = ("guide",)

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide in ONE_PAIR


class SwappedBoth(SwappedGuide):
    swapped = ("prior", "guide")


class NoSampleInGuide(Program):
    """The guide has its parameters, and never samples."""

    name = "latent_not_in_guide"

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide in ONE_PAIR and setting.loss != "trace_mean_field"

    def sample_own(self, *batch: Any) -> None:
        self.own()

    def loss_model(self, given: LossModel) -> LossModel:
        none = np.zeros((0, *given.guide_parameters.shape[1:]))
        return given._replace(guide=GUIDES["empty"], guide_parameters=none)


class OtherNameInGuide(NoSampleInGuide):
    """The guide samples under a name that the model does not have."""

    site = "z"
    sample_own = Program.sample_own

    def loss_model(self, given: LossModel) -> LossModel:
        nothing = er.Counts(0 * given.counts.successes, 0)
        apart = given._replace(counts=nothing, prior=np.ones_like(given.prior))
        return super().loss_model(given)._replace(added=apart)


def multiplied(recorded: Recorded, factor: float) -> Recorded:
    """With losses that are multiplied after the run."""
    return recorded._replace(
        losses=factor * recorded.losses,
        evaluations=factor * recorded.evaluations,
        recording=replace(recorded.recording, losses=factor * recorded.recording.losses),
    )


class WrongSign(Program):
    name = "wrong_sign"

    def handed_in(self, recorded: Recorded) -> Recorded:
        return multiplied(recorded, -1.0)

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(factor=-1.0)


class PerRow(Program):
    name = "normalised_loss"

    @property
    def number(self) -> int:
        return self.setting.rows

    @classmethod
    def fits(cls, setting: Setting) -> bool:
        return setting.rows > 1

    def handed_in(self, recorded: Recorded) -> Recorded:
        return multiplied(recorded, 1 / self.number)

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(factor=1 / self.number)


class PerTrial(PerRow):
    @property
    def number(self) -> int:
        return int(self.setting.total_count.sum())

    @classmethod
    def fits(cls, setting: Setting) -> bool:
        return int(setting.total_count.sum()) > 1


class PerParticle(PerRow):
    @property
    def number(self) -> int:
        return self.setting.particles

    @classmethod
    def fits(cls, setting: Setting) -> bool:
        return setting.particles > 1


class BareLikelihood(Program):
    """k log c + (n - k) log(1 - c), as a factor: no mistake, and a note says so."""

    fits = staticmethod(_binomial)

    def likelihood(self, c: Any, rows: Any) -> None:
        k, n = self.successes[rows], self.total_count[rows]
        pyro.factor("k", torch.xlogy(k, c) + torch.xlogy(n - k, 1 - c))

    def loss_model(self, given: LossModel) -> LossModel:
        coefficients = float(self.setting.counts.log_coefficient.sum())
        return given._replace(constant=coefficients)


class PooledRows(Program):
    """The totals as one observation, where the rows are handed in: no mistake."""

    levels = ("history", "evaluations", "final")

    @staticmethod
    def fits(setting: Setting) -> bool:
        whole = setting.batch is None  # of a batch the totals would count too often
        return whole and setting.shared and abs(float(setting.counts.log_split.sum())) > 1e-9

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.successes, self.total_count = self.successes.sum(), self.total_count.sum()

    def likelihood(self, c: Any, rows: Any) -> None:
        if not rows.numel():
            return
        with poutine.scale(scale=1 / rows.numel()):
            pyro.sample("k", dist.Binomial(self.total_count, c), obs=self.successes)

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(constant=float(self.setting.counts.log_split.sum()))


class ExtraFactor(Program):
    """A constant term of the model that is not in the question."""

    name = "unexplained_constant"
    extra = 2.7183

    def prior(self) -> Any:
        pyro.factor("hyperprior", torch.tensor(-self.extra))
        return super().prior()

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide != "tied" and setting.loss != "trace_mean_field"

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(constant=self.extra)


class OwnBatches(Program):
    """Minibatches made by hand and handed to the model, which does not know of the others."""

    name = "subsample_unscaled"
    says_size = True

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting._replace(particles=1))  # vectorised ones would share a batch

    @staticmethod
    def fits(setting: Setting) -> bool:
        alone = not setting.shared or bool((setting.total_count == 1).all())
        guide = setting.guide in (*ONE_PAIR, "empty", "tied")
        return alone and guide and setting.rows >= 6 and setting.loss != "trace_mean_field"

    @property
    def size(self) -> int:
        return max(2, self.setting.rows // 3)

    def batches(self) -> tuple[Any, ...]:
        return (torch.randperm(self.setting.rows)[: self.size],)

    def model(self, *batch: Any) -> None:
        (rows,) = batch
        prior = self.prior()
        if self.setting.shared:
            c = pyro.sample("c", prior)
            with pyro.plate("rows", len(rows)):
                self.likelihood(c, rows)
        else:
            with pyro.plate("latents", len(rows)):
                self.likelihood(pyro.sample("c", prior), rows)

    def sample_own(self, *batch: Any) -> None:
        if self.setting.shared:
            pyro.sample("c", self.own())
            return
        (rows,) = batch
        own = self.own()
        with pyro.plate("latents", len(rows)):
            pyro.sample("c", at_rows(own, rows))

    def arguments(self) -> dict[str, Any]:
        size = {"subsample_size": self.size} if self.says_size else {}
        return super().arguments() | size

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(batch=self.size, batch_scale=1.0)


class OwnBatchesUntold(OwnBatches):
    says_size = False


class ScaledTwice(OwnBatches):
    """A scale by hand over a plate that scales already."""

    name = "subsample_scaled_twice"

    def batches(self) -> tuple[Any, ...]:
        return ()

    def plate(self, name: str) -> Any:
        return pyro.plate(name, self.setting.rows, subsample_size=self.size)

    @property
    def twice(self) -> Any:
        return poutine.scale(scale=self.setting.rows / self.size)

    def likelihood(self, c: Any, rows: Any) -> None:
        if not self.setting.shared:
            super().likelihood(c, rows)
            return
        with self.twice:
            super().likelihood(c, rows)

    def model(self, *batch: Any) -> None:
        if self.setting.shared:
            Program.model(self)
            return
        with self.twice:
            Program.model(self)

    def sample_own(self, *batch: Any) -> None:
        if self.setting.shared:
            Program.sample_own(self)
            return
        with self.twice:
            Program.sample_own(self)

    def loss_model(self, given: LossModel) -> LossModel:
        scale = self.setting.rows / self.size
        return given._replace(batch=self.size, batch_scale=scale**2)


class ScaledTwiceUntold(ScaledTwice):
    says_size = False


class MoreTrials(Program):
    name = "wrong_total_count"
    more = 5

    @staticmethod
    def fits(setting: Setting) -> bool:
        return not setting.shared or setting.rows == 1

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting)
        self.total_count = self.totals()

    def totals(self) -> Any:
        return self.total_count + self.more

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(counts=er.Counts(self.setting.successes, self.total_count.numpy()))


class LargestTrials(MoreTrials):
    """The largest total count for all rows."""

    @staticmethod
    def fits(setting: Setting) -> bool:
        return not setting.shared and len(set(setting.total_count.tolist())) > 1

    def totals(self) -> Any:
        return torch.full_like(self.total_count, float(self.setting.total_count.max()))


class OneLatent(Program):
    """c sampled outside the plate, where the rows' own latents are handed in."""

    name = "wrong_latents"

    @staticmethod
    def fits(setting: Setting) -> bool:
        return not setting.shared and setting.rows > 1 and setting.guide != "delta"

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting._replace(shared=True))

    def arguments(self) -> dict[str, Any]:
        counts = er.Counts(self.setting.successes, self.setting.total_count)
        return super().arguments() | {"counts": counts}

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(
            counts=self.setting.counts, guide_parameters=given.guide_parameters[:, :, :1]
        )


class LatentPerRow(Program):
    """c sampled inside the plate, where one latent is handed in."""

    name = "wrong_latents"

    @staticmethod
    def fits(setting: Setting) -> bool:
        single = bool((setting.total_count == 1).all())
        return setting.shared and setting.rows > 1 and (single or setting.guide == "beta")

    def __init__(self, setting: Setting) -> None:
        super().__init__(setting._replace(shared=False))

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"counts": self.setting.counts.pooled()}

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(counts=self.setting.counts)


class Unconstrained(Program):
    name = "unconstrained_values"
    levels = ("history", "evaluations", "final")

    def handed_in(self, recorded: Recorded) -> Recorded:
        constraints = pyro.get_param_store()._constraints
        free = {
            name: torch.distributions.transform_to(constraints[name]).inv(torch.tensor(x)).numpy()
            for name, x in recorded.history.items()
        }
        return recorded._replace(history=free)

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(
            prior=np.exp(given.prior), guide_parameters=np.exp(given.guide_parameters)
        )

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide not in ("delta", "normal")


class SmallConcentrations(Program):
    """float32, and draws at the ends of what it holds."""

    name = "float32_saturation"

    def __init__(self, setting: Setting) -> None:
        small = (0.04, 0.05, 0.03, 0.05)
        super().__init__(setting._replace(dtype="float32", start=small))

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide not in ("delta", "normal") and setting.dtype == "float32"

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(clamped=False)


class OtherRate(Program):
    name = "optimizer_settings"
    levels = ("history", "replay")
    fits = staticmethod(_drawn)

    def optimizer(self) -> Any:
        return pyro.optim.Adam({"lr": 3 * self.setting.lr})


class PlainSGD(OtherRate):
    def optimizer(self) -> Any:
        return pyro.optim.SGD({"lr": self.setting.lr / 10})


class Adagrad(OtherRate):
    def optimizer(self) -> Any:
        return pyro.optim.Adagrad({"lr": 2 * self.setting.lr})


class ClippedDecay(Program):
    name = "learning_rate_decay"
    levels = ("history", "replay")
    last = 0.02
    """What is left of the learning rate at the end."""

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.steps >= 60 and setting.guide != "delta"

    def optimizer(self) -> Any:
        rate = self.last ** (1 / self.setting.steps)
        return pyro.optim.ClippedAdam({"lr": self.setting.lr, "lrd": rate})


class Scheduler(ClippedDecay):
    def optimizer(self) -> Any:
        inner = {"optimizer": torch.optim.Adam, "optim_args": {"lr": self.setting.lr}}
        return pyro.optim.ExponentialLR({**inner, "gamma": self.last ** (1 / self.setting.steps)})

    def after_step(self, optimizer: Any) -> None:
        optimizer.step()


class DetachedFirst(Program):
    name = "gradient_detached"
    levels = ("history", "replay")
    detached = (True, False)
    fits = staticmethod(_drawn)

    def pair(self, owner: str, size: tuple[int, ...]) -> tuple[Any, Any]:
        found = super().pair(owner, size)
        if owner != "prior":
            return found
        first, second = (
            x.detach() if off else x for x, off in zip(found, self.detached, strict=True)
        )
        return first, second


class DetachedBoth(DetachedFirst):
    detached = (True, True)

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide in (*ONE_PAIR, "normal")


class GradientsTimes(Program):
    """The losses are right, and the optimizer gets multiplied gradients."""

    name = "gradient_scaled"
    levels = ("replay",)
    factor = 3.0
    fits = staticmethod(_drawn)

    def elbo(self) -> Any:
        factor = self.factor

        class Times(super().elbo()):  # type: ignore[misc]
            def loss_and_grads(self, *args: Any, **kwargs: Any) -> Any:
                loss = super().loss_and_grads(*args, **kwargs)
                for _, parameter in pyro.get_param_store().named_parameters():
                    parameter.grad *= factor
                return loss

        return Times


class ScoreFunction(Program):
    """The guide says that its draws have no derivative, so that Pyro takes the score function."""

    levels = ("replay",)

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.guide in ONE_PAIR and setting.loss == "trace"

    def own(self) -> Any:
        class Stuck(dist.Beta):  # type: ignore[misc]
            has_rsample = False

            def expand(self, shape: Any, _instance: Any = None) -> Any:
                wide = self.concentration1.expand(shape), self.concentration0.expand(shape)
                return Stuck(*wide)

        own = super().own()
        return Stuck(own.concentration1, own.concentration0)


class RareEvents(Program):
    """Nothing is wrong but PyTorch's derivative, near the poles that it has."""

    name = "kernel_error"
    levels = ("replay",)

    def __init__(self, setting: Setting) -> None:
        rng = np.random.default_rng(setting.seed)
        k, n = rng.integers(0, 4), rng.integers(40_000, 100_001)
        start = (1.0, 1.0, float(k + rng.uniform(0.7, 2)), float(n * rng.uniform(0.3, 0.7)))
        data = {"successes": np.array([k]), "total_count": np.array([n]), "shared": True}
        super().__init__(setting._replace(**data, guide="beta", loss="trace", start=start))

    @staticmethod
    def fits(setting: Setting) -> bool:
        return setting.dtype == "float64" and setting.lr <= 0.03


class Longer(Program):
    """A run that has come near to its maximum before it is handed in."""

    levels = ("evaluations", "final")
    least = 400

    def __init__(self, setting: Setting) -> None:
        steps, lr = max(setting.steps, self.least), max(setting.lr, 0.02)
        super().__init__(setting._replace(steps=steps, lr=lr))

    @staticmethod
    def fits(setting: Setting) -> bool:
        own = setting.guide in ("beta", "normal") and not setting.shared
        return own and setting.rows > 2 and setting.loss != "trace_mean_field"


class OlderPrior(Longer):
    """The prior is of an earlier step than the guide and the losses."""

    name = "mixed_parameters"
    old: tuple[str, ...] = ("prior",)

    def handed_in(self, recorded: Recorded) -> Recorded:
        early = self.setting.steps // 10
        history = {
            name: np.repeat(rows[early : early + 1], len(rows), axis=0)
            if name.startswith(self.old)
            else rows
            for name, rows in recorded.history.items()
        }
        return recorded._replace(history=history, truth=recorded.history)


class OlderGuide(OlderPrior):
    """The guide is of an earlier step than the prior and the losses."""

    old = ("guide", "AutoNormal")


class OlderParameters(OlderPrior):
    """All parameters are of an earlier step than the losses."""

    old = ("prior", "guide", "AutoNormal")


class OtherPriorHeld(Longer):
    """A prior of whole numbers in the model, a flat one in the claims."""

    name = "wrong_fixed_prior"

    def prior(self) -> Any:
        rng = np.random.default_rng(self.setting.seed)
        return dist.Beta(*torch.tensor(rng.choice([0.5, 2.0, 3.0, 5.0, 8.0], 2)))

    def arguments(self) -> dict[str, Any]:
        return super().arguments() | {"prior": er.Beta(1.0, 1.0)}

    def loss_model(self, given: LossModel) -> LossModel:
        prior = self.prior()
        held = (float(prior.concentration1), float(prior.concentration0))
        return given._replace(prior=given.prior * 0 + np.reshape(held, (2, 1, 1)))


class TableSorted(Longer):
    """The rows are sorted by their proportions after the run."""

    name = "permuted_rows"

    def order(self) -> np.ndarray:
        setting = self.setting
        return np.argsort(setting.successes / setting.total_count, kind="stable")

    def arguments(self) -> dict[str, Any]:
        setting, order = self.setting, self.order()
        counts = er.Counts(setting.successes[order], setting.total_count[order])
        return super().arguments() | {"counts": counts}

    def loss_model(self, given: LossModel) -> LossModel:
        return given._replace(counts=self.setting.counts)


class TableShuffled(TableSorted):
    """The rows stand in an order that nothing explains."""

    def order(self) -> np.ndarray:
        return np.random.default_rng(self.setting.seed).permutation(self.setting.rows)


MISTAKES: tuple[type[Program], ...] = (
    SwappedPrior,
    SwappedGuide,
    SwappedBoth,
    NoSampleInGuide,
    OtherNameInGuide,
    WrongSign,
    PerRow,
    PerTrial,
    PerParticle,
    ExtraFactor,
    OwnBatches,
    OwnBatchesUntold,
    ScaledTwice,
    ScaledTwiceUntold,
    MoreTrials,
    LargestTrials,
    OneLatent,
    LatentPerRow,
    Unconstrained,
    SmallConcentrations,
    OtherRate,
    PlainSGD,
    Adagrad,
    ClippedDecay,
    Scheduler,
    DetachedFirst,
    DetachedBoth,
    GradientsTimes,
    RareEvents,
    OlderPrior,
    OlderGuide,
    OlderParameters,
    OtherPriorHeld,
    TableSorted,
    TableShuffled,
)

CLEAN: tuple[type[Program], ...] = (Program, BareLikelihood, Program, PooledRows, ScoreFunction)
"""Programs without a mistake: those of every style that a likelihood is written in."""
