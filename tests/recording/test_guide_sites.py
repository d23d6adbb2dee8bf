"""The latent sites as one, and which guide samples them, by small recordings."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from elbo_ref.recording import Recording
from elbo_ref.recording.guide_sites import (
    EMPTY,
    Argument,
    OutsideError,
    Sites,
    common,
    guide_with,
)
from elbo_ref.recording.statement import read_statement
from recorded import K, N, betas, site, stated

STEPS = 4
A, B = (x[:, None] for x in (np.linspace(2.0, 3.0, STEPS), np.linspace(5.0, 4.0, STEPS)))
QA, QB = (x + np.linspace(0, 1, STEPS)[:, None] for x in ([4.0, 8.0, 15.0], [9.0, 6.0, 30.0]))
C = np.random.default_rng(0).uniform(0.1, 0.9, (STEPS, 2, 3))
Y = np.log(C) - np.log1p(-C)
MODEL = site("model", "c")


def reading(sites, arguments, **groups):
    """The statement of a model with a Beta(A, B), and of a guide with these sites."""
    arguments = {**betas((A, B)), **arguments}
    return read_statement(stated(C, arguments, sites=[MODEL, *sites], **groups))


def test_guides_are_found_by_their_fields():
    assert guide_with(origin="prior", source_weight=0) is EMPTY and EMPTY.name == "empty"
    assert guide_with(origin="posterior", detached=True).name == "conjugate_detached"


# -- arguments -------------------------------------------------------------------------------------


def test_values_that_all_latents_share_are_one():
    gradient = np.arange(12.0).reshape(STEPS, 3)
    one = Argument(np.repeat(A, 3, axis=1), gradient, ("a",)).one_for_all()
    np.testing.assert_array_equal(one.values, A)
    np.testing.assert_array_equal(one.gradient, gradient.sum(axis=1, keepdims=True))
    for width in (2, 3):
        several = Argument(QA[:, :width], gradient[:, :width], ("qa",))
        assert several.one_for_all() is several


def test_some_of_the_latents_are_kept():
    kept = np.array([True, False, True])
    own = Argument(QA, 2 * QA, ()).select(kept)
    np.testing.assert_array_equal(own.values, QA[:, kept])
    np.testing.assert_array_equal(own.gradient, 2 * QA[:, kept])
    shared = Argument(A, A, ()).select(kept)
    assert shared.values.shape == shared.gradient.shape == (STEPS, 1)


def test_an_argument_without_a_gradient_has_none_to_add_up():
    assert Argument(np.ones((STEPS, 1)), None, ()).size == 0.0


def test_gradients_of_two_places_are_added():
    mine, theirs = Argument(A, 3 * A, ("a",)), Argument(A, QA, ("a",))
    total = mine.plus(theirs).gradient
    np.testing.assert_allclose(total, 3 * A + QA.sum(axis=1, keepdims=True), rtol=1e-15)
    each = mine._replace(gradient=QA).plus(theirs).gradient
    np.testing.assert_allclose(each, 2 * QA.sum(axis=1, keepdims=True), rtol=1e-15)
    for steps in (1, STEPS):
        own = Argument(QA[:steps], QA[:steps], ("qa",))
        np.testing.assert_array_equal(own.plus(own).gradient, 2 * QA[:steps])
    other = Argument(QA, QA, ("qa",)).plus(theirs._replace(gradient=3 * A)).gradient
    np.testing.assert_allclose(other, 3 * A + QA.sum(axis=1, keepdims=True), rtol=1e-15)
    none = Argument(A, None, ())
    assert none.plus(none) is none
    np.testing.assert_array_equal(none.plus(mine).gradient, 3 * A)


# -- sites side by side ----------------------------------------------------------------------------


def looped(priors=(2.0, 2.0, 2.0), gradients=True):
    """A site for each of three latents, of which the second has two elements."""
    sizes = (1, 2, 1)
    arguments, given = {}, {}
    for i, (size, prior) in enumerate(zip(sizes, priors, strict=True)):
        for name in ("concentration1", "concentration0"):
            arguments[f"model.c_{i}.{name}"] = np.full((STEPS, 1), prior)
            given[f"model.c_{i}.{name}"] = np.full((STEPS, size), 1.0 + i)
    sources = {name: ["a"] for name in ("concentration1", "concentration0")}
    return Recording(
        losses=np.zeros(STEPS),
        draws={f"c_{i}": np.full((STEPS, 2, size), 0.1 + i / 4) for i, size in enumerate(sizes)},
        arguments=arguments,
        argument_gradients=given if gradients else {},
        header={"sites": [site("model", f"c_{i}", sources=sources) for i in range(3)]},
    )


def test_sites_of_a_loop_are_one():
    sites = Sites(looped(), ["c_0", "c_1", "c_2"])
    assert sites.name == "c_*" and sites.size == 4 and sites.kept.all()
    assert sites.draws[0, 0].tolist() == [0.1, 0.35, 0.35, 0.6]
    found = sites.argument("model", "", "concentration1")
    assert found.values.tolist() == [[2.0]] * STEPS and found.sources == ("a",)
    assert found.gradient.tolist() == [[1.0, 2.0, 2.0, 3.0]] * STEPS
    assert found.one_for_all().gradient.tolist() == [[8.0]] * STEPS
    assert sites.several_priors()


def test_equal_values_of_several_parameters_are_several():
    """A guide's own parameters may start alike, and one step tells no more."""
    made = looped()
    named = [
        {**x, "sources": {"concentration1": [f"q_{i}"], "concentration0": ["b"]}}
        for i, x in enumerate(made.header["sites"])
    ]
    sites = Sites(replace(made, header={"sites": named}), ["c_0", "c_1", "c_2"])
    assert sites.argument("model", "", "concentration1").values.shape == (STEPS, 4)
    assert sites.argument("model", "", "concentration0").values.shape == (STEPS, 1)


