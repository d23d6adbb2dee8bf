"""`Setup`: all that was asked of a run, checked; as an objective, as coordinates, in words."""

from __future__ import annotations

from dataclasses import asdict, is_dataclass
from typing import NamedTuple

from elbo_ref import guides, objectives
from elbo_ref._format.documents import Document, put
from elbo_ref._format.numbers import describe, number, pair
from elbo_ref._validation.arguments import FloatArray
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides.constraints import ConstraintName, find_constraint
from elbo_ref.objectives import LossValue, Objective
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.subsample import Subsampled
from elbo_ref.optim import Optimizer
from elbo_ref.svi.parameters import Coordinates, Learned


class Setup(NamedTuple):
    """What was asked for, checked; `own` are the guide's unconstrained parameters at the start."""

    counts: Counts
    guide: str
    loss: str | LossValue
    prior: Beta
    learn_prior: Learned
    own: FloatArray
    optimizer: Optimizer
    num_particles: int
    seed: int | None
    constraint: ConstraintName
    subsample_size: int | None

    def objective(self) -> Objective:
        """What is maximised."""
        objective = objectives.find(self.loss)
        return Subsampled(objective, self.subsample_size) if self.subsample_size else objective

    def space(self) -> Coordinates:
        """The parameters as one vector."""
        positive = find_constraint(self.constraint)
        guide = self.objective().adapted(guides.GUIDES[self.guide].under(positive))
        task = Task(guide, self.counts)
        return Coordinates(task, self.prior, self.learn_prior, self.own, positive)

    def in_words(self, num_steps: int) -> str:
        """How so many steps were made, on one line."""
        facts = []
        if guides.GUIDES[self.guide].has_prior:
            only = f" (only {self.learn_prior})" if isinstance(self.learn_prior, str) else ""
            begun = "from" if self.learn_prior else "fixed at"
            facts.append(f"prior {begun} {describe(self.prior)}{only}")
        facts.append(f"{type(self.optimizer).__name__} lr {number(self.optimizer.lr)}")
        facts.append(f"steps {num_steps}")
        facts.append(f"loss {self.loss if isinstance(self.loss, str) else repr(self.loss)}")
        if self.constraint != "positive":
            facts.append(f"constraint {self.constraint}")
        if self.objective().random:
            facts.append(f"particles {self.num_particles}")
            if self.subsample_size is not None:
                facts.append(f"subsample size {self.subsample_size}")
            facts.append("a generator given" if self.seed is None else f"seed {self.seed}")
        return ", ".join(facts)

    def document(self, num_steps: int) -> Document:
        """The same as plain values."""
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
