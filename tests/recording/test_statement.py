"""Everything that a recording states, in one canonical form, and what is outside the model."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.recording import Recording
from elbo_ref.recording.guide_sites import Argument, OutsideError, Sites
from elbo_ref.recording.parameter_findings import at_ends, other_rows
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.scales import scales_of
from elbo_ref.recording.statement import read_statement
from recorded import COUNTS, K, Made, N, betas, site, stated

STEPS = 4
A, B = (x[:, None] for x in (np.linspace(2.0, 3.0, STEPS), np.linspace(5.0, 4.0, STEPS)))
QA, QB = (x + np.linspace(0, 1, STEPS)[:, None] for x in ([4.0, 8.0, 15.0], [9.0, 6.0, 30.0]))
C = np.random.default_rng(0).uniform(0.1, 0.9, (STEPS, 2, 3))
MODEL, GUIDE = site("model", "c"), site("guide", "c")
BOTH = betas((A, B), (QA, QB))


def names(findings, status="mistake"):
    return [x.name for x in findings if x.status == status]


@pytest.fixture(scope="module")
def made():
    return Made()


def test_a_clean_program():
    statement = read_statement(stated(C, BOTH))
    assert not statement.findings and not statement.outside and not statement.marginal
    assert (statement.scale, statement.likelihood_weight) == (1.0, 1.0)
    assert statement.data.counts() == COUNTS and statement.latent == "c"
    np.testing.assert_array_equal(statement.prior, (A, B))
    np.testing.assert_array_equal(statement.guide_parameters, (QA, QB))
    np.testing.assert_array_equal(statement.draws, C)


def test_names_say_nothing():
    """The site "b" is the latent, and its prior was computed from "c" and "a"."""
    sources = {"concentration1": ["c"], "concentration0": ["a"]}
    made = stated(C, {}, sites=[site("model", "b", sources=sources)])
    rows = {**made.header["sites"][-1], "latent": "b"}
    arguments = {name.replace(".c.", ".b."): np.full((STEPS, 1), 2.0) for name in betas((1, 1))}
    renamed = replace(
        made,
        draws={"b": C},
        arguments=arguments,
        header={"sites": [made.header["sites"][0], rows]},
    )
    statement = read_statement(renamed)
    assert statement.latent == "b" and statement.arguments["prior.concentration1"].sources == ("c",)


# -- the prior -------------------------------------------------------------------------------------


def test_a_prior_spelled_out_for_each_latent_is_one():
    wide = np.repeat(A, 3, axis=1)
    gradients = {"model.c.concentration1": np.ones((STEPS, 3))}
    statement = read_statement(stated(C, betas((wide, B)), argument_gradients=gradients))
    np.testing.assert_array_equal(statement.prior, (A, B))
    assert statement.arguments["prior.concentration1"].gradient.tolist() == [[3.0]] * STEPS


@pytest.mark.parametrize("values", [(1.0, 1.0), (2.0, 2.0), (10.0, 10.0)])
def test_a_fixed_prior_of_equal_values(values):
    statement = read_statement(stated(C, betas(values, (QA, QB))))
    assert not statement.findings and (statement.prior[0] == statement.prior[1]).all()


def test_one_concentration_learned():
    sources = {"concentration1": ["a"]}
    sites = [site("model", "c", sources=sources), GUIDE]
    gradients = {"model.c.concentration1": np.ones((STEPS, 1))}
    recording = stated(C, betas((A, 1.0), (QA, QB)), sites=sites, argument_gradients=gradients)
    statement = read_statement(recording)
    assert not names(statement.findings)
    assert statement.arguments["prior.concentration0"].gradient is None


@pytest.mark.parametrize(
    ("sources", "words"),
    [
        ({}, "the prior of c differs from one latent to the next"),
        (
            {"concentration1": ["coefficients", "intercept"], "concentration0": ["coefficients"]},
            "differs from one latent to the next: it is computed from coefficients, intercept",
        ),
    ],
)
def test_a_prior_for_each_latent_is_outside_the_model(sources, words):
    """Each step can be made again all the same; which maximum it has, nobody asks."""
    rng = np.random.default_rng(0)
    sites = [site("model", "c", sources=sources), GUIDE]
    recording = stated(C, betas((1 + rng.random((STEPS, 3)), B), (QA, QB)), sites=sites)
    (reason,) = read_statement(recording).outside
    assert words in reason
    verdict = replay(recording)
    assert verdict.outcome == "outside_model" and verdict.exit_code == 6
    assert not {"at_optimum", "not_converged"} & {x.name for x in verdict.findings}


# -- what model and guide share --------------------------------------------------------------------


def shared(values, conflicts=(), sources=None):
    mine = sources or {"concentration1": ["x"], "concentration0": ["y"]}
    sites = [site("model", "c", sources=mine), site("guide", "c", sources=mine)]
    header = {"conflicts": list(conflicts)}
    return stated(C, betas(values, values), sites=sites, header=header)


def test_one_parameter_in_model_and_guide():
    """With values for each latent, or stated with other initial values, it is no tied guide."""
    found = read_statement(shared((QA, QB))).findings
    assert names(found) == ["shared_parameter"] and "x, y in common" in found[0].quantity
    found = read_statement(shared((A, B), conflicts=["x"])).findings
    assert names(found) == ["shared_parameter"]
    assert "other initial values" in found[0].reason


@pytest.mark.parametrize("row", [0, 1])
def test_one_concentration_in_model_and_guide(row):
    """Shared by name and value; one from which the guide's is computed is not shared."""
    pair, own = [A, B], [QA, QB]
    own[row] = pair[row]
    both = ("concentration1", "concentration0")
    apart = {both[row]: ["x"], both[1 - row]: ["z"]}
    sites = [
        site("model", "c", sources={both[row]: ["x"], both[1 - row]: ["y"]}),
        site("guide", "c", sources=apart),
    ]
    found = read_statement(stated(C, betas(pair, own), sites=sites)).findings
    assert names(found) == ["shared_parameter"]
    assert found[0].quantity == f"x is prior.{both[row]} and guide.{both[row]}"
    computed = {both[row]: ["x"], both[1 - row]: ["y", "z"]}
    sites[1] = site("guide", "c", sources=computed)
    assert not names(read_statement(stated(C, betas(pair, own), sites=sites)).findings)
    sites[1] = site("guide", "c", sources=apart)
    own[row] = own[row] + 1.0
    assert not names(read_statement(stated(C, betas(pair, own), sites=sites)).findings)


