r"""Free coordinates that an optimizer moves, of which the roles of parameters are functions.

The two concentrations a and b of a prior or a guide may be given by their mean m and their total s:
a = m s, b = (1 - m) s. The gradient with respect to these follows by the chain rule,

    d/dm = s (d/da - d/db),    d/ds = m d/da + (1 - m) d/db,

and with respect to a free coordinate by the slope of the map that holds m between 0 and 1 and s
positive. Two roles that are one parameter move together: their gradients add up.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
from scipy import special as sc

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.guides.constraints import ANY_REAL, EXP, REAL, SOFTPLUS, Constraint
from elbo_ref.svi.parameters import NAMES

UNIT = Constraint("unit_interval", sc.expit, sc.logit, lambda x: x * (1 - x), ANY_REAL)
MEAN_AND_TOTAL = ("mean", "concentration")
_OF_FUNCTIONS: dict[tuple[str, ...], Constraint] = {
    ("exp",): EXP,
    ("softplus",): SOFTPLUS,
    ("sigmoid",): UNIT,
}
_KINDS = {"mean": UNIT, "loc": REAL, "logits": REAL, "scale": SOFTPLUS}


def mean_and_total(x: FloatArray) -> FloatArray:
    """Turn two concentrations, (2, ...), into a/(a + b) and a + b."""
    total = x.sum(axis=0)
    return np.array((x[0] / total, total))


class Moved(NamedTuple):
    """The parameter that a role is a function of.

    Attributes
    ----------
    source : str
        The parameter, or its row; roles that have the same move together.
    functions : tuple of str
        Those that the program applies to it, as far as anything says.
    name : str
        The parameter, whichever of its rows is the source.
    """

    source: str
    functions: tuple[str, ...] = ()
    name: str = ""


class Coordinates(NamedTuple):
    """Free coordinates of the prior and the guide of a history.

    Attributes
    ----------
    moved : mapping of str to Moved
        By role; one that is held, or has no history, is none.
    by_mean : tuple of str
        The owners, ``"prior"`` or ``"guide"``, whose concentrations are given by mean and total.
    """

    moved: Mapping[str, Moved]
    by_mean: tuple[str, ...] = ()

    @property
    def of_prior(self) -> tuple[str, ...]:
        """Roles of the prior that move."""
        return tuple(role for role in self.moved if role.startswith("prior."))

    @property
    def known(self) -> dict[str, str]:
        """The first role of each parameter whose free coordinate is known."""
        found: dict[str, str] = {}
        for role, moved in self.moved.items():
            if _known(role, moved):
                found.setdefault(moved.source, role)
        return found

    @property
    def unknown(self) -> tuple[str, ...]:
        """Roles whose free coordinate is not known: another function was applied."""
        return tuple(x for x, moved in self.moved.items() if not _known(x, moved))

    def values(self, model: LossModel) -> dict[str, FloatArray]:
        """Constrained values by role, (T, 1 or G)."""
        of_guide = self._values("guide", model.guide_parameters, model.guide.parameter_names)
        return self._values("prior", model.prior) | of_guide

    def free(self, model: LossModel, positive: Constraint) -> dict[str, FloatArray]:
        """Free coordinates by role, (T, 1 or G); `positive` where nothing says the constraint."""
        values, found = self.values(model), dict[str, FloatArray]()
        for role in self.known.values():
            if role in values:
                with np.errstate(all="ignore"):
                    found[role] = self._constraint(role, positive).unconstrain(values[role])
        return found

    def gradient(
        self,
        model: LossModel,
        step: int,
        positive: Constraint,
        gradients: tuple[FloatArray, FloatArray],
    ) -> dict[str, FloatArray]:
        """Turn gradients with respect to the prior, (2,), and the guide, (k, G), into the roles'.

        Those are with respect to the constrained parameters at one step of the model.
        """
        first, found = self.known, dict[str, FloatArray]()
        prior, params = model.prior[:, step], model.guide_parameters[:, step]
        of_prior, of_guide = np.reshape(gradients[0], prior.shape), gradients[1]
        for owner, x, slopes, names in (
            ("prior", prior, of_prior, NAMES),
            ("guide", params, of_guide, model.guide.parameter_names),
        ):
            values = self._values(owner, x, names)
            if owner in self.by_mean:
                mean, total = values.values()
                by_total = mean * slopes[0] + (1 - mean) * slopes[1]
                slopes = np.array(((slopes[0] - slopes[1]) * total, by_total))
            for (role, value), slope in zip(values.items(), slopes, strict=False):
                if role in self.moved and _known(role, self.moved[role]):
                    own = slope * self._constraint(role, positive).slope(value)
                    one = first[self.moved[role].source]
                    found[one] = found[one] + own if one in found else own
        return found

    def _values(
        self, owner: str, x: FloatArray, names: tuple[str, ...] = NAMES
    ) -> dict[str, FloatArray]:
        """Constrained values by role."""
        if owner in self.by_mean:
            names, x = MEAN_AND_TOTAL, mean_and_total(x)
        return {f"{owner}.{name}": row for name, row in zip(names, x, strict=False)}

    def _constraint(self, role: str, positive: Constraint) -> Constraint:
        said = _OF_FUNCTIONS.get(self.moved[role].functions)
        return said or _KINDS.get(role.partition(".")[2], positive)


def _known(role: str, moved: Moved) -> bool:
    """Return True if the functions of a role are those that its values need, or none."""
    what = role.partition(".")[2]
    if what == "mean":
        return moved.functions in ((), ("sigmoid",))
    if what == "logits":
        return moved.functions in ((), ("logit",))
    if what == "loc":
        return not moved.functions
    return moved.functions in ((), ("exp",), ("softplus",))
