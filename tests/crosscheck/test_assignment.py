"""Somebody's parameters in roles, in each of the ways that they can be meant."""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special

import elbo_ref as er
from elbo_ref.crosscheck.assignment import assignments, note
from elbo_ref.guides import GUIDES
from elbo_ref.io.parameters import Parameters
from loss_models import COUNTS

FIRST, SECOND = PRIOR = ("prior.concentration1", "prior.concentration0")
A, B = OWN = ("guide.concentration1", "guide.concentration0")
VALUES = {"a": 2.0, "b": 3.0, "qa": [4.0, 8.0, 3.0], "qb": [8.0, 3.0, 6.0]}
NAMES = dict(zip((*PRIOR, *OWN), VALUES, strict=True))


def given(values, constraints=None, ends=None, notes=()):
    arrays = {name: np.asarray(x, float) for name, x in values.items()}
    return Parameters(arrays, dict.fromkeys(arrays), (), notes, constraints or {}, ends or {})


def assigned(
    values=VALUES, names=NAMES, guide="beta", prior=None, losses=0, counts=COUNTS, **store
):
    return assignments(counts, given(values, **store), GUIDES[guide], names, prior, losses)


def said(found, name=None):
    return [x.quantity for x in found.findings if name in (None, x.name)]


def prior_of(found):
    return found.roles.prior[:, -1, 0].tolist()


POSITIVE = dict.fromkeys(VALUES, "positive")


def test_values_that_a_store_holds_positive_are_believed():
    (found,) = assigned(constraints=POSITIVE)
    assert prior_of(found) == [2.0, 3.0] and found.findings == ()
    assert found.roles.guide_parameters[:, 0].tolist() == [VALUES["qa"], VALUES["qb"]]
    assert found.constrained == ("prior", "guide")
    assert (found.guide.name, found.counts) == ("beta", COUNTS)


def test_values_of_which_nothing_is_said():
    """They are taken as they are, and may be unconstrained all the same."""
    assert assigned()[0].constrained == ()
    assert assigned(constraints={"a": "positive", "b": "positive"})[0].constrained == ("prior",)
    assert assigned(constraints={"a": "positive"})[0].constrained == ()
    assert assigned(constraints={"qa": "positive", "qb": "positive"})[0].constrained == ("guide",)


def test_a_real_value_may_be_free():
    """As it is, or by exp or softplus, of the owner whose it is; what is applied is said."""
    real = {"a": "real", "b": "real", "qa": "positive", "qb": "positive"}
    found = assigned(constraints=real)
    functions = (lambda x: x, np.exp, special.log1p)
    wanted = ([2.0, 3.0], np.exp([2.0, 3.0]), np.log1p(np.exp([2.0, 3.0])))
    for x, prior in zip(found, wanted, strict=True):
        np.testing.assert_allclose(prior_of(x), prior)
        assert x.roles.guide_parameters[0, 0].tolist() == VALUES["qa"]
        assert x.constrained == ("prior", "guide")
    why = "(the store does not hold it positive)"
    assert [said(x) for x in found] == [[], [f"a, b: exp applied {why}"],
                                        [f"a, b: softplus applied {why}"]]  # fmt: skip
    assert len(functions) == len(found)
    assert len(assigned(constraints=dict.fromkeys(VALUES, "real"))) == 8, "of nine"


def test_a_value_that_no_concentration_has_is_free():
    """With all that the store says as little of, and it is a mistake where nothing said it."""
    values = VALUES | {"a": -0.5}
    exp, _, _, softplus = assigned(values)
    np.testing.assert_allclose(prior_of(exp), np.exp([-0.5, 3.0]))
    np.testing.assert_allclose(exp.roles.guide_parameters[0, 0], np.exp(VALUES["qa"]))
    np.testing.assert_allclose(prior_of(softplus), np.log1p(np.exp([-0.5, 3.0])))
    for x, name in ((exp, "exp"), (softplus, "softplus")):
        (mistake,) = [y for y in x.findings if y.status == "mistake"]
        assert (mistake.name, mistake.theirs) == ("unconstrained_values", -0.5)
        assert mistake.reason.startswith(f"{name} was applied")
    positive = {"qa": "positive", "qb": "positive"}
    found = assigned(values, constraints=positive)
    assert found[0].roles.guide_parameters[0, 0].tolist() == VALUES["qa"]
    real = assigned(values, constraints=positive | {"a": "real", "b": "real"})
    assert not any(x.status == "mistake" for x in real[0].findings)
    assert said(real[0]) == ["a, b: exp applied (no concentration has such values)"]
    assert [len(found), len(real)] == [2, 2]
    assert found[0].constrained == real[0].constrained == ("prior", "guide")