def test_a_tied_guide_shares_its_parameters_on_purpose():
    statement = read_statement(shared((A, B)))
    for found in (statement, read_statement(shared((A, B), conflicts=["another"]))):
        assert found.guide.name == "tied" and not names(found.findings)
        assert names(found.findings, "note") == ["tied"]


def test_a_latent_whose_prior_a_mask_leaves_out_is_a_mistake():
    """Not another model: the densities are forgotten in the loss."""
    made = stated(C, betas((A, B), (QA, QB)))
    masked = made.with_observed({"model.c.mask": np.zeros((1, 3))})
    verdict = replay(masked)
    assert verdict.mistakes == ("loss_mismatch",)
    assert "loss_mismatch ('c' is masked in the model: its prior does not count)" in verdict.answer


def test_equal_values_of_two_parameters_are_not_shared():
    own = {"concentration1": ["qx"], "concentration0": ["qy"]}
    mine = {"concentration1": ["x"], "concentration0": ["y"]}
    sites = [site("model", "c", sources=mine), site("guide", "c", sources=own)]
    statement = read_statement(stated(C, betas((A, B), (A, B)), sites=sites))
    assert not statement.findings and statement.guide.name == "beta_shared"


# -- a parameter that no gradient reaches ----------------------------------------------------------


def detached(made, *, program="guide", name="qa", zero=True):
    """The argument has the parameter's values, no source and no gradient."""
    recording = made.recording()
    argument = f"{program}.c.concentration1"
    gradients = {x: g for x, g in recording.argument_gradients.items() if x != argument}
    sites = [
        {**x, "sources": {**x.get("sources", {}), "concentration1": []}}
        if (x["program"], x["name"]) == (program, "c")
        else x
        for x in recording.header["sites"]
    ]
    parameter = {name: 0 * recording.gradients[name]} if zero else {}
    return replace(
        recording,
        argument_gradients=gradients,
        gradients={**recording.gradients, **parameter},
        header={**recording.header, "sites": sites},
    )


