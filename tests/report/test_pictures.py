"""`elbo_ref.report.pictures`: the right numbers are drawn, and nothing is left behind.

Curves are read back from the axes and held against the run, `log_evidence`, SciPy's densities with
the Jacobian of logit c (the control: without it they differ), and the binomial likelihood. Every
kind of supremum is drawn with every guide; warnings are errors.
"""

import dataclasses
import functools
import io
import os
import subprocess
import sys
import xml.etree.ElementTree as ElementTree

import numpy as np
import pytest
from scipy import special as sc, stats

import elbo_ref as er
from elbo_ref.report import axes as shared, pictures, surface

if os.environ.get("ELBO_REF_REQUIRE_LIVE") == "1":
    import matplotlib
else:
    matplotlib = pytest.importorskip("matplotlib")

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text

from kinds import GUIDES, KINDS as EVERY_KIND
from tiers import few

FAST = er.Adam(lr=0.1)
FORUM = er.datasets.load("forum")
RATS = er.datasets.load("rat_tumors")
KINDS = EVERY_KIND | {"degenerate": er.Counts([4, 7], [4, 7])}


@functools.cache
def seen(counts, guide="beta", loss="trace", num_steps=30, **settings):
    settings = {"optimizer": FAST, **settings}
    return er.diagnose(er.maximize_elbo(counts, guide, loss=loss, num_steps=num_steps, **settings))


def curves(ax):
    """Points of each curve with a label."""
    return {line.get_label(): np.array(line.get_data(), float) for line in ax.lines}


def draw(ax):
    ax.figure.savefig(io.BytesIO(), format="png")


# -- losses ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guide", GUIDES)
def test_losses_objective_and_evidence_are_drawn_above_the_supremum(guide):
    diagnosis = seen(RATS, guide)
    run, best = diagnosis.run, diagnosis.supremum.log_evidence
    drawn = curves(pictures.plot_losses(diagnosis))
    np.testing.assert_array_equal(drawn["-loss"], [np.arange(30), -run.losses - best])
    np.testing.assert_array_equal(drawn["objective"], [np.arange(31), run.objectives - best])
    np.testing.assert_array_equal(drawn["maximum -156.57"][1], 0.0)
    assert ("log evidence" in drawn) == (guide != "none")
    if guide != "none":
        a, b = run.history.prior.arrays()
        wanted = [er.log_evidence(er.Beta(*pair), RATS) for pair in zip(a, b, strict=True)]
        np.testing.assert_allclose(drawn["log evidence"][1] + best, wanted, rtol=1e-13)


def test_an_exact_loss_is_the_objective():
    drawn = curves(pictures.plot_losses(seen(RATS, loss="exact")))
    assert "objective = -loss" in drawn and "-loss" not in drawn


@pytest.mark.thorough
def test_a_long_run_is_thinned_and_keeps_its_ends():
    diagnosis = seen(FORUM, "tied", num_steps=2100)
    ax = pictures.plot_losses(diagnosis)
    drawn = curves(ax)
    for label, most, last in (("-loss", 2000, 2099), ("log evidence", 400, 2100)):
        steps = drawn[label][0].astype(int)
        assert steps.size <= most and steps[0] == 0 and steps[-1] == last
    estimates = -diagnosis.run.losses - diagnosis.supremum.log_evidence
    np.testing.assert_array_equal(drawn["-loss"][1], estimates[drawn["-loss"][0].astype(int)])
    assert pictures.plot_path(diagnosis).lines[0].get_xdata().size <= 2000


@pytest.mark.parametrize("guide", ["beta", "empty"])
def test_a_wild_loss_does_not_squeeze_the_rest(guide):
    diagnosis = seen(FORUM, guide, num_steps=300)
    losses = diagnosis.run.losses.copy()
    losses[[7, 9]] = 1e12, -1e12
    wild = dataclasses.replace(diagnosis, point=dataclasses.replace(diagnosis.run, losses=losses))
    limits = np.array(pictures.plot_losses(diagnosis).get_ylim())
    assert (
        np.abs(np.arcsinh(limits) - np.arcsinh(pictures.plot_losses(wild).get_ylim())) < 1
    ).all()


