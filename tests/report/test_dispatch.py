"""`elbo_ref.plot`: every kind of result is drawn, readably, and nothing is left behind.

Numbers are read back from the axes and held against the result. Readable, for 6, 71 and 5000
latents, means: no two texts of an axes overlap, and none leaves the figure; the negative control is
a figure too small for its labels.
"""

import functools
import itertools
import subprocess
import sys
import types

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref._format.numbers import number
from elbo_ref._format.result import Result, Rows, Shown, Tabular
from elbo_ref._format.table import Table
from elbo_ref._format.terminal import in_notebook
from elbo_ref.estimates.maxima import EvidenceMaxima, maxima_by
from elbo_ref.estimates.parameters import PriorParameter, PriorParameters, Priors
from elbo_ref.mle.tests import TestResult as Tested, tail
from elbo_ref.report import axes as shared, dispatch, forest, rootogram, surface
from elbo_ref.report.labels import plain_texts

matplotlib = pytest.importorskip("matplotlib")

from matplotlib.backends.backend_agg import FigureCanvasAgg  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from tiers import few  # noqa: E402

NAMES = [
    "north hospital",
    "south",
    "east",
    "a name that is far longer than a line is wide",
    "w$_1$",
    "4",
]
COUNTS = {
    6: er.Counts.grouped([3, 0, 7, 12, 1, 5], [10, 4, 20, 18, 9, 31], NAMES),
    71: er.datasets.load("rat_tumors"),
}
SIZES = [6, 71, 5000]
ROLES = {"prior.concentration1": "a0", "prior.concentration0": "b0"}
ROLES |= {"guide.concentration1": "a", "guide.concentration0": "b"}


def counts_of(size):
    if size in COUNTS:
        return COUNTS[size]
    rng = np.random.default_rng(0)
    n = rng.integers(5, 60, size)
    return er.Counts(rng.binomial(n, rng.beta(3, 10, size)), n)


GUIDE, COUNTS_1 = er.Beta(2.0, 3.0), er.Counts(3, 10)


def groups_of(size, *names):
    """Parameters of the priors of groups, as they might be."""
    rng = np.random.default_rng(size)
    groups = {}
    for i in range(size):
        m, s = rng.beta(2, 5), rng.lognormal(2, 1)
        most = np.inf if i == 3 else 9 * s
        ends = {"mean": (m, m / 2, (1 + m) / 2), "concentration": (s, s / 9, most)}
        ends["rho"] = (1 / (1 + s), 1 / (1 + most), 1 / (1 + s / 9))
        each = {name: PriorParameter(name, *values) for name, values in ends.items()}
        groups[f"group {i}"] = PriorParameters(**each) if len(names) == 3 else each[names[0]]
    return Priors(groups)


def posterior(size):
    return er.posterior_table(er.Beta(2.0, 8.0), counts_of(size))


@functools.cache
def verdict(sign=1.0):
    run = er.maximize_elbo(COUNTS[6], num_steps=30, optimizer=er.Adam(lr=0.1))
    a0, b0 = run.history.prior.arrays()
    a, b = run.history.guide.arrays()
    store = {"a0": a0, "b0": b0, "a": a, "b": b}
    return er.cross_check(COUNTS[6], store, names=ROLES, losses=sign * run.losses)


def bare_verdict():
    store = {"a0": 1.0, "b0": 1.0, "a": 4.0, "b": 8.0}
    return er.cross_check(er.Counts(3, 10), store, names=ROLES)