def test_values_of_two_owners_and_two_functions():
    found = assigned(VALUES | {"a": -0.5, "qa": [4.0, 8.0, -3.0]})
    reasons = [x.findings[-1].reason for x in found]
    assert [len(x.findings) for x in found] == [1] * 4
    assert reasons == [f"{x} was applied to go on" for x in
                       ("exp", "exp and softplus", "softplus and exp", "softplus")]  # fmt: skip
    assert {x.findings[-1].theirs for x in found} == {-3.0}


def test_a_name_that_says_a_function():
    """log_a is exp of it, or as it is where it could be; of a store's positive log too."""
    values = {"log_a": -0.5, "log_b": -0.7, "qa": [3.0] * 3, "qb": 4.0}
    names = NAMES | {FIRST: "log_a", SECOND: "log_b"}
    (one,) = assigned(values, names)
    np.testing.assert_allclose(prior_of(one), np.exp([-0.5, -0.7]))
    assert said(one) == ["log_a, log_b: exp applied (its name)"]
    both = assigned(values | {"log_a": 0.5, "log_b": 0.5}, names)
    assert [np.allclose(prior_of(x), np.exp([0.5, 0.5])) for x in both] == [True, False]
    assert [x.constrained for x in both] == [("prior", "guide"), ("prior",)]
    mixed = assigned(values | {"log_b": 0.5}, names)
    np.testing.assert_allclose(
        [prior_of(x) for x in mixed], np.exp([[-0.5, 0.5], [-0.5, -np.log(2)]])
    )
    assert said(both[1], "reading") == ["log_a, log_b: taken as they are"]
    held = {"log_a": "positive", "log_b": "positive"}
    plain, exp = assigned(values | {"log_a": 0.5, "log_b": 0.5}, names, constraints=held)
    assert prior_of(plain) == [0.5, 0.5]
    np.testing.assert_allclose(prior_of(exp), np.exp([0.5, 0.5]))
    raw = {"raw_a": 0.5, "raw_b": 0.5, "qa": 3.0, "qb": 4.0}
    names = NAMES | {FIRST: "raw_a", SECOND: "raw_b"}
    assert len(assigned(raw, names, constraints=dict.fromkeys(raw, "positive"))) == 1


def test_a_function_that_was_said_is_no_doubt():
    values = VALUES | {"a": -0.5}
    (found,) = assigned(values, NAMES | {FIRST: "exp(a)"})
    assert prior_of(found) == [np.exp(-0.5), 3.0] and found.findings == ()
    (held,) = assigned(values, NAMES | {FIRST: "2.5"})
    assert prior_of(held) == [2.5, 3.0]


BY_MEAN = {"prior.mean": "m", "prior.concentration": "s", A: "qa", B: "qb"}


def test_a_mean_lies_between_0_and_1():
    """Otherwise its sigmoid is meant; a name may say so, too."""
    own = {"s": 5.0, "qa": [4.0] * 3, "qb": 8.0}
    (found,) = assigned({"m": 0.25} | own, BY_MEAN)
    assert prior_of(found) == [1.25, 3.75]
    for mean in (1.5, -0.5, 0.0, 1.0):
        found = assigned({"m": mean} | own, BY_MEAN)[0]
        np.testing.assert_allclose(prior_of(found)[0], 5 * special.expit(mean))
        assert said(found) == ["m: sigmoid applied (its values are not between 0 and 1)"]
    names = BY_MEAN | {"prior.mean": "logit_m"}
    both = assigned({"logit_m": 0.25} | own, names)
    np.testing.assert_allclose([prior_of(x)[0] for x in both], [5 * special.expit(0.25), 1.25])


