"""The latent sites of a recording as one, and the guide that samples them.

Which guide it is follows from the sites: a Beta of its own, the prior, the posterior, a normal of
the logit (by itself, or as the vector of an automatic guide), a point, or none.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import cached_property
from itertools import takewhile
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import special as sc

from elbo_ref import guides
from elbo_ref._validation.arguments import BoolArray, FloatArray
from elbo_ref.crosscheck.findings import Finding, Status
from elbo_ref.guides import Guide
from elbo_ref.recording.notes import Recording
from elbo_ref.recording.rows import Data, Place
from elbo_ref.svi.parameters import NAMES

_NEAR = 16
"""Roundings, in units of eps, that make a posterior's concentrations of the prior's and counts."""

_UNCONSTRAINED = "_unconstrained"
"""Ending of the site that draws a latent's logit."""

_SIGMOID = ["SigmoidTransform"]


def guide_with(**fields: object) -> Guide:
    """Find the guide whose fields have these values."""
    return next(
        guide
        for guide in guides.GUIDES.values()
        if all(getattr(guide, name) == value for name, value in fields.items())
    )


EMPTY = guide_with(origin="prior", source_weight=0)
"""The guide of a model whose latent no guide samples."""


class OutsideError(ValueError):
    """The program is another model; the message is what is other about it."""


class NoPriorError(ValueError):
    """The densities of the latents do not count, which is a mistake; the message says of which."""


class Argument(NamedTuple):
    """An argument of the sites' distributions in all steps.

    Attributes
    ----------
    values : array, (T, 1 or L)
    gradient : array or None, (T, 1, L or sites)
        Of the loss, added up over all latents or over those of each site; None if none reaches it.
    sources : tuple of str
        Parameters that it is computed from.
    size : float
        Norm of the gradients that `gradient` was added up from.
    """

    values: NDArray[Any]
    gradient: FloatArray | None
    sources: tuple[str, ...]
    size: float = 0.0

    @property
    def changes(self) -> bool:
        """True if it is not the same in all steps."""
        return bool(np.any(self.values != self.values[:1]))

    def one_for_all(self) -> Argument:
        """Take it for one value of all latents, if it is."""
        if self.values.shape[1] > 1 and np.any(self.values != self.values[:, :1]):
            return self
        gradient = self.gradient
        if gradient is not None:
            gradient = gradient.sum(axis=1, keepdims=True)
        return self._replace(values=self.values[:, :1], gradient=gradient)

    def select(self, kept: BoolArray, sizes: Sequence[int] = ()) -> Argument:
        """Keep some of the latents, so many of each site."""

        def of(x: NDArray[Any]) -> NDArray[Any]:
            if x.shape[1] == kept.size:
                return x[:, kept]
            return x[:, np.array(sizes) > 0] if x.shape[1] == len(sizes) else x

        gradient = None if self.gradient is None else of(self.gradient)
        return self._replace(values=of(self.values), gradient=gradient)

    def plus(self, other: Argument) -> Argument:
        """Add the gradient of another argument that has the same parameter behind it."""
        parts = [x.gradient for x in (self, other) if x.gradient is not None]
        if not parts:
            return self
        one = self.values.shape[1] == 1 or len({x.shape for x in parts}) > 1
        summed = [x.sum(axis=1, keepdims=True) if one else x for x in parts]
        return self._replace(gradient=np.asarray(sum(summed[1:], summed[0])))