RESULTS = {
    "counts": lambda: COUNTS[6],
    "very many counts": lambda: counts_of(5000),
    "counts of one size": lambda: er.Counts([3, 4, 9], 10),
    "counts without successes": lambda: er.Counts(0, [3, 9, 40]),
    "counts without trials": lambda: er.Counts(0, 0),
    "expected": lambda: er.expected_counts(er.maximize_evidence(COUNTS[71])),
    "estimate": lambda: er.estimate(COUNTS[6]),
    "point estimates": lambda: er.estimate_table(COUNTS[71], er.Beta(2.0, 3.0)),
    "region": lambda: er.maximize_evidence(COUNTS[71]).confidence_interval("mean"),
    "open region": lambda: er.maximize_evidence(er.Counts(3, 10)).confidence_interval(
        "concentration"
    ),
    "bare verdict": bare_verdict,
    "maximum": lambda: er.maximize_evidence(COUNTS[71]),
    "limit": lambda: er.maximize_evidence(er.Counts([0, 3], 3)),
    "no trials": lambda: er.maximize_evidence(er.Counts(0, 0)),
    "run": lambda: er.maximize_elbo(COUNTS[6], num_steps=300, optimizer=er.Adam(lr=0.1)),
    "diagnosis": lambda: er.diagnose(er.maximize_elbo(COUNTS[6], "empty", num_steps=5)),
    "verdict": verdict,
    "mistake": lambda: verdict(-1.0),
    "difference": lambda: er.estimate(COUNTS[6], er.Beta(2.0, 8.0)).difference(*NAMES[2:4]),
    "prediction": lambda: er.estimate(COUNTS[6]).predict(12, "south"),
    "prior": lambda: er.estimate(COUNTS[6]).prior_parameters,
    "rho": lambda: er.estimate(COUNTS[71], "mle").rho,
    "prior of a limit": lambda: er.estimate(er.Counts([0, 0], 9), "mle").prior_parameters[None],
    "no prior": lambda: er.estimate(er.Counts(0, 0), "mle").prior_parameters,
    "prior of batters": lambda: er.estimate(er.datasets.load("batting")).prior_parameters[None],
    "prior of zeros": lambda: er.estimate(er.Counts([0] * 20, 30)).prior_parameters[None],
    "priors of zeros": lambda: (
        er.estimate(er.Counts([0] * 9 + [1, 9, 30], 30), by=[*"aaabbbcccddd"]).prior_parameters
    ),
    "one in 5000": lambda: er.Counts(0, 5000),
    "huge": lambda: er.estimate(er.Counts([10**15, 10**14], 10**16)).prior_parameters,
    "priors": lambda: groups_of(6, "mean", "concentration", "rho"),
    "many priors": lambda: groups_of(71, "mean", "concentration", "rho"),
    "rhos of very many": lambda: groups_of(5000, "rho"),
    "score test": lambda: er.tarone_test(COUNTS[71]),
    "test": lambda: er.likelihood_ratio_test(COUNTS[71]),
    "test of equals": lambda: er.likelihood_ratio_test(er.Counts([5, 5], 10)),
    "test of many": lambda: Tested(7e3, "one prior for all groups", "other", "chi-square", 9998),
    "gradient variance": lambda: er.gradient_variance(GUIDE, er.Beta(1.0, 1.0), er.Counts(3, 10)),
    "no noise": lambda: er.gradient_variance(er.Beta(4.0, 8.0), er.Beta(1.0, 1.0), COUNTS_1),
    "long prediction": lambda: er.estimate(COUNTS[6]).predict(5000),
}


@functools.cache
def result(name):
    return RESULTS[name]()


def texts_of(ax):
    low, high = sorted(ax.get_ylim())
    named = ax.get_yticklabels()  # none of axes that share those of their neighbour
    ticks = [t for t, y in zip(named, ax.get_yticks(), strict=bool(named)) if low <= y <= high]
    low, high = sorted(ax.get_xlim())
    ticks += [
        t for t, x in zip(ax.get_xticklabels(), ax.get_xticks(), strict=True) if low <= x <= high
    ]
    found = [*ticks, ax.xaxis.label, ax.yaxis.label, ax._left_title, *ax.get_legend().get_texts()]
    return [text for text in found if text.get_text()]


def collisions(drawn):
    """Pairs of texts that overlap, of neighbours too, and texts that leave the figure."""
    bad = [pair for two in itertools.pairwise(np.ravel(drawn)) for pair in between(*two)]
    for ax in np.ravel(drawn):
        figure = ax.figure
        figure.draw_without_rendering()
        boxes = [(text.get_text(), text.get_window_extent()) for text in texts_of(ax)]
        frame = figure.bbox
        for i, (text, box) in enumerate(boxes):
            if box.x0 < frame.x0 or box.x1 > frame.x1 or box.y0 < frame.y0 or box.y1 > frame.y1:
                bad.append((text, "leaves the figure"))
            bad += [(text, other) for other, beside in boxes[:i] if box.overlaps(beside)]
    return bad


def between(left, right):
    """Pairs of texts of neighbouring axes that overlap."""
    left.figure.draw_without_rendering()
    one, other = ([(x.get_text(), x.get_window_extent()) for x in texts_of(ax)]
                  for ax in (left, right))  # fmt: skip
    return [(a, b) for a, box in one for b, beside in other if box.overlaps(beside)]


@pytest.mark.parametrize("name", few(RESULTS, 6))
def test_every_result_is_drawn_readably(name):
    drawn = result(name).plot()
    assert collisions(drawn) == []
    titles = [ax.get_title(loc="left") for ax in np.ravel(drawn)]
    several = isinstance(result(name), er.Run | er.Diagnosis)  # other axes share one title
    assert all(titles) if several else titles[0]