def test_a_scale_is_softplus_first():
    values = {"a": 2.0, "b": 3.0, "loc": [0.0, 1.0, 2.0], "scales": -0.5}
    names = {FIRST: "a", SECOND: "b", "guide.loc": "loc", "guide.scale": "scales"}
    first, second, *_ = assigned(
        values, names, "normal", constraints={"a": "positive", "b": "positive"}
    )
    np.testing.assert_allclose(first.roles.guide_parameters[1, 0, 0], np.log1p(np.exp(-0.5)))
    np.testing.assert_allclose(second.roles.guide_parameters[1, 0, 0], np.exp(-0.5))
    other = values | {"tau": -0.5}
    first = assigned(other, names | {"guide.scale": "tau"}, "normal",
                     constraints={"a": "positive", "b": "positive"})[0]  # fmt: skip
    np.testing.assert_allclose(first.roles.guide_parameters[1, 0, 0], np.exp(-0.5))


def test_numbered_parameters_have_one_constraint():
    values = {"a": 2.0, "b": 3.0, "qb": 4.0} | {f"qa_{i}": float(i + 1) for i in range(3)}
    stored = {"a": "positive", "b": "positive", "qb": "positive"}
    names = NAMES | {A: "qa_*"}
    known = stored | {f"qa_{i}": "positive" for i in range(3)}
    (found,) = assigned(values, names, constraints=known)
    assert found.constrained == ("prior", "guide")
    assert found.roles.guide_parameters[0, 0].tolist() == [1.0, 2.0, 3.0]
    assert assigned(values, names, constraints=stored)[0].constrained == ("prior",)
    other = stored | {"qa": "positive", "xqa_1": "positive", "qa_1x_": "real"}
    assert assigned(values, names, constraints=other)[0].constrained[:1] == ("prior",)


def test_values_that_no_beta_has_are_refused():
    stored = {**POSITIVE}
    for change, rule in (
        ({"a": np.nan}, "the prior's parameters are not finite at step 0"),
        ({"qa": [1.0, np.inf, 1.0]}, "the guide's parameters are not finite at step 0"),
        ({"a": -1.0}, "the prior's parameters are not positive at step 0"),
        ({"qb": [1.0, 0.0, 1.0]}, "the guide's parameters are not positive at step 0"),
        ({"a": [1.0, 2.0, 1e101]}, r"the prior's parameters are not at most 1e\+100 at step 2"),
    ):
        with pytest.raises(ValueError, match=rule):
            assigned(VALUES | change, constraints=stored, losses=3)
    assert assigned(VALUES | {"a": 1e100}, constraints=stored)
    loc = {"a": 2.0, "b": 3.0, "loc": -1.0, "scale": 2.0}
    names = {FIRST: "a", SECOND: "b", "guide.loc": "loc", "guide.scale": "scale"}
    assert assigned(loc, names, "normal", constraints=dict.fromkeys(loc, "positive"))


def test_one_pair_for_all_latents():
    """Of a Beta guide that is another guide; of one latent it is the same."""
    values = VALUES | {"qa": 4.0, "qb": 8.0}
    (found,) = assigned(values, constraints=POSITIVE)
    assert found.guide.name == "beta_shared" and "one Beta guide for all latents" in said(found)[0]
    half = assigned(values | {"qb": [8.0, 3.0, 6.0]}, constraints=POSITIVE)[0]
    assert half.guide.name == "beta"
    one = assigned(values, constraints=POSITIVE, counts=er.Counts(3, 10))[0]
    assert one.guide.name == "beta" and said(one) == []


