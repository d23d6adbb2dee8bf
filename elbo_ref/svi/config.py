"""`Config`: the settings of a run, checked; as an objective, as parameters, in words."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass, fields, is_dataclass
from functools import cached_property
from types import MethodType
from typing import Any

import numpy as np

from elbo_ref import guides, objectives
from elbo_ref._format.documents import Document, put
from elbo_ref._format.numbers import pair
from elbo_ref._validation.arguments import FloatArray, Rng, check_type, count
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideValue
from elbo_ref.guides.constraints import ConstraintName, find_constraint
from elbo_ref.objectives import LossValue, Objective
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.subsample import Subsampled
from elbo_ref.svi.optimizers import AdamState, Optimizer
from elbo_ref.svi.parameters import Learned, ParameterVector, check_learned


@dataclass(frozen=True, eq=False)
class Config:
    """The settings of a run, as `maximize_elbo` takes them, checked.

    `guide_start` are the guide's unconstrained parameters at the start, (k, G); `subsample_size` is
    None where every particle sees everything, `seed` where a generator was given.
    """

    counts: Counts
    guide: str
    loss: str | LossValue
    prior: Beta
    learn_prior: Learned
    guide_start: FloatArray
    optimizer: Optimizer
    num_particles: int
    seed: int | None
    constraint: ConstraintName
    subsample_size: int | None

    def __getstate__(self) -> dict[str, Any]:
        """Return the settings, without the values derived from them."""
        return {field.name: getattr(self, field.name) for field in fields(self)}

    @cached_property
    def objective(self) -> Objective:
        """The objective that is maximised."""
        objective = objectives.find(self.loss)
        return Subsampled(objective, self.subsample_size) if self.subsample_size else objective

    @cached_property
    def parameters(self) -> ParameterVector:
        """The parameters as one vector."""
        positive = find_constraint(self.constraint)
        guide = self.objective.adapted(guides.GUIDES[self.guide].under(positive))
        task = Task(guide, self.counts)
        return ParameterVector(task, self.prior, self.learn_prior, self.guide_start, positive)

    @cached_property
    def update(self) -> Callable[..., tuple[FloatArray, AdamState]]:
        """The optimizer's update, without the errstate that a public door sets at each call."""
        update = self.optimizer.update
        inner = getattr(update, "__wrapped__", None)
        return update if inner is None else MethodType(inner, self.optimizer)

    @cached_property
    def row_size(self) -> int:
        """The number of parameters, or of entries that a value is summed over if these are more."""
        return max(self.parameters.start.size, len(self.counts))

    def document(self, num_steps: int) -> Document:
        """Return the settings of so many steps as plain values."""
        optimizer: Document = asdict(self.optimizer) if is_dataclass(self.optimizer) else {}
        name, lr = type(self.optimizer).__name__, self.optimizer.lr
        settings: Document = {
            "constraint": self.constraint,
            "guide": self.guide,
            "learn_prior": self.learn_prior,
            "loss": objectives.find(self.loss).name,
            "num_particles": self.num_particles,
            "num_steps": num_steps,
            "optimizer": {"name": name, "lr": lr, **optimizer},
            "start": pair(self.prior),
        }
        if not isinstance(self.loss, str):
            settings["loss_settings"] = asdict(self.loss)
        put(settings, "subsample_size", self.subsample_size, "every particle sees everything")
        put(settings, "seed", self.seed, "draws came from a generator that was given")
        return settings


def checked_config(
    counts: Counts,
    guide: str | GuideValue,
    *,
    loss: str | LossValue,
    prior: Beta,
    learn_prior: Learned,
    optimizer: Optimizer,
    num_particles: int,
    rng: Rng,
    constraint: ConstraintName,
    subsample_size: int | None,
) -> Config:
    """Check the arguments of `maximize_elbo`, but for those that say how far to go."""
    check_type("counts", counts, Counts)
    if not isinstance(prior, Beta) or prior.shape != ():
        raise TypeError(f"prior must be one Beta, not {prior!r}")
    if isinstance(optimizer, type) or not isinstance(optimizer, Optimizer):
        raise TypeError(
            f"optimizer must be an Adam, a ClippedAdam or an ExponentialLR, not {optimizer!r}"
        )
    check_learned(learn_prior)
    objective, positive = objectives.find(loss), find_constraint(constraint)
    family = guides.find(guide).under(positive)
    num_particles = count("num_particles", num_particles, 1)
    learned = learn_prior if family.has_prior else False
    if not learned and not family.parameter_names:
        raise ValueError(f"guide={family.name!r} with learn_prior=False has nothing to learn")
    if subsample_size is not None:
        subsample_size = count("subsample_size", subsample_size, 1)
    config = Config(
        counts=counts,
        guide=family.name,
        loss=objective.name if isinstance(loss, str) else loss,
        prior=prior,
        learn_prior=learned,
        guide_start=family.start(guide, 1 if family.shared else len(counts)),
        optimizer=optimizer,
        num_particles=num_particles,
        seed=int(rng) if isinstance(rng, int | np.integer) else None,
        constraint=constraint,
        subsample_size=subsample_size,
    )
    parameters = config.parameters
    config.objective.prepare(parameters.task, num_particles)
    index = parameters.outside(parameters.start)
    if index is not None:
        raise ValueError(f"{parameters.name(index)} must start in {parameters.range(index)}")
    return config