@pytest.mark.parametrize("name", few([x for x in RESULTS if x not in ("run", "diagnosis")], 3))
def test_every_result_is_drawn_readably_on_a_page(name):
    found = result(name)
    picture = dispatch.PICTURES[type(found)]
    figure = Figure(figsize=(picture.narrow(found), picture.size(found)[1]))
    drawn = picture.draw(found, picture.axes(figure, found))
    shared.contained(figure)
    assert collisions(drawn) == []


@pytest.mark.thorough
@pytest.mark.parametrize("size", [1, *SIZES])
def test_importance_weights_are_drawn_readably(size):
    pytest.importorskip("arviz_stats")
    rng = np.random.default_rng(size)
    guide = er.Beta(rng.uniform(2, 8, size), rng.uniform(6, 14, size))
    found = er.pareto_k(guide, er.Beta(1.0, 1.0), er.Counts(rng.binomial(12, 0.3, size), 12))
    ax = found.plot()
    assert collisions(ax) == []
    *_, limit, drawn = ax.get_lines()
    assert sorted(drawn.get_ydata()) == sorted(found.estimate)
    assert list(limit.get_ydata()) == sorted(found.limit)
    unusable = (found.estimate >= 0.7).sum()
    assert f": {unusable} not usable" in ax.get_title(loc="left")


@pytest.mark.parametrize("size", few(SIZES))
@pytest.mark.parametrize("options", [{}, {"above": 0.2}, {"latent": 0}], ids=str)
def test_posteriors_are_drawn_readably(size, options):
    table = posterior(size)
    if "latent" in options:
        options = {"latent": table.labels[0]}
    assert collisions(table.plot(**options)) == []


@pytest.mark.parametrize("size", few(SIZES))
def test_maxima_and_expected_counts_are_drawn_readably(size):
    maximum = er.maximize_evidence(counts_of(size))
    assert collisions(maximum.plot()) == []
    assert collisions(er.expected_counts(maximum).plot()) == []


@pytest.mark.thorough
@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("parameter", ["mean", "concentration", "concentration1"])
def test_profiles_are_drawn_readably(size, parameter):
    assert collisions(er.maximize_evidence(counts_of(size)).plot(profile=parameter)) == []


def test_collisions_are_seen():
    ax = shared.framed(Figure(figsize=(1.6, 1.6)))
    assert collisions(posterior(6).plot(ax)) != []
    axes = Figure(figsize=(6, 2)).subplots(1, 3, gridspec_kw={"wspace": 0.0})
    assert "0.00" in str(collisions(result("prior of zeros").plot(axes)))


@pytest.mark.parametrize(
    "draw",
    few(
        [
            lambda: er.estimate(er.Counts.grouped([3, 1], 9, ["W" * 40, "M" * 40])).plot(),
            lambda: maxima_by(er.Counts([3, 1], 9), ["W" * 40, "M" * 40]).plot(),
            lambda: result("prior of batters").plot(),
            lambda: result("maximum").plot(),
            lambda: result("difference").plot(),
            lambda: result("test").plot(),
        ]
    ),
)
@pytest.mark.parametrize("size", [10, 16])
def test_a_figure_grows_where_letters_are_wide_or_large(draw, size):
    with matplotlib.rc_context({"font.size": size}):
        assert collisions(draw()) == []


def test_only_a_bare_table_has_no_picture():
    def classes(kind):
        return {kind} | {x for sub in kind.__subclasses__() for x in classes(sub)}

    bases = {Shown, Rows, Result, Tabular}
    without = classes(Shown) - set(dispatch.PICTURES) - bases
    assert without == {Table}
    assert not any(hasattr(kind, "plot") for kind in without)
    with pytest.raises(TypeError, match="no picture of Table: only of ConfidenceRegion, Counts, D"):
        er.plot(posterior(6).table())


@pytest.mark.parametrize("name", few(RESULTS, 2))
def test_axes_in_axes_out(name):
    found = result(name)
    number = dispatch.PICTURES[type(found)].panels(found)
    given = Figure().subplots(1, number)
    drawn = er.plot(found, given)
    assert np.array_equal(drawn, given) if number > 1 else drawn is given
    with pytest.raises(TypeError, match="no_such_option"):
        found.plot(given, no_such_option=1)
    with pytest.raises(TypeError, match=r"ax = 3 \(int\) is no matplotlib Axes; leave ax out, or"):
        found.plot(3)
    with pytest.raises(ValueError, match=rf"has {number} axes, not 4; give matplotlib.pyplot.sub"):
        found.plot(Figure().subplots(2, 2))


