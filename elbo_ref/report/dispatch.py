"""`plot`: the picture of any result.

`PICTURES` says, for each kind of result, how it is drawn and into a figure of what size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

import numpy as np

from elbo_ref._format.result import Result
from elbo_ref.counts import Counts
from elbo_ref.crosscheck.findings import Verdict
from elbo_ref.diagnostics.diagnosis import Diagnosis, diagnose
from elbo_ref.diagnostics.estimates import EstimateTable
from elbo_ref.diagnostics.importance import ParetoK
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.estimates.difference import Difference
from elbo_ref.estimates.maxima import EvidenceMaxima
from elbo_ref.estimates.parameters import PriorParameter, PriorParameters, Priors
from elbo_ref.estimates.prediction import Prediction
from elbo_ref.estimates.result import Estimates
from elbo_ref.mle.intervals import ConfidenceRegion, Parameter
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.mle.tests import ExpectedCounts, TestResult
from elbo_ref.objectives.gradient_variance import GradientVariance
from elbo_ref.report.axes import contained, forget, framed, is_narrow, shown_figure
from elbo_ref.report.contrasts import plot_difference, plot_prediction
from elbo_ref.report.estimates import plot_estimates, plot_region
from elbo_ref.report.forest import (
    forest_margin,
    forest_size,
    plot_exceedance,
    plot_forest,
)
from elbo_ref.report.funnel import plot_funnel
from elbo_ref.report.labels import BRIEF, LONGEST
from elbo_ref.report.latent import plot_latent
from elbo_ref.report.noise import plot_gradient_variance, plot_pareto_k
from elbo_ref.report.pictures import plot_run, run_axes
from elbo_ref.report.priors import number_of_panels, plot_priors, priors_axes, priors_size
from elbo_ref.report.rootogram import plot_rootogram
from elbo_ref.report.surface import plot_profile, plot_surface
from elbo_ref.report.tail import plot_tail
from elbo_ref.report.verdict import compared_findings, plot_verdict
from elbo_ref.svi.result import Run

_ALL = object()
"""Stands for no latent in particular: any label is one."""


class Picture(NamedTuple):
    """A way to draw a kind of result.

    Attributes
    ----------
    draw : function
        Of the result, axes and options; returns the axes.
    size : function
        Of the result and options: width and height of a new figure, in inches.
    axes : function
        Of the new figure, the result and options: the axes to draw on.
    seen : str
        What is to be seen, for a page.
    narrow : function
        Of the result: width on a page, in inches.
    panels : function
        Of the result: the number of axes.
    """

    draw: Callable[..., Any]
    size: Callable[..., tuple[float, float]] = lambda *_, **__: (5.0, 4.2)
    axes: Callable[..., Any] = lambda figure, *_, **__: framed(figure)
    seen: str = ""
    narrow: Callable[..., float] = lambda _: 4.5
    panels: Callable[..., int] = lambda _: 1


def _posterior(
    table: PosteriorTable | Estimates, ax: Any, *, latent: Any = _ALL, above: float | None = None
) -> Any:
    if latent is not _ALL:
        return plot_latent(table, latent, ax)
    return plot_forest(table, ax) if above is None else plot_exceedance(table, above, ax)


def _size_of_posterior(table: PosteriorTable | Estimates, **options: Any) -> tuple[float, float]:
    return (5.0, 4.2) if "latent" in options else forest_size(table)


def _axes_of_posterior(figure: Any, table: PosteriorTable | Estimates, **options: Any) -> Any:
    most = BRIEF if is_narrow(figure) else LONGEST
    return framed(figure, 0.8 if "latent" in options else forest_margin(table, most))


def _size_of_verdict(verdict: Verdict) -> tuple[float, float]:
    if verdict.losses is not None:
        return 6.0, 4.0
    return 7.0, 1.6 + 0.3 * max(len(compared_findings(verdict)), 2)


def _axes_of_verdict(figure: Any, verdict: Verdict) -> Any:
    return framed(figure, 0.8 if verdict.losses is not None else 2.4)


def _maximum(maximum: EvidenceMaximum, ax: Any, *, profile: Parameter | None = None) -> Any:
    return plot_surface(maximum, ax) if profile is None else plot_profile(maximum, profile, ax)


def _run(run: Run, axes: Any) -> Any:
    return plot_run(diagnose(run), axes)


_PRIORS = Picture(
    plot_priors,
    priors_size,
    priors_axes,
    "parameters of the prior, with intervals",
    lambda priors: priors_size(priors)[0],
    number_of_panels,
)

PICTURES: dict[type[Result], Picture] = {
    Counts: Picture(plot_funnel, seen="raw rates over trials, and the band of equal latents"),
    ConfidenceRegion: Picture(plot_region, lambda *_: (5.0, 2.0)),
    Diagnosis: Picture(plot_run, lambda _: (12.0, 4.0), run_axes, panels=lambda _: 3),
    Difference: Picture(plot_difference, lambda *_: (5.0, 2.0)),
    EstimateTable: Picture(
        plot_estimates,
        lambda *_: (6.6, 5.0),
        lambda figure, _: framed(figure, 2.1),
        "c, or the mean of the prior, under every estimate",
        lambda _: 5.8,
    ),
    Estimates: Picture(
        _posterior,
        _size_of_posterior,
        _axes_of_posterior,
        "raw rates, estimates and intervals of all latents",
    ),
    EvidenceMaxima: _PRIORS._replace(
        seen="mean and rho of the prior of each group, with 95 % profile intervals",
        narrow=lambda _: 4.5,
    ),
    EvidenceMaximum: Picture(
        _maximum, seen="log evidence over the prior's mean and concentration, with its maximum"
    ),
    ExpectedCounts: Picture(plot_rootogram, lambda *_: (6.0, 4.0)),
    GradientVariance: Picture(
        plot_gradient_variance,
        lambda *_: (6.0, 2.8),
        lambda figure, _: framed(figure, 1.7),
        narrow=lambda _: 6.0,
    ),
    ParetoK: Picture(plot_pareto_k, lambda *_: (6.0, 3.4)),
    Prediction: Picture(plot_prediction, lambda *_: (6.0, 3.6)),
    PosteriorTable: Picture(_posterior, _size_of_posterior, _axes_of_posterior),
    PriorParameter: _PRIORS,
    PriorParameters: _PRIORS,
    Priors: _PRIORS,
    Run: Picture(
        _run,
        lambda _: (12.0, 4.0),
        lambda figure, run: run_axes(figure, diagnose(run)),
        panels=lambda _: 3,
    ),
    TestResult: Picture(plot_tail, axes=lambda figure, _: framed(figure, 0.95)),
    Verdict: Picture(
        plot_verdict,
        _size_of_verdict,
        _axes_of_verdict,
        "losses against their exact distribution, or the differences of all that was compared",
        lambda verdict: 4.5 if verdict.losses is not None else 5.1,
    ),
}


def plot(result: Result, ax: Any = None, **options: Any) -> Any:
    """Draw any result.

    Parameters
    ----------
    result : Result
        Whatever has a method `plot`: a run, estimates, an evidence maximum, a test, a verdict, ...
    ax : matplotlib Axes, optional
        Where to draw: three for a run or a diagnosis, one for each parameter of priors; by default
        in a new figure. A notebook shows that by itself; elsewhere pyplot knows it only if pyplot
        is imported already.
    **options
        Of estimates and a posterior table, a label as `latent`, for the prior, the likelihood and
        the posterior of one latent; or a threshold t as `above`, for P(c > t) of each. Of an
        evidence maximum, a parameter as `profile`, for the highest log evidence over its values.

    Returns
    -------
    matplotlib Axes, or an ndarray of them
        ``axes.figure`` is the figure.

    Raises
    ------
    TypeError
        If there is no picture of such a result, no such option, or `ax` is something else.
    ValueError
        If there are not as many axes as the picture has.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    elbo_ref.diagnose : The numbers that are drawn of a run.

    Notes
    -----
    A run is drawn in three pictures: its losses, the densities of its first latent, its path over
    the evidence. Estimates and a posterior table are a forest: raw rates, estimates and intervals,
    sorted. An evidence maximum is the surface of the evidence over all priors. Expected counts are
    a hanging rootogram. Of a prediction there is a bar for each number of successes. Of a verdict
    there are its losses against the distribution that each should have; without losses, the
    differences of all numbers that were compared. Parameters of priors have a row for each group;
    of a test there is the curve of p-values. Counts are a funnel: raw rates over trials, and the
    band that holds 95 % of latents that are all alike.

    Examples
    --------
    >>> from elbo_ref import Beta, Counts, posterior_table
    >>> table = posterior_table(Beta(2.0, 2.0), Counts([3, 4, 9], 10))
    >>> table.plot().get_xlabel(), table.plot(above=0.5).get_xlabel()
    ('c', 'P(c > 0.5)')
    """
    picture = next((PICTURES[kind] for kind in type(result).__mro__ if kind in PICTURES), None)
    if picture is None:
        known = ", ".join(sorted(kind.__name__ for kind in PICTURES))
        raise TypeError(f"there is no picture of {type(result).__name__}: only of {known}")
    _check_options(picture, result, options)
    if ax is not None:
        _check_axes(ax, picture.panels(result), type(result).__name__)
        return picture.draw(result, ax, **options)
    figure = shown_figure(*picture.size(result, **options))
    try:
        drawn = picture.draw(result, picture.axes(figure, result, **options), **options)
        contained(figure)
        return drawn
    except BaseException:
        forget(figure)
        raise


def _check_axes(ax: Any, number: int, kind: str) -> None:
    """Refuse what cannot be drawn on."""
    given = np.ravel(np.asarray(ax, object)).tolist()
    make = f"matplotlib.pyplot.subplots{'' if number == 1 else (1, number)}"
    make += "()[1]" if number == 1 else "[1]"
    for each in given:
        if not hasattr(each, "plot") or not hasattr(each, "set_xlim"):
            rule = "is no matplotlib Axes; leave ax out, or give"
            raise TypeError(f"ax = {each!r} ({type(each).__name__}) {rule} {make}")
    if len(given) != number:
        raise ValueError(f"the picture of {kind} has {number} axes, not {len(given)}; give {make}")


def _check_options(picture: Picture, result: Result, options: Mapping[str, Any]) -> None:
    """Refuse an option that a picture does not have."""
    parameters = signature(picture.draw).parameters.values()
    known = [x.name for x in parameters if x.kind is x.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            has = f"only {' and '.join(known)}" if known else "none"
            kind = type(result).__name__
            raise TypeError(f"the picture of {kind} has no option {name!r}: it has {has}")
