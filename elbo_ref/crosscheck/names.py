"""Meaning of parameters' names: roles that can be guessed, and functions still to be applied.

A role is guessed only where one name says what it is (``guide_alpha``, ``AutoNormal.locs.c``,
``p_auto_loc``) and no other does; a pair of concentrations in one array, as a Dirichlet of two has
them, where no other parameter is left. A name also says if its values are logarithms
(``log_alpha``), or unconstrained without saying how (``alpha_unconstrained``, ``raw_alpha``).
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence

from elbo_ref._validation.arguments import FloatArray
from elbo_ref.svi.parameters import NAMES

_SYNONYMS = {
    "concentration1": ("concentration1", "alpha", "conc1"),
    "concentration0": ("concentration0", "beta", "conc0"),
    "loc": ("loc", "locs", "mu", "mean"),
    "scale": ("scale", "scales", "sigma"),
    "logits": ("logits", "loc"),
}
_OWNERS = {
    "guide": ("guide", "q", "posterior", "variational"),
    "prior": ("prior", "p", "model"),
}
_UNSAID = ("raw", "unconstrained", "unc", "free", "pre")
_POINTS = ({"probs"}, {"autodelta"})
_LETTER = re.compile(r"(?<![a-zA-Z])(?:alpha|beta|a|b)(?![a-zA-Z])|(?<=^q)[ab](?![a-zA-Z])", re.I)
_LETTERS = {"alpha": NAMES[0], "a": NAMES[0], "beta": NAMES[1], "b": NAMES[1]}


_MEANINGS = {
    "a location": {"loc", "mu", "location"},
    "a scale": {"scale", "sigma", "sd", "std", "tau"},
    "weights": {"w", "weight", "weights", "coef", "coefs", "slope", "intercept", "bias"},
    "a mixture's weight": {"gate", "gates", "inflation", "mixture", "mix"},
    "a hyperprior": {"hyper", "hyperprior"},
}
"""Words for the parameters of other models, in the names that people give them."""
_OF_MODULE = ("weight", "bias")


def words(name: str) -> list[str]:
    """Split ``AutoNormal.locs.c`` into autonormal, locs, c; digits stay with ``concentration``."""
    return [word for word in re.split(r"[^a-z0-9]+", name.lower()) if word]


def owned_by(name: str, owner: str) -> bool:
    """Return True if a name says that its parameter is the prior's, or the guide's."""
    said = words(name)
    if owner == "guide" and any(word.startswith("auto") for word in said):
        return True
    return not {*said}.isdisjoint(_OWNERS[owner])


def is_of_module(name: str) -> bool:
    """Return True if a name is that of a module's weight or bias, as of a network's layer.

    Examples
    --------
    >>> is_of_module("body.0.weight"), is_of_module("weight0")
    (True, False)
    """
    return words(name)[-1:] in ([x] for x in _OF_MODULE)


def of_concentration(name: str) -> bool:
    """Return True if a name may be that of a concentration: by a letter, or by its word.

    Examples
    --------
    >>> [of_concentration(x) for x in ("b_q", "alpha0", "conc", "gate", "qa")]
    [True, True, True, False, True]
    """
    said = "".join(words(name))
    letters = _LETTER.search(name) or re.search(r"(?:^|_)q?[ab](?:_|\d|$)", name, re.I)
    return letters is not None or "conc" in said or "kappa" in said


def meaning_of(name: str) -> str:
    """Say which part of another model has such a name; empty if none is known.

    Examples
    --------
    >>> meaning_of("sigma"), meaning_of("w0"), meaning_of("hyper_a"), meaning_of("alpha")
    ('a scale', 'weights', 'a hyperprior', '')
    """
    said = {word.rstrip("0123456789") for word in words(name)}
    return next((x for x, known in _MEANINGS.items() if not said.isdisjoint(known)), "")


def is_foreign(name: str) -> bool:
    """Return True if a name is that of a part of another model, in no guide and no network.

    Examples
    --------
    >>> [is_foreign(name) for name in ("gate", "w0", "scale", "body.0.weight")]
    [True, True, False, False]
    """
    return meaning_of(name) not in ("", "a location", "a scale") and not is_of_module(name)


def from_numpyro(names: Collection[str]) -> bool:
    """Return True if a parameter has the name of an autoguide of NumPyro's.

    Examples
    --------
    >>> from_numpyro(["alpha", "p_auto_loc"]), from_numpyro(["AutoNormal.locs.p"])
    (True, False)
    """
    return any("auto" in words(name) for name in names)


def from_pyro(names: Collection[str]) -> bool:
    """Return True if a parameter has the name of a Pyro autoguide's, or of a module's state.

    Examples
    --------
    >>> [from_pyro([x]) for x in ("AutoNormal.locs.c", "locs.c_unconstrained", "auto_loc")]
    [True, True, False]
    """
    said = [words(name) for name in names]
    return any(x[-1:] == ["unconstrained"] or re.match("auto.", "".join(x[:1])) for x in said)


def is_probability(name: str, *, delta: bool) -> bool:
    """Return True if a name says that a point is a probability; of `AutoDelta` also NumPyro's."""
    said = {*words(name)}
    return any(point <= said for point in (*_POINTS, *[{"auto", "loc"}] * delta))