def test_sites_with_other_values_keep_them():
    sites = Sites(looped(priors=(2.0, 2.0, 3.0)), ["c_0", "c_1", "c_2"])
    found = sites.argument("model", "", "concentration1")
    assert found.values.tolist() == [[2.0, 2.0, 2.0, 3.0]] * STEPS


def test_values_for_each_element_beside_one_for_all():
    """Of two sites of two elements."""
    names = ["c", "d"]
    arguments = {"model.c.concentration1": A, "model.d.concentration1": QA[:, :2]}
    made = Recording(
        losses=np.zeros(STEPS),
        draws={name: np.full((STEPS, 1, 2), 0.5) for name in names},
        arguments=arguments,
        header={"sites": [site("model", name) for name in names]},
    )
    found = Sites(made, names).argument("model", "", "concentration1")
    np.testing.assert_array_equal(found.values, np.hstack((A, A, QA[:, :2])))


def test_a_gradient_that_one_site_lacks_is_lacking():
    sites = Sites(looped(gradients=False), ["c_0", "c_1", "c_2"])
    assert sites.argument("model", "", "concentration1").gradient is None


def test_a_mask_leaves_latents_out():
    mask = {"model.c_1.mask": np.array([[1.0, 0.0]])}
    sites = Sites(looped().with_observed(mask), ["c_0", "c_1", "c_2"])
    assert sites.kept.tolist() == [True, True, False, True]
    assert sites.draws.shape == (STEPS, 2, 3)
    for steps in (2, STEPS):
        made = looped()
        groups = ("draws", "arguments", "argument_gradients")
        some = {name: {x: y[:steps] for x, y in getattr(made, name).items()} for name in groups}
        moving = {"model.c_1.mask": np.ones((steps, 2))}
        made = replace(made, losses=made.losses[:steps], observed=moving, **some)
        with pytest.raises(OutsideError, match="the mask of 'c_1' changes from step to step"):
            _ = Sites(made, ["c_0", "c_1", "c_2"]).kept


@pytest.mark.parametrize(
    ("names", "joined"),
    [(["c", "d"], "*"), (["c_0", "c_0"], "c_0*"), (["p.0.c", "p.1.c"], "p.*.c")],
)
def test_names_are_joined_by_a_star(names, joined):
    assert common(names) == joined


# -- guides ----------------------------------------------------------------------------------------

