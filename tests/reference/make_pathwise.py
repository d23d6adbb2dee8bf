"""Write pathwise.json: the derivatives (E6) of the logit of a Beta draw, from mpmath.

Run as ``python make_pathwise.py``; it takes about a minute. Nothing is shared with
`elbo_ref.pathwise`: the distribution function is the hypergeometric form (DLMF 8.17.8)

    I_c(a, b) = c^a (1 - c)^b / (a B(a, b)) 2F1(a + b, 1; a + 1; c),

of whichever tail is the smaller, and its derivatives are difference quotients taken with far more
digits than the step costs. Where both concentrations exceed 1e7 the hypergeometric series is too
long, and the density's derivative is integrated over the tail instead. Every row is computed at
two precisions (and two steps) and must agree to 20 digits, or the program stops.

Each row holds a, b and logit as the floats they are, da and db as 20-digit strings, and the
relative error it allows: 1e-12 for concentrations in [1e-3, 1e4], and outside it what is stated in
the docstring of `elbo_ref.pathwise`.
"""

import json
import random
from pathlib import Path

from mpmath import mp, mpf

PRECISIONS = ((80, 25), (110, 34))
INSIDE, OUTSIDE, HUGE = 1e-12, 1e-11, 1e-8


def sigmoid(y):
    return 1 / (1 + mp.exp(-y))


def log_density(y, a, b):
    """log of the density of the logit."""
    return -a * mp.log1p(mp.exp(-y)) - b * mp.log1p(mp.exp(y)) - mp.log(mp.beta(a, b))


def below_mode(y, a, b):
    return mpf(y) <= mp.log(mpf(a) / mpf(b))


def lower_tail(y, a, b):
    """I_c(a, b)."""
    return mp.exp(log_density(y, a, b)) / a * mp.hyp2f1(a + b, 1, a + 1, sigmoid(y))


def lower_derivatives(y, a, b, step_digits):
    """dy/da and dy/db below the mode: difference quotients of the lower tail."""
    density = mp.exp(log_density(y, a, b))
    step = mpf(10) ** -step_digits
    ha, hb = a * step, b * step
    da = (lower_tail(y, a + ha, b) - lower_tail(y, a - ha, b)) / (2 * ha)
    db = (lower_tail(y, a, b + hb) - lower_tail(y, a, b - hb)) / (2 * hb)
    return -da / density, -db / density


def lower_derivatives_huge(y, a, b, _step_digits):
    """dy/da and dy/db below the mode: the derivative of the density, integrated over the tail."""
    here = log_density(y, a, b)
    mean_a, mean_b = (mp.digamma(x) - mp.digamma(a + b) for x in (a, b))
    scale = mp.sqrt(1 / a + 1 / b)
    edges = [y - scale * k for k in (0, 2, 5, 9, 14, 20, 27)]
    da = mp.quad(
        lambda s: (mean_a + mp.log1p(mp.exp(-s))) * mp.exp(log_density(s, a, b) - here), edges[::-1]
    )
    db = mp.quad(
        lambda s: (mean_b + mp.log1p(mp.exp(s))) * mp.exp(log_density(s, a, b) - here), edges[::-1]
    )
    return da, db


def derivatives(y, a, b):
    """dy/da and dy/db, the same at two precisions."""
    method = lower_derivatives_huge if min(a, b) > 1e7 else lower_derivatives
    found = []
    for digits, step_digits in PRECISIONS:
        with mp.workdps(digits):
            if below_mode(y, a, b):
                da, db = method(mpf(y), mpf(a), mpf(b), step_digits)
            else:
                da, db = (-x for x in reversed(method(-mpf(y), mpf(b), mpf(a), step_digits)))
            found.append((da, db))
    for one, other in zip(*found, strict=True):
        if abs(one / other - 1) > mpf(10) ** -20:
            raise ArithmeticError(f"a={a!r}, b={b!r}, logit={y!r}: {one} and {other}")
    return found[1]


def quantile(tail, a, b):
    """The logit with lower-tail probability `tail`, to six digits."""
    with mp.workdps(30):
        low, high = mpf(-(10**6)), mpf(10**6)
        for _ in range(50):
            y = (low + high) / 2
            if below_mode(y, a, b):
                small = lower_tail(y, mpf(a), mpf(b)) < tail
            else:
                small = 1 - lower_tail(-y, mpf(b), mpf(a)) < tail
            low, high = (y, high) if small else (low, y)
    return float(mp.nstr(low, 6))


def inside():
    """Concentrations in [1e-3, 1e4]: quantiles from 1e-12 to 1 - 1e-12, and far tails."""
    grid = (1e-3, 0.03, 0.6, 1.0, 8.0, 250.0, 1e4)
    tails = (1e-12, 1e-6, 1e-3, 0.1, 0.5)
    far = (-30.0, 30.0, -700.0, 700.0, -1e5, 1e5, -1e6, 1e6)
    pairs = [(a, b) for a in grid for b in grid]
    rng = random.Random(20240601)
    pairs += [(10 ** rng.uniform(-3, 4), 10 ** rng.uniform(-3, 4)) for _ in range(30)]
    for i, (a, b) in enumerate(pairs):
        yield a, b, quantile(tails[i % 5], a, b)
        yield a, b, -quantile(tails[(i + 2) % 5], b, a)
        yield a, b, far[i % len(far)]


def outside():
    """Concentrations from 1e-12 to 1e15, at the mode and some way from it."""
    pairs = [
        (1e-12, 1e-12), (1e-12, 1.0), (1e-9, 1e-4), (1e-6, 1e6), (1e-12, 1e4), (0.3, 1e-10),
        (1e4, 1e-8), (50.0, 1e6), (1e5, 2e5),
    ]  # fmt: skip
    for a, b in pairs:
        mode = float(mp.log(mpf(a) / mpf(b)))
        for y in (mode, mode - 1 / min(a, 1.0), mode + 1 / min(b, 1.0)):
            yield a, b, float(mp.nstr(y, 6))


def huge():
    """Both concentrations from 1e8 to 1e15."""
    for a, b in ((1e8, 1e8), (1e8, 3e10), (2e12, 1e10), (1e15, 1e15)):
        mode = mp.log(mpf(a) / mpf(b))
        for z in (-7, 0.5, 3):
            yield a, b, float(mode + z * mp.sqrt(1 / mpf(a) + 1 / mpf(b)))


def main():
    rows = []
    for cases, rtol in ((inside(), INSIDE), (outside(), OUTSIDE), (huge(), HUGE)):
        for a, b, y in cases:
            da, db = (mp.nstr(x, 20) for x in derivatives(y, a, b))
            rows.append({"a": a, "b": b, "logit": y, "da": da, "db": db, "rtol": rtol})
    lines = ",\n".join(json.dumps(row) for row in rows)
    Path(__file__).with_name("pathwise.json").write_text(f"[\n{lines}\n]\n")
    print(f"{len(rows)} rows")


if __name__ == "__main__":
    main()
