"""Write maxima.json: every local maximum of the evidence of small constructed data sets.

Run as ``python tests/reference/make_maxima.py``; it takes a minute or two and needs mpmath alone.
`elbo_ref` is not imported. In a = s m and b = s (1 - m) the log evidence of counts (k, n), each w
times, is

    sum w [log C(n, k) + R(a, k) + R(b, n - k) - R(s, n)],      R(x, n) = log Gamma(x + n)/Gamma(x),

with R a sum of n logarithms for small n and a difference of two log-gammas for others; likewise its
derivatives in x. For one s it is concave in m, so the profile, the evidence at the best mean, is a
function of s alone. Its derivative in log s is taken on a grid of step 1/4 over all s at which it
can vanish; each change of sign is bisected, and Newton's method in (log a, log b) ends it, at two
precisions that must agree to 40 digits. The gradient there must vanish and both eigenvalues of the
Hessian be negative. Neighbouring stationary points closer than the grid would be missed.

As s -> infinity the evidence tends to the binomial at m = sum k/sum n. Whether it comes from below
or from above is the sign of the profile's slope in 1/s at 0, an exact fraction,

    1/2 [sum w k (k - 1)/m + sum w f (f - 1)/(1 - m) - sum w n (n - 1)],      f = n - k,

and where that is 0, the sign of its derivative at the far end of the grid. A row of maxima.json:

    why                        what the row is for
    successes, total_count, multiplicity
    kind                       as in `elbo_ref.maximum`
    log_evidence               the supremum over all priors
    concentration1, concentration0     of the maximiser; null where there is none
    gap                        how far the supremum is above the next local maximum, if any; the
                               log evidences of near ties need not have the digits to tell
    curvature                  the smaller absolute eigenvalue of the Hessian in (log a, log b)
    slope                      the fraction above, as text
    binomial_limit             its log evidence; null where it is not a supremum of its own
    binomial_limit_is_maximum  whether the evidence comes to the binomial limit from below
    local_maxima               [concentration1, concentration0, log evidence], by falling a + b
"""

import json
from fractions import Fraction
from pathlib import Path

from mpmath import mp, mpf

PRECISIONS = (50, 80)
AGREE = 40
STEP = 0.25
SUMMED = 100
DIGITS = 25


def rising(order, x, n):
    """R(x, n) for order 0, and its first and second derivative in x."""
    if n > SUMMED:
        if order == 0:
            return mp.loggamma(x + n) - mp.loggamma(x)
        return mp.psi(order - 1, x + n) - mp.psi(order - 1, x)
    if order == 0:
        return mp.log(mp.rf(x, n)) if n else mpf(0)
    if order == 1:
        return mp.fsum(1 / (x + j) for j in range(n))
    return -mp.fsum(1 / (x + j) ** 2 for j in range(n))