def test_entries_that_stand_for_several_latents():
    """Each gets its own where parameters do; a guide without parameters needs none."""
    counts = er.Counts([3, 7], [10, 9], multiplicity=[2, 1])
    found = assigned(constraints=POSITIVE, counts=counts)[0]
    assert found.counts.multiplicity.tolist() == [1, 1, 1]
    assert found.counts.successes.tolist() == [3, 3, 7]
    pair = VALUES | {"qa": [4.0, 8.0], "qb": [8.0, 3.0]}
    assert assigned(pair, constraints=POSITIVE, counts=counts)[0].counts == counts
    column = VALUES | {"qa": np.ones((3, 1)), "qb": np.ones((3, 1))}
    assert len(assigned(column, constraints=POSITIVE, counts=counts)[0].counts) == 3
    history = VALUES | {"qa": np.ones((5, 3)), "qb": np.ones((5, 3))}
    assert len(assigned(history, constraints=POSITIVE, counts=counts)[0].counts) == 3
    empty = assigned({"a": [2.0, 2.0, 2.0], "b": 3.0}, {FIRST: "a", SECOND: "b"}, "empty", losses=3,
                     counts=counts, constraints=POSITIVE)[0]  # fmt: skip
    assert empty.counts == counts


def test_a_guide_that_is_the_posterior_has_the_outcomes():
    names = {FIRST: "a", SECOND: "b"}
    found = assigned({"a": 2.0, "b": 3.0}, names, "conjugate", constraints=POSITIVE)[0]
    np.testing.assert_array_equal(
        np.broadcast_to(found.roles.guide_parameters[:, 0], (2, 3)),
        (COUNTS.successes, COUNTS.failures),
    )


def test_guesses_and_what_is_left_are_noted():
    values = {"prior_alpha": 2.0, "prior_beta": 3.0, "guide_alpha": 4.0, "guide_beta": 8.0}
    found = assigned(values | {"x": 1.0, "gate": 2.0}, None)[0]
    assert said(found, "names") == [
        f"{name} was taken for {role}" for name, role in zip(values, (*PRIOR, *OWN), strict=True)
    ]
    (unused,) = [x for x in found.findings if x.name == "unused"]
    assert unused.of == "x, gate" and unused.quantity.startswith("x, gate: no role uses it")
    assert unused.quantity.endswith("the Beta-Binomial has none such: it may be another model")
    plain = assigned(values | {"x": 1.0}, None)[0]
    assert said(plain, "unused") == ["x: no role uses it, and nothing is said of it"]
    assert note("x", "y").status == "note"


def test_two_in_one_array_may_be_turned():
    """Where the order was guessed, the first before the second."""
    values = {"p": [2.0, 3.0], "q": [[4.0, 8.0], [8.0, 3.0], [3.0, 6.0]]}
    stored = dict.fromkeys(values, "positive")
    first, second = assigned(values, None, constraints=stored)
    assert (prior_of(first), prior_of(second)) == ([2.0, 3.0], [3.0, 2.0])
    words = "p, q: concentration1 was taken to be the {} of two"
    for x, which in ((first, "first"), (second, "second")):
        assert words.format(which) in said(x, "names"), said(x)
    names = {"prior.concentrations": "p", "guide.concentrations": "q"}
    (one,) = assigned(values, names, constraints=stored)
    assert prior_of(one) == [2.0, 3.0] and said(one) == []


def test_notes_on_a_store_are_grouped():
    """Those that say the same of several; none of what a function is applied to here."""
    notes = ("a: was float32", "b: was float32", "qa: was half", "log_unconstrained: as it was")
    (found,) = assigned(constraints=POSITIVE, notes=notes)
    assert said(found, "parameters") == [
        "a, b: was float32", "qa: was half", "log_unconstrained: as it was"
    ]  # fmt: skip
    values = {"a_unconstrained": 0.5, "b": 3.0, "qa": 4.0, "qb": 8.0}
    stored = {"b": "positive", "qa": "positive", "qb": "positive"}
    found = assigned(values, NAMES | {FIRST: "a_unconstrained"}, constraints=stored,
                     notes=("a_unconstrained: left as it is",))  # fmt: skip
    texts = [said(x, "parameters") for x in found]
    assert texts[0] == [] and texts[-1] == ["a_unconstrained: left as it is"]