class Sites:
    """The latent sites of a model, taken for one of L elements."""

    def __init__(self, recording: Recording, names: Sequence[str]) -> None:
        self.recording, self.names = recording, tuple(names)
        self.name = names[0] if len(names) == 1 else common(names)
        self.places: dict[str, Place] = {}
        self.size = 0
        for name in names:
            size = self._size(name)
            self.places[name] = Place(self.size, size)
            self.size += size

    def _size(self, name: str) -> int:
        if name in self.recording.draws:
            return int(self.recording.draws[name].shape[2])
        (site,) = (x for x in self.recording.sites("model") if x["name"] == name)
        return int(site["rows"])

    @cached_property
    def kept(self) -> BoolArray:
        """Elements that no mask leaves out."""
        masks = []
        for name, place in self.places.items():
            mask = self.recording.observed.get(f"model.{name}.mask")
            if mask is not None and mask.shape[0] > 1:
                raise OutsideError(f"the mask of {name!r} changes from step to step")
            wide = np.ones(place.size) if mask is None else np.broadcast_to(mask[0], place.size)
            masks.append(wide.astype(bool))
        kept = np.concatenate(masks)
        if not kept.any():
            raise NoPriorError(f"{self.name!r} is masked in the model: its prior does not count")
        return kept

    @property
    def sizes(self) -> tuple[int, ...]:
        """The number of latents that each site keeps."""
        parts = np.split(self.kept, [x.offset for x in self.places.values()][1:])
        return tuple(int(x.sum()) for x in parts)

    @cached_property
    def draws(self) -> NDArray[Any]:
        """Draws of all latents, (T, P, L)."""
        return self.join("")[:, :, self.kept]

    def join(self, ending: str) -> NDArray[Any]:
        """Put the draws of all sites, or of their logits, side by side, (T, P, L)."""
        return np.concatenate([self.recording.draws[f"{x}{ending}"] for x in self.names], axis=2)

    def described(self, program: str) -> list[Mapping[str, Any]]:
        """List the descriptions of these sites in a program, or of what draws their logits."""
        endings = [f"{name}{ending}" for name in self.names for ending in ("", _UNCONSTRAINED)]
        return [x for x in self.recording.sites(program) if x["name"] in endings]

    def argument(self, program: str, ending: str, key: str) -> Argument:
        """Join an argument of all sites."""
        parts = [self._argument(program, f"{x}{ending}", key) for x in self.names]
        one = all(x.values.shape[1] == 1 for x in parts)
        if len(parts) == 1:
            return parts[0]
        sizes = [place.size for place in self.places.values()]
        sources = tuple(dict.fromkeys(name for x in parts for name in x.sources))
        values = np.concatenate(
            [
                np.repeat(x.values, 1 if one else n // x.values.shape[1], axis=1)
                for x, n in zip(parts, sizes, strict=True)
            ],
            axis=1,
        )
        if one and len({x.sources for x in parts}) == 1 and np.all(values == values[:, :1]):
            values = values[:, :1]
        elif one:
            values = np.repeat(values, sizes, axis=1)
        gradients = [x.gradient for x in parts]
        if any(x is None for x in gradients):
            return Argument(values, None, sources)
        known = [x for x in gradients if x is not None]
        if any(x.shape[1] != n for x, n in zip(known, sizes, strict=True)):
            known = [x.sum(axis=1, keepdims=True) for x in known]
        size = float(np.linalg.norm([x.size for x in parts]))
        return Argument(values, np.concatenate(known, axis=1), sources, size)

    def _argument(self, program: str, name: str, key: str) -> Argument:
        full = f"{program}.{name}.{key}"
        described = [x for x in self.recording.sites(program) if x["name"] == name]
        sources = described[0].get("sources", {}).get(key, ()) if described else ()
        gradient = self.recording.argument_gradients.get(full)
        if full not in self.recording.arguments:
            raise ValueError(f"the recording does not have the argument {full!r}")
        size = 0.0 if gradient is None else float(np.linalg.norm(gradient))
        return Argument(self.recording.arguments[full], gradient, tuple(sources), size)

    def several_priors(self) -> bool:
        """Tell whether each site has one prior of its own."""
        each = [self._argument("model", x, key) for x in self.names for key in NAMES]
        return all(x.one_for_all().values.shape[1] == 1 for x in each)


class SeenGuide(NamedTuple):
    """A guide, its arguments by role, the logits of its draws, (T, P, L), and findings.

    `arguments` are those of the sites, also where the guide has no parameters of its own; `vector`
    is the site that draws the logits of all latents together, if there is one.
    """

    guide: Guide
    arguments: dict[str, Argument]
    logits: FloatArray
    findings: list[Finding]
    vector: str = ""

    @property
    def own(self) -> dict[str, Argument]:
        """Arguments that are parameters of the guide."""
        names = self.guide.parameter_names
        return {role: x for role, x in self.arguments.items() if role.split(".")[1] in names}


def read_guide(sites: Sites, prior: Mapping[str, Argument], data: Data | None) -> SeenGuide:
    """Find the guide of the latents.

    Raises
    ------
    OutsideError
        If it is of another family.
    """
    recording = sites.recording
    described = {x["name"]: x for x in recording.sites("guide") if not x["observed"]}
    mine = [described[name] for name in sites.names if name in described]
    if not mine:
        return SeenGuide(EMPTY, {}, _logits_of(sites), _latent_not_in_guide(described, recording))
    if len(mine) < len(sites.names):
        missing = next(name for name in sites.names if name not in described)
        words = f"the guide does not sample {missing!r}"
        return SeenGuide(
            EMPTY, {}, _logits_of(sites), [Finding("latent_not_in_guide", words, status="mistake")]
        )
    kinds = {x["class"] for x in mine}
    if kinds == {"Delta"}:
        return _through_delta(sites, described)
    if all(f"guide.{x}.concentration1" in recording.arguments for x in sites.names):
        return _beta(sites, prior, data)
    if all(x.get("transforms") == _SIGMOID for x in mine):
        arguments = {f"guide.{key}": sites.argument("guide", "", key) for key in ("loc", "scale")}
        return SeenGuide(
            guide_with(parameter_names=("loc", "scale")), arguments, _logits_of(sites), []
        )
    raise OutsideError(f"the guide draws {sites.name!r} from a {', '.join(sorted(kinds))}")


def _latent_not_in_guide(described: Mapping[str, Any], recording: Recording) -> list[Finding]:
    """Take an empty guide for one that is meant so, unless it has sites or parameters in vain."""
    words = "the guide does not sample the latent: what is maximised is no ELBO"
    stated, gradients = recording.header.get("programs", {}), recording.gradients
    unused = [
        x for x in gradients if list(stated.get(x, ())) == ["guide"] and not gradients[x].any()
    ]
    reason = f"it samples {', '.join(map(repr, described)) or 'nothing'}"
    if unused:
        reason += f", though it has parameters: {', '.join(unused)}"
    status: Status = "mistake" if described or unused else "note"
    return [Finding("latent_not_in_guide", words, reason=reason, status=status)]


def _through_delta(sites: Sites, described: Mapping[str, Any]) -> SeenGuide:
    """Read a point, or a guide that draws the logit in a site of its own."""
    recording = sites.recording
    if all(f"{name}{_UNCONSTRAINED}" in described for name in sites.names):
        arguments = {
            f"guide.{key}": sites.argument("guide", _UNCONSTRAINED, key) for key in ("loc", "scale")
        }
        guide = guide_with(parameter_names=("loc", "scale"))
        return SeenGuide(guide, arguments, _selected(sites, sites.join(_UNCONSTRAINED)), [])
    vectors = [
        name
        for name, site in described.items()
        if (name not in sites.names and site["class"] != "Delta") or name.startswith("_")
    ]
    if not vectors:
        return _point(sites, sites.argument("guide", "", "v"))
    vector, kind = vectors[0], described[vectors[0]]["class"]
    drawn = recording.draws[vector]
    if kind not in ("Normal", "Delta") or drawn.shape[2] != sites.size:
        raise OutsideError(f"the guide draws all latents together, {vector!r} from a {kind}")
    joint = Sites(recording, [vector])
    keys = ("loc", "scale") if kind == "Normal" else ("v",)
    found = [joint.argument("guide", "", key) for key in keys]
    logits = _selected(sites, drawn)
    if kind == "Normal":
        arguments = dict(zip(("guide.loc", "guide.scale"), found, strict=True))
        return SeenGuide(
            guide_with(parameter_names=("loc", "scale")), arguments, logits, [], vector
        )
    guide = guide_with(is_point=True, has_prior=True, jacobian=1)
    return SeenGuide(guide, {"guide.logits": found[0]}, logits, [], vector)


def _point(sites: Sites, at: Argument) -> SeenGuide:
    """Read a point of c, whose logit is the parameter here."""
    c = at.values.astype(np.float64)
    logits = np.log(c) - np.log1p(-c)
    gradient = at.gradient
    if gradient is not None:
        gradient = gradient * (c * (1 - c)) if gradient.shape == c.shape else None
    argument = Argument(logits, gradient, at.sources)
    guide = guide_with(is_point=True, has_prior=True, jacobian=0)
    return SeenGuide(guide, {"guide.logits": argument}, _logits_of(sites), [])


def _beta(sites: Sites, prior: Mapping[str, Argument], data: Data | None) -> SeenGuide:
    """Tell a Beta of its own from the prior and from the posterior."""
    arguments = {f"guide.{name}": sites.argument("guide", "", name) for name in NAMES}
    pairs = [(arguments[f"guide.{name}"], prior[f"prior.{name}"]) for name in NAMES]
    of_prior = all({*x.sources} <= {*y.sources} for x, y in pairs)
    logits = _logits_of(sites)
    if of_prior and all(_equal(x.values, y.values) for x, y in pairs):
        return SeenGuide(guide_with(origin="prior", source_weight=1), arguments, logits, [])
    if of_prior and data is not None and _is_posterior(pairs, data):
        detached = all(x.gradient is None for x, _ in pairs) and any(y.sources for _, y in pairs)
        detached = detached and not sites.recording.header.get("first_form", False)
        guide = guide_with(origin="posterior", detached=detached)
        return SeenGuide(guide, arguments, logits, [])
    shared = sites.size > 1 and all(x.values.shape[1] == 1 for x, _ in pairs)
    guide = guide_with(origin="own", parameter_names=NAMES, shared=shared)
    if not shared:
        return SeenGuide(guide, arguments, logits, [])
    summed = {role: x.one_for_all() for role, x in arguments.items()}
    return SeenGuide(guide, summed, logits, [])


def _is_posterior(pairs: Sequence[tuple[Argument, Argument]], data: Data) -> bool:
    """Tell whether concentrations are the prior's plus the outcomes."""
    for (mine, prior), more in zip(pairs, data.outcomes, strict=True):
        wanted = prior.values + more
        room = _NEAR * np.finfo(mine.values.dtype).eps * (wanted + data.total_count)
        if np.any(np.abs(mine.values - wanted) > room):
            return False
    return True


def _equal(x: NDArray[Any], y: NDArray[Any]) -> bool:
    return bool(np.all(x == y)) if 1 in (x.shape[1], y.shape[1]) else np.array_equal(x, y)


def _selected(sites: Sites, drawn: NDArray[Any]) -> FloatArray:
    """Take the logits that the guide draws, of which the latents have to be the sigmoids."""
    logits = np.asarray(drawn[:, :, sites.kept], dtype=np.float64)
    room = np.sqrt(np.finfo(sites.draws.dtype).eps)
    if np.any(np.abs(sc.expit(logits) - sites.draws) > room):
        raise OutsideError(
            f"the guide computes {sites.name!r} of its draws, not by a sigmoid alone"
        )
    return logits


def _logits_of(sites: Sites) -> FloatArray:
    """Compute the logits of draws of c."""
    c = sites.draws.astype(np.float64)
    outside = ~((c > 0) & (c < 1))
    if outside.any():
        step = int(np.argwhere(outside)[0][0])
        raise ValueError(f"a draw of {sites.name!r} at step {step} is not inside (0, 1)")
    return np.asarray(np.log(c) - np.log1p(-c))


def common(names: Sequence[str]) -> str:
    """Join the beginning and the end that names have in common by a star.

    Examples
    --------
    >>> common(["c_0", "c_1", "c_10"]), common(["q.0.a", "q.1.a"])
    ('c_*', 'q.*.a')
    """
    start = _beginning(names)
    rest = [name[len(start) :][::-1] for name in names]
    return f"{start}*{_beginning(rest)[::-1]}"


def _beginning(names: Sequence[str]) -> str:
    alike = takewhile(lambda letters: len(set(letters)) == 1, zip(*names, strict=False))
    return "".join(letters[0] for letters in alike)