@pytest.mark.parametrize(("program", "name"), [("guide", "qa"), ("model", "a")])
def test_a_parameter_taken_out_of_the_graph(made, program, name):
    """By detach(), item() or data."""
    found = read_statement(detached(made, program=program, name=name)).findings
    assert names(found) == ["gradient_detached"]
    role = {"guide": "guide", "model": "prior"}[program]
    assert found[0].quantity == f"{role}.concentration1: no gradient goes to {name}"


def test_an_argument_that_follows_a_parameter_is_detached(made):
    """The parameter is learned elsewhere, and the argument is not computed from it."""
    (found,) = read_statement(detached(made, zero=False)).findings
    assert found.name == "gradient_detached"
    assert found.quantity == "guide.concentration1: no gradient goes to qa"


def test_a_constant_beside_parameters_that_are_learned_is_not_detached(made):
    other = detached(made, zero=False)
    argument = {"guide.c.concentration1": np.full((40, 3), 4.0)}
    other = replace(other, arguments={**other.arguments, **argument})
    assert not read_statement(other).findings


def test_an_argument_that_equals_a_parameter_that_stays_is_not_detached(made):
    """A constant 4 beside a parameter of the guide that is 4 in every step."""
    other = detached(made, zero=False)
    steps = other.num_steps
    argument = {"guide.c.concentration1": np.full((steps, 3), 4.0)}
    groups = {
        name: {**getattr(other, name), "qa": np.full((steps, 3), 4.0)}
        for name in ("before", "constrained", "after", "gradients")
    }
    other = replace(other, arguments={**other.arguments, **argument}, **groups)
    assert not names(read_statement(other).findings)


def test_a_number_that_is_spelled_out_for_each_latent_is_detached(made):
    """The parameter is one number, and the argument has it three times."""
    other = detached(made, zero=False)
    one = {name: {**getattr(other, name), "qa": getattr(other, name)["qa"][:, 0]}
           for name in ("before", "constrained", "after", "gradients")}  # fmt: skip
    wide = np.repeat(one["constrained"]["qa"][:, None], 3, axis=1)
    arguments = {**other.arguments, "guide.c.concentration1": wide}
    (found,) = read_statement(replace(other, arguments=arguments, **one)).findings
    assert found.quantity == "guide.concentration1: no gradient goes to qa"


def without_sources(made, *held):
    """Arguments of the prior that belong to no parameter and stay, with gradients all the same."""
    recording = made.recording()
    steps = recording.num_steps
    own = [f"model.c.{key}" for key in held]
    sites = [
        {**x, "sources": {**x.get("sources", {}), **{key: [] for key in held}}}
        if (x["program"], x["name"]) == ("model", "c")
        else x
        for x in recording.header["sites"]
    ]
    return replace(
        recording,
        arguments={**recording.arguments, **{x: np.full((steps, 1), 4.0) for x in own}},
        argument_gradients={
            **recording.argument_gradients,
            **{x: np.full((steps, 1), -0.3) for x in own},
        },
        header={**recording.header, "sites": sites},
    )


