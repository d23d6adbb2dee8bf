"""Steps of a history in the coordinates that an optimizer moves, whatever the roles are.

The runs are those of Adam on gradients by a slow twin: the derivatives of the concentrations with
respect to the free coordinates are differences.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special as sc

import elbo_ref as er
from elbo_ref.crosscheck import optimizer_steps
from elbo_ref.crosscheck.claims import claim_roles
from elbo_ref.crosscheck.coordinates import Coordinates, Moved
from elbo_ref.crosscheck.findings import Finding
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.crosscheck.optimizer_steps import _decay, _settings, step_findings
from elbo_ref.crosscheck.optimum import Pace, stands_still
from elbo_ref.crosscheck.step_lengths import StepLengths
from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import EXP, SOFTPLUS
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.objectives.base import Task
from elbo_ref.objectives.exact import objective_gradient, objective_value
from tiers import few

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
LR, STEPS = 0.05, 60
TASK = Task(OBJECTIVES["trace"].adapted(GUIDES["beta"]), er.Counts(K, N))

POSITIVE = {"exp": np.exp, "softplus": lambda u: np.logaddexp(0, u)}


def concentrations(form, u, positive):
    """The concentrations of two free coordinates, (2, ...): one by one, or by mean and total."""
    if form == "concentrations":
        return positive(u)
    mean, total = sc.expit(u[0]), positive(u[1])
    return np.array((mean * total, (1 - mean) * total))


def run(forms, held=(), function="exp", decay=1.0, steps=STEPS):
    """A history by role, from Adam at a rate that decays; `held` do not receive their gradient."""
    rng, positive = np.random.default_rng(3), POSITIVE[function]
    names = {
        owner: ("mean", "concentration") if form == "mean" else ("concentration1", "concentration0")
        for owner, form in zip(("prior", "guide"), forms, strict=True)
    }
    free = [np.full((2, 1), 0.5), np.full((2, K.size), 1.0)]
    still = [np.array([f"{x}.{name}" in held for name in names[x]]) for x in names]
    adam, state, rows = er.Adam(lr=1.0), None, []
    for t in range(steps + 1):
        x = [concentrations(form, u, positive) for form, u in zip(forms, free, strict=True)]
        rows.append([u.copy() for u in free])
        step = OBJECTIVES["trace"].step(TASK, *x, 5, rng)
        slopes = []
        for form, u, g, stuck in zip(
            forms, free, (step.prior[:, None], step.params), still, strict=True
        ):
            own = np.empty_like(u)
            for i in range(2):
                more = np.zeros((2, 1))
                more[i] = 1e-6
                ends = (concentrations(form, u + s * more, positive) for s in (1, -1))
                own[i] = ((next(ends) - next(ends)) * g).sum(axis=0) / 2e-6
            slopes.append(np.where(stuck[:, None], 0.0, own))
        gradient = np.concatenate([g.ravel() for g in slopes])
        moved, state = adam.update(state or adam.init(0 * gradient), 0 * gradient, -gradient)
        moved = -LR * decay**t * moved
        free = [free[0] - moved[:2, None], free[1] - moved[2:].reshape(2, -1)]
    values = {}
    for owner, form, us in zip(names, forms, zip(*rows, strict=True), strict=True):
        u = np.array(us)
        for i, name in enumerate(names[owner]):
            x = sc.expit(u[:, i]) if form == "mean" and not i else positive(u[:, i])
            values[f"{owner}.{name}"] = x[:, 0] if owner == "prior" else x
    return values


def checked(values, **options):
    names = {role: role for role in values}
    return er.cross_check(er.Counts(K, N), values, names=names, optimizer=er.Adam(lr=LR), **options)


FORMS = [("mean", "concentrations"), ("concentrations", "mean"), ("mean", "mean")]


@pytest.mark.parametrize("forms", few([(x,) for x in (*FORMS, ("concentrations",) * 2)]))
@pytest.mark.parametrize("function", ["exp", "softplus"])
def test_a_run_in_any_coordinates_agrees(forms, function):
    verdict = checked(run(forms, function=function))
    assert verdict.mistakes == ()
    assert verdict["first_step"].theirs == pytest.approx(LR, rel=1e-2)


@pytest.mark.parametrize("forms", few([(x,) for x in FORMS]))
@pytest.mark.parametrize("row", [0, 1])
@pytest.mark.parametrize("owner", ["prior", "guide"])
def test_a_parameter_that_does_not_receive_its_gradient(forms, row, owner):
    """Of the prior or the guide, a concentration, a mean or a total."""
    by_mean = forms[owner == "guide"] == "mean"
    names = ("mean", "concentration") if by_mean else ("concentration1", "concentration0")
    role = f"{owner}.{names[row]}"
    verdict = checked(run(forms, held=(role,)))
    assert verdict.mistakes == ("gradient_detached",)
    (found,) = verdict.having("mistake")
    assert found.quantity.startswith(f"{role} never moves")


@pytest.mark.parametrize("forms", few([(x,) for x in FORMS]))
def test_a_rate_that_decays(forms):
    assert checked(run(forms, decay=0.02 ** (1 / STEPS))).mistakes == ("learning_rate_decay",)


@pytest.mark.parametrize(("steps", "told"), [(39, False), (40, True)])
def test_a_decay_is_looked_for_in_forty_steps(steps, told):
    values = run(FORMS[0], decay=0.02 ** (1 / steps), steps=steps)
    assert checked(values).mistakes == ("learning_rate_decay",) * told


@pytest.mark.parametrize("forms", few([(x,) for x in FORMS]))
def test_another_rate(forms):
    names = run(forms)
    verdict = er.cross_check(
        er.Counts(K, N), names, names={x: x for x in names}, optimizer=er.Adam(lr=2 * LR)
    )
    assert verdict.mistakes == ("optimizer_settings",)


@pytest.mark.thorough
def test_a_history_of_every_tenth_step():
    """Ten steps go farther than one may; of every step, six times the rate is another rate."""
    values = run(("concentrations",) * 2, steps=600)
    losses, adam = np.zeros(0), er.Adam(lr=LR)
    thinned, names = {x: y[9::10] for x, y in values.items()}, {x: x for x in values}
    verdict = er.cross_check(er.Counts(K, N), thinned, names=names, losses=losses, optimizer=adam)
    assert verdict.mistakes == ()
    assert "thinned_history" in {x.name for x in verdict.having("note")}
    later, slow = {x: y[9:] for x, y in values.items()}, er.Adam(lr=LR / 6)
    verdict = er.cross_check(er.Counts(K, N), later, names=names, optimizer=slow)
    assert verdict.mistakes == ("optimizer_settings",)


def test_steps_that_reverse_by_all_of_the_rate_are_not_those_of_adam():
    """An Adam made anew in every step makes steps of signs; one that remembers does not."""
    values = run(FORMS[-1])
    assert checked(values).mistakes == ()
    rng = np.random.default_rng(0)
    signs = LR * rng.choice([-1, 1], (STEPS, 2, 1)).cumsum(axis=0)
    forgetful = {
        "prior.concentration1": np.exp(signs[:, 0, 0]),
        "prior.concentration0": np.exp(signs[:, 1, 0]),
        "guide.concentration1": np.full((STEPS, K.size), 3.0) * np.exp(signs[:, 0]),
        "guide.concentration0": np.full((STEPS, K.size), 5.0) * np.exp(signs[:, 1]),
    }
    verdict = checked(forgetful)
    assert verdict.mistakes == ("optimizer_settings",)
    assert "back and forth" in verdict.having("mistake")[0].quantity


def test_a_run_that_moves_away_is_said_to():
    """From the posterior at a good prior to a guide far from it; the other way round it is not."""
    prior = np.array([2.0, 3.0])
    near = prior[:, None] + np.array((K, N - K))
    path = np.exp(np.linspace(0, 2, STEPS))[:, None]
    for order, away in ((slice(None), True), (slice(None, None, -1), False)):
        values = {
            "prior.concentration1": np.linspace(2.0, 2.1, STEPS),
            "prior.concentration0": np.linspace(3.0, 3.1, STEPS),
            "guide.concentration1": (near[0] * path)[order],
            "guide.concentration0": (near[1] / path)[order],
        }
        verdict = er.cross_check(er.Counts(K, N), values, names={x: x for x in values})
        said = [x.quantity for x in verdict.having("note") if x.name == "moved_away"]
        assert len(said) == away and all("at step 0" in x for x in said)
        assert any("moves away" in x for x in verdict.advice) == away


def at_the_end(
    prior, own=((4.31627, 6.12984), (2.71828, 9.18273)), dtype="float32", rows=1, **options
):
    """The findings about the last parameters of a run of two latents, in so many equal rows."""
    prior, own = (np.asarray(x, dtype).astype(np.float64) for x in (prior, own))
    model = LossModel(
        counts=er.Counts([3, 11], [10, 20]),
        guide=GUIDES["beta"],
        loss=OBJECTIVES["trace"],
        num_particles=1,
        prior=prior.reshape(2, 1, 1).repeat(rows, axis=1),
        guide_parameters=own.reshape(2, 1, 2).repeat(rows, axis=1),
        dtype=dtype,
    )
    owners = [f"{owner}.concentration{i}" for owner in ("prior", "guide") for i in (1, 0)]
    names = dict(zip(owners, ("a0", "b0", "a", "b"), strict=True))
    moved = {role: Moved(f"{name}()", (), name) for role, name in names.items()}
    options = {"num_losses": 0, "fits": True, "stored": ("a0", "b0", "a", "b")} | options
    return step_findings(model, Coordinates(moved), None, **options)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("start", [1.0, 0.5, 25.0])
def test_a_parameter_that_is_where_it_was_set(start, dtype):
    """As exp and log leave it, in the precision of the run; the others have moved."""
    back = np.exp(np.log(np.array(start, dtype)))
    (found,) = at_the_end((back, 3.39217), dtype=dtype)
    assert (found.name, found.status) == ("gradient_detached", "mistake")
    assert found.quantity.startswith(f"prior.concentration1 is {start:g}, as a start is written")
    both = at_the_end((back, back), dtype=dtype)
    assert [x.name for x in both] == ["gradient_detached"] * 2
    of_guide = at_the_end((1.73192, 3.39217), ((4.0, 4.0), (2.71828, 9.18273)), dtype=dtype)
    assert [x.quantity.split()[0] for x in of_guide] == ["guide.concentration1"]


def test_what_is_not_said_to_be_where_it_was_set():
    """Of three digits, typed altogether, of no store, near others of many, or beside a mistake."""
    assert at_the_end((1.01, 3.39217)) == []
    assert at_the_end((2.0, 3.5), ((4.31, 6.13), (2.72, 9.18))) == []
    assert at_the_end((2.0, 3.39217), stored=()) == []
    assert at_the_end((2.00001, 3.39217)) == []
    assert at_the_end((2.0, 3.39217), fits=False) == []


def test_parameters_that_moved_have_more_digits():
    """None of 400 float32 numbers is taken for a start; a false alarm each in about 1e4."""
    numbers = np.exp(np.random.default_rng(11).normal(1.0, 1.0, (200, 2)))
    assert not any(at_the_end(pair) for pair in numbers)


def of_vectors(own, dtype="float32", batch=None, **options):
    """The findings about the last parameters of six latents, or about their history."""
    own = np.asarray(own, dtype).astype(np.float64).reshape(2, -1, K.size)
    prior = np.asarray([[1.73192], [3.39217]]).repeat(own.shape[1], axis=1)
    prior = prior + 0.012345678 * np.arange(own.shape[1])
    model = LossModel(
        er.Counts(K, N), GUIDES["beta"], OBJECTIVES["trace"], 1, prior[..., None], own, dtype,
        batch=batch,
    )  # fmt: skip
    owners = [f"{owner}.concentration{i}" for owner in ("prior", "guide") for i in (1, 0)]
    moved = {x: Moved(f"{y}()", (), y) for x, y in zip(owners, ("a0", "b0", "a", "b"), strict=True)}
    options = {"num_losses": 0, "fits": True, "stored": ("a0", "b0", "a", "b")} | options
    found = step_findings(model, Coordinates(moved), None, **options)
    return [(x.name, x.status, x.quantity.partition(" of the")[0]) for x in found]


LEFT = np.random.default_rng(3).gamma(9.0, 0.7, (2, 6))
LEFT[:, :3] = [[4.0], [10.0]]


@pytest.mark.parametrize(
    ("batch", "losses", "status"),
    [
        (None, 0, "note"),
        (None, 60, "note"),  # 6 (5/6)^60 = 1.06e-4
        (None, 61, "mistake"),
        (2, 27, "note"),  # 6 (2/3)^27 = 1.06e-4
        (2, 28, "mistake"),
        (6, 1, "mistake"),
    ],
)
def test_elements_that_no_step_has_moved(batch, losses, status):
    """A mistake where chance would hardly have left a latent out of every minibatch."""
    name = "gradient_detached" if status == "mistake" else "elements_left"
    assert of_vectors(LEFT, batch=batch, num_losses=losses) == [(name, status, "3")]
    assert of_vectors(LEFT, batch=batch, num_losses=losses, fits=False) == [
        ("elements_left", "note", "3")
    ]


def test_elements_that_are_not_said_to_be_left():
    """One of a vector, those that no store has, of three digits, or among others of few."""
    one, three, few_digits = (LEFT.copy() for _ in range(3))
    one[:, 1:3] += 0.0123456
    three[:, :3] = [[4.01], [10.1]]
    few_digits[:, 3:] = LEFT[:, 3:].round(2)
    for own in (one, three, few_digits):
        assert of_vectors(own, num_losses=99) == []
    assert of_vectors(LEFT, num_losses=99, stored=()) == []
    at_posterior = LEFT.copy()
    at_posterior[:, :3] = np.array([[1.73192], [3.39217]]) + (K[:3], N[:3] - K[:3])
    assert of_vectors(at_posterior, num_losses=99) == []


def test_elements_that_never_move_in_a_history():
    """In each of its entries the same, while those of other latents move."""
    history = LEFT[:, None] * np.exp(0.01 * np.sin(np.arange(8)))[:, None]
    history[:, :, 4:] = LEFT[:, None, 4:]
    assert of_vectors(history, stored=(), batch=5) == [("gradient_detached", "mistake", "2")]
    assert of_vectors(history, stored=()) == [("elements_left", "note", "2")]


@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_moved_elements_are_not_where_they_were_set(dtype):
    """None of 300 vectors of numbers is taken to be left; a false alarm each in less than 1e-6."""
    rng = np.random.default_rng(12)
    guides = rng.gamma(5.0, size=(300, 2, 6))
    assert not any(of_vectors(own, dtype, num_losses=99) for own in guides)


def test_an_expression_is_the_parameter_within_it():
    """A logarithm or a logit that the program learns moves as what is held positive does."""
    values = run(("mean", "concentrations"), held=("prior.concentration",))
    store = {"u": sc.logit(values.pop("prior.mean"))}
    store["v"] = np.log(values.pop("prior.concentration"))
    names = {"prior.mean": "sigmoid(u)", "prior.concentration": "exp(v)"}
    names |= {x: x for x in values}
    verdict = er.cross_check(er.Counts(K, N), store | values, names=names, optimizer=er.Adam(lr=LR))
    assert verdict.mistakes == ("gradient_detached",)


def test_a_function_that_no_optimizer_is_known_to_need_is_untested():
    values = run(("concentrations", "concentrations"))
    store = {**values, "u": np.exp(values.pop("prior.concentration1"))}
    names = {"prior.concentration1": "log(u)", **{x: x for x in values}}
    verdict = er.cross_check(er.Counts(K, N), store, names=names, optimizer=er.Adam(lr=LR))
    assert verdict.mistakes == ()
    untested = [x.quantity for x in verdict.having("untested")]
    assert any(x.startswith("the steps of prior.concentration1") for x in untested)


def test_nothing_is_compared_where_nothing_is_known_to_move():
    values = run(("concentrations", "concentrations"))
    store = {f"u{i}": np.exp(x) for i, x in enumerate(values.values())}
    names = {role: f"log(u{i})" for i, role in enumerate(values)}
    verdict = er.cross_check(er.Counts(K, N), store, names=names, optimizer=er.Adam(lr=LR))
    assert verdict.mistakes == () and any("the steps of" in x.quantity for x in verdict)


@pytest.mark.thorough
def test_parameters_without_a_history_do_not_count_as_still():
    values = run(("mean", "concentrations"))
    for role in ("guide.concentration1", "guide.concentration0", "prior.concentration"):
        assert checked({**values, role: values[role][-1]}).mistakes == ()


@pytest.mark.parametrize("constraint", [EXP, SOFTPLUS])
@pytest.mark.parametrize(
    "by_mean", [(), ("prior",), ("guide",), ("prior", "guide")], ids=lambda x: "-".join(x) or "no"
)
def test_gradients_follow_by_the_chain_rule(by_mean, constraint):
    """Against differences of the exact objective along each coordinate."""
    rng = np.random.default_rng(0)
    x = [rng.gamma(3.0, size=(2, 1)) + 1, rng.gamma(3.0, size=(2, K.size)) + 1]
    forms = ["mean" if owner in by_mean else "concentrations" for owner in ("prior", "guide")]
    names = {
        "mean": ("mean", "concentration"),
        "concentrations": ("concentration1", "concentration0"),
    }
    roles = [
        f"{owner}.{name}"
        for owner, form in zip(("prior", "guide"), forms, strict=True)
        for name in names[form]
    ]
    coordinates = Coordinates({role: Moved(role) for role in roles}, by_mean)
    model = LossModel(
        er.Counts(K, N), GUIDES["beta"], OBJECTIVES["trace"], 1,
        x[0][:, None], x[1][:, None], "float64",
    )  # fmt: skip
    gradients = objective_gradient(TASK, *x)
    got = coordinates.gradient(model, 0, constraint, gradients)
    free = coordinates.free(model, constraint)
    positive = POSITIVE["exp" if constraint is EXP else "softplus"]
    for role in roles:
        for g in range(free[role].shape[-1]):
            ends = []
            for s in (1e-5, -1e-5):
                moved = {name: u.copy() for name, u in free.items()}
                moved[role][0, g] += s
                rows = [
                    np.array([moved[name][0] for name in pair]) for pair in (roles[:2], roles[2:])
                ]
                prior, own = (
                    concentrations(form, u, positive) for form, u in zip(forms, rows, strict=True)
                )
                ends.append(objective_value(TASK, er.Beta(*prior[:, 0]), own))
            assert got[role][g] == pytest.approx((ends[0] - ends[1]) / 2e-5, rel=1e-5, abs=1e-7)


def test_one_parameter_of_two_roles_is_one_coordinate():
    """A symmetric prior: the gradients of its two roles add up."""
    claims = claim_roles(
        {"a": np.ones(3)}, ("prior.concentration1", "prior.concentration0"), 1,
        {"prior.concentration1": "a", "prior.concentration0": "a"}, None,
    )  # fmt: skip
    coordinates = Coordinates(claims.moved())
    model = LossModel(
        er.Counts(K, N), GUIDES["empty"], OBJECTIVES["trace"], 1,
        np.full((2, 3, 1), 2.0), np.zeros((0, 3, K.size)), "float64",
    )  # fmt: skip
    assert [*coordinates.free(model, EXP)] == ["prior.concentration1"]
    found = coordinates.gradient(model, 0, EXP, (np.array([3.0, 4.0]), np.zeros((0, K.size))))
    assert found["prior.concentration1"] == 14.0


@pytest.mark.parametrize(
    ("rate", "falls", "said"),
    [(1e-4, 0.9, True), (1e-4, 0.999, False), (1e-4, 1.0, False), (9e-6, 1.0, True)],
)
def test_a_learning_rate_whose_steps_add_up_to_nothing(rate, falls, said):
    """A geometric sum of at most 0.01, or a thousand steps of that."""
    away = Finding("not_converged", "", status="optimum")
    pace = Pace(rate, falls=falls)
    assert bool(stands_still(pace, away)) is said
    assert stands_still(pace, away._replace(status="agrees")) == []


@pytest.mark.parametrize(("rows", "found"), [(11, True), (10, False)])
@pytest.mark.parametrize("start", [True, False])
def test_a_history_in_which_nothing_moves(rows, found, start):
    """A start of two digits is one that the run never left; others may be those of an end."""
    prior, own = ((2.0, 3.0), ((4.0, 3.0), (8.0, 5.0)))
    if not start:
        prior = (2.13719, 3.39217)
    (one,) = at_the_end(prior, own, rows=rows) or (None,)
    assert (one is not None) is found
    if found:
        assert one.quantity == "no parameter moves in 10 steps, against the exact gradient"
        name, status = ("parameters_reset", "mistake") if start else ("stands_still", "note")
        assert (one.name, one.status) == (name, status)


def test_negative_control_nothing_moves_at_a_maximum():
    """The guide is the posterior of two equal latents, which the prior is at the supremum of."""
    store = {"a0": 3.0, "b0": 3.0, "a": [4.0, 4.0], "b": [4.0, 4.0]}
    model = er.Counts([1, 1], [2, 2])
    history = {x: np.broadcast_to(y, (20, *np.shape(y))) for x, y in store.items()}
    del history["a0"], history["b0"]
    found = er.cross_check(
        model,
        history,
        prior=er.Beta(3.0, 3.0),
        names={"guide.concentration1": "a", "guide.concentration0": "b"},
    )
    assert "parameters_reset" not in found.mistakes


def lengths_of(*rows):
    """Steps of as many coordinates."""
    return StepLengths(tuple("abcd"[: len(rows)]), np.array(rows, float), EXP)


def test_reversals_are_steps_back_by_all_of_the_rate():
    steps = lengths_of([0.1, -0.1, -0.1, 0.1], [0.2, -0.2, 0.2, -0.2], [0.1, -0.05, 0.1, -0.1])
    assert (steps.reversals(0.1), steps.reversals(0.2), steps.reversals(0.3)) == (3, 3, 0)


def settings_of(steps, optimizer=None, from_start=True):
    (found,) = _settings(steps, optimizer or er.Adam(lr=0.1), from_start) or [None]
    if found and found.status == "untested":
        return None
    return found and (found.status, found.theirs, found.ours, found.allowance)


def test_a_first_step_is_that_of_the_rate_after_one():
    """Of a clipped Adam it has decayed once."""
    steps = lengths_of([0.05, 0.01], [0.05, 0.02])
    decaying = er.ClippedAdam(lr=0.1, lrd=0.5)
    assert settings_of(steps, decaying) == ("agrees", 0.05, 0.05, 0.01 * 0.05)
    assert settings_of(steps) == ("mistake", 0.05, 0.1, 0.01 * 0.1)


def test_first_steps_that_are_not_alike():
    """Of several coordinates at the start of a run they should be; of one alone any may be."""
    uneven = lengths_of([0.02, 0.01], [0.05, 0.01], [0.08, 0.01])
    assert settings_of(uneven) == ("mistake", 0.05, 0.1, 0.01 * 0.1)
    assert settings_of(uneven, from_start=False) is settings_of(lengths_of([0.02, 0.01])) is None
    assert settings_of(lengths_of([0.02, 0.01], [0.1, 0.01], [0.08, 0.01])) is None


def test_a_rate_that_no_first_step_shows_is_untested():
    uneven = lengths_of([0.02, 0.01], [0.05, 0.01], [0.08, 0.01])
    (found,) = _settings(uneven, er.Adam(lr=0.1), False)
    assert found.status == "untested" and "does not show" in found.quantity
    values = {role: x[7:] for role, x in run(FORMS[-1]).items()}
    untested = checked(values).having("untested")
    assert any(x.quantity.startswith("the learning rate") for x in untested)
    assert not any(x.quantity.startswith("the learning rate") for x in checked(run(FORMS[-1])))


def test_the_longest_step():
    """(1 - beta1)/sqrt(1 - beta2) times the rate, or the rate."""
    fast = er.Adam(lr=0.1, betas=(0.5, 0.9999))
    for longest, optimizer in ((5.0, fast), (0.1, er.Adam(lr=0.1, betas=(0.99, 0.9)))):
        for share, wrong in ((1.0005, False), (1.002, True)):
            steps = lengths_of([0.02 * longest, share * longest])
            found = settings_of(steps, optimizer)
            assert (found is not None) == wrong
            if found:
                assert found == ("mistake", share * longest, pytest.approx(longest), 0.0)


@pytest.mark.parametrize(("particles", "asked"), [(1250, True), (1251, False)])
def test_a_decay_is_not_looked_for_at_any_cost(monkeypatch, particles, asked):
    """At 300,000 draws and no more: 40 steps of 6 latents."""

    class AskedError(Exception):
        pass

    def along(*_):
        raise AskedError

    monkeypatch.setattr(optimizer_steps, "_along_the_path", along)
    counts = er.Counts(K, N)
    model = LossModel(
        counts, GUIDES["beta"], OBJECTIVES["trace"], particles,
        np.ones((2, 41, 1)), np.ones((2, 41, 6)), "float64",
    )  # fmt: skip
    coordinates = Coordinates({"prior.concentration1": Moved("prior.concentration1")})
    steps = lengths_of(np.full(40, 0.1))
    try:
        assert _decay(model, coordinates, steps, er.Adam(lr=0.1)) == []
    except AskedError:
        assert asked
    else:
        assert not asked
