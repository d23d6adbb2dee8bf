"""Write reference.md: exact results for every bundled and for many constructed data sets.

    python docs/make_reference.py

It takes seconds and needs mpmath. Maxima are copied from tests/reference/datasets.json and
maxima.json, rounded to 15 digits; nothing on the page comes from `maximize_evidence`. Log
evidences at published estimates are computed with mpmath as in tests/reference/make_datasets.py,
and `log_evidence` must agree with them. Published values are those of `elbo_ref.io.datasets`; a few
more that its notes leave out are in `MORE`.
"""

import json
import re
import sys
import textwrap
from collections.abc import Iterable, Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

from mpmath import mp, mpf

import elbo_ref as er
from elbo_ref.io.datasets import available, describe, load

HERE = Path(__file__).parent
REFERENCE = HERE.parent / "tests" / "reference"
sys.path.insert(0, str(REFERENCE))
import make_datasets  # noqa: E402
import make_maxima  # noqa: E402

BUNDLED = json.loads((REFERENCE / "datasets.json").read_text())
MAXIMA = json.loads((REFERENCE / "maxima.json").read_text())
DIGITS = 15
WIDTH = 118
KEPT = "a_+_b"
"""Stands for a + b where lines are broken."""

CONSTRUCTED = (
    "no_trials",
    "failures",
    "successes",
    "single_trials",
    "many_single_trials",
    "two_extremes",
    "unequal_extremes",
    "one_latent",
    "one_success",
    "even",
    "zero_slope",
    "zero_slope_squares",
    "falls_then_loses",
    "small_limit_by_6e-7",
    "limit_by_4e-4",
    "three_latents",
    "two_latents",
    "extremes_and_one",
    "unequal",
    "falls_then_wins",
    "single_trials_win",
    "falls_far_then_wins",
    "small_interior_by_3e-6",
    "two_maxima",
    "two_maxima_at_half",
    "two_maxima_and_limit",
    "three_maxima",
    "zero_slope_skewed",
    "size_1e6",
    "size_1e-6",
    "near_poisson",
    "nearly_all_failures",
    "rare",
    "large",
)


class Estimate(NamedTuple):
    """A published estimate, as printed."""

    name: str
    where: str
    concentration1: str
    concentration0: str


MORE = (
    Estimate("saxony", "Wikipedia, by moments", "34.1350", "31.6085"),
    Estimate("rat_tumors", "Gelman et al., mode", "2.4", "14.0"),
    Estimate("rat_tumors", "Gelman et al., means", "2.4", "14.3"),
    Estimate("rat_tumors", "PyMC's gallery, mode", "2.21", "13.27"),
)
DILUTIONS = (("orobanche_1", "0.132"), ("orobanche_25", "0.871"), ("orobanche_625", "0.839"))
SHARED_SIZE = "78.424"
RAT_MODE = "2.2272", "13.2838"
PRINTED = {0.722942: "0.7229420", 0.700762: "0.7007620"}
"""Floats that were printed with a 0 at the end."""


# --- numbers and tables as text


def digits(value: Any, most: int = DIGITS) -> str:
    """A number, or the text of one, to 15 significant digits; whole ones without a fraction."""
    number = mpf(value)
    if number == int(number):
        return str(int(number))
    return str(mp.nstr(number, most, strip_zeros=False))


def little(value: Any) -> str:
    """Three digits, for what is a difference."""
    return f"{float(value):.3g}".replace("e-0", "e-")