def test_arguments_with_gradients_that_no_step_follows(made):
    """They belong to no parameter that the program states."""
    found = read_statement(without_sources(made, "concentration1", "concentration0")).findings
    assert names(found) == ["gradient_detached"]
    assert "there is a gradient, and no step follows it" in found[0].quantity


def test_a_concentration_that_is_held_beside_one_that_is_learned(made):
    """PyTorch has the gradient of both, which are one tensor."""
    for held in ("concentration1", "concentration0"):
        assert not names(read_statement(without_sources(made, held)).findings)


def test_a_posterior_may_be_detached_on_purpose():
    """Without a success it has the prior's own values."""
    sources = {"concentration1": ["a"], "concentration0": ["b"]}
    sites = [site("model", "c", sources=sources), GUIDE]
    groups = {name: {"a": A[:, 0], "b": B[:, 0]} for name in
              ("before", "constrained", "gradients", "after")}  # fmt: skip
    recording = stated(C, betas((A, B), (A, B + N)), sites=sites, **groups)
    recording = recording.with_observed({"k.value": np.zeros((1, 3))})
    recording = replace(
        recording, header={**recording.header, "programs": {x: ["model", "guide"] for x in "ab"}}
    )
    statement = read_statement(recording)
    assert statement.guide.name == "conjugate_detached" and not statement.findings


def test_a_parameter_that_another_program_states_is_not_of_this_argument(made):
    other = detached(made)
    programs = {**other.header["programs"], "qa": ["model"]}
    other = replace(other, header={**other.header, "programs": programs})
    note, cut = read_statement(other).findings
    assert (note.name, note.status) == ("parameter", "note")
    assert (cut.name, cut.status) == ("gradient_detached", "mistake")
    assert cut.quantity == "guide.concentration1: no gradient goes from there to a parameter"
    assert not read_statement(made.recording()).findings


# -- the ends of a constraint ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("ends", "gradient", "at", "told"),
    [
        ({"low": 0.0, "high": 1.0}, -1.0, 0.999, True),  # unit_interval: it wants to be above 1
        ({"low": 0.0, "high": 1.0}, 1.0, 0.999, False),  # it is on its way back
        ({"low": 0.0, "high": 1.0}, -1.0, 0.5, False),
        ({"low": 1.0}, 1.0, 1.001, True),  # greater_than(1)
        ({"low": 1.0}, 1.0, 5.0, False),
        ({"low": 0.01, "high": 100.0}, -1.0, 50.0, False),
        ({"low": 0.01, "high": 100.0}, -1.0, 99.5, True),
        ({"low": 0.0, "high": 1.0}, -1.0, np.linspace(0.5, 0.999, STEPS), True),  # at last
        ({"low": 0.0, "high": 1.0}, -1.0, np.linspace(0.999, 0.5, STEPS), False),  # no longer
        ({"low": 0.0}, 1.0, 1e-6, False),  # positive: concentrations end there anyway
        ({"high": 5.0}, -1.0, 4.55, True),  # less_than(5)
        ({"high": 5.0}, -1.0, 4.45, False),
        ({"low": 9.0, "high": 10.0}, -1.0, 9.95, True),
        ({"low": 9.0, "high": 10.0}, -1.0, 9.5, False),  # a tenth of the range, not of the end
        ({"low": 0.0, "high": 1.0}, 0.0, 0.999, False),  # it is where it wants to be
        ({}, -1.0, 0.999, False),
    ],
)
def test_a_guide_at_the_end_of_its_range(ends, gradient, at, told):
    sources = {"concentration1": ["qa"], "concentration0": ["qb"]}
    value = np.broadcast_to(np.reshape(at, (-1, 1)), (STEPS, 3)).copy()
    groups = {name: {"qa": value} for name in ("before", "constrained", "gradients", "after")}
    recording = stated(
        C,
        betas((A, B), (value, QB)),
        sites=[MODEL, site("guide", "c", sources=sources)],
        argument_gradients={"guide.c.concentration1": np.full((STEPS, 3), gradient)},
        header={"ends": {"qa": ends}},
        **groups,
    )
    found = read_statement(recording).findings
    assert names(found) == (["guide_at_constraint"] if told else [])
    assert not told or "of qa (guide.concentration1)" in found[0].quantity
    swapped = {f"guide.c.concentration{i}": x for i, x in enumerate((value, QB))}
    gradients = {"guide.c.concentration0": np.full((STEPS, 3), gradient)}
    second = site("guide", "c", sources={"concentration1": ["qb"], "concentration0": ["qa"]})
    other = replace(
        recording,
        arguments={**recording.arguments, **swapped},
        argument_gradients=gradients,
        header={**recording.header, "sites": [MODEL, second, recording.header["sites"][-1]]},
    )
    found = [x for x in read_statement(other).findings if x.name == "guide_at_constraint"]
    assert len(found) == told and all("of qa (guide.concentration0)" in x.quantity for x in found)
    computed = {**recording.arguments, "guide.c.concentration1": 2 * value}
    assert not names(read_statement(replace(recording, arguments=computed)).findings)


