"""Sums of logarithms of linear functions: the evidence in a few terms for any size of counts.

The rising factorials of the evidence (E1) are products of linear factors. Let U_t, D_t and T_t be
the numbers of latents with more than t successes, failures and trials; then

    log evidence = sum_t U_t log(a + t) + sum_t D_t log(b + t) - sum_t T_t log(a + b + t) + logC.

t is an *offset*, the number of latents its weight. U, D and T are step functions of t, and every
function that is summed over them, log(a + t), 1/(a + t) and the like, is analytic but for one point
at or left of 0. So the offsets below 32 are kept as they are, and of each octave [p, 2p) above it a
Gauss rule of 12 nodes is left, which is exact for polynomials of degree 23 and for these functions
to (3 + sqrt 8)^-24 = 4e-19 of their variation over the octave. Its weights are positive: what was
concave stays so. N = 1e18 has 32 + 12 * 55 offsets.

Sources: Gauss rules of a discrete measure from its Jacobi matrix, Golub & Welsch, Math. Comp. 23
(1969) 221; the matrix of equal weights on M equidistant points (discrete Chebyshev polynomials),
NIST DLMF 18.22(ii); of any other measure by Lanczos's method, Gautschi (2004), section 2.2.
"""

from __future__ import annotations

from itertools import pairwise
from typing import NamedTuple

import numpy as np

from elbo_ref._validation.arguments import FloatArray, IntArray
from elbo_ref.counts import Counts

_SINGLE = 32
"""Offsets below this are kept one by one."""
_ORDER = 12
"""Nodes of an octave's Gauss rule."""
_MANY, _PIECES, _PIECE_ORDER = 20_000, 64, 5
"""An octave of more nodes than this is first reduced to 64 pieces of 5 nodes."""
_FEW = 1000
"""Up to this many nodes Lanczos's vectors are made orthogonal twice."""
_RELATIVE_LENGTHS = (1e-8, 1e-4, 2e-3)
"""Runs of equal weight shorter than this, relative to their octave, need 1, 2, 3 nodes."""


class WeightedOffsets(NamedTuple):
    """Offsets t with weights, for a sum over all t.

    sum_i weight[i] g(offset[i]) stands for the sum of g(t), each as often as there are latents with
    an outcome beyond t.

    Attributes
    ----------
    offset, weight : float64 ndarray, shape (R,)
        Offsets rise from 0; weights are positive.
    """

    offset: FloatArray
    weight: FloatArray

    @property
    def positive(self) -> WeightedOffsets:
        """All but offset 0."""
        first = int(self.offset.size > 0 and self.offset[0] == 0)
        return WeightedOffsets(self.offset[first:], self.weight[first:])


class FactorialSums(NamedTuple):
    """The weighted offsets of some counts.

    Attributes
    ----------
    successes, failures, trials : WeightedOffsets
        U, D and T.
    excess : WeightedOffsets
        E = T - D, the weight of trials beyond that of failures: D and T alike may be far larger
        than what is left of their difference.
    mixed : float
        The number of latents with successes and failures, U_0 - E_0, from whole numbers.
    """

    successes: WeightedOffsets
    failures: WeightedOffsets
    trials: WeightedOffsets
    excess: WeightedOffsets
    mixed: float

    @classmethod
    def of(cls, counts: Counts) -> FactorialSums:
        """Build the sums of some counts.

        Examples
        --------
        >>> sums = FactorialSums.of(Counts([3, 1], [4, 10**18]))
        >>> sums.successes
        WeightedOffsets(offset=array([0., 1., 2.]), weight=array([2., 1., 1.]))
        >>> sums.trials.offset.size
        692
        """
        w = counts.multiplicity
        up, down, total = (
            _Steps(outcome, w)
            for outcome in (counts.successes, counts.failures, counts.total_count)
        )
        mixed = float(mixed_latents(counts))
        return cls(_compress(up), _compress(down), _compress(total), _compress(total, down), mixed)


def mixed_latents(counts: Counts) -> int:
    """Count the latents with successes and failures."""
    return int(counts.multiplicity @ ((counts.successes > 0) & (counts.failures > 0)))


class _Steps:
    """The step function of an outcome: how many latents have one beyond an offset."""

    def __init__(self, outcome: IntArray, multiplicity: IntArray) -> None:
        order = np.argsort(outcome)
        self.level = outcome[order]
        self._beyond = np.append(np.cumsum(multiplicity[order][::-1])[::-1], 0)

    def at(self, offset: IntArray) -> IntArray:
        """Count the latents beyond each offset."""
        return self._beyond[np.searchsorted(self.level, offset, side="right")]