def table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A Markdown table whose columns are aligned in the raw text."""
    cells = [head, *rows]
    widths = [max(len(row[i]) for row in cells) for i in range(len(head))]
    lines = [
        "".join(f"| {text:{w}} " for text, w in zip(row, widths, strict=True)) + "|"
        for row in cells
    ]
    lines.insert(1, "".join("|" + "-" * (w + 2) for w in widths) + "|")
    return "\n".join(lines)


def flowed(text: str) -> str:
    """Paragraphs and items of a list, wrapped anew; code, tables and headings as they are."""
    blocks, code = [], False
    for block in text.split("\n\n"):
        code = code or block.startswith("```")
        if code or block.startswith(("|", "#", "!")):
            blocks.append(block)
            code = code and not block.endswith("```")
            continue
        items = re.split(r"\n(?=\* )", block)
        blocks.append("\n".join(map(wrapped, items)))
    return "\n\n".join(blocks)


def wrapped(item: str) -> str:
    indent = "  " * item.startswith("* ")
    lines = textwrap.wrap(
        " ".join(item.split()).replace("a + b", KEPT),
        WIDTH,
        subsequent_indent=indent,
        break_long_words=False,
        break_on_hyphens=False,
    )
    return "\n".join(lines).replace(KEPT, "a + b")


# --- what the counts say


def rows_of_bundled(name: str) -> list[tuple[int, int, int]]:
    counts = load(name)
    columns = counts.successes, counts.total_count, counts.multiplicity
    return list(zip(*(column.tolist() for column in columns), strict=True))


def rows_of_constructed(name: str) -> list[tuple[int, int, int]]:
    row = MAXIMA[name]
    return list(zip(row["successes"], row["total_count"], row["multiplicity"], strict=True))


def counts_in_words(rows: list[tuple[int, int, int]]) -> str:
    """3/10 x50 for fifty latents with 3 successes of 10."""
    return ", ".join(f"{k}/{n}" + f" x{w}" * (w != 1) for k, n, w in rows)


def fraction(x: Fraction) -> str:
    return str(x) if x.denominator < 10**6 else f"{float(x):g}"


def answer(kind: str, row: dict[str, Any], rows: list[tuple[int, int, int]]) -> tuple[str, ...]:
    """Log evidence and both concentrations; where there is no maximiser, the limit in words."""
    value = digits(row["log_evidence"])
    if kind == "interior":
        return value, digits(row["concentration1"]), digits(row["concentration0"])
    k, n = (sum(r[i] * r[2] for r in rows) for i in (0, 1))
    pooled = Fraction(k, n) if n else Fraction(0)
    informative = [r for r in rows if r[1]]
    match kind:
        case "degenerate":
            return value, f"mean -> {int(k > 0)}", "any a + b"
        case "unidentified":
            return value, f"mean {fraction(pooled)}", "any a + b"
        case "all_or_none":
            latents = sum(w for _, _, w in informative)
            full = sum(w for k, _, w in informative if k)
            return value, f"mean {Fraction(full, latents)}", "a + b -> 0"
        case "binomial":
            return value, f"mean {fraction(pooled)}", "a + b -> infinity"
    return value, "any prior", "any prior"


def bundled_kind(name: str) -> str:
    if BUNDLED[name]["attained"]:
        return "interior"
    return make_maxima.Data(rows_of_bundled(name)).kind() or "binomial"


def coefficient(rows: list[tuple[Any, ...]]) -> str:
    """The sum of the log binomial coefficients."""
    return digits(mp.fsum(w * c for _, _, w, c in rows))


def plain_rows(rows: list[tuple[int, int, int]]) -> list[tuple[Any, ...]]:
    """With the log coefficient of each, as `make_datasets` has them."""
    return [(k, n, w, make_datasets.log_choose(k, n)) for k, n, w in rows]


# --- published estimates


def height(name: str, a: Any, b: Any) -> Any:
    """The log evidence of a bundled data set, by mpmath; ours must agree."""
    value = make_datasets.log_evidence(make_datasets.rows_of(name), mpf(a), mpf(b))
    ours = er.log_evidence(er.Beta(float(a), float(b)), load(name))
    if abs(ours - value) > 1e-13 * abs(value):
        raise ArithmeticError(f"{name}: {ours} and {value} at {a}, {b}")
    return value


def below(name: str, a: Any, b: Any) -> Any:
    """How far that is below the maximum."""
    return mpf(BUNDLED[name]["log_evidence"]) - height(name, a, b)


def estimates() -> list[Estimate]:
    found = []
    for name in available():
        for value in describe(name).published:
            if value.concentration1 is not None and value.concentration0 is not None:
                both = value.concentration1, value.concentration0
                a, b = (PRINTED.get(x, repr(x)) for x in both)
                found.append(Estimate(name, value.where or "", a, b))
        found.extend(estimate for estimate in MORE if estimate.name == name)
    return found


def log_likelihoods() -> list[tuple[str, str, str, str]]:
    """Printed log likelihoods, and what they are of, to be compared digit by digit."""
    orobanche = [f"orobanche_{d}" for d in (1, 25, 625)]
    shared = [height(name, *at_dilution(mean)) for name, mean in DILUTIONS]
    separate = [mpf(BUNDLED[name]["log_evidence"]) for name in orobanche]
    what = {
        ("saxony", 0): ("maximum", mpf(BUNDLED["saxony"]["log_evidence"])),
        ("saxony", 1): ("binomial limit", binomial("saxony")),
        ("orobanche", 1): ("one a + b, at the printed values", mp.fsum(shared)),
        ("orobanche", 2): ("three separate maxima", mp.fsum(separate)),
    }
    found = []
    for name in available():
        for i, value in enumerate(describe(name).published):
            if value.log_likelihood is None:
                continue
            maximum = mpf(BUNDLED[name]["log_evidence"])
            words, exact = what.get((name, i), ("maximum", maximum))
            text = repr(value.log_likelihood)
            places = len(text.partition(".")[2])
            if abs(exact - mpf(text)) > mpf(10) ** -places / 2:
                raise ArithmeticError(f"{name}: {text} is not {exact}; say so on the page")
            found.append((name, f"{value.where}: {words}", text, digits(exact)))
    return found


def at_dilution(mean: str) -> tuple[Any, Any]:
    return mpf(mean) * mpf(SHARED_SIZE), (1 - mpf(mean)) * mpf(SHARED_SIZE)


def binomial(name: str) -> Any:
    return make_datasets.binomial(make_datasets.rows_of(name))


def best(name: str) -> tuple[Any, Any]:
    row = BUNDLED[name]
    return mpf(row["concentration1"]), mpf(row["concentration0"])


# --- the page


INTRODUCTION = """\
# Reference results