@pytest.mark.parametrize(("at_end", "told"), [(1, False), (2, False), (3, True), (4, True)])
def test_more_than_half_of_the_values_at_an_end(at_end, told):
    """A parameter of which nothing is known but a gradient of another shape is passed over."""
    value = np.full((STEPS, 4), 0.5)
    value[:, :at_end] = 0.999
    own = {
        "guide.other": Argument(value[:, :1], np.ones((STEPS, 4)), ("qb",)),
        "guide.concentration1": Argument(value, np.full((STEPS, 4), -1.0), ("qa",)),
    }
    groups = {"qa": value, "qb": value[:, :1]}
    made = Recording(
        losses=np.zeros(STEPS),
        **dict.fromkeys(("before", "constrained", "gradients", "after"), groups),
        header={"ends": {name: {"low": 0.0, "high": 1.0} for name in groups}},
    )
    assert [x.name for x in at_ends(made, own)] == ["guide_at_constraint"] * told


# -- scales ----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("latent", "rows", "mistakes"),
    [
        ((1, 1), (1, 1), []),
        ((3, 3), (3, 3), []),  # a plate with a minibatch
        ((1, 3), (1, 3), ["subsample_unscaled"]),
        ((9, 3), (9, 3), ["subsample_scaled_twice"]),
        ((0.25, 1), (0.25, 1), ["normalised_loss"]),  # everything divided
        ((2, 1), (2, 1), ["normalised_loss"]),
        ((1, 1), (0.5, 1), ["likelihood_weight"]),
        ((1, 1), (2, 1), ["likelihood_weight"]),
        ((1, 1), (3, 3), []),  # rows of one latent in a plate of their own
        ((1, 1), (1, 3), ["subsample_unscaled"]),
        ((1, 1), (9, 3), ["subsample_scaled_twice"]),
        ((0.5, 1), (1, 1), ["likelihood_weight"]),  # an annealed divergence
    ],
)
def test_scales_are_those_of_the_plates(latent, rows, mistakes):
    """Each is the scale that a site has, and that which its plates come to."""

    def scaled(x, pair):
        return {**x, "scale": float(pair[0]), "planned_scale": float(pair[1])}

    made = stated(C, BOTH)
    sites = [scaled(x, rows if x["name"] == "k" else latent) for x in made.header["sites"]]
    statement = read_statement(replace(made, header={"sites": sites}))
    assert names(statement.findings) == mistakes
    assert not names(statement.findings, "note")
    assert statement.scale == latent[0]
    assert statement.likelihood_weight == rows[0] / latent[0]
    for found in statement.findings:
        of_rows = found.quantity.startswith(("the scale of a batch of rows", "the weight of the"))
        theirs, ours = (x / y if of_rows else y for x, y in zip(rows, latent, strict=True))
        assert (found.theirs, found.ours) == (theirs, ours)