def test_histories():
    """As many losses as steps, or one fewer; else the last values are judged."""
    steps = VALUES | {"a": np.linspace(2, 3, 5), "b": np.linspace(3, 4, 5),
                      "qa": np.ones((5, 3)), "qb": np.ones((5, 3))}  # fmt: skip
    for losses, lengths in ((0, [5]), (5, [5]), (4, [5]), (6, [1]), (3, [1])):
        found = assigned(steps, constraints=POSITIVE, losses=losses)
        assert [x.roles.num_steps for x in found] == lengths, losses
        text = (
            f"{losses} losses and 5 sets of parameters cannot be paired: the last values are judged"
        )
        assert said(found[0], "history") == ([text] if lengths == [1] else [])
        assert prior_of(found[0]) == [3.0, 4.0]


def test_histories_of_some_parameters():
    """Then the others are taken to be the same in all steps, or the end alone is judged."""
    some = VALUES | {"a": np.linspace(2, 3, 5)}
    whole, end = assigned(some, constraints=POSITIVE, losses=5)
    assert (whole.roles.num_steps, end.roles.num_steps) == (5, 1)
    assert said(end) == ["some parameters have no history: the last values are judged"]
    different = VALUES | {"a": np.linspace(2, 3, 5), "b": np.linspace(3, 4, 6)}
    (one,) = assigned(different, constraints=POSITIVE, losses=0)
    assert one.roles.num_steps == 1 and prior_of(one) == [3.0, 4.0]
    assert said(one) == [
        "the parameters have histories of 5 and 6 steps: the last values are judged"
    ]
    assert len(assigned(VALUES, constraints=POSITIVE, losses=7)) == 1


def at_end(x, low=0.0, high=5.0, **changes):
    values = VALUES | {"qa": [x, 1.0, 1.0]}
    store = {"constraints": POSITIVE, "ends": {"qa": (low, high)}} | changes
    found = assigned(values, **store)[0]
    return [y for y in found.findings if y.name == "guide_at_constraint"]


def test_a_guide_at_the_end_of_its_interval():
    """Within a tenth of it, and with its optimum beyond: here 2 + 3 = 5 of the first latent."""
    (one,) = at_end(4.6, high=4.9)
    assert (one.theirs, one.ours, one.status) == (4.6, 5.0, "mistake")
    assert "qa, held below 4.9 by its constraint" in one.quantity and "latent 0" in one.reason
    assert at_end(4.6, high=5.0) == [], "where it would be is not beyond"
    for x, held in ((4.42, True), (4.40, False)):
        assert bool(at_end(x, high=4.9)) is held
    for x, held in ((4.55, True), (4.50, False)):
        assert bool(at_end(x, low=1.0, high=4.9)) is held
    assert at_end(4.6, high=4.9, ends={"b": (0.0, 4.9)}) == []
    functions = NAMES | {A: "exp(qa)"}
    assert at_end(1.5, high=1.55, names=functions) == []


def test_the_latent_that_is_farthest_is_told():
    values = VALUES | {"qa": [4.6, 4.8, 1.0]}
    found = assigned(values, constraints=POSITIVE, ends={"qa": (0.0, 4.9)})[0]
    (one,) = [y for y in found.findings if y.name == "guide_at_constraint"]
    assert (one.theirs, one.ours) == (4.8, 9.0) and "latent 1" in one.reason
    shared = assigned(
        VALUES | {"qa": 4.8, "qb": 8.0}, constraints=POSITIVE, ends={"qa": (0.0, 4.9)}
    )
    assert not any(y.name == "guide_at_constraint" for y in shared[0].findings)
    failures = VALUES | {"qb": [6.8, 1.0, 1.0]}
    found = assigned(failures, constraints=POSITIVE, ends={"qb": (0.0, 7.0)})[0]
    (one,) = [y for y in found.findings if y.name == "guide_at_constraint"]
    assert (one.theirs, one.ours) == (6.8, 10.0) and one.quantity.startswith("qb, held below 7 by")