def test_the_heights_are_linear_within_a_nat_and_logarithmic_beyond():
    ax = pictures.plot_losses(seen(FORUM, "empty", "exact", num_steps=500))
    assert ax.get_ylim()[1] > 1e9
    to_axes = ax.transScale.transform(np.array([[0, 0], [0, 1e-3], [0, 1e6], [0, 1e7]]))[:, 1]
    np.testing.assert_allclose(np.diff(to_axes)[[0, 2]], [1e-3, np.log(10)], rtol=1e-6)
    assert 0 in ax.get_yticks() and len(ax.get_yticks()) <= 7


# -- densities ---------------------------------------------------------------------------------


def logit_density(y, a, b, jacobian=1.0):
    def log_density(y):
        c = sc.expit(y)
        return stats.beta.logpdf(c, a, b) + jacobian * (np.log(c) + np.log1p(-c))

    return np.exp(log_density(y) - log_density(np.log(a / b)))


@pytest.mark.parametrize("latent", [0, 30, 70])
def test_densities_are_of_logit_c_relative_to_their_peak(latent):
    diagnosis = seen(RATS)
    prior, guide = diagnosis.run.prior, diagnosis.run.guide
    exact = er.posterior(prior, RATS)
    ax = pictures.plot_densities(diagnosis, latent=latent)
    drawn = curves(ax)
    for label, a, b in (
        ("prior", prior.concentration1, prior.concentration0),
        ("guide", guide.concentration1[latent], guide.concentration0[latent]),
        ("posterior", exact.concentration1[latent], exact.concentration0[latent]),
    ):
        y, height = drawn[label]
        middle = np.abs(y) < 12  # beyond, 1 - c loses digits here
        wanted = logit_density(y[middle], a, b)
        np.testing.assert_allclose(height[middle], wanted, rtol=1e-8, atol=1e-300, err_msg=label)
        assert np.abs(height[middle] - logit_density(y[middle], a, b, jacobian=0)).max() > 0.01
        assert height.max() == 1
        low, high = ax.get_xlim()
        assert low < y[np.argmax(height)] < high
    assert ax.get_title(loc="left") == f"latent {latent}: " + (
        f"{RATS.successes[latent]} of {RATS.total_count[latent]}"
    )


@pytest.mark.parametrize(("a", "b"), [(0.07, 11.0), (1e-12, 3.0), (3.0, 1e-12), (1e15, 2e15)])
def test_densities_of_extreme_priors_are_finite_and_mirror_each_other(a, b):
    counts = er.Counts([3], [5])
    ordinary, mirrored = seen(counts, num_steps=1), seen(er.Counts([2], [5]), num_steps=1)
    run = dataclasses.replace(ordinary.run, prior=er.Beta(a, b))
    other = dataclasses.replace(mirrored.run, prior=er.Beta(b, a))
    y, height = curves(pictures.plot_densities(dataclasses.replace(ordinary, point=run)))["prior"]
    z, other = curves(pictures.plot_densities(dataclasses.replace(mirrored, point=other)))["prior"]
    assert np.isfinite(height).all() and height.max() == 1
    shown = height > 0.5
    np.testing.assert_allclose(np.interp(-y[shown], z, other), height[shown], rtol=0.02, atol=0.02)


def test_what_a_guide_that_is_no_beta_of_its_own_shows():
    tied = curves(pictures.plot_densities(seen(FORUM, "tied")))
    label = next(label for label in tied if label.startswith("guide"))
    assert "the prior" in label
    np.testing.assert_array_equal(tied[label], tied["prior"])
    ax = pictures.plot_densities(seen(FORUM, "empty"))
    assert set(curves(ax)) == {"prior", "posterior"}
    assert "no guide" in ax.get_title(loc="left")


