"""Meaning of parameters' names: owners, roles, pairs, functions still to be applied."""

from __future__ import annotations

import numpy as np
import pytest

from elbo_ref.crosscheck import names

PRIOR = ("prior.concentration1", "prior.concentration0")
BETA = ("guide.concentration1", "guide.concentration0")
NORMAL = ("guide.loc", "guide.scale")


def shaped(**shapes):
    return {name: np.ones(shape) for name, shape in shapes.items()}


def test_words():
    assert names.words("AutoNormal.locs.c") == ["autonormal", "locs", "c"]
    assert names.words("__concentration1--X_") == ["concentration1", "x"]
    assert names.words("") == []


OWNERS = {
    "guide_alpha": (True, False),
    "q.alpha": (True, False),
    "AutoNormal.locs.c": (True, False),
    "model.alpha": (False, True),
    "alpha_p": (False, True),
    "p_auto_loc": (True, True),
    "alpha": (False, False),
    "pq": (False, False),
}


@pytest.mark.parametrize("name", OWNERS)
def test_owners(name):
    assert (names.owned_by(name, "guide"), names.owned_by(name, "prior")) == OWNERS[name]


def test_modules():
    assert names.is_of_module("weight") and names.is_of_module("layers.1.bias")
    assert not names.is_of_module("weight.0") and not names.is_of_module("")


CONCENTRATIONS = {
    True: ("a", "b0", "alpha_q", "beta", "qa", "q_b", "a_0", "conc", "log_conc1", "kappa", "q_a"),
    False: ("gate", "loc", "", "qab", "scale_q", "rate"),
}


def test_concentrations():
    for expected, which in CONCENTRATIONS.items():
        for name in which:
            assert names.of_concentration(name) is expected, name


def test_parts_of_other_models():
    said = {"mu": "a location", "tau2": "a scale", "slope": "weights", "inflation": "a mixture's"}
    for name, start in said.items():
        assert names.meaning_of(name).startswith(start), name
    assert names.meaning_of("hyper_alpha") == "a hyperprior"
    assert names.meaning_of("c") == ""
    foreign = {"gate": True, "intercept": True, "mu": False, "sd": False, "c": False}
    assert {name: names.is_foreign(name) for name in foreign} == foreign
    assert not names.is_foreign("encoder.weight") and names.is_foreign("encoder.w")


def test_frameworks():
    assert names.from_numpyro(["c", "c_auto_loc"]) and not names.from_numpyro(["AutoDelta.c"])
    assert names.from_pyro(["c", "AutoDelta.c"]) and names.from_pyro(["a_unconstrained"])
    assert not names.from_pyro(["unconstrained_a", "auto_loc", "auto"])
    assert not names.from_pyro([]) and not names.from_numpyro([])


def test_probabilities():
    for name, delta, expected in (
        ("guide.probs", False, True),
        ("AutoDelta.c", False, True),
        ("probs", False, True),
        ("c_auto_loc", False, False),
        ("c_auto_loc", True, True),
        ("auto_scale", True, False),
        ("prob", True, False),
    ):
        assert names.is_probability(name, delta=delta) is expected, (name, delta)