@pytest.mark.parametrize(
    ("scales", "name", "words"),
    [
        ({"guide": 0.5}, "loss_mismatch", "model 1 times, guide 0.5 times, data 1 times"),
        ({"model": 4.0, "k": 4.0}, "loss_mismatch", "model 4 times, guide 1 times, data 4 times"),
        ({"guide": 0.5, "class": "Delta"}, None, ""),  # a point has no density
    ],
)
def test_sites_that_are_scaled_each_otherwise(scales, name, words):
    """A guide that counts another number of times than the model is none of the known mistakes."""
    made = stated(C, BOTH)
    sites = [
        {**x, "scale": scales.get("k" if x["name"] == "k" else x["program"], 1.0)}
        for x in made.header["sites"]
    ]
    for x in sites:
        if x["program"] == "guide" and "class" in scales:
            x["class"] = scales["class"]
    found = scales_of(
        Sites(replace(made, header={**made.header, "sites": sites}), ["c"]), sites[-1:], None
    )[-1]
    assert names(found) == ([name] if name else [])
    assert not name or words in found[0].quantity


def test_two_observed_sites_of_which_one_is_scaled():
    """A site without a scale counts once; all terms count as often as those that count most."""
    made = stated(C, BOTH)
    rows = [{**made.header["sites"][-1], "name": x} for x in "kl"]
    rows[1]["scale"] = 0.5
    *factors, (found,) = scales_of(Sites(made, ["c"]), rows, None)
    assert factors == [1.0, 1.0]
    assert (
        found.name == "likelihood_weight" and "data k 1 times, data l 0.5 times" in found.quantity
    )


# -- minibatches -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("taken", "told"),
    [("same", 0), ("first", 1), ("own", 1), ("more", 0), ("seldom", 0), ("often", 1)],
)
def test_a_guide_that_takes_other_rows_than_the_minibatch(taken, told):
    """Its gradient goes past the rows of the plate; one that reaches more is no mistake."""
    rng, steps = np.random.default_rng(0), 20
    rows, others = (np.array([rng.permutation(9)[:3] for _ in range(steps)]) for _ in range(2))
    index = {"same": rows, "first": np.tile(np.arange(3), (steps, 1)), "own": others, "more": rows}
    for name, wrong in (("seldom", 5), ("often", 6)):  # of twenty steps
        index[name] = rows.copy()
        index[name][:wrong] = [np.setdiff1d(np.arange(9), row)[:3] for row in rows[:wrong]]
    gradient = np.zeros((steps, 9))
    np.put_along_axis(gradient, index[taken], 1.0, axis=1)
    if taken == "more":
        np.put_along_axis(gradient, others, 1.0, axis=1)
    sites = [{**MODEL, "plates": ["data"]}, site("guide", "c", sources={"concentration1": ["qa"]})]
    recording = Recording(
        losses=np.zeros(steps),
        **{x: {"qa": gradient} for x in ("before", "constrained", "gradients", "after")},
        observed={"data.rows": rows.astype(float)},
        header={"sites": sites, "plates": {"data": 9}},
    )
    own = {"guide.concentration1": Argument(rows + 1.0, None, ("qa",))}
    assert names(other_rows(recording, own)) == told * ["loss_mismatch"]


@pytest.mark.parametrize(("plates", "noted"), [(["data"], []), ([], ["data"]), ([], [])])
def test_rows_of_a_plate_that_are_not_known_or_not_the_model_s(plates, noted):
    """A plate without minibatches, and one of the guide's own."""
    rows = np.array([[0, 1, 2], [3, 4, 5]] * 3)
    gradient = np.zeros((6, 9))
    np.put_along_axis(gradient, 8 - rows, 1.0, axis=1)
    sites = [{**MODEL, "plates": plates}, site("guide", "c", plates=["data"])]
    recording = Recording(
        losses=np.zeros(6),
        **{x: {"qa": gradient} for x in ("before", "constrained", "gradients", "after")},
        observed={f"{x}.rows": rows.astype(float) for x in noted},
        header={"sites": sites, "plates": {"data": 9}},
    )
    assert not other_rows(recording, {"guide.concentration1": Argument(rows + 1.0, None, ("qa",))})


