"""Names that Pyro and NumPyro have for the guides and the objectives of this package."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from elbo_ref.guides import GUIDES
from elbo_ref.objectives import OBJECTIVES

GUIDE_CLASSES = {
    "AutoNormal": "normal",
    "AutoDiagonalNormal": "normal",
    "AutoDelta": "delta",
    "AutoLaplaceApproximation": "laplace",
}
OTHER_GUIDES = (
    "AutoBatchedMultivariateNormal",
    "AutoBNAFNormal",
    "AutoDAIS",
    "AutoDiscreteParallel",
    "AutoGaussian",
    "AutoGaussianFunsor",
    "AutoHierarchicalNormalMessenger",
    "AutoIAFNormal",
    "AutoLowRankMultivariateNormal",
    "AutoMultivariateNormal",
    "AutoNormalizingFlow",
    "AutoRegressiveMessenger",
    "AutoSemiDAIS",
    "AutoSemiRVRS",
    "AutoStructured",
    "AutoSurrogateLikelihoodDAIS",
)
"""Classes of guides, of Pyro or NumPyro, whose families are none of those here."""
LOSS_CLASSES = {
    "ELBO": "trace",
    "Trace_ELBO": "trace",
    "JitTrace_ELBO": "trace",
    "TraceGraph_ELBO": "trace_graph",
    "JitTraceGraph_ELBO": "trace_graph",
    "TraceEnum_ELBO": "trace_enum",
    "JitTraceEnum_ELBO": "trace_enum",
    "TraceMeanField_ELBO": "trace_mean_field",
    "JitTraceMeanField_ELBO": "trace_mean_field",
    "RenyiELBO": "renyi",
}
OPTIMIZER_CLASSES = {"Adam": "adam", "ClippedAdam": "clippedadam", "SGD": "sgd", "other": "other"}


def guide_name(text: str) -> str:
    """Return the name of a guide in the catalogue, given it or a class of Pyro or NumPyro.

    A class of `OTHER_GUIDES` is returned itself.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> guide_name("AutoDiagonalNormal"), guide_name("tied"), guide_name("AutoIAFNormal")
    ('normal', 'tied', 'AutoIAFNormal')
    """
    others = {_plain(name): name for name in OTHER_GUIDES}
    return others.get(_plain(text)) or _name("guide", text, GUIDES, GUIDE_CLASSES)


def loss_name(text: str) -> str:
    """Return the name of an objective, given it or a class of Pyro or NumPyro.

    Raises
    ------
    ValueError
        If it is neither.

    Examples
    --------
    >>> loss_name("JitTrace_ELBO"), loss_name("trace-mean-field")
    ('trace', 'trace_mean_field')
    """
    return _name("loss", text, OBJECTIVES, LOSS_CLASSES)


def optimizer_name(text: str) -> str:
    """Return ``adam``, ``clippedadam``, ``sgd`` or ``other``, however it is written.

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> optimizer_name("ClippedAdam"), optimizer_name("clipped_adam")
    ('clippedadam', 'clippedadam')
    """
    return _name("optimizer", text, (), OPTIMIZER_CLASSES)


def _name(what: str, text: str, known: Collection[str], classes: Mapping[str, str]) -> str:
    plain = _plain(text)
    spelled = {_plain(name): name for name in known}
    spelled = {_plain(name): own for name, own in classes.items()} | spelled
    if plain not in spelled:
        listed = ", ".join(map(repr, (*known, *classes)))
        raise ValueError(f"{what} = {text!r} is not one of {listed}")
    return spelled[plain]


def _plain(text: str) -> str:
    return text.rpartition(".")[2].lower().replace("_", "").replace("-", "")