ROLES = {
    "all by owner and word": (
        ("guide_beta", "guide_alpha", "prior_beta", "prior_alpha"),
        (*PRIOR, *BETA),
        dict(zip((*PRIOR, *BETA),
                 ("prior_alpha", "prior_beta", "guide_alpha", "guide_beta"), strict=True)),
    ),
    "the word of two owners says nothing": (("alpha", "beta"), (*PRIOR, *BETA), {}),
    "of one owner it does": (
        ("alpha", "beta"), PRIOR, dict(zip(PRIOR, ("alpha", "beta"), strict=True))
    ),
    "unless it is another's": (("q_alpha", "beta"), PRIOR, {PRIOR[1]: "beta"}),
    "p is the latent's name too": (("p_loc", "p_scale"), NORMAL,
                                   dict(zip(NORMAL, ("p_loc", "p_scale"), strict=True))),
    "an owner is more than none": (("loc", "guide_mu"), NORMAL, {NORMAL[0]: "guide_mu"}),
    "two alike say nothing": (("loc", "mu", "sigma"), NORMAL, {NORMAL[1]: "sigma"}),
    "two of an owner neither": (("q_loc", "q_mu", "sigma"), NORMAL, {NORMAL[1]: "sigma"}),
    "a role by itself": ((PRIOR[0], "prior_alpha"), PRIOR, {PRIOR[0]: PRIOR[0]}),
    "one name for two": (("prior_alpha_beta",), PRIOR, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", ROLES)
def test_guessed_roles(case):
    values, roles, expected = ROLES[case]
    assert names.guess_roles(values, {}, roles, ()) == expected


def test_no_role_is_guessed_that_is_said_or_held():
    values = ("alpha", "beta")
    assert names.guess_roles(values, {PRIOR[0]: "x"}, PRIOR, ()) == {PRIOR[1]: "beta"}
    assert names.guess_roles(values, {}, PRIOR, {PRIOR[1]}) == {PRIOR[0]: "alpha"}


PRIOR_PAIR, GUIDE_PAIR = "prior.concentrations", "guide.concentrations"
PAIRS = {
    "by name": (shaped(q=(3, 2), p=2), 3, {PRIOR_PAIR: "p", GUIDE_PAIR: "q"}),
    "by shape": (shaped(x=(3, 2), y=2), 3, {PRIOR_PAIR: "y", GUIDE_PAIR: "x"}),
    "in columns": (shaped(x=(2, 3), y=(2, 1)), 3, {PRIOR_PAIR: "y", GUIDE_PAIR: "x"}),
    "a row": (shaped(x=(2, 3), y=(1, 2)), 3, {PRIOR_PAIR: "y", GUIDE_PAIR: "x"}),
    "with steps": (shaped(x=(5, 3, 2), y=(5, 2)), 3, {PRIOR_PAIR: "y", GUIDE_PAIR: "x"}),
    "of one latent": (shaped(x=2, p=2), 1, {PRIOR_PAIR: "p", GUIDE_PAIR: "x"}),
    "neither says": (shaped(x=2, y=2), 1, {}),
    "of two latents a row is a column": (shaped(x=(2, 2), p=2), 2, {}),
    "one is left": (shaped(x=(3, 2), y=2, z=4), 3, {}),
    "two of the guide": (shaped(x=(3, 2), y=(3, 2)), 3, {}),
    "none of the guide": (shaped(y=2), 3, {}),
    "nothing": ({}, 3, {}),
}


@pytest.mark.parametrize("case", PAIRS)
def test_pairs_in_one_array(case):
    values, size, expected = PAIRS[case]
    assert names.guess_pairs(values, ["guide", "prior"], size) == expected


def test_a_pair_of_one_owner():
    assert names.guess_pairs(shaped(ab=2), ["prior"], 3) == {PRIOR_PAIR: "ab"}
    assert names.guess_pairs(shaped(ab=3), ["prior"], 3) == {}


FUNCTIONS = {
    "log_alpha": (("exp",), ()),
    "ln_a": (("exp",), ()),
    "logs.a": (("exp",), ()),
    "logit_m": ((), ("sigmoid",)),
    "softplus_a": (("softplus",), ()),
    "raw_m": (("exp", "softplus"), ("sigmoid",)),
    "a_unconstrained": (("exp", "softplus"), ("sigmoid",)),
    "AutoNormal.scales.c_unconstrained": (("softplus", "exp"), ("sigmoid",)),
    "raw_scale": (("softplus", "exp"), ("sigmoid",)),
    "scale": ((), ()),
    "alpha": ((), ()),
    "raw_logit_a": (("exp", "softplus"), ("sigmoid",)),
}


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_still_to_be_applied(name):
    positive, unit = FUNCTIONS[name]
    assert names.functions_of(name) == positive
    assert names.functions_of(name, unit=True) == unit


def of(owner, first, second):
    return {f"{owner}.concentration1": first, f"{owner}.concentration0": second}


BOTH = ["prior", "guide"]
LETTERS = {
    "by a 0 and by shape": (
        shaped(a=3, b=3, a0=(), b0=()), BOTH, 3, of("prior", "a0", "b0") | of("guide", "a", "b")
    ),
    "by shape alone": (
        shaped(a_x=3, b_x=3, a_y=(), b_y=()),
        BOTH, 3, of("prior", "a_y", "b_y") | of("guide", "a_x", "b_x"),
    ),
    "a history by shape": (
        shaped(a_x=(9, 3), b_x=(9, 3), a_y=9, b_y=9),
        BOTH, 3, of("prior", "a_y", "b_y") | of("guide", "a_x", "b_x"),
    ),
    "a column by shape": (
        shaped(a_x=(3, 1), b_x=(3, 1), a_y=1, b_y=1),
        BOTH, 3, of("prior", "a_y", "b_y") | of("guide", "a_x", "b_x"),
    ),
    "a grid of one, of three steps": (
        shaped(a_y=(3, 1, 1), b_y=(3, 1, 1)), ["prior"], 3, of("prior", "a_y", "b_y")
    ),
    "two letters, the first of which says it": (
        shaped(alpha_a=3, beta_a=3, alpha_b=(), beta_b=()),
        BOTH, 3, of("prior", "alpha_b", "beta_b") | of("guide", "alpha_a", "beta_a"),
    ),
    "what is left of one latent": (
        shaped(a=(), b=(), a0=(), b0=()), BOTH, 1, of("prior", "a0", "b0") | of("guide", "a", "b")
    ),
    "by a word": (
        shaped(A=(), B=(), q_alpha=(), q_beta=()),
        BOTH, 1, of("prior", "A", "B") | of("guide", "q_alpha", "q_beta"),
    ),
    "after a q": (
        shaped(qa=3, qb=3, a=(), b=()), BOTH, 3, of("prior", "a", "b") | of("guide", "qa", "qb")
    ),
    "beta first": (shaped(beta=(), alpha=()), ["prior"], 3, of("prior", "alpha", "beta")),
    "nothing tells": (shaped(a=(), b=(), a_x=(), b_x=()), BOTH, 1, {}),
    "two of the guide": (shaped(a=3, b=3, a_x=3, b_x=3), BOTH, 3, {}),
    "one of two": (shaped(a=(), b=(), a_x=()), BOTH, 1, {}),
    "no letter": (shaped(a=(), b=(), c=()), ["prior"], 1, {}),
    "two shapes": (shaped(a=(), b=3), ["prior"], 1, {}),
    "twice the same letter": (shaped(a=(), alpha=()), ["prior"], 1, {}),
    "an owner without": (shaped(a=(), b=()), BOTH, 3, {}),
}  # fmt: skip


@pytest.mark.parametrize("case", LETTERS)
def test_letters(case):
    values, owners, size, expected = LETTERS[case]
    assert names.guess_letters(values, owners, size) == expected


SITES = {"a0_c": (), "b0_c": (), "a0_t": (), "b0_t": (), "a_c": 5, "b_c": 5, "a_t": 4, "b_t": 4}


def test_several_sites():
    pairs = ("a0_c and b0_c", "a0_t and b0_t")
    assert names.several_sites(shaped(**SITES), 9) == pairs
    assert names.several_sites(shaped(**SITES), 10) == ()
    one = {name: shape for name, shape in SITES.items() if name.endswith("c")}
    assert names.several_sites(shaped(**one), 5) == ()
    two = {"a_s": 2, "b_s": 2, "a0_s": (), "b0_s": ()}
    assert names.several_sites(shaped(**SITES, **two), 11) == (*pairs, "a0_s and b0_s")
    three = SITES | {"a0_s": (), "b0_s": ()}
    assert names.several_sites(shaped(**three), 9) == ()
    assert names.several_sites(shaped(**SITES, c=()), 9) == ()