class Data:
    """Distinct informative counts, and how many latents have k, n - k or n of a value."""

    def __init__(self, rows):
        self.rows = [row for row in rows if row[1] and row[2]]
        self.latents = sum(w for _, _, w in self.rows)
        self.k = sum(k * w for k, _, w in self.rows)
        self.n = sum(n * w for _, n, w in self.rows)
        self.f = self.n - self.k
        self.tables = {}, {}, {}
        for k, n, w in self.rows:
            for table, value in zip(self.tables, (k, n - k, n), strict=True):
                if value:
                    table[value] = table.get(value, 0) + w

    def total(self, order, which, x):
        return mp.fsum(w * rising(order, x, n) for n, w in self.tables[which].items())

    def coefficient(self):
        """The log binomial coefficients."""
        return mp.fsum(
            w * (mp.loggamma(n + 1) - mp.loggamma(k + 1) - mp.loggamma(n - k + 1))
            for k, n, w in self.rows
        )

    def log_evidence(self, a, b):
        parts = (self.total(0, i, x) for i, x in enumerate((a, b, a + b)))
        inside, other, all_trials = parts
        return self.coefficient() + inside + other - all_trials

    def gradient(self, a, b):
        first, second, both = (self.total(1, i, x) for i, x in enumerate((a, b, a + b)))
        return first - both, second - both

    def hessian(self, a, b):
        first, second, both = (self.total(2, i, x) for i, x in enumerate((a, b, a + b)))
        return first - both, -both, second - both

    def slope(self):
        """Of the profile in 1/s at 0."""
        m = Fraction(self.k, self.n)
        terms = (
            w * (k * (k - 1) / m + (n - k) * (n - k - 1) / (1 - m) - n * (n - 1))
            for k, n, w in self.rows
        )
        return sum(terms) / 2

    def binomial(self):
        k, f, n = mpf(self.k), mpf(self.f), mpf(self.n)
        return self.coefficient() + k * mp.log(k / n) + f * mp.log(f / n)

    def kind(self):
        """The kinds that counts alone decide; None for the other two."""
        if not self.rows:
            return "no_information"
        if not self.k or not self.f:
            return "degenerate"
        if all(n == 1 for _, n, _ in self.rows):
            return "unidentified"
        if all(k in (0, n) for k, n, _ in self.rows):
            return "all_or_none"
        return None

    def supremum_of_kind(self, kind):
        if kind in ("no_information", "degenerate"):
            return mpf(0)
        if kind == "unidentified":
            return self.binomial()
        full = mpf(sum(w for k, _, w in self.rows if k))
        rest = self.latents - full
        return full * mp.log(full / self.latents) + rest * mp.log(rest / self.latents)


def best_mean(data, s, m):
    """Newton's method on a concave function of the mean, kept inside (0, 1)."""
    tolerance = mpf(10) ** (5 - mp.dps)
    for _ in range(300):
        a, b = s * m, s * (1 - m)
        ga, gb = data.gradient(a, b)
        haa, hab, hbb = data.hessian(a, b)
        moved = m - (ga - gb) / (haa - 2 * hab + hbb) / s
        moved = min(max(moved, m / 4), 1 - (1 - m) / 4)
        done = abs(moved - m) <= mp.sqrt(tolerance) * min(m, 1 - m)
        if moved == m or (done and abs(moved - m) <= tolerance):
            return m
        m = moved
        if done:
            return m
    raise ArithmeticError("the best mean has not been found")


def rise(data, log_s, m):
    """The derivative of the profile in log s, and the best mean there."""
    s = mp.exp(log_s)
    m = best_mean(data, s, m)
    ga, gb = data.gradient(s * m, s * (1 - m))
    return s * (m * ga + (1 - m) * gb), m


def scan_range(data, slope):
    """Values of log s outside of which the profile's derivative keeps its sign.

    Above: there the slope outweighs what the second derivative in 1/s can add, which is at most
    sum w n^3 over the cube of the smaller of m and 1 - m; where the slope is 0 the end is a guess.
    Below: a latent with both outcomes outweighs the rest.
    """
    smaller = mpf(min(data.k, data.f)) / data.n
    third = sum(w * n**3 for _, n, w in data.rows) / smaller**3
    high = 1000 * third / abs(mpf(slope.numerator) / slope.denominator) if slope else third * 10**9
    low = mpf(1) / (10**4 * data.latents**2 * max(n for _, n, _ in data.rows))
    return mp.log(low), mp.log(high)


def brackets(data, slope):
    """(log s, mean) near each local maximum, by falling s, and whether the limit is one."""
    with mp.workdps(20):
        low, high = scan_range(data, slope)
    with mp.workdps(25 + int(2 * high / mp.log(10))):
        m = mpf(data.k) / data.n
        count = int(mp.ceil((high - low) / STEP)) + 1
        log_s = [high - STEP * i for i in range(count)]
        found, before = [], None
        for i, x in enumerate(log_s):
            change, mean = rise(data, x, m)
            if before is not None and before < 0 <= change:
                found.append(bisected(data, x, log_s[i - 1], mean))
            if before is None:
                limit = change > 0
            before, m = change, mean
        if slope and limit != (slope < 0):
            raise ArithmeticError("the slope and the end of the grid disagree")
    return found, limit


