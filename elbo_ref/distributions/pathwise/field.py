"""The pathwise derivatives (E6) of single draws, each by the one of four ways that serves it.

**Side.** A draw is seen from the nearer end, where c = sigma(y) <= 1/2 is held to full relative
precision, unless that would be from across the mode: then from the other, if 1 - c is not too small
there.

**Way.** `mode` is taken where it reaches; else `fraction` where its pairs of levels are few and
nothing is lost; else `series`, and `tail` for the rest.

**Order.** Each draw gets a key: its way or the number of pairs, and its side. Draws are sorted by
it, so that the draws of a block do the same number of terms; the blocks stay in the cache.
"""

from __future__ import annotations

import itertools
from types import ModuleType

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.distributions.pathwise import fraction, mode, series, tail
from elbo_ref.distributions.pathwise.left import Left
from elbo_ref.special.arithmetic import blocks

_CHUNK, _BLOCK = 2**17, 2**13
_WAYS = (fraction, mode, series, tail)
MODE, SERIES, TAIL, REFLECTED = 32, 33, 34, 128
"""Keys of the other three ways, and what is added to a key on the other side."""
_BOUNDS = [side + way for side in (0, REFLECTED) for way in (0, MODE, SERIES, TAIL)] + [256]
_BEYOND = 25 / 24
_NEAREST = 0.08
"""The smallest 1 - c of a draw that is seen from the farther end."""


def derivatives(y: FloatArray, a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    """Return the rows dy/da and dy/db for n draws y."""
    a, b = (np.broadcast_to(np.asarray(x, dtype=np.float64), y.shape) for x in (a, b))
    gradient = np.empty((2, y.size))
    with np.errstate(over="ignore", under="ignore"):
        for part in blocks(y.size, _CHUNK):
            _of_chunk(y[part], a[part], b[part], gradient[:, part])
    return gradient


def _of_chunk(y: FloatArray, a: FloatArray, b: FloatArray, gradient: FloatArray) -> None:
    found = np.empty(y.size, dtype=np.uint8)
    for part in blocks(y.size, _BLOCK):
        found[part] = keys(y[part], a[part], b[part])
    order = np.argsort(found, kind="stable")
    found = found[order]
    ends = np.searchsorted(found, _BOUNDS).tolist()
    for number, (start, stop) in enumerate(itertools.pairwise(ends)):
        reflected, way = divmod(number, len(_WAYS))
        for block in blocks(stop - start, _WAYS[way].BLOCK):
            chosen = order[start:stop][block]
            draws = [x.take(chosen) for x in (y, a, b)]
            count = int(found[start:stop][block][-1]) % REFLECTED
            if reflected:
                draws = [-draws[0], draws[2], draws[1]]
            p, q = _by(_WAYS[way], Left.of(*draws), count)
            if reflected:
                p, q = -q, -p
            gradient[0, chosen], gradient[1, chosen] = p, q


def _by(way: ModuleType, draws: Left, count: int) -> tuple[FloatArray, FloatArray]:
    if way is fraction:
        return fraction.derivatives(draws, count)
    p, q = way.derivatives(draws)
    return p, q


def keys(y: FloatArray, a: FloatArray, b: FloatArray) -> NDArray[np.uint8]:
    """Choose a side and a way for each draw: a number of pairs, or a key of another way."""
    reflected = y > 0
    one, s = np.where(reflected, b, a), a + b
    _, c, v, *_ = Left.of(-np.abs(y), one, s)
    np.multiply(c, s, out=v)
    beyond = v > one * _BEYOND + 1
    across = np.flatnonzero(beyond & (c >= _NEAREST))
    if across.size:
        reflected[across] ^= True
        beyond[across] = False
        c[across] = 1 - c[across]
        v[across] = c[across] * s[across]
        one[across] = np.where(reflected[across], b[across], a[across])
    beyond |= ~fraction.reaches(c, one, s - one)
    found = fraction.pairs(c, v, one)
    beyond |= found >= fraction.MOST + 1
    np.copyto(found, TAIL, where=beyond)
    rest = np.flatnonzero(beyond)
    if rest.size:
        reflected[rest] = y[rest] > 0
        by_series = series.reaches(c[rest], v[rest], one[rest])
        found[rest[by_series]] = SERIES
    if one.max() >= mode.SMALLEST:
        found[mode.reaches(c, v, one)] = MODE
    chosen = found.astype(np.uint8)
    chosen += reflected.view(np.uint8) << 7
    return chosen
