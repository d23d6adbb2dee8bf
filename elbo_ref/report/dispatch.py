"""`plot`: the picture of any result.

`PICTURES` says, for each kind of result, how it is drawn and into a figure of what size.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from inspect import signature
from typing import Any, NamedTuple

from elbo_ref._format.result import Result
from elbo_ref.crosscheck.findings import Verdict
from elbo_ref.diagnostics.diagnosis import Diagnosis, diagnose
from elbo_ref.diagnostics.estimates import EstimateTable
from elbo_ref.distributions.posterior_table import PosteriorTable
from elbo_ref.estimates.difference import Difference
from elbo_ref.estimates.maxima import EvidenceMaxima
from elbo_ref.estimates.prediction import Prediction
from elbo_ref.estimates.result import Estimates
from elbo_ref.mle.intervals import ConfidenceRegion, Parameter
from elbo_ref.mle.result import EvidenceMaximum
from elbo_ref.mle.tests import ExpectedCounts
from elbo_ref.report.axes import forget, framed, panels, shown_figure
from elbo_ref.report.contrasts import plot_difference, plot_prediction
from elbo_ref.report.estimates import plot_estimates, plot_maxima, plot_region
from elbo_ref.report.forest import (
    MOST_ROWS,
    forest_margin,
    forest_size,
    plot_exceedance,
    plot_forest,
)
from elbo_ref.report.latent import plot_latent
from elbo_ref.report.pictures import plot_run, run_axes
from elbo_ref.report.rootogram import plot_rootogram
from elbo_ref.report.surface import plot_profile, plot_surface
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
    """

    draw: Callable[..., Any]
    size: Callable[..., tuple[float, float]] = lambda *_, **__: (5.0, 4.2)
    axes: Callable[..., Any] = lambda figure, *_, **__: framed(figure)
    seen: str = ""
    narrow: Callable[..., float] = lambda _: 4.5


def _posterior(
    table: PosteriorTable | Estimates, ax: Any, *, latent: Any = _ALL, above: float | None = None
) -> Any:
    if latent is not _ALL:
        return plot_latent(table, latent, ax)
    return plot_forest(table, ax) if above is None else plot_exceedance(table, above, ax)


def _size_of_posterior(table: PosteriorTable | Estimates, **options: Any) -> tuple[float, float]:
    return (5.0, 4.2) if "latent" in options else forest_size(table)


def _axes_of_posterior(figure: Any, table: PosteriorTable | Estimates, **options: Any) -> Any:
    return framed(figure, 0.8 if "latent" in options else forest_margin(table))


def _size_of_verdict(verdict: Verdict) -> tuple[float, float]:
    if verdict.losses is not None:
        return 6.0, 4.0
    return 7.0, 1.6 + 0.3 * max(len(compared_findings(verdict)), 2)


def _axes_of_verdict(figure: Any, verdict: Verdict) -> Any:
    return framed(figure, 0.8 if verdict.losses is not None else 2.4)


def _maximum(maximum: EvidenceMaximum, ax: Any, *, profile: Parameter | None = None) -> Any:
    return plot_surface(maximum, ax) if profile is None else plot_profile(maximum, profile, ax)


def _size_of_maxima(maxima: EvidenceMaxima) -> tuple[float, float]:
    return 6.0 + forest_margin(maxima), 1.6 + 0.2 * min(max(len(maxima), 3), MOST_ROWS)


def _run(run: Run, axes: Any) -> Any:
    return plot_run(diagnose(run), axes)


PICTURES: dict[type[Result], Picture] = {
    ConfidenceRegion: Picture(plot_region, lambda *_: (5.0, 2.0)),
    Diagnosis: Picture(plot_run, lambda _: (12.0, 4.0), run_axes),
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
        lambda found: forest_margin(found) + 3.7,
    ),
    EvidenceMaxima: Picture(
        plot_maxima,
        _size_of_maxima,
        lambda figure, maxima: panels(figure, 2, forest_margin(maxima)),
        "mean and rho of the prior of each group, with 95 % profile intervals",
        lambda _: 5.8,
    ),
    EvidenceMaximum: Picture(
        _maximum, seen="log evidence over the prior's mean and concentration, with its maximum"
    ),
    ExpectedCounts: Picture(plot_rootogram, lambda *_: (6.0, 4.0)),
    Prediction: Picture(plot_prediction, lambda *_: (6.0, 3.6)),
    PosteriorTable: Picture(_posterior, _size_of_posterior, _axes_of_posterior),
    Run: Picture(_run, lambda _: (12.0, 4.0), lambda figure, run: run_axes(figure, diagnose(run))),
    Verdict: Picture(
        plot_verdict,
        _size_of_verdict,
        _axes_of_verdict,
        "losses against their exact distribution, or the differences of all that was compared",
        lambda verdict: 4.5 if verdict.losses is not None else 5.4,
    ),
}


def plot(result: Result, ax: Any = None, **options: Any) -> Any:
    """Draw any result.

    Parameters
    ----------
    result : Result
        A run, a diagnosis, estimates, a posterior table, an evidence maximum, a confidence region,
        expected counts, an estimate table, a difference, a prediction or a verdict.
    ax : matplotlib Axes, optional
        Where to draw, three for a run or a diagnosis; by default in a new figure. A notebook shows
        that by itself; elsewhere pyplot knows it only if pyplot is imported already.
    **options
        Of estimates and a posterior table, a label as `latent`, for the prior, the likelihood and
        the posterior of one latent; or a threshold t as `above`, for P(c > t) of each. Of an
        evidence maximum, a parameter as `profile`, for the highest log evidence over its values.

    Returns
    -------
    matplotlib Axes, or an ndarray of three
        ``axes.figure`` is the figure.

    Raises
    ------
    TypeError
        If there is no picture of such a result, or no such option.
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
    differences of all numbers that were compared.

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
        return picture.draw(result, ax, **options)
    figure = shown_figure(*picture.size(result, **options))
    try:
        return picture.draw(result, picture.axes(figure, result, **options), **options)
    except BaseException:
        forget(figure)
        raise


def _check_options(picture: Picture, result: Result, options: Mapping[str, Any]) -> None:
    """Refuse an option that a picture does not have."""
    parameters = signature(picture.draw).parameters.values()
    known = [x.name for x in parameters if x.kind is x.KEYWORD_ONLY]
    for name in options:
        if name not in known:
            has = f"only {' and '.join(known)}" if known else "none"
            kind = type(result).__name__
            raise TypeError(f"the picture of {kind} has no option {name!r}: it has {has}")