# -- the numbers that are drawn ----------------------------------------------------------------


def line(ax, label):
    (found,) = (x for x in ax.lines if x.get_label().startswith(label))
    return np.array(found.get_data(), float)


@pytest.mark.parametrize("size", [6, 71])
def test_a_forest_is_the_table_sorted(size):
    table = posterior(size)
    ax = table.plot()
    order = np.argsort(table.mean, kind="stable")
    np.testing.assert_array_equal(line(ax, "estimate"), [table.mean[order], np.arange(size)])
    raw = table.counts.successes / table.counts.total_count
    np.testing.assert_array_equal(line(ax, "raw"), [raw[order], np.arange(size)])
    names = plain_texts(table.labels)
    named = {
        round(y): text.get_text()
        for y, text in zip(ax.get_yticks(), ax.get_yticklabels(), strict=True)
    }
    for place, text in named.items():
        assert text == names[order[place]]
    assert size - 1 in named


def test_a_ribbon_keeps_the_estimates_and_the_medians_of_intervals():
    table = posterior(5000)
    ax = table.plot()
    order = np.argsort(table.mean, kind="stable")
    np.testing.assert_array_equal(line(ax, "estimate")[0], table.mean[order])
    at, low, high = forest.ribbon(table.lower[order], table.upper[order])
    assert at.size == 100 and (low < high).all()
    np.testing.assert_allclose(low[50], np.median(table.lower[order][2500:2550]))
    assert len(ax.get_yticks()) < 10


@pytest.mark.parametrize(("size", "least"), [(151, 3.0), (5000, 1.5)])
def test_raw_rates_are_seen_on_a_ribbon(size, least):
    """They lie on it, large and dark enough, and the legend says over how many its median is."""
    n = 20 + np.arange(size) % 7
    k = np.random.default_rng(1).binomial(n, 0.3)
    ax = er.posterior_table(er.Beta(2.0, 8.0), er.Counts(k, n)).plot()
    raw = next(x for x in ax.lines if np.size(x.get_xdata()) == size and x.get_marker() == "o")
    (band,) = ax.collections
    assert np.sort(raw.get_xdata()).tolist() == np.sort(k / n).tolist()
    assert raw.get_markersize() > least and raw.get_alpha() > 0.5
    assert raw.get_zorder() > band.get_zorder()
    labels = [x.get_text() for x in ax.get_legend().get_texts()]
    neighbours = {151: 8, 5000: 50}[size]
    assert f"95% interval, median of {neighbours} neighbours" in labels
    assert {"raw rate", "estimate"} < {*labels}


def test_an_interval_is_seen_beside_its_dot():
    """That of a concentration of 5000 latents, 11.4 to 12.6, is not hidden under it."""
    axes = er.estimate(counts_of(5000)).prior_parameters[None].plot()
    for ax in axes:
        FigureCanvasAgg(ax.figure).draw()
        (interval,) = ax.collections
        ends = ax.transData.transform(interval.get_segments()[0])[:, 0]
        dot = next(x for x in ax.lines if x.get_marker() == "o")
        assert np.ptp(ends) > 5 * dot.get_markersize() * ax.figure.dpi / 72


@pytest.mark.parametrize("prior", few([er.Beta(2.0, 8.0), "averaged", "mle"]), ids=str)
def test_estimates_have_the_pictures_of_a_posterior(prior):
    found = er.estimate(COUNTS[6], prior, level=0.9)
    ax = found.plot()
    order = np.argsort(found.mean, kind="stable")
    np.testing.assert_array_equal(line(ax, "estimate, 90%")[0], found.mean[order])
    exceeds = found.plot(above=0.2).lines[0].get_xdata()
    np.testing.assert_allclose(exceeds, np.sort(found.probability_above(0.2)))
    ax = found.plot(latent="south")
    y, height = line(ax, "posterior")
    fine = np.linspace(y[0], y[-1], 20001)  # its mean is that of the table
    c = 1 / (1 + np.exp(-fine))
    weight = np.interp(fine, y, height)
    assert abs((c * weight).sum() / weight.sum() - found["south"].mean) < 2e-3
    assert collisions(ax) == []
    if isinstance(prior, er.Beta):
        same = line(er.posterior_table(prior, COUNTS[6]).plot(latent="south"), "posterior")
        np.testing.assert_allclose(np.interp(y, *same), height, atol=2e-3)