# -- masks -----------------------------------------------------------------------------------------


def test_a_latent_that_a_mask_leaves_out():
    """Its draws, its guide and its rows go with it."""
    mask = np.array([[1.0, 0.0, 1.0]])
    masks = {f"{name}.mask": mask for name in ("model.c", "guide.c", "model.k")}
    statement = read_statement(stated(C, BOTH).with_observed(masks))
    kept = [True, False, True]
    np.testing.assert_array_equal(statement.draws, C[:, :, kept])
    np.testing.assert_array_equal(statement.guide_parameters, (QA[:, kept], QB[:, kept]))
    assert statement.data.counts() == er.Counts(K[kept], N[kept])


@pytest.mark.parametrize(
    ("sites", "own", "guide"),
    [
        ([], {}, "empty"),
        ([GUIDE], betas((A, B), (QA, QB)), "beta"),
        ([site("guide", "c", "Delta")], {"guide.c.v": C[:, 0]}, "delta"),
    ],
)
def test_a_mask_that_the_guide_has_not(sites, own, guide):
    """A density that is counted all the same; an empty guide and a point have none."""
    arguments = {**betas((A, B)), **own}
    made = stated(C, arguments, sites=[MODEL, *sites])
    mask = np.array([[1.0, 0.0, 1.0]])
    masked = made.with_observed({"model.c.mask": mask, "model.k.mask": mask})
    if guide == "beta":
        with pytest.raises(OutsideError, match="a mask leaves out latents of 'c' that the guide"):
            read_statement(masked)
    else:
        statement = read_statement(masked)
        assert statement.guide.name == guide and statement.num_latents == 2


def test_a_prior_that_is_computed_from_what_the_guide_draws():
    """As along a chain: through the draw it has the guide's parameters for its own."""
    sources = {"concentration1": ["size", "qa"], "concentration0": ["size"]}
    made = stated(C, BOTH, sites=[site("model", "c", sources=sources), GUIDE])
    stated_in = {"size": ["model"], "qa": ["guide"]}
    with pytest.raises(OutsideError, match="depends on the guide's draws or parameters: qa"):
        read_statement(replace(made, header={**made.header, "programs": stated_in}))
    read_statement(
        replace(made, header={**made.header, "programs": {**stated_in, "qa": ["guide", "model"]}})
    )


# -- other models ----------------------------------------------------------------------------------


def with_site(*more, **arguments):
    made = stated(C, {**BOTH, **arguments})
    return replace(made, header={"sites": [*more, *made.header["sites"]]})