FROM_PRIOR = {"concentration1": ["a"], "concentration0": ["b"]}
BETAS = {
    "beta": ((QA, QB), {}),
    "beta_shared": ((QA[:, :1], QB[:, :1]), {}),
    "tied": ((A, B), FROM_PRIOR),
    "conjugate": ((A + K, B + N - K), FROM_PRIOR),
    "conjugate_detached": ((A + K, B + N - K), {}),
}


@pytest.mark.parametrize("kind", BETAS)
def test_betas_are_told_apart_by_their_arguments(kind):
    own, sources = BETAS[kind]
    arguments = {name: x for name, x in betas((A, B), own).items() if name.startswith("guide")}
    gradients = {} if kind == "conjugate_detached" else {x: np.ones((STEPS, 1)) for x in arguments}
    model = {**MODEL, "sources": FROM_PRIOR}
    sites = [model, site("guide", "c", sources=sources)]
    groups = {"sites": sites, "argument_gradients": gradients}
    statement = read_statement(stated(C, {**betas((A, B)), **arguments}, **groups))
    assert statement.guide.name == kind
    assert set(statement.arguments) == {
        f"{owner}.{name}"
        for owner in ("prior", "guide")
        for name in ("concentration1", "concentration0")
        if owner == "prior" or kind in ("beta", "beta_shared")
    }
    np.testing.assert_array_equal(statement.logits, Y)


@pytest.mark.parametrize("spelled_out", ["model", "guide"])
@pytest.mark.parametrize("steps", [1, STEPS])
def test_a_tied_guide_may_have_its_numbers_spelled_out_for_each_latent(spelled_out, steps):
    """Or the prior, and the other one has them once."""
    pair = {"model": (A, B), "guide": (A, B)}
    pair[spelled_out] = tuple(np.repeat(x, 3, axis=1) for x in (A, B))
    arguments = {x: v[:steps] for x, v in betas(pair["model"], pair["guide"]).items()}
    sites = [{**MODEL, "sources": FROM_PRIOR}, site("guide", "c", sources=FROM_PRIOR)]
    assert read_statement(stated(C[:steps], arguments, sites=sites)).guide.name == "tied"


def test_a_posterior_of_other_counts_is_a_guide_of_its_own():
    arguments = betas((A, B), (A + K, B + N + 1 - K))
    statement = read_statement(stated(C, arguments, sites=[MODEL, site("guide", "c")]))
    assert statement.guide.name == "beta"


def test_equal_values_of_other_parameters_are_not_the_prior():
    """At its first step a guide may stand where the prior stands."""
    own = {"concentration1": ["qa"], "concentration0": ["qb"]}
    model = {**MODEL, "sources": FROM_PRIOR}
    arguments = betas((A, B), (A, B))
    statement = read_statement(stated(C, arguments, sites=[model, site("guide", "c", sources=own)]))
    assert statement.guide.name == "beta_shared"


@pytest.mark.parametrize(("latents", "guide"), [(1, "beta"), (2, "beta_shared")])
def test_a_guide_of_one_latent_is_not_shared(latents, guide):
    names = [f"c_{i}" for i in range(latents)]
    own = {
        f"{program}.{name}.{key}": x
        for program, pair in {"model": (A, B), "guide": (QA, QB)}.items()
        for name in names
        for key, x in zip(FROM_PRIOR, (x[:, :1] for x in pair), strict=True)
    }
    sites = [site(program, name) for program in ("model", "guide") for name in names]
    made = Recording(losses=np.zeros(STEPS), draws=dict.fromkeys(names, C[:, :, :1]),
                     arguments=own, header={"sites": sites})  # fmt: skip
    assert read_statement(made).guide.name == guide


def test_a_guide_of_values_for_each_latent_may_have_one_scalar():
    statement = reading([site("guide", "c")], {**_guide(QA, B)})
    assert statement.guide.name == "beta"
    np.testing.assert_array_equal(statement.guide_parameters[1], np.repeat(B, 3, axis=1))


def _guide(one, zero, name="c"):
    return {f"guide.{name}.concentration1": one, f"guide.{name}.concentration0": zero}


