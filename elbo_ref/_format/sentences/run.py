"""Runs in words: how one was made, how it ended, and whether that is a maximum."""

from __future__ import annotations

from typing import TYPE_CHECKING

from elbo_ref._format.numbers import describe, number

if TYPE_CHECKING:
    from elbo_ref.svi.config import Config
    from elbo_ref.svi.result import Run
    from elbo_ref.svi.stationarity import Stationarity

_STATIONARITY = {
    "maximum": "a maximum of its own objective (Newton would gain {0:.1g} nats)",
    "unknown": "not known to be at a maximum: its objective is too flat to tell, or curves upwards",
    "drifting": "drifting: hardly anything to gain nearby, but Newton's step does not shrink",
    "near": "near a maximum of its own objective (Newton would gain {0:.2g} nats)",
    "far": "not at a maximum of its own objective (Newton would gain {0:.2g} nats)",
}


def message(run: Run) -> str:
    """Say how a run ended."""
    stopped, steps = run.stopped, len(run.losses)
    if stopped == "unbounded":
        return f"ended early, at step {steps}: {run.early_end}"
    if stopped == "interrupted":
        return f"interrupted at step {steps}, {run.num_steps} were asked for"
    return f"{stopped} at step {steps}: {stationarity(run.stationarity)}"


def early_end(run: Run) -> str | None:
    """Say what left its range, where a run ended by that."""
    if run.ended is None:
        return None
    if run.ended == "objective":
        return "the objective left float64"
    parameters = run.config.parameters
    return f"{parameters.name(run.ended)} left {parameters.range(run.ended)}"


def stationarity(end: Stationarity) -> str:
    """Say whether an end is a maximum, and what Newton's method would gain."""
    return _STATIONARITY[end.kind].format(end.decrement)


def settings(config: Config, num_steps: int) -> str:
    """Describe on one line how so many steps were made."""
    facts = []
    if config.parameters.task.guide.has_prior:
        only = f" (only {config.learn_prior})" if isinstance(config.learn_prior, str) else ""
        begun = "from" if config.learn_prior else "fixed at"
        facts.append(f"prior {begun} {describe(config.prior)}{only}")
    optimizer = config.optimizer
    lrd = getattr(optimizer, "lrd", 1.0)
    decay = f" lrd {number(lrd)}" if lrd != 1 else ""
    facts.append(f"{type(optimizer).__name__} lr {number(optimizer.lr)}{decay}")
    facts.append(f"steps {num_steps}")
    facts.append(f"loss {config.loss if isinstance(config.loss, str) else repr(config.loss)}")
    if config.constraint != "positive":
        facts.append(f"constraint {config.constraint}")
    if config.objective.random:
        facts.append(f"particles {config.num_particles}")
        if config.subsample_size is not None:
            facts.append(f"subsample size {config.subsample_size}")
        facts.append("a generator given" if config.seed is None else f"seed {config.seed}")
    return ", ".join(facts)