@pytest.mark.parametrize(("k", "n"), [(0, 5000), (3, 10), (7, 7), (0, 0)])
def test_without_a_latent_the_likelihood_and_the_c_reached(k, n):
    diagnosis = seen(er.Counts([k], [n]), "none")
    ax = pictures.plot_densities(diagnosis)
    drawn = curves(ax)
    y, height = drawn.pop("likelihood")
    wanted = stats.binom.pmf(k, n, sc.expit(y))
    np.testing.assert_allclose(height, wanted / wanted.max(), rtol=1e-8, atol=1e-300)
    ((label, ((at, _), _)),) = drawn.items()
    assert at == diagnosis.run.guide.logits[0]
    assert ax.get_xlim()[0] < at < ax.get_xlim()[1]
    np.testing.assert_allclose(float(label.split()[2]), sc.expit(at), rtol=5e-3)


LABELS = ["$x_1$", "a_b", "<b>&amp;", r"$\frac{$", "_", "two\nlines\x00", "x" * 100, "%s {0} \\n"]


def test_labels_are_drawn_as_they_are():
    counts = er.Counts.grouped(np.arange(len(LABELS)), 9, LABELS)
    diagnosis = seen(counts, num_steps=5)
    for latent, label in enumerate(LABELS):
        ax = pictures.plot_densities(diagnosis, latent=latent)
        title = ax.get_title(loc="left")
        name, _, counted = title.rpartition(": ")
        assert counted == f"{latent} of 9"
        assert name == {5: "two lines", 6: "x" * 16 + "…" + "x" * 15}.get(latent, label)
    picture = io.BytesIO()
    ax = pictures.plot_densities(diagnosis, latent=LABELS.index(r"$\frac{$"))
    ax.figure.savefig(picture, format="svg")
    ElementTree.fromstring(picture.getvalue())
    title = next(text for text in ax.findobj(Text) if "frac" in text.get_text())
    title.set_parse_math(True)
    with pytest.raises(ValueError, match="frac"):
        draw(ax)


# -- path --------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", KINDS)
def test_the_path_and_the_surface_under_it(kind, monkeypatch):
    given = []
    contourf = Axes.contourf
    monkeypatch.setattr(
        Axes, "contourf", lambda ax, *xyz, **how: given.append(xyz) or contourf(ax, *xyz, **how)
    )
    counts = KINDS[kind]
    diagnosis = seen(counts, prior=er.Beta(0.7, 2.5))
    assert diagnosis.supremum.kind == kind
    drawn = curves(pictures.plot_path(diagnosis))
    a, b = diagnosis.run.history.prior.arrays()
    np.testing.assert_allclose(
        drawn["prior"], [sc.logit(a / (a + b)), a + b], rtol=1e-9, atol=1e-14
    )
    np.testing.assert_array_equal(drawn["start"][:, 0], drawn["prior"][:, 0])
    np.testing.assert_array_equal(drawn["end"][:, 0], drawn["prior"][:, -1])
    ((x, s, below),) = given
    assert x[0] < drawn["prior"][0].min() and drawn["prior"][0].max() < x[-1]
    assert s[0] < drawn["prior"][1].min() and drawn["prior"][1].max() < s[-1]
    for i, j in ((0, 0), (5, 40), (63, 2), (20, 63)):
        prior = er.Beta(s[i] * sc.expit(x[j]), s[i] * sc.expit(-x[j]))
        wanted = diagnosis.supremum.log_evidence - er.log_evidence(prior, counts)
        np.testing.assert_allclose(below[i, j], max(wanted, 0), rtol=1e-9, atol=1e-11)


def test_latents_with_equal_counts_and_split_rows_are_all_in_the_surface():
    counts = er.Counts.grouped([1, 2, 3, 2, 1], [4, 5, 4, 4, 5], list("aabbc"))
    for c in (counts, RATS, er.Counts([3, 3, 1], 9, [2, 3, 4])):
        a, b = np.array([0.3, 7.0, 1e9]), np.array([2.0, 0.1, 4e9])
        got = surface.heights(a, b, c)
        wanted = [er.log_evidence(er.Beta(*pair), c) for pair in zip(a, b, strict=True)]
        np.testing.assert_allclose(got, wanted, rtol=1e-12)


