"""`maximize_elbo`: stochastic variational inference without a framework.

The loop (`elbo_ref.svi.loop`) is Pyro's. What it maximises depends on the guide (`elbo_ref.guides`)
and on the loss (`elbo_ref.objectives`). Positive parameters are exponentials of unconstrained ones,
as under Pyro's ``constraints.positive``, or their softplus; probabilities are sigmoids.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

from elbo_ref._format.progress import progress_of
from elbo_ref._validation.arguments import FloatArray, Rng, count, generator, underflow_is_zero
from elbo_ref.counts import Counts
from elbo_ref.distributions.beta import Beta
from elbo_ref.guides import GuideName, GuideValue
from elbo_ref.guides.constraints import ConstraintName
from elbo_ref.objectives import LossName, LossValue
from elbo_ref.svi.config import Config, checked_config
from elbo_ref.svi.convergence import Goal, find_goal
from elbo_ref.svi.loop import State, advance_to, initial_state
from elbo_ref.svi.optimizers import Adam, Optimizer, rate_after
from elbo_ref.svi.parameters import Learned
from elbo_ref.svi.result import Run, run_at
from elbo_ref.svi.stationarity import stationarity

_LOOK_EVERY = 100


@underflow_is_zero
def maximize_elbo(
    counts: Counts,
    guide: GuideName | GuideValue = "beta",
    *,
    loss: LossName | LossValue = "trace",
    prior: Beta = Beta(1.0, 1.0),  # noqa: B008 (a frozen value)
    learn_prior: Learned = True,
    optimizer: Optimizer = Adam(lr=0.01),  # noqa: B008
    num_steps: int = 1000,
    num_particles: int = 1,
    rng: Rng = 0,
    until: Literal["converged"] | None = None,
    constraint: ConstraintName = "positive",
    subsample_size: int | None = None,
    progress: bool | None = None,
) -> Run:
    """Maximise an objective over the guide's and the model's parameters, as Pyro's SVI does.

    Parameters
    ----------
    counts : Counts
    guide : str or value
        ``"beta"``: a Beta guide, one pair of parameters per entry of the counts, from (1, 1);
        ``"beta_shared"``: one pair for all; ``"empty"``: no guide, so not an ELBO (E7); ``"tied"``:
        the prior is the guide (E8); ``"conjugate"``: the exact posterior, and
        ``"conjugate_detached"``, which passes no gradient to it; ``"normal"``: a normal on the
        logit, from (0, 0.1), as ``AutoNormal``; ``"laplace"`` and ``"delta"``: a point, from 0.5,
        as ``AutoLaplaceApproximation`` and ``AutoDelta``; ``"none"``: no latent, c is a parameter,
        from 0.5. A `Beta`, `LogitNormal`, `Delta` or `Parameter` says where a guide of its family
        starts; ``run.guide`` can be handed back in.
    loss : str, Renyi or ScoreFunction
        ``"trace"``: Monte Carlo with pathwise gradients, as ``Trace_ELBO``; here ``"trace_graph"``
        and ``"trace_enum"`` are the same; ``"trace_mean_field"``: the divergence in closed form;
        ``"sticking_the_landing"``; ``"score_function"``; ``"renyi"``; ``"exact"``: the closed form,
        without draws.
    prior : Beta, shape ()
        Where the model's concentrations start, or what they are.
    learn_prior : bool or str
        Whether the concentrations are learned; ``"concentration1"`` or
        ``"concentration0"``: only that one.
    optimizer : Adam, ClippedAdam or ExponentialLR
    num_steps, num_particles : int
        Positive; particles are for ``"trace"``.
    rng : int, SeedSequence or Generator
        The same seed gives the same run.
    until : None or "converged"
        ``"converged"`` ends the run before `num_steps` when, at a multiple of 100 steps, it is at a
        maximum of its own exact objective, or as near to one as its learning rate and number of
        particles let it come (`Run.noise_floor`).
    constraint : str
        How concentrations are kept positive: ``"positive"``, by exp; ``"softplus_positive"``.
    subsample_size : int, optional
        Each particle sees so many latents, as in ``pyro.plate(subsample_size=)``; of a single
        latent so many of its observations, which must then be single trials.
    progress : bool, optional
        Whether a bar of tqdm shows the steps; by default on a terminal and in a
        notebook, if tqdm is installed and the work is long.

    Returns
    -------
    Run
        An interrupt (KeyboardInterrupt) ends it early; it can then be resumed.

    Raises
    ------
    TypeError, ValueError
        For an argument that does not fit, or when nothing is left to learn.

    See Also
    --------
    diagnose : what the run maximises, where that leads, and how far it has come.
    maximize_evidence : the maximum-likelihood prior, without steps and with proof.

    References
    ----------
    M. D. Hoffman, D. M. Blei, C. Wang & J. Paisley, "Stochastic variational inference", Journal of
    Machine Learning Research 14 (2013) 1303.

    Examples
    --------
    >>> run = maximize_elbo(Counts(3, 10), guide="beta", loss="exact", prior=Beta(1.0, 1.0),
    ...                     learn_prior=False, optimizer=Adam(lr=0.1), num_steps=600)
    >>> run.converged
    True
    >>> run.guide.concentration1.round(6), run.guide.concentration0.round(6)
    (array([4.]), array([8.]))
    """
    num_steps = count("num_steps", num_steps, 1)
    config = checked_config(
        counts, guide, loss=loss, prior=prior, learn_prior=learn_prior, optimizer=optimizer,
        num_particles=num_particles, rng=rng, constraint=constraint, subsample_size=subsample_size,
    )  # fmt: skip
    draws = generator(rng)
    if until is not None and not (isinstance(until, str) and until == "converged"):
        raise ValueError(f"until = {until!r} is not None or 'converged'")
    arrival = None if until is None else _Arrival(config)
    start = initial_state(config, draws)
    look = arrival.look if arrival else None
    with progress_of(progress, num_steps, "step") as add:
        state = advance_to(config, start, draws, num_steps, look, add)
    return run_at(config, state, state.step if arrival and arrival.seen else num_steps)


class _Arrival:
    """The place where ``until="converged"`` ends a run, looked for every 100 steps.

    A run that is allowed to be where it is may still be on its way to the middle of what its noise
    allows; it is at its floor once it is no nearer than at the look before.
    """

    def __init__(self, config: Config) -> None:
        self._config, self.seen = config, False
        self._goal: Goal | None = None
        self._search_at, self._value = _LOOK_EVERY, -np.inf

    def look(self, state: State) -> bool:
        """Tell whether a run is at a maximum, or as near to one as its noise lets it come."""
        if state.ended is None and state.step % _LOOK_EVERY == 0:
            self.seen = self._is_near(state.step, state.vector)
        return self.seen

    def _is_near(self, step: int, vector: FloatArray) -> bool:
        config, parameters = self._config, self._config.parameters
        value = parameters.value(vector)
        rises, self._value = value > self._value, value
        if config.objective.random and not rises:
            if step >= self._search_at:
                self._search_at = 2 * step
                self._goal = find_goal(parameters, config.objective, vector, config.num_particles)
            if self._goal:
                floor = self._goal.floor(rate_after(config.optimizer, step))
                if floor.allows(self._goal.value - value):
                    return True
        return stationarity(parameters, vector).holds
