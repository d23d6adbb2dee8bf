"""Results to text, JSON, tables and pictures."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from elbo_ref._format.result import Result
from elbo_ref.diagnostics.diagnosis import diagnose
from elbo_ref.report.comparison import Comparison
from elbo_ref.report.pictures import plot_run, save_figure
from elbo_ref.svi.result import Run

__all__ = ["Comparison", "plot", "save_figure"]


def plot(result: Result, ax: Any = None) -> NDArray[Any]:
    """Draw a run: its losses, the densities of its first latent, its path over the evidence.

    Parameters
    ----------
    result : Run
    ax : three matplotlib Axes, optional
        Where to draw; by default in a new figure.

    Returns
    -------
    ndarray of three Axes
        ``axes[0].figure`` is the figure; ``elbo_ref.report.pictures`` draws each alone.

    Raises
    ------
    TypeError
        If it is something else.
    ImportError
        If matplotlib is not installed.

    See Also
    --------
    elbo_ref.diagnose : The numbers that are drawn.
    """
    if not isinstance(result, Run):
        raise TypeError(f"result must be a Run, not {type(result).__name__}")
    return plot_run(diagnose(result), ax)
