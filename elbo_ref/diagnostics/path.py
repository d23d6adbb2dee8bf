"""The exact path of an optimizer: when an objective first exceeds a height."""

from __future__ import annotations

import numpy as np

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.beta import Beta
from elbo_ref.objectives.exact import Exact
from elbo_ref.optim import Optimizer
from elbo_ref.svi.parameters import ParameterVector

_TOGETHER = 250
"""Steps whose values are worked out at once."""


def steps_until_above(
    space: ParameterVector, start: FloatArray, optimizer: Optimizer, height: float, most: int
) -> int | None:
    """Count the steps from a vector of parameters, along exact gradients, to above a height.

    None if that takes `most` steps, or if a parameter leaves its range before.
    """
    exact, unused = Exact(), np.random.default_rng(0)
    vector, state = start, optimizer.init(start)
    with np.errstate(all="ignore"):
        for first in range(0, most, _TOGETHER):
            vectors: list[FloatArray] = []
            while len(vectors) < min(_TOGETHER, most - first) and space.outside(vector) is None:
                vectors.append(vector)
                gradient, _ = space.gradient(exact, vector, 1, unused)
                vector, state = optimizer.update(state, vector, -gradient)
            if not vectors:
                return None
            priors, owns = space.split_rows(np.array(vectors))
            values = exact.rest(space.task, Beta(*priors), owns)
            above = np.flatnonzero(values > height)
            if above.size:
                return first + int(above[0])
    return None
