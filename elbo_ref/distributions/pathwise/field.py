"""The pathwise derivatives (E6) of single draws, each by the one of four ways that serves it.

**Side.** A draw is seen from the nearer end, where c = sigma(y) <= 1/2 is held to full relative
precision, unless that would be from across the mode: then from the other, if 1 - c is not too small
there.

**Way.** `mode` is taken where it reaches; else `fraction` where its pairs of levels are few and
nothing is lost; else `series` where it reaches, and `tail` for the rest. Some thousands of draws
cost as much as the array operations that they take: for so few it is `tail` wherever that serves.

**Order.** Each draw gets a key, of its side and its way or number of pairs, and the draws are
sorted by it: those of a block do the same number of terms, and the blocks stay in the cache.
"""

from __future__ import annotations

import itertools
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.distributions.pathwise import fraction, mode, series, tail
from elbo_ref.distributions.pathwise.left import Left, draw_of
from elbo_ref.special import digamma_remainders
from elbo_ref.special.arithmetic import blocks

_CHUNK, _BLOCK = 2**17, 10_240
_FEW, _FEW_OF_ONE = 3000, 1500
"""The most draws that are few, of several pairs or of one."""
MODE, SERIES, TAIL, REFLECTED = 32, 33, 34, 128
"""Keys of the other ways, and what is added to a key on the other side."""
_FIRST = (0, MODE, SERIES, TAIL)
_BOUNDS = (*_FIRST, REFLECTED)
_BLOCKS = (fraction.BLOCK, mode.BLOCK, series.BLOCK, tail.BLOCK)
_UNREFLECTED, _SIGNS = REFLECTED - 1, np.array((1.0, -1.0))
_BEYOND = 25 / 24
_NEAREST = 0.08
"""The smallest 1 - c of a draw that is seen from the farther end."""


Pair: TypeAlias = tuple[FloatArray, FloatArray]


def derivatives(y: FloatArray, a: FloatArray | float, b: FloatArray | float) -> FloatArray:
    """Return the rows dy/da and dy/db for n draws y; L pairs serve them in turn, L dividing n."""
    with np.errstate(all="ignore"):
        return of_pairs(y, np.array(np.broadcast_arrays(*np.atleast_1d(a, b))))


def of_pairs(y: FloatArray, pairs: FloatArray, remainders: FloatArray | None = None) -> FloatArray:
    """Return the same, for pairs (2, L), where NumPy's warnings are silenced.

    `digamma_remainders` of the pairs are worked out here unless they are given.
    """
    size = pairs.shape[1]
    if y.size <= (_FEW if size > 1 else _FEW_OF_ONE):
        known = digamma_remainders(*pairs) if remainders is None else remainders
        return _of_few(y, pairs, known)
    if remainders is None and size < y.size:
        remainders = digamma_remainders(*pairs)
    rows = [pairs] if remainders is None else [pairs, remainders]
    gradient = np.empty((2, y.size))
    for chunk in blocks(y.size, _CHUNK):
        _of_many(gradient, chunk.start, y[chunk], rows)
    return gradient


def _of_few(y: FloatArray, pairs: FloatArray, remainders: FloatArray) -> FloatArray:
    """Differentiate all draws by `tail`, and those again that it does not serve well."""
    if y.size > pairs.shape[1]:
        columns = np.arange(y.size) % pairs.shape[1]
        pairs, remainders = pairs.take(columns, axis=1), remainders.take(columns, axis=1)
    back = y > 0
    (a, b), known = _exchanged(pairs, back), _exchanged(remainders, back)
    draws = Left.of(-np.abs(y), a, b, known)
    p, q = tail.derivatives(draws, whole=True)
    for way, reaches in ((series, tail.plateau), (mode, mode.reaches)):
        served = reaches(draws.c, draws.v, a)
        if np.count_nonzero(served):
            some = draws.y[served], a[served], b[served], [row[served] for row in known]
            p[served], q[served] = way.derivatives(Left.of(*some))
    gradient = np.empty((2, y.size))
    gradient[0], gradient[1] = np.where(back, -q, p), np.where(back, -p, q)
    return gradient


def _exchanged(rows: FloatArray, where: BoolArray) -> Pair:
    """Return two rows, each with the numbers of the other at some places."""
    a, b = rows[0], rows[1]
    return np.where(where, b, a), np.where(where, a, b)


def _of_many(gradient: FloatArray, first: int, y: FloatArray, rows: list[FloatArray]) -> None:
    """Fill in the columns of draws that follow each other, from the first on.

    `rows` are the pairs, and their remainders, where known.
    """
    size = rows[0].shape[1]
    columns = np.arange(first, first + y.size)
    if size < gradient.shape[1]:
        columns = np.resize(np.arange(first, first + size) % size, y.size)
    found = np.concatenate(
        [keys(y[part], rows[0], columns[part]) for part in blocks(y.size, _BLOCK)]
    )
    order = np.argsort(found & _UNREFLECTED, kind="stable")
    for part in blocks(y.size, _BLOCK):
        some = order[part]
        chosen = found.take(some), y.take(some), columns.take(some)
        _differentiate(gradient, first + some, *chosen, rows)


def _differentiate(
    gradient: FloatArray,
    order: NDArray[np.intp],
    found: NDArray[np.uint8],
    y: FloatArray,
    columns: NDArray[np.intp],
    rows: list[FloatArray],
) -> None:
    """Fill in columns of the gradient, in the order of their keys.

    As a draw is seen, `here` is the place of its pair's first number in two rows end to end and
    `there` that of the second.
    """
    back = (found >= REFLECTED).astype(np.intp)
    found &= _UNREFLECTED
    sign = _SIGNS.take(back)
    here, there = _places(columns, back, rows[0].shape[1])
    seen = [y * sign]
    for both in rows:
        seen += [both.take(here), both.take(there)]
    by_one, by_other = _places(order, back, gradient.shape[1])
    flat = gradient.reshape(-1)
    ends = itertools.pairwise(np.searchsorted(found, _BOUNDS).tolist())
    for way, (start, stop) in enumerate(ends):
        for first in range(start, stop, _BLOCKS[way]):
            part = slice(first, min(first + _BLOCKS[way], stop))
            draw, one, other, *known = (x[part] for x in seen)
            moved = _by(way, Left.of(draw, one, other, known or None), found[part])
            flat[by_one[part]], flat[by_other[part]] = (x * sign[part] for x in moved)


def _places(
    columns: NDArray[np.intp], back: NDArray[np.intp], size: int
) -> tuple[NDArray[np.intp], NDArray[np.intp]]:
    """Return the places in two rows of so many columns, end to end; exchanged where `back` is 1."""
    below = back * size
    return columns + below, columns + size - below


def _by(way: int, draws: Left, counts: NDArray[np.uint8]) -> Pair:
    if way == 0:
        return fraction.derivatives(draws, counts)
    if way == 1:
        return mode.derivatives(draws)
    if way == 2:
        return series.derivatives(draws)
    return tail.derivatives(draws)


def keys(y: FloatArray, pairs: FloatArray, columns: NDArray[np.intp]) -> NDArray[np.uint8]:
    """Choose a side and a way for each draw: a number of pairs, or a key of another way."""
    reflected = y > 0
    a, b = pairs[0].take(columns), pairs[1].take(columns)
    one, s = pairs.take(columns + pairs.shape[1] * reflected), a + b
    c = draw_of(-np.abs(y))
    v = c * s
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