LOC, SCALE = QA - 9.0, QB / 10
UNCONSTRAINED = {"guide.c_unconstrained.loc": LOC, "guide.c_unconstrained.scale": SCALE}


def test_a_normal_of_the_logit():
    """As AutoNormal has it: a site of the logit and a Delta of its sigmoid."""
    sites = [site("guide", "c_unconstrained", "Normal"), site("guide", "c", "Delta")]
    draws = {"c": C, "c_unconstrained": Y + 1e-9}
    statement = reading(sites, {**UNCONSTRAINED, "guide.c.v": C[:, 0]}, draws=draws)
    assert statement.guide.name == "normal"
    np.testing.assert_array_equal(statement.logits, Y + 1e-9)  # as drawn, not through a sigmoid
    np.testing.assert_array_equal(statement.guide_parameters, (LOC, SCALE))


@pytest.mark.parametrize("transforms", [["SigmoidTransform"], ["ExpTransform"]])
def test_a_normal_put_through_a_sigmoid(transforms):
    sites = [site("guide", "c", "TransformedDistribution", transforms=transforms)]
    arguments = {"guide.c.loc": LOC, "guide.c.scale": SCALE}
    if transforms == ["SigmoidTransform"]:
        assert reading(sites, arguments).guide.name == "normal"
    else:
        with pytest.raises(OutsideError, match="draws 'c' from a TransformedDistribution"):
            reading(sites, arguments)


@pytest.mark.parametrize("vector", ["_AutoDiagonalNormal_latent", "_auto_latent", "logits"])
def test_a_vector_of_logits(vector):
    sites = [site("guide", vector, "Normal"), site("guide", "c", "Delta")]
    arguments = {f"guide.{vector}.loc": LOC, f"guide.{vector}.scale": SCALE}
    draws = {"c": C, vector: Y}
    statement = reading(sites, {**arguments, "guide.c.v": C[:, 0]}, draws=draws)
    assert statement.guide.name == "normal"
    np.testing.assert_array_equal(statement.logits, Y)
    np.testing.assert_array_equal(statement.guide_parameters, (LOC, SCALE))


@pytest.mark.parametrize("kind", ["MultivariateNormal", "LowRankMultivariateNormal"])
def test_a_vector_of_another_family_is_outside_the_model(kind):
    vector = "_AutoMultivariateNormal_latent"
    sites = [site("guide", vector, kind), site("guide", "c", "Delta")]
    draws = {"c": C, vector: Y}
    words = f"draws all latents together, '{vector}' from a {kind}"
    with pytest.raises(OutsideError, match=words):
        reading(sites, {"guide.c.v": C[:, 0]}, draws=draws)
    more = [sites[0], site("guide", "_other", "Normal"), sites[1]]
    with pytest.raises(OutsideError, match=words):
        reading(more, {"guide.c.v": C[:, 0]}, draws={**draws, "_other": Y})


@pytest.mark.parametrize("ending", ["vector", "c_unconstrained"])
def test_what_is_not_the_sigmoid_of_a_draw_is_outside_the_model(ending):
    """A structured guide adds a location to it, say."""
    vector = "_AutoStructured_latent" if ending == "vector" else ending
    sites = [site("guide", vector, "Normal"), site("guide", "c", "Delta")]
    arguments = {f"guide.{vector}.loc": LOC, f"guide.{vector}.scale": SCALE, "guide.c.v": C[:, 0]}
    assert reading(sites, arguments, draws={"c": C, vector: Y}).guide.name == "normal"
    with pytest.raises(OutsideError, match="computes 'c' of its draws, not by a sigmoid alone"):
        reading(sites, arguments, draws={"c": C, vector: Y + 0.01})


def test_a_vector_that_is_a_point_is_that_of_laplace():
    vector = "_AutoLaplaceApproximation_latent"
    sites = [site("guide", vector, "Delta"), site("guide", "c", "Delta")]
    arguments = {f"guide.{vector}.v": Y[:, 0], "guide.c.v": C[:, 0]}
    statement = reading(sites, arguments, draws={"c": C, vector: Y})
    assert statement.guide.name == "laplace"
    np.testing.assert_array_equal(statement.guide_parameters[0], Y[:, 0])