def guess_roles(
    values: Collection[str],
    names: Mapping[str, object],
    roles: Sequence[str],
    held: Collection[str],
) -> dict[str, str]:
    """Guess roles that `names` leaves out and one name alone says; none if one name has two."""
    guessed = {}
    for role in roles:
        fitting = [name for name in values if _says(name, role, roles)]
        owned = [name for name in fitting if owned_by(name, role.partition(".")[0])]
        fitting = owned or fitting
        if role in names:
            continue
        if role in values:
            guessed[role] = role
        elif role not in held and len(fitting) == 1:
            (guessed[role],) = fitting
    return guessed if len(set(guessed.values())) == len(guessed) else {}


def _says(name: str, role: str, roles: Sequence[str]) -> bool:
    """Return True if a name says that its parameter has a role."""
    said = {*words(name)}
    owner, what = role.split(".")
    alone = [other.split(".")[1] for other in roles].count(what) == 1
    (stranger,) = _OWNERS.keys() - {owner}
    may = what not in NAMES or not owned_by(name, stranger)  # p is the latent's name, too
    owned = owned_by(name, owner) or (alone and may)
    return owned and not said.isdisjoint(_SYNONYMS.get(what, (what,)))


def guess_pairs(
    values: Mapping[str, FloatArray], owners: Sequence[str], size: int
) -> dict[str, str]:
    """Guess which array of two concentrations is the prior's and which the guide's.

    None is guessed unless each owner has one and no parameter is left; all have a leading axis of
    steps, or none.
    """
    for first in (0, 1):
        shapes = {name: array.shape[first:] for name, array in values.items()}
        found = _pairs(shapes, owners, size)
        if found:
            return found
    return {}


def _pairs(
    shapes: Mapping[str, tuple[int, ...]], owners: Sequence[str], size: int
) -> dict[str, str]:
    fitting = {}
    for name, shape in shapes.items():
        owned = [owner for owner in owners if owned_by(name, owner)]
        fitting[name] = [
            owner
            for owner in owned or owners
            if shape in _pair_shapes(1 if owner == "prior" else size)
        ]
    found: dict[str, str] = {}
    for name in sorted(fitting, key=lambda name: len(fitting[name])):
        roles = {f"{owner}.concentrations" for owner in fitting[name]} - {*found}
        if len(roles) != 1:
            return {}
        found[roles.pop()] = name
    return found if len(found) == len(owners) else {}


def _pair_shapes(size: int) -> tuple[tuple[int, ...], ...]:
    """Shapes of two concentrations for each of so many latents."""
    if size == 1:
        return (2,), (1, 2), (2, 1)
    return ((size, 2), (2, size)) if size != 2 else ()