def test_a_limit_has_no_densities():
    found = er.estimate(er.Counts([0, 3], 3), "mle")
    found.plot(), found.plot(above=0.3)
    with pytest.raises(ValueError, match="limit"):
        found.plot(latent=0)


@pytest.mark.parametrize("above", [0.05, 0.2, 0.7])
def test_exceedance_is_the_survival_function_of_the_posterior(above):
    table = posterior(6)
    ax = table.plot(above=above)
    after = er.posterior(table.prior, table.counts)
    wanted = np.sort(stats.beta.sf(above, *after.arrays()))
    np.testing.assert_allclose(ax.lines[0].get_xdata(), wanted, rtol=1e-12)
    with pytest.raises(ValueError, match="above"):
        table.plot(above=1.5)


@pytest.mark.parametrize("label", [NAMES[0], NAMES[1]])
def test_a_latent_has_its_three_densities(label):
    table = posterior(6)
    ax = table.plot(latent=label)
    row, i = table[label], table.labels.index(label)
    assert ax.get_title(loc="left").startswith(f"{label}: {row.successes} of {row.total_count}")
    y, height = line(ax, "likelihood")
    k, n = table.counts.successes[i], table.counts.total_count[i]
    wanted = stats.binom.pmf(k, n, 1 / (1 + np.exp(-y)))
    top = stats.binom.pmf(k, n, k / n)
    np.testing.assert_allclose(height, wanted / top, rtol=1e-6, atol=0.02)
    for name in ("prior", "posterior"):
        assert line(ax, name)[1].max() == 1
    with pytest.raises(KeyError, match="no row"):
        table.plot(latent="nobody")


def test_the_best_mean_is_that_of_the_profile():
    maximum = er.maximize_evidence(COUNTS[71])
    ax = maximum.plot()
    at, s = line(ax, "best mean")
    for i in (0, 20, 40, 63):
        held = er.maximize_evidence(COUNTS[71], fixed={"concentration": s[i]})
        assert abs(at[i] - np.log(held.mean / (1 - held.mean))) < 0.01
    x, top = line(ax, "maximum")[:, 0]
    np.testing.assert_allclose([1 / (1 + np.exp(-x)), top], [maximum.mean, maximum.concentration])


@pytest.mark.parametrize("ratio", [1.4, 3, 4.5, 8, 60, 1e4, 1e9])
@pytest.mark.parametrize("width", [2, 5])
def test_ticks_of_a_logarithmic_axis_stand_apart(ratio, width):
    for low in (7.1, 8.2, 30.0, 1234.0):
        ax = shared.framed(Figure(figsize=(width, 2)), 0.2)
        ax.set(xscale="log", xlim=(low, low * ratio))
        shared.log_axis(ax.xaxis, low, low * ratio)
        shared.headed(ax, "")
        assert [x for x in collisions(ax) if "leaves" not in str(x)] == []
        assert ax.get_xticks().size >= 1


def test_a_best_mean_outside_the_picture_is_not_drawn():
    maximum = er.maximize_evidence(er.datasets.load("batting"))
    ax = maximum.plot()
    at, s = line(ax, "best mean")
    left, right = ax.get_xlim()
    held = [er.maximize_evidence(maximum.counts, fixed={"concentration": x}).mean for x in s]
    best = np.log(held) - np.log1p(-np.array(held))
    inside = (best > left) & (best < right)
    assert 5 < (~inside).sum() < 30  # for a + b < 2.5 it is 0.34 to 0.49
    np.testing.assert_array_equal(np.isfinite(at), inside)
    np.testing.assert_allclose(at[inside], best[inside], atol=0.01)


@pytest.mark.thorough
def test_many_pairs_are_smoothed_to_the_same_surface():
    counts = counts_of(1200)
    maximum = er.maximize_evidence(counts)
    xs, ss, below = surface.shade(Figure().subplots(), maximum, (-1.4, -1.0), (10.0, 20.0))
    for i, j in ((0, 0), (31, 40), (63, 17)):
        m = 1 / (1 + np.exp(-xs[j]))
        exact = maximum.log_evidence - er.log_evidence(er.Beta(ss[i] * m, ss[i] * (1 - m)), counts)
        np.testing.assert_allclose(below[i, j], exact, rtol=1e-3, atol=1e-3)


