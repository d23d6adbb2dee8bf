"""Results to text, JSON, tables and pictures."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from elbo_ref.diagnostics.diagnosis import diagnose
from elbo_ref.report.document import fit_document, posteriors_csv
from elbo_ref.report.pictures import plot_run, save_figure
from elbo_ref.report.text import comparison
from elbo_ref.svi.result import Run

__all__ = ["comparison", "fit_document", "plot", "posteriors_csv", "save_figure"]


def plot(run: Run, axes: Any = None) -> NDArray[Any]:
    """Draw a run: its losses, the densities of its first latent, its path over the evidence.

    Parameters
    ----------
    run : Run
    axes : three matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    ndarray of three Axes
        ``axes[0].figure`` is the figure; ``elbo_ref.report.pictures`` draws each alone.

    Raises
    ------
    ImportError
        If matplotlib is not installed.
    """
    return plot_run(diagnose(run), axes)