def functions_of(name: str, *, unit: bool = False) -> tuple[str, ...]:
    """Functions that a name says are still to be applied, the likelier one first.

    `unit` is for a value between 0 and 1, otherwise it is a positive one.

    Examples
    --------
    >>> functions_of("log_alpha"), functions_of("model.alpha_unconstrained"), functions_of("alpha")
    (('exp',), ('exp', 'softplus'), ())
    """
    said = words(name)
    logit = any(word.startswith("logit") for word in said)
    unsaid = not {*said}.isdisjoint(_UNSAID)
    if unit:
        return ("sigmoid",) if logit or unsaid else ()
    if any(word.startswith("log") or word == "ln" for word in said) and not logit:
        return ("exp",)
    if "softplus" in said:
        return ("softplus",)
    of_autoguide = not {"scale", "scales"}.isdisjoint(said)
    either = ("softplus", "exp") if of_autoguide else ("exp", "softplus")
    return either if unsaid else ()


def guess_letters(
    values: Mapping[str, FloatArray], owners: Sequence[str], size: int
) -> dict[str, str]:
    """Pair names that differ in a and b, or alpha and beta, with the concentrations of owners.

    None is guessed unless each owner has one pair and no parameter is left. The first letter is
    taken for concentration1, which the names do not say.

    Examples
    --------
    >>> import numpy as np
    >>> guess_letters({"a0": np.ones(()), "b0": np.ones(())}, ["prior"], 3)
    {'prior.concentration1': 'a0', 'prior.concentration0': 'b0'}
    """
    pairs, left = _letter_pairs(values), [*owners]
    found: dict[str, str] = {}
    said = {form: _owners_said(form, owners) for form in pairs}
    for form in sorted(pairs, key=lambda form: not said[form]):
        shape, _ = (values[name].shape for name in pairs[form].values())
        fitting = [x for x in said[form] or _by_shape(shape, owners, size) if x in left]
        if len(fitting) != 1:
            return {}
        (owner,) = fitting
        left.remove(owner)
        found |= {f"{owner}.{what}": pairs[form][what] for what in NAMES}
    return {} if left else found


def _letter_pairs(values: Mapping[str, FloatArray]) -> dict[str, dict[str, str]]:
    """Pair all names that differ in a and b, by what they have in common; none if one is left."""
    pairs: dict[str, dict[str, str]] = {}
    for name in values:
        form, letter = _LETTER.sub("*", name, count=1), _LETTER.search(name)
        what = "" if letter is None else _LETTERS[letter[0].lower()]
        if not what or what in pairs.setdefault(form, {}):
            return {}
        pairs[form][what] = name
    shapes = [{values[name].shape for name in pair.values()} for pair in pairs.values()]
    whole = all(len(pair) == len(NAMES) for pair in pairs.values())
    return pairs if whole and all(len(shape) == 1 for shape in shapes) else {}


def several_sites(values: Mapping[str, FloatArray], size: int) -> tuple[str, ...]:
    """Return the pairs of names that are the priors of several sites, whose latents make `size`.

    Examples
    --------
    >>> import numpy as np
    >>> store = {x: np.ones(()) for x in ("a0_c", "b0_c", "a0_t", "b0_t")}
    >>> store |= {x: np.ones(5) for x in ("a_c", "b_c", "a_t", "b_t")}
    >>> several_sites(store, 10), several_sites(store, 11)
    (('a0_c and b0_c', 'a0_t and b0_t'), ())
    """
    pairs = [[pair[name] for name in NAMES] for pair in _letter_pairs(values).values()]
    sizes = [values[first].size for first, _ in pairs]
    priors = [" and ".join(pair) for pair, each in zip(pairs, sizes, strict=True) if each == 1]
    latents = [each for each in sizes if each > 1]
    several = len(priors) == len(latents) > 1 and sum(latents) == size
    return tuple(priors) if several else ()


def _owners_said(form: str, owners: Sequence[str]) -> list[str]:
    """Return the owner that a name says, also as a 0 after its letter."""
    return [x for x in owners if owned_by(form, x) or (x == "prior" and "*0" in form)]


def _by_shape(shape: tuple[int, ...], owners: Sequence[str], size: int) -> list[str]:
    """Return the owners that a parameter without an owner's name may have."""
    if size == 1:
        return list(owners)
    each = size in shape[-2:]
    return [x for x in owners if (x == "guide") == each]