@pytest.mark.parametrize(
    ("kind", "marker", "words"),
    [
        ("interior", "*", "maximum"),
        ("degenerate", ">", "mean -> 1"),
        ("binomial", "^", "inf"),
        ("all_or_none", "v", "-> 0"),
        ("unidentified", None, "any a + b"),
        ("no_information", None, None),
    ],
)
def test_the_mark_says_where_the_evidence_is_highest(kind, marker, words):
    diagnosis = seen(KINDS[kind])
    ax = pictures.plot_path(diagnosis)
    marks = [line for line in ax.lines if line.get_color() == pictures.EXACT]
    assert len(marks) == (words is not None)
    if words is None:
        return
    (mark,) = marks
    assert words in mark.get_label()
    x, s = np.ravel(mark.get_xdata())[0], np.ravel(mark.get_ydata())[0]
    if marker is None:
        np.testing.assert_allclose(sc.expit(x), diagnosis.supremum.mean)
        return
    assert mark.get_marker() == marker
    at = ax.transAxes.inverted().transform(ax.transData.transform([(x, s)]))[0]
    match marker:
        case "*":
            np.testing.assert_allclose(sc.expit(x), diagnosis.supremum.mean)
            np.testing.assert_allclose(s, diagnosis.supremum.concentration)
            assert ((at > 0.05) & (at < 0.95)).all()
        case ">":
            assert at[0] > 0.9
        case "^" | "v":
            np.testing.assert_allclose(sc.expit(x), diagnosis.supremum.mean)
            assert at[1] > 0.9 if marker == "^" else at[1] < 0.1


# -- axes that hold extreme numbers ------------------------------------------------------------


@pytest.mark.parametrize(
    ("low", "high"),
    [(-60, 1), (-1, 80), (-690, 690), (-1.5, 1.5), (0.4054651, 0.4054652), (-9.5, -9), (9, 9.5)]
    + [(-4, 2), (-14, 5), (-1e-9, 1e-9)],
)
def test_probabilities_on_a_logit_axis_are_round_and_stand_where_they_are(low, high):
    ax = Figure().subplots()
    shared.logit_axis(ax, low, high)
    assert ax.get_xlim() == (low, high)
    ticks, labels = ax.get_xticks(), [text.get_text() for text in ax.get_xticklabels()]
    assert 1 <= len(labels) <= 7 and len(set(labels)) == len(labels)
    for tick, label in zip(ticks, labels, strict=True):
        assert low <= tick <= high
        if label.startswith("1-"):
            tick, label = -tick, label[2:]
        np.testing.assert_allclose(tick, sc.logit(float(label)), rtol=1e-6, atol=1e-9)


# -- whole figures -----------------------------------------------------------------------------


@pytest.mark.thorough
@pytest.mark.parametrize("kind", few(KINDS))
def test_every_guide_on_every_kind_is_drawn(kind):
    for guide in GUIDES:
        axes = pictures.plot_run(seen(KINDS[kind], guide))
        assert all(ax.get_legend() and ax.get_title(loc="left") for ax in axes)
        assert ("prior" in curves(axes[2])) == (guide != "none")
        assert ("no path" in axes[2].get_title(loc="left")) == (guide == "none")
        draw(axes[0])
        legends = [ax.get_legend().get_window_extent() for ax in axes]
        assert all(box.x0 >= 0 and box.x1 <= axes[0].figure.bbox.width for box in legends)


class StoppedAtOnce:
    """An optimizer that is interrupted in its first update."""

    lr = 0.1
    init = FAST.init

    def update(self, state, parameters, gradient):
        raise KeyboardInterrupt


@pytest.mark.thorough
@pytest.mark.parametrize(
    "diagnosis",
    [
        lambda: seen(FORUM, num_steps=1),
        lambda: seen(FORUM, optimizer=StoppedAtOnce()),
        lambda: seen(FORUM, "empty", "exact", num_steps=1000),
        lambda: seen(FORUM, loss="exact", learn_prior=False),
        lambda: seen(er.Counts([10**15], [10**17]), "tied", "exact", num_steps=300),
    ],
    ids=["one step", "no step", "ended early", "prior not learned", "large counts"],
)
def test_unusual_runs_are_drawn(diagnosis):
    diagnosis = diagnosis()
    axes = pictures.plot_run(diagnosis)
    draw(axes[0])
    headline = axes[0].figure._suptitle.get_text()
    assert headline == f"guide {diagnosis.run.guide_name}, {diagnosis.run.message}"