def _compress(steps: _Steps, less: _Steps | None = None) -> WeightedOffsets:
    """Put a step function, or the difference of two, into few weighted offsets."""
    levels = steps.level if less is None else np.concatenate([steps.level, less.level])
    top = int(levels.max())
    octaves = 2 ** np.arange(_SINGLE.bit_length() - 1, top.bit_length(), dtype=np.int64)
    cuts = np.sort(np.concatenate([np.arange(_SINGLE), octaves, levels]))
    cuts = cuts[(np.diff(cuts, prepend=-1) > 0) & (cuts <= top)]
    start, length = cuts[:-1], np.diff(cuts)
    weight = steps.at(start) - (0 if less is None else less.at(start))
    start, length = start[weight > 0], length[weight > 0]
    mass = weight[weight > 0].astype(np.float64)
    single = start < _SINGLE
    parts = [WeightedOffsets(start[single].astype(np.float64), mass[single])]
    for low, high in pairwise(np.searchsorted(start, np.append(octaves, top)).tolist()):
        if high > low:
            parts.append(_octave(start[low:high], length[low:high], mass[low:high]))
    return _concatenated(parts)


def _concatenated(parts: list[WeightedOffsets]) -> WeightedOffsets:
    return WeightedOffsets(*(np.concatenate(column) for column in zip(*parts, strict=True)))


def _octave(start: IntArray, length: IntArray, weight: FloatArray) -> WeightedOffsets:
    """Find a Gauss rule for runs of equal weight within one octave."""
    nodes = np.searchsorted(_RELATIVE_LENGTHS, length / float(start[0])) + 1
    nodes = np.where(nodes > len(_RELATIVE_LENGTHS), _ORDER, nodes)
    nodes = np.minimum(nodes, length)
    offsets, weights = [], []
    for order in np.unique(nodes):
        runs = nodes == order
        x, share = _equidistant(length[runs], int(order))
        offsets.append((start[runs, None] + x).ravel())
        weights.append((weight[runs] * length[runs])[:, None] * share)
    offset, mass = np.concatenate(offsets), np.concatenate([w.ravel() for w in weights])
    if offset.size <= _ORDER:
        rising = np.argsort(offset)
        return WeightedOffsets(offset[rising], mass[rising])
    if offset.size > _MANY:
        offset, mass = _in_pieces(offset, mass)
    return _lanczos(offset, mass, _ORDER)


def _equidistant(length: IntArray, order: int) -> tuple[FloatArray, FloatArray]:
    """Find Gauss rules for equal weights on 0, 1, ..., length - 1; a row each, weights of sum 1."""
    m = length.astype(np.float64)[:, None]
    k = np.arange(1.0, order)
    square = k**2 * (1 - (k / m) ** 2) / (4 * k**2 - 1)
    if order == 1:
        x, share = np.zeros_like(m), np.ones_like(m)
    elif order == 2:
        x, share = np.sqrt(square) * [-1.0, 1.0], np.full((m.size, 2), 0.5)
    else:
        x, share = _golub_welsch(np.zeros((m.size, order)), np.sqrt(square))
    return (m - 1) / 2 + m / 2 * x, share


def _in_pieces(offset: FloatArray, mass: FloatArray) -> WeightedOffsets:
    """Reduce very many nodes of an octave by a Gauss rule of few nodes on each 64th of it."""
    rising = np.argsort(offset)
    offset, mass = offset[rising], mass[rising]
    edges = np.linspace(offset[0], offset[-1], _PIECES + 1)[1:-1]
    bounds = [0, *np.searchsorted(offset, edges).tolist(), offset.size]
    parts = []
    for low, high in pairwise(bounds):
        piece = WeightedOffsets(offset[low:high], mass[low:high])
        parts.append(_lanczos(*piece, _PIECE_ORDER) if high - low > _PIECE_ORDER else piece)
    return _concatenated(parts)


def _lanczos(offset: FloatArray, mass: FloatArray, order: int) -> WeightedOffsets:
    """Find the Gauss rule of a discrete measure."""
    low, high = offset.min(), offset.max()
    middle, half = (low + high) / 2, (high - low) / 2
    x = (offset - middle) / half
    basis = np.empty((order, x.size))
    basis[0] = np.sqrt(mass / mass.sum())
    alpha, beta = np.zeros(order), np.zeros(order - 1)
    for k in range(order):
        following = x * basis[k]
        alpha[k] = basis[k] @ following
        if k + 1 < order:
            following -= (basis[: k + 1] @ following) @ basis[: k + 1]
            if x.size < _FEW:
                following -= (basis[: k + 1] @ following) @ basis[: k + 1]
            beta[k] = np.sqrt(following @ following)
            basis[k + 1] = following / beta[k]
    nodes, share = _golub_welsch(alpha[None], beta[None])
    return WeightedOffsets(middle + half * nodes[0], mass.sum() * share[0])


def _golub_welsch(alpha: FloatArray, beta: FloatArray) -> tuple[FloatArray, FloatArray]:
    """Find nodes and weights (of sum 1) from the diagonals of symmetric Jacobi matrices."""
    order = alpha.shape[1]
    matrix = np.zeros((alpha.shape[0], order, order))
    row = np.arange(order)
    matrix[:, row, row] = alpha
    matrix[:, row[1:], row[:-1]] = beta
    nodes, vectors = np.linalg.eigh(matrix)
    return nodes, vectors[:, 0, :] ** 2
