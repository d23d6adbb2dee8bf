"""The Pyro runs that are bundled with data sets, for a first cross-check.

The forum's was made by docs/forum/forum.py.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from types import MappingProxyType


@dataclass(frozen=True)
class PyroRun:
    """A Pyro run on a data set: what it left behind, and how it was made.

    The attributes are called as the arguments of `elbo_ref.cross_check` and the options of its
    command.

    Attributes
    ----------
    params, losses, evaluations : Path
        The parameter store, what each ``svi.step`` returned, and the loss evaluated again and
        again at the parameters that were reached.
    names : mapping of str to str
        Which parameter is which.
    guide : str
    num_particles : int
    """

    params: Path
    losses: Path
    evaluations: Path
    names: Mapping[str, str] = field(hash=False)
    guide: str = "beta"
    num_particles: int = 1


_FILES = Path(__file__).with_name("forum")

FORUM = PyroRun(
    params=_FILES / "store.pt",
    losses=_FILES / "losses.txt",
    evaluations=_FILES / "evaluations.txt",
    names=MappingProxyType(
        {
            "prior.concentration1": "b0",
            "prior.concentration0": "a0",
            "guide.concentration1": "b",
            "guide.concentration0": "a",
        }
    ),
    num_particles=10,
)
"""The run of the forum's question: 100 steps, and 30 evaluations where they end."""