@pytest.mark.parametrize(
    ("recording", "words"),
    [
        (
            with_site(site("model", "y", "Normal", observed=True)),
            "the model observes 'y' from a Normal",
        ),
        (
            with_site(site("model", "k2", "Binomial", observed=True)),
            "the probability of 'k2' is not the latent itself",
        ),
        (
            with_site(site("model", "k2", "Categorical", observed=True)),
            "'k2' has more than two outcomes",
        ),
        (
            with_site(site("model", "tau", "Gamma")),
            "the model draws 'tau' from a Gamma too: a hyperprior",
        ),
        (
            replace(
                stated(C, BOTH),
                header={
                    "sites": [
                        site("model", "a0", "HalfCauchy"),
                        site("model", "c", varying=["concentration1"]),
                        *stated(C, BOTH).header["sites"][1:],
                    ]
                },
            ),
            "the model draws 'a0' from a HalfCauchy too: a hyperprior",
        ),
        (
            replace(
                stated(C, BOTH),
                header={
                    "sites": [
                        site("model", "c", varying=["concentration1"]),
                        *stated(C, BOTH).header["sites"][1:],
                    ]
                },
            ),
            "the prior of the latent is computed from other draws",
        ),
        (
            stated(C, {}, sites=[site("model", "c", "LogNormal")]),
            "'c' is drawn from a LogNormal, not from a Beta",
        ),
        (
            stated(
                C,
                {f"model.d.{x}": 2.0 for x in ("concentration1", "concentration0")},
                sites=[site("model", "c", "LogNormal"), site("model", "d")],
            ),
            "'c' is drawn from a LogNormal, not from a Beta",
        ),
    ],
)
def test_another_model_is_said_to_be(recording, words):
    """Before anything is judged; the updates are still compared."""
    with pytest.raises(OutsideError, match=words):
        read_statement(recording)
    verdict = replay(recording)
    assert verdict.exit_code == 6 and not verdict.mistakes
    assert words in verdict.findings[0].quantity
    assert "updates" in {x.name for x in verdict.findings}


@pytest.mark.parametrize("kind", ["Delta", "Unit"])
def test_observed_sites_that_are_no_data(kind):
    """`pyro.deterministic` and `pyro.factor`."""
    statement = read_statement(with_site(site("model", "f", kind, observed=True)))
    assert statement.data.counts() == COUNTS and not statement.outside


def test_a_latent_without_data():
    more = {f"model.d.{x}": np.full((STEPS, 1), 2.0) for x in ("concentration1", "concentration0")}
    with pytest.raises(OutsideError, match="draws 'd' from a Beta too: a latent without data"):
        read_statement(with_site(**more))


def test_a_likelihood_written_by_hand_needs_the_counts(made):
    """As a factor: nothing says which data it is made of."""
    recording = made.recording()
    sites = [x for x in recording.header["sites"] if x["name"] != "k"]
    sites.append(site("model", "f", "Unit", observed=True))
    factor = replace(recording, observed={}, header={**recording.header, "sites": sites})
    assert read_statement(factor).data is None
    verdict = replay(factor)
    assert "give the counts" in verdict.having("untested")[0].reason
    verdict = replay(factor, COUNTS)
    assert verdict.genuine and {x.name for x in verdict.having("agrees")} >= {"losses"}
    assert replay(factor, er.Counts(K, N + 2)).mistakes


def test_an_argument_that_no_beta_has_is_refused():
    made = stated(C, BOTH)
    wrong = {**made.arguments, "model.c.concentration1": -made.arguments["model.c.concentration1"]}
    with pytest.raises(ValueError, match=r"prior\.concentration1 is -2 at step 0, and has to be"):
        read_statement(replace(made, arguments=wrong))
    wrong["model.c.concentration1"] = 0.0 * made.arguments["model.c.concentration1"]
    with pytest.raises(ValueError, match=r"prior\.concentration1 is 0 at step 0, and has to be"):
        read_statement(replace(made, arguments=wrong))
    late = {**made.arguments, "model.c.concentration0": np.array([[0.5], [0.25], [-3.0], [-4.0]])}
    with pytest.raises(ValueError, match=r"prior\.concentration0 is -3 at step 2, and has to be"):
        read_statement(replace(made, arguments=late))


def test_the_largest_of_several_scales_is_that_of_the_terms():
    """Of a latent in two sites, which are scaled each otherwise."""
    made = stated(C, BOTH)
    sites = [{**x, "scale": 4.0} if x["program"] == "model" else x for x in made.header["sites"]]
    second = {**sites[0], "name": "c2", "scale": 0.5}
    changed = replace(made, header={**made.header, "sites": [*sites, second]})
    found = scales_of(Sites(changed, ["c"]), sites[-1:], None)
    assert found[0] == 4.0