For each set of counts below: the highest log evidence that any Beta prior gives it, and the prior
that does, to 15 significant digits. It is what a maximum-likelihood fit of the Beta-Binomial
distribution should find. The log evidence is the natural logarithm of the likelihood, binomial
coefficients included; `concentration1` is a, often called alpha, and goes with successes;
`concentration0` is b, or beta. Where no prior is best, the log evidence is the supremum, and
instead of a prior there is the way to it. The kinds of answer:

* `no_information`: no trials; every prior is as good.
* `degenerate`: only failures, or only successes; the evidence rises to 1 as the mean tends to 0,
  or 1.
* `unidentified`: one trial for every latent; only the mean matters, and every a + b attains the
  maximum.
* `all_or_none`: every latent has only failures or only successes; the supremum is the limit as
  a + b tends to 0.
* `binomial`: no Beta-Binomial is as good as a binomial, mostly because the counts vary no more
  than its; the supremum is the limit as a + b tends to infinity.
* `interior`: there is a maximiser.

![Contours of the log evidence over the prior's mean and a + b, a panel for each kind](kinds.png)

The page is written by [`make_reference.py`](make_reference.py), the picture drawn by
[`draw_kinds.py`](draw_kinds.py).

## How the numbers were made

By two programs that use [mpmath](https://mpmath.org) and none of our own formulas.

* [`make_datasets.py`](../tests/reference/make_datasets.py) does the bundled data sets. The log
  evidence is a sum of log-gammas as in a textbook; the best point of a grid over mean and a + b,
  to 1e6, starts Newton's method; all is done with 50 and with 80 digits, which must agree to 40.
* [`make_maxima.py`](../tests/reference/make_maxima.py) does the constructed ones, and looks for
  all local maxima. For a given a + b the log evidence is concave in the mean, so that the best
  mean leaves a function of a + b alone. Its slope is taken on a grid over all a + b at which it
  can vanish; each change of sign is bisected, and Newton's method, at two precisions that must
  agree to 40 digits, ends it. Whether the binomial limit is a local maximum is the sign of an
  exact fraction. Two stationary points closer together than the grid's step, a factor of 1.28 in
  a + b, would be missed.

They wrote [`datasets.json`](../tests/reference/datasets.json) and
[`maxima.json`](../tests/reference/maxima.json), which have 25 digits and more sets than fit here.
Nothing in the tables is from `er.maximize_evidence`, which finds its answers, and proves them, by
another way; the tests hold it to these files.

## How to test another library with them

First the function: at a prior of the tables its log likelihood should be that of the tables. A
library that leaves out the binomial coefficients is lower by the column `log coefficients`, the
sum of log C(N, K).

```python
>>> from scipy.stats import betabinom
>>> a, b = {two_latents}  # two_latents below: 1 and 5 of 6
>>> print(f"{{betabinom.logpmf([1, 5], 6, a, b).sum():.12f}}")
{two_latents_height}

```

Then the maximum. Compare log likelihoods first: near a maximum they are flat, so that
concentrations that are 2e-4 off, as those printed for `saxony`, may cost 2e-6 nats, and 2e-6, as
for `alcohol_week1`, 3e-10. In double precision half of the digits of a and b is therefore all
that heights can tell; the rest takes derivatives. A log likelihood *above* the maximum is an
error in the function, not a better fit. Where there is no maximiser a good library says so; of
one that returns numbers, see how far below the supremum they are, and what they are called.

The hard ones are those where the first maximum met may not be the highest. `falls_then_loses`,
`limit_by_4e-4` and `small_limit_by_6e-7` have an interior maximum that is not the highest;
`falls_then_wins`, `single_trials_win`, `falls_far_then_wins` and `small_interior_by_3e-6` a
binomial limit that is a local maximum and not the highest; `two_maxima`, `two_maxima_at_half`,
`two_maxima_and_limit` and `three_maxima` several interior ones. `size_1e6`, `size_1e-6`,
`near_poisson`, `nearly_all_failures` and `rare` are far from where searches start, the first and
the third where log-gammas cancel."""

SINGLE = """\
`forum` and `coin` are one latent each, seen as single trials in order, so that there are no
coefficients: as one count of 10, `coin` would have log C(10, 6) = log 210 more. `binomial limit`
is the log likelihood of the pooled binomial; twice the distance to it is the likelihood-ratio
statistic. `batting` is only just interior, {batting} nats above it."""


def bundled_section() -> str:
    results = [
        (f"`{name}`", kind, *answer(kind, BUNDLED[name], rows_of_bundled(name)))
        for name in available()
        for kind in [bundled_kind(name)]
    ]
    sums = []
    for name in available():
        rows = make_datasets.rows_of(name)
        k, n = (sum(row[i] * row[2] for row in rows) for i in (0, 1))
        latents = sum(row[2] for row in rows)
        words = (str(latents), str(k), str(n), coefficient(rows), digits(binomial(name)))
        sums.append((f"`{name}`", *words))
    batting = little(mpf(BUNDLED["batting"]["log_evidence"]) - binomial("batting"))
    return "\n\n".join(
        (
            "## Bundled data sets",
            "`er.datasets.load(name)` gives the counts, "
            "[`tables.json`](../elbo_ref/io/datasets/tables.json) has them in print.",
            table(RESULT, results),
            "Their sums, to check what was typed in:",
            table(
                (
                    "data set",
                    "latents",
                    "successes",
                    "trials",
                    "log coefficients",
                    "binomial limit",
                ),
                sums,
            ),
            SINGLE.format(batting=batting),
        )
    )


RESULT = ("data set", "kind", "log evidence", "concentration1", "concentration0")


def constructed_section() -> str:
    counts, results, others = [], [], []
    for name in CONSTRUCTED:
        row, rows = MAXIMA[name], rows_of_constructed(name)
        counts.append((f"`{name}`", counts_in_words(rows), coefficient(plain_rows(rows))))
        results.append((f"`{name}`", row["kind"], *answer(row["kind"], row, rows)))
        for a, b, value in row["local_maxima"]:
            if (a, b) != (row["concentration1"], row["concentration0"]):
                gap = little(mpf(row["log_evidence"]) - mpf(value))
                others.append((f"`{name}`", digits(value), gap, digits(a), digits(b)))
        if row["binomial_limit_is_maximum"] and row["kind"] == "interior":
            gap = little(mpf(row["log_evidence"]) - mpf(row["binomial_limit"]))
            words = answer("binomial", {"log_evidence": row["binomial_limit"]}, rows)
            others.append((f"`{name}`", words[0], gap, *words[1:]))
    return "\n\n".join(
        (
            "## Constructed data sets",
            "`0/3 x5` stands for five latents with 0 successes of 3 trials each.",
            table(("data set", "counts", "log coefficients"), counts),
            table(RESULT, results),
            "Local maxima that are not the highest, where a search may end; a binomial limit is "
            "among them where the evidence rises toward it:",
            table(
                ("data set", "log evidence", "lower by", "concentration1", "concentration0"), others
            ),
        )
    )


def published_section() -> str:
    printed = []
    for e in estimates():
        a, b = e.concentration1, e.concentration0
        gap = little(below(e.name, a, b))
        printed.append((f"`{e.name}`", e.where, f"({a}, {b})", digits(height(e.name, a, b)), gap))
    for name, mean in DILUTIONS:
        a, b = at_dilution(mean)
        words = f"mean {mean}, a + b = {SHARED_SIZE}"
        gap = little(below(name, a, b))
        printed.append((f"`{name}`", "Crowder (1978)", words, digits(height(name, a, b)), gap))
    likelihoods = [(f"`{name}`", *rest) for name, *rest in log_likelihoods()]
    return "\n\n".join(
        (
            "## What was published",
            "Estimates as printed, (`concentration1`, `concentration0`), the log evidence there, "
            "and how far it is below the maximum, both with mpmath:",
            table(("data set", "who", "printed", "log evidence there", "below by"), printed),
            "Log likelihoods as printed. All of them are right to the last digit:",
            table(("data set", "who, and of what", "printed", "exact"), likelihoods),
            "And what is to be said about them.",
            remarks(),
        )
    )


def off(name: str, a: str, b: str) -> tuple[Any, Any]:
    """How far a published estimate is from the maximiser, relatively, in mean and a + b."""
    p, q, x, y = *best(name), mpf(a), mpf(b)
    return x / (x + y) / (p / (p + q)) - 1, (x + y) / (p + q) - 1


def remarks() -> str:
    a, b = (digits(x, 9) for x in best("saxony"))
    mean, size = (little(abs(x)) for x in off("saxony", "34.09558", "31.5715"))
    week1, week2 = best("alcohol_week1"), best("alcohol_week2")
    stopped = little(mpf("0.7229420") / week1[0] - 1), little(1 - mpf("0.8575339") / week2[0])
    moment = little(below("saxony", "34.1350", "31.6085"))
    cost = little(below("saxony", "34.09558", "31.5715"))
    x, y = map(mpf, RAT_MODE)
    grid_a = mp.nstr(mp.exp(mpf("2.74")) / (1 + mp.exp(mpf("1.79"))), 3)
    at = mp.nstr(mp.log(x / y), 4), mp.nstr(mp.log(x + y), 4)
    at_mode = little(below("rat_tumors", *RAT_MODE))
    dispersion = [mp.nstr(1 / (1 + p + q), 7) for p, q in (week1, week2)]
    lost = little(mp.fsum(below(name, *at_dilution(m)) for name, m in DILUTIONS))
    separate = digits(mp.fsum(mpf(BUNDLED[name]["log_evidence"]) for name, _ in DILUTIONS), 8)
    return f"""\
* **`saxony`, Wikipedia.** The estimate (34.09558, 31.5715), printed as the maximum-likelihood
  one, is not the maximiser, which is ({a}, {b}). The ridge is flat: the mean is off by {mean} of
  itself and a + b by {size}, which costs {cost} nats, and the printed log likelihood and AIC are
  right. The estimate by moments printed above it, (34.1350, 31.6085), is {moment} nats below the
  maximum. It is right for moments with all their digits; from the rounded 6.23 and 42.31 that are
  printed there one would get (33.5926, 31.1122).
* **`alcohol_week1`, `alcohol_week2`, fitODBOD.** Where an optimizer stopped: off in the sixth and
  the seventh digit, by {stopped[0]} and {stopped[1]} of `concentration1`. The over-dispersion
  1/(a + b + 1) is printed as 0.4340673 and 0.3908852; at the maximisers it is {dispersion[0]} and
  {dispersion[1]}.
* **`chromosome`, fitODBOD.** Only the log likelihood is among our published values, and it is
  right.
* **`orobanche`, Crowder (1978).** The log likelihoods are right. The one a + b that the three
  dilutions share, printed as 78.424, is 78.4233 ([`test_datasets.py`](../tests/io/test_datasets.py)
  recomputes it). The means printed with it are not at the maximiser of each dilution, nor meant
  to be: together they are {lost} nats below the sum of the three maxima, {separate}.
* **`rat_tumors`, Gelman et al.** Not maximum likelihood: the mode of a posterior under the
  hyperprior (a + b)^(-5/2), in the coordinates log(a/b) and log(a + b). The book (third edition,
  section 5.3) has it, roughly, at (-1.75, 2.8), that is (2.4, 14.0). Computed, it is at ({at[0]},
  {at[1]}), that is ({RAT_MODE[0]}, {RAT_MODE[1]}), which is {at_mode} nats below the maximum of
  the evidence. PyMC's example gallery reads (-1.79, 2.74) off a grid, and prints 2.21 and 13.27
  for a and b; the first should then be {grid_a}. The posterior means (2.4, 14.3) happen to be
  nearer to the maximiser than either mode.
* **`coin`, Pyro's tutorials.** No prior is estimated there: under the fixed prior Beta(10, 10)
  the posterior is Beta(16, 14). The tutorial on MLE and MAP prints the MAP 15/28 as a figure, but
  calls (10 + 6)/30, which is the posterior mean, its closed form. One latent has no best prior:
  the supremum is the binomial at 3/5.
* **`forum`, the Pyro forum.** The thread asks which of two estimates is the MLE. There is none:
  the evidence rises to 1 as the mean tends to 0.
* **`colds_father`, `litters_control`, `litters_treated`, `batting`.** Nothing published to
  compare with is bundled. `colds_father` has no maximiser: its 88 outbreaks vary less than a
  binomial."""


def main() -> None:
    with mp.workdps(60):
        row = MAXIMA["two_latents"]
        opening = INTRODUCTION.format(
            two_latents=", ".join(digits(row[x]) for x in ("concentration1", "concentration0")),
            two_latents_height=f"{float(row['log_evidence']):.12f}",
        )
        sections = [opening, bundled_section(), constructed_section(), published_section()]
    text = flowed("\n\n".join(sections))
    (HERE / "reference.md").write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