def test_a_profile_is_drawn_with_its_interval():
    maximum = er.maximize_evidence(COUNTS[6])
    ax = maximum.plot(profile="concentration")
    values, below = np.array(ax.lines[0].get_data())
    for i in (3, 30, 57):
        np.testing.assert_allclose(
            below[i] + maximum.log_evidence, maximum.profile("concentration", values[i])
        )
    with pytest.raises(ValueError, match="profile"):
        maximum.plot(profile="nothing")


@pytest.mark.parametrize("size", [6, 71, 5000])
def test_a_rootogram_has_every_latent(size):
    found = er.expected_counts(er.maximize_evidence(counts_of(size)))
    start, width, observed, expected = rootogram.joined_by_successes(found)
    assert observed.sum() == found.observed.sum() and observed.size <= 41
    assert expected.sum() <= found.expected.sum() * (1 + 1e-12)
    assert expected.sum() > 0.9 * found.expected.sum()
    ax = found.plot()
    np.testing.assert_allclose(line(ax, "expected")[1] ** 2, expected)
    hanging = [bar.get_height() ** 2 for bar in ax.patches if bar.get_width() < 1.01 * width][
        -start.size :
    ]
    np.testing.assert_allclose(hanging, observed)


def test_losses_of_a_verdict_are_in_standard_deviations():
    seen = verdict()
    ax = seen.plot()
    drawn = line(ax, "losses")[1]
    np.testing.assert_allclose(drawn, (seen.losses.values - seen.losses.mean) / seen.losses.std)
    assert np.abs(drawn).max() < 6 and "mean under" not in str(ax.get_legend().get_texts())


@pytest.mark.thorough
def test_a_mistake_is_drawn_where_the_losses_are():
    seen = verdict(-1.0)
    assert seen.mistakes == (seen.losses.mistake,) == ("wrong_sign",)
    ax = seen.plot()
    away, under = line(ax, "losses")[1], line(ax, "mean under wrong_sign")[1]
    assert np.median(np.abs(away - under)) < 1 < 2.5 < np.abs(away).min()


# -- notebooks and scripts ---------------------------------------------------------------------


@pytest.fixture
def pyplot():
    from matplotlib import pyplot

    pyplot.close("all")
    yield pyplot
    pyplot.close("all")


def test_pyplot_knows_a_figure_where_it_is_in_use(pyplot):
    ax = posterior(6).plot()
    assert pyplot.figure(pyplot.get_fignums()[-1]) is ax.figure
    before = pyplot.get_fignums()
    posterior(6).plot(Figure().subplots())
    assert pyplot.get_fignums() == before


@pytest.mark.parametrize("options", [{"latent": "nobody"}, {"above": 2.0}, {"no_such_option": 1}])
def test_what_is_refused_leaves_no_figure(pyplot, options):
    with pytest.raises((KeyError, TypeError, ValueError)):
        posterior(6).plot(**options)
    assert pyplot.get_fignums() == []


def test_a_notebook_is_one_with_a_kernel(monkeypatch):
    for kernel, wanted in ((object(), True), (None, False)):
        python = types.SimpleNamespace(get_ipython=lambda k=kernel: types.SimpleNamespace(kernel=k))
        monkeypatch.setitem(sys.modules, "IPython", python)
        assert in_notebook() is wanted
    monkeypatch.setitem(sys.modules, "IPython", types.SimpleNamespace(get_ipython=lambda: None))
    assert not in_notebook()