def test_a_point():
    """Its parameter is a logit here, whose gradient follows from that for c."""
    point, gradient = C[:, 0], np.ones((STEPS, 3))
    statement = reading(
        [site("guide", "c", "Delta")],
        {"guide.c.v": point},
        draws={"c": np.repeat(C[:, :1], 2, axis=1)},
        argument_gradients={"guide.c.v": gradient},
    )
    assert statement.guide.name == "delta"
    computed = [site("guide", "c", "Delta"), site("guide", "total", "Delta")]
    draws = {"c": np.repeat(C[:, :1], 2, axis=1), "total": C.sum(axis=2, keepdims=True)}
    beside = reading(computed, {"guide.c.v": point}, draws=draws)
    assert beside.guide.name == "delta", "what the guide computes beside it is no vector"
    np.testing.assert_allclose(statement.guide_parameters[0], Y[:, 0], rtol=1e-14)
    np.testing.assert_allclose(statement.arguments["guide.logits"].gradient, point * (1 - point))


def test_no_guide():
    statement = reading([], {})
    assert statement.guide is EMPTY
    (note,) = statement.findings
    assert (note.name, note.status) == ("latent_not_in_guide", "note")


def test_a_site_that_only_the_guide_has():
    sites = [site("guide", "c"), site("guide", "z", "Normal")]
    statement = reading(sites, _guide(QA, QB, "c"), draws={"c": C, "z": C})
    (finding,) = (x for x in statement.findings if x.status == "mistake")
    assert finding.name == "loss_mismatch"
    assert finding.quantity == "the guide draws z, which the model has not"


def test_a_prior_that_is_computed_from_the_parameters_of_the_guide():
    """Unless they are the same, which has a name."""
    model = {**MODEL, "sources": {"concentration1": ["u"], "concentration0": ["v"]}}
    own = site("guide", "c", sources={"concentration1": ["u"], "concentration0": ["v"]})
    made = stated(C, {**betas((A, B)), **_guide(QA, QB, "c")}, sites=[model, own])
    (note,) = (x for x in read_statement(made).findings if x.name == "common_source")
    assert (note.status, note.of) == ("note", "u, v")


@pytest.mark.parametrize(
    ("programs", "status"),
    [(["guide"], "mistake"), (["model"], "note"), (["model", "guide"], "note")],
)
def test_an_empty_guide_with_parameters_in_vain(programs, status):
    steps = len(C)
    groups = {key: {"u": np.ones(steps)} for key in ("before", "after", "constrained")}
    header = {"programs": {"u": programs}}
    made = reading([], {}, gradients={"u": np.zeros(steps)}, **groups, header=header)
    found = [x for x in made.findings if x.name == "latent_not_in_guide"]
    assert [x.status for x in found] == [status]
    assert ("though it has parameters: u" in found[0].reason) == (status == "mistake")


def test_a_guide_of_another_name():
    statement = reading([site("guide", "d")], _guide(QA, QB, "d"), draws={"c": C, "d": C})
    (finding,) = statement.findings
    assert (finding.name, finding.status) == ("latent_not_in_guide", "mistake")
    assert finding.reason == "it samples 'd'"


def test_a_guide_that_leaves_a_site_of_a_loop_out():
    made = looped()
    sites = [*made.header["sites"], *(site("guide", f"c_{i}") for i in range(2))]
    made = replace(made, header={"sites": sites})
    (finding,) = read_statement(made).findings
    assert (finding.name, finding.status) == ("latent_not_in_guide", "mistake")
    assert finding.quantity == "the guide does not sample 'c_2'"


def test_a_guide_of_another_family_is_outside_the_model():
    with pytest.raises(OutsideError, match="the guide draws 'c' from a Gamma"):
        reading([site("guide", "c", "Gamma")], {})


@pytest.mark.parametrize("end", [0.0, 1.0])
def test_draws_at_the_ends_have_no_logit(end):
    c = C.copy()
    c[2, 0, 1] = end
    with pytest.raises(ValueError, match="a draw of 'c' at step 2 is not inside"):
        reading([], {}, draws={"c": c})
