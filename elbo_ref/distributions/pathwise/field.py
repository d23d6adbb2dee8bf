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
_FEW, _FEW_OF_ONE, _MANY = 3000, 1500, 2**14
"""The most draws that are few, of several pairs or of one, and the fewest for which blocks hold
draws of one side only."""
MODE, SERIES, TAIL, REFLECTED = 32, 33, 34, 128
"""Keys of the other ways, and what is added to a key on the other side."""
_FIRST = (0, MODE, SERIES, TAIL)
_BOUNDS = (*_FIRST, *(REFLECTED + key for key in _FIRST), 256)
_BLOCKS = (fraction.BLOCK, mode.BLOCK, series.BLOCK, tail.BLOCK)
_EXCHANGED = np.array((1, 0, 3, 2))
"""The rows of a pair and its remainders, seen from the other end."""
_BEYOND = 25 / 24
_NEAREST = 0.08
"""The smallest 1 - c of a draw that is seen from the farther end."""


Pair: TypeAlias = tuple[FloatArray, FloatArray]


def derivatives(
    y: FloatArray,
    a: FloatArray | float,
    b: FloatArray | float,
    remainders: FloatArray | None = None,
) -> FloatArray:
    """Return the rows dy/da and dy/db for n draws y; L pairs serve them in turn, L dividing n.

    `digamma_remainders` of the pairs are worked out here unless they are given.
    """
    a, b = np.atleast_1d(a, b)
    if a.size != b.size:
        a, b = np.broadcast_arrays(a, b)
    with np.errstate(all="ignore"):
        few = y.size <= (_FEW if a.size > 1 else _FEW_OF_ONE)
        if remainders is None and (few or a.size < y.size):
            remainders = digamma_remainders(a, b)
        pairs = (a, b) if remainders is None else (a, b, *remainders)
        if few:
            return _of_few(y, np.array(pairs))
        gradient = np.empty((2, y.size))
        for chunk in blocks(y.size, _CHUNK):
            if a.size < y.size:
                column = np.arange(chunk.start, min(chunk.stop, y.size)) % a.size
                some = [x.take(column) for x in pairs]
            else:
                some = [x[chunk] for x in pairs]
            _differentiate(gradient[:, chunk], y[chunk], *some)
    return gradient


def _of_few(y: FloatArray, pairs: FloatArray) -> FloatArray:
    """Differentiate all draws by `tail`, and those again that it does not serve well.

    `pairs` are rows a, b and their remainders.
    """
    if y.size > pairs.shape[1]:
        pairs = pairs.take(np.arange(y.size) % pairs.shape[1], axis=1)
    back = y > 0
    a, b, *known = np.where(back, pairs.take(_EXCHANGED, axis=0), pairs)
    draws = Left.of(-np.abs(y), a, b, known)
    moved = tail.derivatives(draws, whole=True)
    for way, reaches in ((series, tail.plateau), (mode, mode.reaches)):
        served = reaches(draws.c, draws.v, draws.a)
        if np.count_nonzero(served):
            some = draws.y[served], a[served], b[served]
            remainders = np.array([row[served] for row in known])
            moved[:, served] = way.derivatives(Left.of(*some, remainders))
    return np.where(back, -moved[::-1], moved)


def _differentiate(
    gradient: FloatArray, y: FloatArray, a: FloatArray, b: FloatArray, *known: FloatArray
) -> None:
    """Fill in the rows dy/da and dy/db of draws, each with its pair and what is known of that."""
    many = y.size >= _MANY
    found = np.concatenate([keys(y[part], a[part], b[part]) for part in blocks(y.size, _BLOCK)])
    rank = found if many else found % REFLECTED
    order = np.argsort(rank, kind="stable")
    rank, found = rank.take(order), found.take(order)
    in_order = [x.take(order) for x in (y, a, b, *known)]
    moved = np.empty_like(gradient)
    ends = itertools.pairwise(np.searchsorted(rank, _BOUNDS).tolist())
    for number, (start, stop) in enumerate(ends):
        way = number % len(_FIRST)
        for first in range(start, stop, _BLOCKS[way]):
            part = slice(first, min(first + _BLOCKS[way], stop))
            key = found[part]
            back = number >= len(_FIRST) if many else key >= REFLECTED
            draws = _seen(back, *(x[part] for x in in_order))
            by_a, by_b = _swapped(*_by(way, draws, key % REFLECTED), back)
            moved[0, part], moved[1, part] = _negative(by_a, back), _negative(by_b, back)
    for row, sorted_row in zip(gradient, moved, strict=True):
        row[order] = sorted_row


def _seen(
    back: BoolArray | bool, y: FloatArray, a: FloatArray, b: FloatArray, *known: FloatArray
) -> Left:
    """Prepare draws, reflected where `back`."""
    remainders = _swapped(known[0], known[1], back) if known else None
    return Left.of(_negative(y, back), *_swapped(a, b, back), remainders)


def _negative(x: FloatArray, back: BoolArray | bool) -> FloatArray:
    """Change the sign where `back`."""
    if isinstance(back, np.ndarray):
        return np.where(back, -x, x)
    return -x if back else x


def _swapped(one: FloatArray, other: FloatArray, back: BoolArray | bool) -> Pair:
    """Change the order where `back`."""
    if isinstance(back, np.ndarray):
        return np.where(back, other, one), np.where(back, one, other)
    return (other, one) if back else (one, other)


def _by(way: int, draws: Left, counts: NDArray[np.uint8]) -> Pair:
    if way == 0:
        return fraction.derivatives(draws, counts)
    if way == 1:
        return mode.derivatives(draws)
    if way == 2:
        return series.derivatives(draws)
    by_a, by_b = tail.derivatives(draws)
    return by_a, by_b


def keys(y: FloatArray, a: FloatArray, b: FloatArray) -> NDArray[np.uint8]:
    """Choose a side and a way for each draw: a number of pairs, or a key of another way."""
    reflected = y > 0
    one, s = np.where(reflected, b, a), a + b
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