@pytest.mark.thorough
def test_axes_in_axes_out_and_nothing_is_left_behind():
    diagnosis = seen(FORUM)
    before = dict(matplotlib.rcParams)
    figure = Figure()
    given = figure.subplots(2, 3)
    drawn = pictures.plot_run(diagnosis, given[1])
    assert [*drawn] == [*given[1]] and len(figure.axes) == 6
    assert not given[0, 0].lines and given[1, 0].lines
    assert figure._suptitle is None
    for plot in (pictures.plot_losses, pictures.plot_densities, pictures.plot_path):
        assert plot(diagnosis, ax=given[0, 0]) is given[0, 0]
        assert plot(diagnosis).figure is not plot(diagnosis).figure
    pictures.save_figure([diagnosis], io.BytesIO(), "svg")
    assert dict(matplotlib.rcParams) == before


@pytest.mark.thorough
def test_pyplot_is_never_imported():
    code = (
        "import io, sys, elbo_ref as er\n"
        "from elbo_ref.report import pictures\n"
        "assert 'matplotlib' not in sys.modules\n"
        "run = er.maximize_elbo(er.Counts([3, 4], 9), num_steps=5)\n"
        "pictures.save_figure([er.diagnose(run)], io.BytesIO(), 'png')\n"
        "assert 'matplotlib.pyplot' not in sys.modules"
    )
    subprocess.run([sys.executable, "-W", "error", "-c", code], check=True)


def test_pyplot_keeps_no_figure():
    from matplotlib import pyplot

    pictures.plot_run(seen(FORUM))
    assert pyplot.get_fignums() == []


@pytest.mark.thorough
@pytest.mark.parametrize("format", ["png", "svg"])
def test_the_same_diagnoses_give_the_same_bytes(format, tmp_path):
    pictures.save_figure([seen(FORUM)], tmp_path / "a.picture", format)
    again = io.BytesIO()
    pictures.save_figure([seen.__wrapped__(FORUM)], again, format)
    saved = (tmp_path / "a.picture").read_bytes()
    assert saved == again.getvalue()
    assert not any(name in saved for name in (b"atplotlib v", b"/home", b"/tmp", b"site-packages"))
    assert sys.prefix.encode() not in saved and b"<dc:date>" not in saved


def test_refusals():
    diagnosis = seen(RATS, num_steps=2)
    for latent, rule in ((71, r"latent = 71 .* \[0, 71\)"), (-1, "latent = -1 must be at least 0")):
        with pytest.raises(ValueError, match=rule):
            pictures.plot_densities(diagnosis, latent=latent)
    with pytest.raises(TypeError, match="latent must be an int"):
        pictures.plot_densities(diagnosis, latent=0.5)
    with pytest.raises(TypeError, match="diagnosis must be a Diagnosis, not Run"):
        pictures.plot_run(diagnosis.run, Figure().subplots(1, 3))
    with pytest.raises(ValueError, match="axes has 2 entries where 3 are needed"):
        pictures.plot_run(diagnosis, Figure().subplots(1, 2))
    for several in ([], [diagnosis] * 5):
        with pytest.raises(ValueError, match=f"diagnoses has {len(several)} entries where 1 to 4"):
            pictures.save_figure(several, io.BytesIO(), "png")
    with pytest.raises(ValueError, match="format = 'gif' must be 'pdf', 'png' or 'svg'"):
        pictures.save_figure([diagnosis], io.BytesIO(), "gif")


def test_without_matplotlib_the_message_says_what_to_install(monkeypatch):
    diagnosis = seen(RATS, num_steps=2)
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    for draw_it in (
        pictures.plot_losses,
        pictures.plot_densities,
        pictures.plot_path,
        pictures.plot_run,
        lambda d: pictures.save_figure([d], io.BytesIO(), "png"),
    ):
        with pytest.raises(ImportError, match=r"^a picture needs matplotlib: pip install matplotl"):
            draw_it(diagnosis)