def bisected(data, low, high, m):
    while high - low > 1e-3:
        middle = (low + high) / 2
        change, m = rise(data, middle, m)
        low, high = (middle, high) if change > 0 else (low, middle)
    return low, m


def newton(data, log_s, m):
    """Newton's method in (log a, log b): a, b, log evidence and the smaller eigenvalue."""
    u, v = log_s + mp.log(m), log_s + mp.log(1 - m)
    for _ in range(100):
        a, b = mp.exp(u), mp.exp(v)
        ga, gb = data.gradient(a, b)
        haa, hab, hbb = data.hessian(a, b)
        p, q, r = a * a * haa + a * ga, a * b * hab, b * b * hbb + b * gb
        determinant = p * r - q * q
        if not (p < 0 and determinant > 0):
            raise ArithmeticError("not at a maximum")
        du, dv = (q * b * gb - r * a * ga) / determinant, (q * a * ga - p * b * gb) / determinant
        u, v = u + du, v + dv
        if max(abs(du), abs(dv)) < mpf(10) ** (-AGREE - 5):
            a, b = mp.exp(u), mp.exp(v)
            trace = -(p + r)
            smaller = 2 * determinant / (trace + mp.sqrt((p - r) ** 2 + 4 * q * q))
            return a, b, data.log_evidence(a, b), smaller
    raise ArithmeticError("Newton's method has not ended")


def same(one, other):
    return one == other or abs(one - other) <= mpf(10) ** -AGREE * abs(other)


def text(x):
    return mp.nstr(x, DIGITS)


def searched(data):
    """The fields of a row whose kind the profile decides."""
    slope = data.slope()
    starts, limit_is_maximum = brackets(data, slope)
    solved = []
    for digits in PRECISIONS:
        size = max((2 * x for x, _ in starts), default=0)
        guard = int(max(size, 0) / mp.log(10)) + len(str(data.n))
        with mp.workdps(digits + guard):
            maxima = [newton(data, x, m) for x, m in starts]
            solved.append((maxima, data.binomial()))
    (rough, rough_limit), (maxima, limit) = solved
    with mp.workdps(PRECISIONS[1]):
        for one, other in zip(rough, maxima, strict=True):
            if not all(same(x, y) for x, y in zip(one, other, strict=True)):
                raise ArithmeticError(f"{one} and {other}")
        if not same(rough_limit, limit):
            raise ArithmeticError(f"{rough_limit} and {limit}")
        heights = [value for _, _, value, _ in maxima]
        best = max(range(len(maxima)), key=heights.__getitem__, default=None)
        interior = best is not None and heights[best] > limit
        every = sorted(heights + [limit] * limit_is_maximum, reverse=True)
        gap = every[0] - every[1] if len(every) > 1 else None
        if gap is not None and gap <= mpf(10) ** (5 - AGREE) * abs(every[0]):
            raise ArithmeticError("a tie that the digits do not decide")
        if interior == (every[0] == limit):
            raise ArithmeticError("the limit is neither highest nor below")
        return {
            "kind": "interior" if interior else "binomial",
            "log_evidence": text(every[0]),
            "concentration1": text(maxima[best][0]) if interior else None,
            "concentration0": text(maxima[best][1]) if interior else None,
            "gap": None if gap is None else text(gap),
            "curvature": text(maxima[best][3]) if interior else None,
            "slope": str(slope),
            "binomial_limit": text(limit),
            "binomial_limit_is_maximum": bool(limit_is_maximum),
            "local_maxima": [[text(a), text(b), text(value)] for a, b, value, _ in maxima],
        }


def decided(data, kind):
    """The fields of a row whose kind the counts decide."""
    with mp.workdps(PRECISIONS[1]):
        value = text(data.supremum_of_kind(kind))
        identified = kind == "all_or_none"
        return {
            "kind": kind,
            "log_evidence": value,
            "concentration1": None,
            "concentration0": None,
            "gap": None,
            "curvature": None,
            "slope": str(data.slope()) if identified else None,
            "binomial_limit": text(data.binomial()) if identified else None,
            "binomial_limit_is_maximum": False,
            "local_maxima": [],
        }