@pytest.mark.thorough
def test_a_script_brings_no_pyplot():
    code = (
        "import sys, elbo_ref as er\n"
        "table = er.posterior_table(er.Beta(2.0, 8.0), er.Counts([3, 4], 9))\n"
        "for _ in range(30): table.plot()\n"
        "assert 'matplotlib.figure' in sys.modules and 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


@pytest.mark.parametrize("size", few([2, 7, 40, 151]))
def test_groups_of_any_number_and_name_are_in_the_picture(size):
    """Names end within the figure, and apart from each other; too many have none."""
    one = maxima_by(er.Counts([3, 4, 9], 10), ["a", "a", "a"])
    names = [f"a long name of a group, {i}" for i in range(size)]
    maxima = EvidenceMaxima(one.together, dict.fromkeys(names, *one.groups.values()), one.test)
    axes = er.plot(maxima)
    figure = axes[0].figure
    FigureCanvasAgg(figure).draw()
    boxes = [text.get_window_extent() for text in axes[0].get_yticklabels()]
    assert len(boxes) == (size if size <= forest.MOST_ROWS else 0)
    assert all(box.x0 >= 0 for box in boxes)
    assert all(above.y0 >= below.y1 for above, below in itertools.pairwise(boxes))
    shown = [np.ravel(line.get_xdata()) for line in axes[0].lines if line.get_marker() == "o"]
    assert np.concatenate(shown).tolist() == [x.mean for x in maxima.groups.values()]


@pytest.mark.parametrize("name", ["Westminster Hospital, London", "W" * 60, "a"])
def test_the_title_of_a_latent_fits_its_figure(name):
    found = er.estimate(er.Counts.grouped([3, 1], [40, 9], [name, "other"]), er.Beta(2.0, 8.0))
    ax = found.plot(latent=name)
    FigureCanvasAgg(ax.figure).draw()
    title = ax.title if ax.get_title() else ax._left_title
    assert title.get_window_extent().x1 <= ax.figure.bbox.width
    assert title.get_fontsize() == 10.5 or len(name) > 20


@pytest.mark.thorough
@pytest.mark.parametrize("size", SIZES)
def test_a_run_keeps_its_labels_within_the_figure(size):
    """Losses of 5000 latents have ticks of six digits, beside which the label needs its room."""
    run = er.maximize_elbo(counts_of(size), num_steps=20, optimizer=er.Adam(lr=0.1))
    for ax in run.plot():
        figure = ax.figure
        FigureCanvasAgg(figure).draw()
        assert ax.yaxis.label.get_window_extent().x0 >= 0


@pytest.mark.parametrize("above", [None, 0.3])
def test_a_forest_of_groups_names_the_group_of_each_row(above):
    by = ["old", "new", "old", "new", "old", "new"]
    found = er.estimate(COUNTS[6], er.Beta(2.0, 8.0), by=by)
    ax = found.plot(**({} if above is None else {"above": above}))
    assert collisions(ax) == []
    names = {x.get_text().rpartition(" (")[::2] for x in ax.get_yticklabels()}
    assert {group for _, group in names} == {"old)", "new)"}
    assert ("south", "new)") in names


def test_unknown_options_are_named():
    found = er.estimate(er.Counts([3, 4, 9], 10))
    with pytest.raises(TypeError, match="no option 'colour': it has only latent and above"):
        found.plot(colour="red")
    with pytest.raises(TypeError, match="of Prediction has no option 'above': it has none"):
        found.predict(10).plot(above=0.5)


def test_a_difference_without_a_probability_has_a_title():
    groups = er.estimate(er.Counts([1, 2, 0, 7, 9, 6], 10), "mle", by=[*"aaabbb"])
    ax = groups.difference("a", "b", groups=True).plot()
    assert ax.get_title(loc="left") == "a less b: -0.63333"
    with pytest.raises(ValueError, match="no groups to compare: give by= to estimate"):
        er.estimate(er.Counts([3, 4], 10)).difference("a", "b", groups=True)


# -- priors, tests and estimators --------------------------------------------------------------


@pytest.mark.parametrize("size", [6, 71])
def test_priors_have_a_row_for_each_group_and_axes_for_each_parameter(size):
    found = groups_of(size, "mean", "concentration", "rho")
    axes = found.plot()
    order = list(found.groups)[::-1]
    if size == 71:  # sorted by the mean
        order = sorted(found.groups, key=lambda name: found[name].mean.value)
    for ax, name in zip(axes, ("mean", "concentration", "rho"), strict=True):
        rows = [getattr(found[group], name) for group in order]
        below, above, values, _ = ax.get_lines()
        low, high = ax.get_xlim()
        assert list(values.get_xdata()) == [x.value for x in rows if low <= x.value <= high]
        (intervals,) = ax.collections
        segments = np.array(intervals.get_segments())[:, :, 0]
        assert segments[:, 0].tolist() == [x.lower for x in rows]
        cut = name == "concentration"
        assert segments[:, 1].tolist() == [min(x.upper, high if cut else 1.0) for x in rows]
        assert len(below.get_xdata()) == 0
        assert len(above.get_xdata()) == (sum(x.upper > high for x in rows) if cut else 0)
    labels = [x.get_text() for x in axes[0].get_yticklabels()]
    assert labels == (list(found.groups) if size == 6 else [])


def test_one_parameter_has_axes_of_its_own_and_groups_share_them():
    one = er.estimate(COUNTS[6]).rho
    ax = one.plot()
    assert ax.get_xlabel() == "rho of the prior"
    numbers = f"{number(one.value)}, {number(one.lower)} to {number(one.upper)}"
    assert ax.get_title(loc="left") == f"rho of the prior: {numbers}"
    assert list(ax.get_lines()[-2].get_xdata()) == [one.value]
    assert groups_of(2, "rho").plot().get_title(loc="left") == "rho of the priors of 2 groups"


@pytest.mark.parametrize("name", ["score test", "test", "test of equals", "test of many"])
def test_a_test_is_a_point_of_the_curve_of_p(name):
    found = result(name)
    ax = found.plot()
    curve, _, _, point = ax.get_lines()
    x, p = curve.get_data()
    np.testing.assert_array_equal(p, np.maximum(tail(found.distribution, found.dof, x), 1e-300))
    assert (*map(float, point.get_data()[0]), *map(float, point.get_data()[1])) == (
        found.statistic,
        max(found.pvalue, 1e-300),
    )
    law = {"normal": stats.norm(), "chi-square": stats.chi2(found.dof or 1)}
    wanted = law.get(found.distribution, stats.chi2(1)).sf(found.statistic)
    wanted *= 0.5 if found.distribution == "half chi-square" and found.statistic > 0 else 1.0
    np.testing.assert_allclose(found.pvalue, wanted, rtol=1e-10)


def test_estimators_are_at_their_price():
    found = result("gradient variance")
    ax = found.plot()
    particles = found.table().column("particles")
    assert list(ax.get_lines()[0].get_xdata()) == particles
    assert [x.get_text() for x in ax.get_yticklabels()] == found.table().column("estimator")


def test_a_p_value_that_is_0_to_a_float_is_said_to_be_small():
    """Axes of hundreds of decades have few ticks, too."""
    ax = Tested(120.0, "binomial", "overdispersed", "normal", 1).plot()
    assert ax.get_title(loc="left") == "null hypothesis: binomial; p < 1e-300"
    assert 3 <= len(ax.get_yticks()) <= 6
    assert collisions(ax) == []


def legend(ax):
    return [x.get_text() for x in ax.get_legend().get_texts()]


def test_marks_are_explained():
    found = er.estimate(COUNTS[6], level=0.9)
    ax = found.predict(30, "south").plot()
    assert ax.get_title(loc="left") == "south: successes in 30 new trials"
    assert legend(ax) == [f"90% interval, 0 to {found.predict(30, 'south').upper}", "outside"]
    number = er.estimate(er.Counts([3, 4], 9)).predict(1, 1).plot()
    assert number.get_title(loc="left") == "latent 1: successes in 1 new trial"
    by = er.estimate(COUNTS[6], by=[*"aaabbb"])
    title = by.predict(3, group="b").plot().get_title(loc="left")
    assert title == "a new latent of b: successes in 3 new trials"
    assert legend(found.difference("east", "south").plot()) == ["mean", "90% interval"]
    title = er.estimate(er.Counts([3, 4], 9)).difference(1, 0).plot().get_title(loc="left")
    assert title.startswith("latent 1 above latent 0: P = ")
    assert legend(found.rho.plot()) == ["90% interval", "estimate"]
    assert legend(er.estimate(COUNTS[6], er.Beta(2.0, 8.0)).rho.plot()) == ["value"]
    assert legend(found.plot(above=0.2)) == ["above 95%"]
    limits = maxima_by(er.Counts([1, 2, 0, 3, 7, 9, 6, 8], 10), [*"aaaabbbb"]).plot()
    assert "limit, not attained" in legend(limits[0]) and "estimate" not in legend(limits[0])
    attained = er.Counts([0, 3, 9, 1, 9, 2], 10)
    assert "limit, not attained" not in legend(maxima_by(attained, [*"aaabbb"]).plot()[0])


@pytest.mark.parametrize("by", [None, [f"a treatment of that kind, {i}" for i in (1, 2, 3)]])
def test_long_labels_fit_a_narrow_page(by):
    """The picture is no wider than letters can be read on a telephone; labels stay apart."""
    names = [f"Ward with a very long name number {i}" for i in (1, 2, 3)]
    found = er.estimate(er.Counts.grouped([3, 4, 9], 12, names), by=by)
    for each in (found, maxima_by(er.Counts([3, 4, 9], 12), names)):
        picture = dispatch.PICTURES[type(each)]
        figure = Figure(figsize=(picture.narrow(each), picture.size(each)[1]))
        axes = picture.draw(each, picture.axes(figure, each))
        shared.contained(figure)
        assert figure.get_size_inches()[0] < 5 and collisions(axes) == []
        assert len({x.get_text() for x in np.ravel(axes)[0].get_yticklabels()}) == 3
        title = np.ravel(axes)[0]._left_title
        assert title.get_fontsize() == 10.5