def solve(rows):
    """A row of maxima.json without its reason, from (successes, total count, multiplicity)."""
    data = Data(rows)
    kind = data.kind()
    found = searched(data) if kind is None else decided(data, kind)
    successes, total_count, multiplicity = ([row[i] for row in rows] for i in range(3))
    counts = {"successes": successes, "total_count": total_count, "multiplicity": multiplicity}
    return counts | found


def both(k, n, w):
    """k and n - k successes of n, each w times: the best mean stays 1/2."""
    return [(k, n, w), (n - k, n, w)]


def tie_with_limit(p, q):
    return [(3, 3, p), (5, 11, q)]


def tie_with_limit_at_half(p, q):
    return both(0, 2, p) + [(15, 30, q)]


def tie_of_maxima_at_half(p, q):
    return both(0, 3, p) + [(15, 30, q)] + both(26, 60, q)


def tie_of_maxima(p, q):
    return [(1, 1, 15 * q), (8, 19, q), (4, 22, p)]


def tie_of_three(p, q, r):
    return both(0, 4, p) + both(42, 100, q) + [(1000, 2000, r)]


def near_limit(w):
    return both(0, 2, w) + [(1, 2, 2 * w - 1)]


DATA = {
    # kinds that the counts alone decide
    "no_trials": ("latents without trials, and none with them", [(0, 0, 3), (2, 5, 0)]),
    "failures": ("failures only", [(0, 5, 1), (0, 3, 2), (0, 1, 4)]),
    "successes": ("successes only", [(7, 7, 1), (1, 1, 1)]),
    "one_failure": ("degenerate comes before unidentified", [(0, 1, 1)]),
    "single_trials": ("single trials", [(0, 1, 3), (1, 1, 2)]),
    "many_single_trials": ("single trials, 1e15 of them", [(0, 1, 10**15 - 7), (1, 1, 7)]),
    "two_extremes": ("all or none, the smallest", [(0, 2, 1), (1, 1, 1)]),
    "unequal_extremes": (
        "all or none, unequal sizes",
        [(0, 3, 5), (4, 4, 1), (0, 1, 2), (9, 9, 1)],
    ),
    "large_extremes": ("all or none, many large latents", [(0, 10**18, 10**12), (3, 3, 1)]),
    # one maximum at most
    "one_latent": ("one latent has no interior maximum", [(3, 10, 1)]),
    "one_latent_and_nothing": ("one latent with trials", [(3, 10, 1), (0, 0, 5)]),
    "equal_latents": ("equal latents are underdispersed", [(3, 10, 50)]),
    "one_success": ("a single success", [(0, 4, 9), (1, 4, 1)]),
    "even": ("underdispersed, unequal sizes", [(4, 9, 3), (5, 10, 2), (1, 2, 7), (2, 5, 1)]),
    "extremes_and_one": (
        "one mixed latent keeps all or none away",
        [(0, 3, 4), (3, 3, 2), (1, 2, 1)],
    ),
    "three_latents": ("the smallest interior of N = 2", both(0, 2, 1) + [(1, 2, 1)]),
    "two_latents": ("interior, two latents of one size", [(1, 6, 1), (5, 6, 1)]),
    "unequal": (
        "interior, sizes 1 to 60",
        [(1, 1, 4), (0, 7, 2), (9, 20, 1), (31, 60, 3), (2, 35, 1)],
    ),
    # the limit and an interior maximum
    "falls_then_wins": (
        "slope below 0, highest in the interior; two latents",
        [(0, 2, 1), (8, 11, 1)],
    ),
    "falls_then_loses": (
        "slope below 0, an interior maximum below the limit; two latents",
        [(5, 11, 1), (3, 3, 1)],
    ),
    "single_trial_matters": (
        "slope below 0, an interior maximum below the limit, with a single trial",
        [(0, 1, 1), (11, 12, 1)],
    ),
    "single_trials_win": ("as falls_then_wins, with single trials", [(0, 1, 2), (7, 9, 1)]),
    "falls_far_then_wins": (
        "slope far below 0, highest near all or none",
        both(0, 2, 7) + [(15, 30, 1)],
    ),
    "falls_far_then_loses": (
        "slope far below 0, an interior maximum lower",
        both(0, 2, 2) + [(15, 30, 1)],
    ),
    # several interior maxima
    "two_maxima": ("two interior maxima, none at the limit", [(22, 27, 1), (0, 1, 3), (3, 3, 13)]),
    "two_maxima_near": ("two, the one of larger a + b low", [(20, 27, 1), (10, 11, 6), (0, 1, 8)]),
    "two_maxima_upper": ("two, of more unequal sizes", [(16, 38, 1), (36, 51, 18), (4, 4, 35)]),
    "two_maxima_at_half": ("two at mean 1/2", tie_of_maxima_at_half(3, 1)),
    "two_maxima_and_limit": (
        "two interior maxima and the limit; nine latents",
        [(0, 1, 6), (4, 4, 1), (17, 38, 1), (9, 13, 1)],
    ),
    "two_maxima_and_limit_at_half": ("two and the limit, far apart", tie_of_three(3, 2, 1)),
    "three_maxima": (
        "three interior maxima, the smallest a + b highest",
        [(0, 2, 50), (2, 2, 69), (107, 187, 1), (11, 27, 10), (18, 30, 15), (93, 175, 1)],
    ),
    "three_maxima_at_half": (
        "three at mean 1/2, the one between highest",
        both(0, 2, 76) + [(3, 6, 5)] + both(12, 30, 20) + both(484, 1000, 1),
    ),
    # near ties, the names say who wins and by how much
    "small_limit_by_6e-7": (
        "near tie with the limit; 28 latents",
        [(3, 3, 14), (5, 11, 9), (5, 9, 5)],
    ),
    "small_interior_by_3e-6": (
        "near tie with the limit; 32 latents",
        [(3, 3, 11), (5, 11, 17), (4, 4, 4)],
    ),
    "limit_by_4e-4": ("near tie with the limit", tie_with_limit(359, 356)),
    "limit_by_1e-6": ("near tie with the limit", tie_with_limit(66156, 65603)),
    "interior_by_2e-7": ("near tie with the limit", tie_with_limit(1757022, 1742335)),
    "limit_by_1e-9": ("near tie with the limit", tie_with_limit(43820155, 43453861)),
    "interior_by_1e-9": ("near tie with the limit", tie_with_limit(288800846, 286386751)),
    "interior_by_8e-13": ("near tie with the limit", tie_with_limit(20385461048, 20215058363)),
    "limit_by_2e-15": ("near tie with the limit", tie_with_limit(9790211778591, 9708375102449)),
    "limit_at_half_by_3e-4": ("near tie with the limit", tie_with_limit_at_half(1573, 666)),
    "interior_at_half_by_2e-4": ("near tie with the limit", tie_with_limit_at_half(6899, 2921)),
    "limit_at_half_by_5e-11": (
        "near tie with the limit",
        tie_with_limit_at_half(235901405, 99879407),
    ),
    "first_at_half_by_7e-4": ("near tie of two interior maxima", tie_of_maxima_at_half(879, 299)),
    "second_at_half_by_3e-7": (
        "near tie of two interior maxima",
        tie_of_maxima_at_half(314332, 106923),
    ),
    "first_at_half_by_2e-9": (
        "near tie of two interior maxima",
        tie_of_maxima_at_half(751927802, 255775347),
    ),
    "first_at_half_by_3e-13": (
        "near tie of two interior maxima",
        tie_of_maxima_at_half(1272964437853, 433010882088),
    ),
    "pair_by_1e-3": (
        "near tie of two interior maxima of different means",
        tie_of_maxima(3019, 373),
    ),
    "pair_by_3e-5": (
        "near tie of two interior maxima of different means",
        tie_of_maxima(22169, 2739),
    ),
    "pair_by_3e-10": (
        "near tie of two interior maxima of different means",
        tie_of_maxima(145618343, 17991278),
    ),
    "three_by_1e-2": (
        "near tie of the limit and two interior maxima",
        tie_of_three(2704, 1822, 933),
    ),
    "three_by_2e-4": (
        "near tie of the limit and two interior maxima",
        tie_of_three(7463094, 5028726, 2575109),
    ),
    # slope 0
    "zero_slope": (
        "slope 0, then falling: fractions as the binomial has them",
        both(0, 2, 1) + [(1, 2, 2)],
    ),
    "zero_slope_squares": ("slope 0 of each latent, then falling", both(1, 4, 1)),
    "zero_slope_skewed": ("slope 0 at a mean of 1/3, then rising", [(2, 10, 1), (1, 1, 2)]),
    "zero_slope_rises": (
        "slope 0, then rising to an interior maximum",
        both(0, 2, 2) + [(4, 8, 1)],
    ),
    "zero_slope_three_latents": (
        "slope 0, then rising; three latents",
        both(0, 3, 1) + [(6, 12, 1)],
    ),
    "zero_slope_falls_then_wins": (
        "slope 0, then falling, then rising to an interior maximum",
        both(0, 2, 28) + [(4, 8, 14)] + both(6, 16, 1),
    ),
    "zero_slope_twice": (
        "slope and second derivative 0, then falling",
        both(0, 2, 1) + [(2, 4, 1)],
    ),
    "zero_slope_twice_rises": (
        "slope and second derivative 0, then rising",
        both(0, 2, 3) + both(4, 10, 1),
    ),
    # near the limit and near all or none
    "size_1e6": ("a + b = 4 w - 2 for K = 0, 1, 2 of 2 as w, 2 w - 1, w", near_limit(250_000)),
    "size_1e9": ("as size_1e6", near_limit(250_000_000)),
    "size_1e12": ("as size_1e6", near_limit(250_000_000_000)),
    "size_4e15": ("as size_1e6", near_limit(10**15)),
    "near_poisson": (
        "a slope just above 0, N = 1000",
        [(0, 1000, 51), (1, 1000, 20), (2, 1000, 22)],
    ),
    "size_1e-6": (
        "a + b = 2/(2 w - 1) for K = 0, 1, 2 of 2 as w, 1, w",
        both(0, 2, 10**6) + [(1, 2, 1)],
    ),
    "size_1e-12": ("as size_1e-6", both(0, 2, 10**12) + [(1, 2, 1)]),
    "nearly_all_failures": ("near all or none and skewed", [(0, 3, 10**6), (3, 3, 10), (1, 3, 1)]),
    "large_and_extreme": ("near all or none, N = 100", both(0, 100, 10**6) + [(50, 100, 1)]),
    # skewed, large
    "rare": (
        "a mean of 1e-6 and N = 1e4",
        [(0, 10**4, 9950), (1, 10**4, 40), (5, 10**4, 8), (9, 10**4, 2)],
    ),
    "rare_large": ("N = 1e9 and few successes", [(0, 10**9, 1), (1, 10**9, 1), (1000, 10**9, 1)]),
    "rare_failures": ("N = 1e18 and few failures", [(10**18, 10**18, 3), (10**18 - 5, 10**18, 1)]),
    "large": ("N = 1e4", [(2000, 10**4, 1), (2300, 10**4, 1), (2500, 9000, 1)]),
    "largest": (
        "N = 1e18",
        [(3 * 10**17, 10**18, 1), (31 * 10**16, 10**18, 1), (29 * 10**16, 10**18, 1)],
    ),
    "largest_even": ("N = 1e18, as even as can be", [(5 * 10**17, 10**18, 2), (1, 2, 1)]),
    "many": (
        "1e15 latents",
        [(0, 3, 10**15), (1, 3, 2 * 10**15), (2, 3, 10**15), (3, 3, 10**15 - 1)],
    ),
}


def main():
    lines = []
    for name, (why, rows) in DATA.items():
        lines.append(f"{json.dumps(name)}: {json.dumps({'why': why} | solve(rows))}")
        print(lines[-1], flush=True)
    text = ",\n".join(lines)
    Path(__file__).with_name("maxima.json").write_text(f"{{\n{text}\n}}\n")


if __name__ == "__main__":
    main()
