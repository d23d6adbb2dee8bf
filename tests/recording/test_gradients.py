"""Parts of a gradient by differences of the terms, and what each departure is called."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace

import golden
import numpy as np
import pytest
from scipy import special

from elbo_ref import guides
from elbo_ref.crosscheck.arithmetic import probability_ends
from elbo_ref.crosscheck.given_draws import Columns, terms_of
from elbo_ref.crosscheck.loss_model import LossModel
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.objectives.base import Task
from elbo_ref.recording.replay import gradients as module
from elbo_ref.recording.replay.gradient_parts import gradient_parts
from elbo_ref.recording.replay.gradients import (
    Gradient,
    _compared,
    _kernel_error,
    compare_gradients,
)
from elbo_ref.recording.replay.losses import Explanation
from recorded import COUNTS, LOGC, K, Made, N, hide_pytorch, trace_of

PRIOR = np.array([[2.0] * 3, [5.0] * 3])
OWN = {
    "beta": np.array([[4.0, 8.0, 15.0], [9.0, 6.0, 30.0]]),
    "normal": np.array([[-0.7, 0.4, -0.2], [0.5, 0.9, 0.2]]),
    "laplace": np.array([[-0.7, 0.4, -0.2]]),
    "delta": np.array([[-0.7, 0.4, -0.2]]),
    "empty": np.zeros((0, 3)),
    "tied": np.zeros((0, 3)),
}


def columns(logit, prior, own):
    outcomes = np.array([K, N - K], float)
    constants = COUNTS.log_coefficient, np.abs(COUNTS.log_coefficient)
    return Columns(
        special.expit(logit), logit, prior, own, outcomes, *constants, np.full((2, 1), 0.5)
    )


@pytest.mark.parametrize("mean_field", [False, True])
@pytest.mark.parametrize("kind", OWN)
def test_parts_are_the_derivatives_of_the_terms(kind, mean_field):
    """Each parameter moved, the draws fixed and then moved along their derivative."""
    guide, own = guides.find(kind), OWN[kind]
    loss = OBJECTIVES["trace_mean_field" if mean_field else "trace"]
    model = LossModel(COUNTS, guide, loss, 2, PRIOR[:, None], own[:, None], "float64")
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    if guide.is_point:
        y = np.repeat(own, 2, axis=0)
    at = columns(y, PRIOR, own)
    pathwise = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    parts = gradient_parts(model, at, pathwise)
    parameters, h = np.concatenate((PRIOR, own)), 1e-5

    def objective(parameters, y):
        now = columns(y, parameters[:2], parameters[2:])
        return now.mean(terms_of(model, now).log_weight)

    first = 0 if guide.origin == "prior" else 2  # row of the first parameter that draws follow
    for row in range(len(parameters)):
        step = np.zeros((len(parameters), 1))
        step[row] = h
        moved = h * pathwise[row - first] if 0 <= row - first < len(pathwise) else 0.0
        whole = moved, parts.density + parts.through
        # the own density of a normal is in the part through the draws, where it cancels
        apart = kind != "normal" or row < 2
        for along, wanted in ((0.0, parts.density), whole) if apart else (whole,):
            up, down = (
                objective(parameters + step, y + along),
                objective(parameters - step, y - along),
            )
            np.testing.assert_allclose((up - down) / (2 * h), wanted[row], rtol=1e-6, atol=1e-6)
    assert np.all(parts.magnitude >= 0) and np.all(np.isfinite(parts.rounding))


@pytest.fixture(scope="module")
def made():
    return Made("empty")


def found(made, likelihood=1.0, factor=1.0, explained=True, **changed):
    trace = trace_of(made.recording(**changed))
    weight = likelihood * trace.model.likelihood_weight
    model = trace.model._replace(likelihood_weight=weight, factor=factor)
    return compare_gradients(Explanation((), trace.under(model), explained))


def gradients(made, times=1.0, **plus):
    return {
        "gradients": lambda r: {n: times * g + plus.get(n, 0.0) for n, g in r.gradients.items()}
    }


def test_a_clean_gradient_agrees_without_pytorch(made, monkeypatch):
    hide_pytorch(monkeypatch)
    first, second, kernel = found(made)
    assert first.status == second.status == "agrees" and kernel.status == "untested"
    shifted = found(made, **gradients(made, a=1e-6))
    assert [f.status for f in shifted] == ["untested", "agrees", "untested"]


def test_gradients_are_multiplied_as_the_losses_are(made, monkeypatch):
    hide_pytorch(monkeypatch)
    findings = found(made, factor=3.0, **gradients(made, 3.0))
    assert [f.status for f in findings[:2]] == ["agrees"] * 2
    assert "multiplied by 3, as the losses are" in findings[0].reason
    assert found(made, factor=2.0, **gradients(made, 3.0))[0].status == "untested"


@pytest.mark.parametrize("kind", ["empty", "beta"])
def test_a_likelihood_that_is_scaled_is_in_the_gradient(kind, monkeypatch):
    hide_pytorch(monkeypatch)
    scaled = Made(kind, likelihood=2.0)
    right, wrong = (
        [f.status for f in found(scaled, likelihood=x) if f.name == "gradients"] for x in (2.0, 1.0)
    )
    assert set(right) == {"agrees"} and "untested" in wrong


def test_nothing_is_compared_with_losses_that_are_not_explained(made):
    (finding,) = found(made, explained=False)
    assert finding.status == "untested" and "not explained" in finding.reason
    assert LOGC < 0 or found(made)  # the negative control


def test_an_argument_without_a_gradient_is_not_compared(made):
    """A constant, or one that no gradient reaches; that it is a mistake, the statement says."""

    def one(recording):
        name = "model.c.concentration0"
        return {name: recording.argument_gradients[name]}

    findings = [x for x in found(made, argument_gradients=one) if x.name == "gradients"]
    assert len(findings) == 1 and "prior.concentration0" in findings[0].quantity
    assert len([x for x in found(made) if x.name == "gradients"]) == 2


@pytest.mark.parametrize("kind", ["empty", "beta", "tied"])
def test_gradients_are_those_of_the_arguments(kind, monkeypatch):
    """Whatever the parameters are: here nobody says which there were, and how constrained."""
    hide_pytorch(monkeypatch)
    run = Made(kind)
    whole = run.recording()
    header = {name: whole.header[name] for name in ("sites", "loss")}
    none = {group: {} for group in ("before", "constrained", "gradients", "after")}
    kept = replace(whole, header=header, **none)
    findings = compare_gradients(Explanation((), trace_of(kept)))
    assert findings == compare_gradients(Explanation((), trace_of(whole)))
    assert {x.status for x in findings if x.name == "gradients"} == {"agrees"}


def test_a_gradient_by_latent_is_summed_where_they_share_the_argument(made, monkeypatch):
    """PyTorch hands over that of each latent for a prior that a plate has expanded."""
    hide_pytorch(monkeypatch)

    def by_latent(recording):
        shares = np.array([[0.5, 0.75, -0.25]])
        return {name: x * shares for name, x in recording.argument_gradients.items()}

    def off_at_one_step(recording):  # so that the farthest is no matter of rounding
        off = 1e-13 * (np.arange(recording.num_steps) == 7)
        return {
            name: x + off.reshape(-1, *[1] * (x.ndim - 1)) * np.abs(x).max()
            for name, x in recording.gradients.items()
        }

    some, others = (
        found(made, gradients=off_at_one_step, **more)[:2]
        for more in ({}, {"argument_gradients": by_latent})
    )
    assert [x.theirs for x in some] == pytest.approx([x.theirs for x in others], rel=1e-12)


@pytest.mark.parametrize("width", [1, 2, 3])
@pytest.mark.parametrize("steps", [2, 3, 5])
def test_values_of_latents_are_kept_or_added_up(made, width, steps):
    """Of three latents at two sites, the second of which has two; by latent, by site, or to one."""
    trace = replace(trace_of(made.recording()), sizes=(1, 2))
    values = np.arange(2.0 * steps * 3).reshape(2, steps, 3)
    wanted = {
        1: values.sum(axis=-1, keepdims=True),
        2: np.stack([values[..., 0], values[..., 1] + values[..., 2]], axis=-1),
        3: values,
    }
    np.testing.assert_array_equal(trace.of_all(values, width), wanted[width])


def parts_of(kind, loss="trace"):
    """All parts of a gradient, their magnitudes and rounding, added up over latents."""
    guide, own = guides.find(kind), OWN[kind]
    model = LossModel(COUNTS, guide, OBJECTIVES[loss], 2, PRIOR[:, None], own[:, None], "float64")
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    y = np.repeat(own, 2, axis=0) if guide.is_point else y
    pathwise = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    return [np.nan_to_num(x).sum(axis=1).tolist() for x in
            gradient_parts(model, columns(y, PRIOR, own), pathwise)]  # fmt: skip


PARTS = {
    **{kind: lambda kind=kind: parts_of(kind) for kind in OWN},
    "beta, mean field": lambda: parts_of("beta", "trace_mean_field"),
    "normal, mean field": lambda: parts_of("normal", "trace_mean_field"),
}


@pytest.mark.parametrize("name", PARTS)
def test_magnitudes_are_as_they_were(name):
    """Which are no more than allowances, and so have no other witness (`golden`)."""
    golden.check(f"gradient parts: {name}", PARTS[name]())


# -- what each departure is called, of gradients made up -------------------------------------------

ROOM = 1e-3
DENSITY, THROUGH = np.array([[2.0], [-3.0], [0.5]]), np.array([[1.0], [4.0], [-2.5]])
NONE = np.full((3, 1), np.nan)


def made_up(theirs, **fields):
    """Three steps of one gradient; PyTorch's derivative is the exact one and known to rounding."""
    shape = np.shape(theirs)
    given = {
        "role": "prior.concentration1",
        "density": DENSITY,
        "through": THROUGH,
        "by_kernel": None,
        "score": NONE,
        "detached": NONE,
        "allowance": np.full(shape, ROOM),
        "kernel_allowance": np.zeros(shape),
        "through_beta": True,
        "by_gammas": False,
        "by_score": False,
        **fields,
    }
    return Gradient(theirs=np.asarray(theirs, float), **given)


EXACT = DENSITY + THROUGH
KERNEL = THROUGH + 0.5
UNKNOWN = np.full((3, 1), np.inf)
SCORE = np.array([[7.0], [-6.0], [9.0]])
AGREEING = {
    "exactly": (EXACT, 1.0, {}, "rounding of the terms"),
    "within the allowance": (EXACT + 0.9 * ROOM, 1.0, {}, "rounding of the terms"),
    "a detached posterior": (SCORE, 1.0, {"detached": SCORE}, "with the posterior detached"),
    "a factor": (3 * EXACT, 3.0, {}, "multiplied by 3, as the losses are"),
    "a negative factor": (-EXACT, -1.0, {}, "multiplied by -1, as the losses are"),
    "the kernel": (
        DENSITY + KERNEL, 1.0, {"by_kernel": KERNEL},
        "by PyTorch's own derivative at these draws",
    ),
    "the kernel, about": (
        DENSITY + KERNEL + 0.2, 1.0, {"by_kernel": KERNEL, "kernel_allowance": 0 * EXACT + 0.2},
        "by PyTorch's own derivative at these draws",
    ),
    "the kernel and a factor": (
        2 * (DENSITY + KERNEL), 2.0, {"by_kernel": KERNEL}, "multiplied by 2, as the losses are",
    ),
    "the exact derivative, about, and a factor": (
        2 * EXACT + 0.2, 2.0, {"by_kernel": KERNEL, "kernel_allowance": 0 * EXACT + 0.3},
        "multiplied by 2, as the losses are",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", AGREEING)
def test_what_agrees_and_why(case):
    theirs, factor, fields, reason = AGREEING[case]
    finding = _compared(made_up(theirs, **fields), factor)
    assert (finding.name, finding.status, finding.reason) == ("gradients", "agrees", reason)


CAUSES = {
    "nothing": (0 * EXACT, {}, "gradient_detached", "they are all zero"),
    "nothing, whatever the kernel": (
        0 * EXACT, {"kernel_allowance": UNKNOWN}, "gradient_detached", "they are all zero",
    ),
    "no path": (DENSITY, {}, "gradient_detached", "they lack the part through the draws"),
    "no density": (THROUGH, {}, "gradient_detached", "they lack the part through the densities"),
    "no density, by the kernel": (
        KERNEL, {"by_kernel": KERNEL}, "gradient_detached",
        "they lack the part through the densities",
    ),
    "the score": (
        SCORE, {"score": SCORE}, "gradient_estimator",
        "they are those of the score function, which are noisier",
    ),
    "half": (EXACT / 2, {}, "gradient_scaled", "they are ours times 0.5"),
    "minus": (-EXACT, {}, "gradient_scaled", "they are ours times -1"),
    "a hundred": (100 * EXACT, {}, "gradient_scaled", "they are ours times 100"),
    "half, by the kernel": (
        (DENSITY + KERNEL) / 2, {"by_kernel": KERNEL}, "gradient_scaled",
        "they are ours times 0.5",
    ),
    "another": (EXACT * [[1.0], [2.0], [1.0]], {}, "gradient_mismatch",
                "no known mistake gives them"),
    "nothing through draws": (
        0.5 + 0 * EXACT, {"density": 0 * EXACT, "through": 0 * EXACT}, "gradient_mismatch",
        "no known mistake gives them",
    ),
    "no density to lack": (
        2 * THROUGH, {"density": 0 * EXACT}, "gradient_scaled", "they are ours times 2",
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", CAUSES)
def test_what_departs_and_why(case):
    theirs, fields, name, reason = CAUSES[case]
    finding = _compared(made_up(theirs, **fields), 1.0)
    assert (finding.name, finding.status, finding.reason) == (name, "mistake", reason)


def test_the_first_that_departs_is_told():
    theirs = EXACT + [[0.9 * ROOM], [2.0], [5.0]]
    finding = _compared(made_up(theirs), 1.0)
    assert finding.quantity == "gradient of prior.concentration1 at step 1"
    assert (finding.theirs, finding.ours, finding.allowance) == (3.0, 1.0, ROOM)
    wide = made_up(np.repeat(theirs, 2, axis=1) + [0.0, 1.0], role="guide.loc")
    assert _compared(wide, 1.0).quantity == "gradient of guide.loc at step 0, latent 1"
    agreeing = _compared(made_up(EXACT + [[0.1 * ROOM], [0.0], [-0.5 * ROOM]]), 1.0)
    assert agreeing.quantity == (
        "all steps, the farthest: gradient of prior.concentration1 at step 2"
    )


def test_a_factor_multiplies_the_allowance_and_never_lowers_it():
    off = np.array([[1.0], [-3.0], [0.0]])  # across the exact one, which is (3, 1, -2)
    for factor, share, name in (
        (100.0, 30.0, "gradient_scaled"), (100.0, 36.0, "gradient_mismatch"),
        (0.1, 0.3, "gradient_scaled"), (0.1, 0.36, "gradient_mismatch"),
    ):  # fmt: skip
        finding = _compared(made_up(factor * EXACT + share * ROOM * off), 1.0)
        assert finding.name == name, (factor, share)


def test_what_cannot_be_told():
    """The kernel has no number at a draw; it is not installed; a pair of gammas; a baseline."""
    other = EXACT + 0.1
    finite = {"by_kernel": KERNEL, "kernel_allowance": UNKNOWN}
    for fields, words in (
        (finite, "not finite at some of these draws"),
        ({"kernel_allowance": UNKNOWN}, "where PyTorch is installed too"),
        ({"by_gammas": True}, "NumPyro differentiates a pair of gammas"),
        ({"by_score": True, "score": SCORE}, "of the score function, with a baseline"),
    ):
        finding = _compared(made_up(other, **fields), 1.0)
        assert finding.status == "untested" and words in finding.reason
        assert finding.quantity == "the gradient of prior.concentration1"
    (one,) = {
        _compared(made_up(EXACT, **fields), 1.0).status for fields in (finite, {"by_gammas": True})
    }
    assert one == "agrees"
    by_score = made_up(SCORE + [[0.0], [0.5 * ROOM], [0.0]], by_score=True, score=SCORE)
    finding = _compared(by_score, 1.0)
    assert (finding.status, finding.theirs) == ("agrees", SCORE[1, 0] + 0.5 * ROOM)
    assert "by the score function" in finding.quantity


def test_an_inexact_kernel_is_no_factor_of_one():
    """Beside the exact derivative its spread counts only where the losses have a factor."""
    spread = {"by_kernel": KERNEL, "kernel_allowance": 0 * EXACT + 0.3}
    assert _compared(made_up(EXACT + 0.1, **spread), 1.0).status == "mistake"
    assert _compared(made_up(2 * EXACT + 0.1, **spread), 2.0).status == "agrees"


def test_no_gradient_at_all_is_zero_beside_a_density():
    """Beyond its allowance; what is zero itself vanishes nowhere."""
    assert made_up(0 * EXACT).vanishes and not made_up(EXACT).vanishes
    for size, vanishes in ((0.0, False), (ROOM, False), (1.1 * ROOM, True), (-1.1 * ROOM, True)):
        density = np.array([[0.0], [size], [0.0]])
        assert made_up(0 * EXACT, density=density).vanishes is vanishes
    exact_zero = made_up(0 * EXACT, density=0 * EXACT, allowance=0 * EXACT)
    assert not exact_zero.vanishes


def weighed(*gradients, steps=3, **deviations):
    trace = SimpleNamespace(recording=SimpleNamespace(num_steps=steps))
    by_role = {name.replace("_", ".", 1): np.array(x) for name, x in deviations.items()}
    return _kernel_error(list(gradients), trace, by_role)


def by_kernel(bias, role="guide.loc", **fields):
    """A gradient whose kernel departs by so much, (T, L)."""
    through = np.zeros(np.shape(bias))
    given = {"density": through, "through": through, "by_kernel": np.asarray(bias, float)}
    return made_up(through, role=role, **(given | fields))


def test_the_mean_bias_of_the_kernel_in_standard_deviations():
    """Over the steps, with its sign; of all latents and arguments the worst is told."""
    bias = np.array([[0.1, 0.3], [0.1, 0.5]])
    finding = weighed(by_kernel(bias), guide_loc=[2.0, 2.0])
    assert finding.theirs == pytest.approx(0.2) and finding.status == "mistake"
    assert "for guide.loc, latent 1, in standard deviations" in finding.quantity
    assert (finding.ours, finding.allowance) == (0.0, 0.1)
    for std, status in ((4.1, "note"), (3.9, "mistake")):
        assert weighed(by_kernel(bias), guide_loc=[2.0, std]).status == status
    cancels = weighed(by_kernel([[0.5], [-0.5]]), guide_loc=[1.0])
    assert (cancels.theirs, cancels.status) == (0.0, "note")
    assert "for guide.loc, in standard" in cancels.quantity
    both = by_kernel([[0.2]], role="guide.scale"), by_kernel([[0.3]])
    for order in (both, both[::-1]):
        worst = weighed(*order, guide_loc=[1.0], guide_scale=[1.0])
        assert worst.theirs == pytest.approx(0.3) and "for guide.loc" in worst.quantity
    only = weighed(*both, guide_loc=[1.0])
    assert only.theirs == pytest.approx(0.3)


def test_a_bias_within_rounding_is_none():
    """Rounding is the least unit too."""
    room = {"allowance": np.array([[0.1], [0.3]])}  # 0.2 on the average
    for bias, wanted in ((0.19, 0.0), (0.2, 0.0), (0.21, 1.05)):
        finding = weighed(by_kernel([[bias], [bias]], **room), guide_loc=[0.01])
        assert finding.theirs == pytest.approx(wanted)
    assert weighed(by_kernel([[0.4], [0.4]], **room), guide_loc=[0.5]).theirs == pytest.approx(0.8)


@pytest.mark.parametrize("steps", [9, 10])
def test_standard_deviations_by_the_differences_of_ten_steps(steps):
    """Those of a drift are half of what they jump; from nine steps nothing is known."""
    jumping = np.arange(steps)[:, None] % 2 * 3.0  # differences of 3: variance 9/2
    gradient = by_kernel(0 * jumping + 1.0, through=jumping, by_kernel=jumping + 1.0)
    finding = weighed(gradient, steps=steps)
    if steps < 10:
        assert finding.status == "untested" and "too few steps" in finding.reason
        return
    assert finding.theirs == pytest.approx(1 / np.sqrt(4.5))
    assert finding.reason.endswith("; the standard deviations by the differences of steps")
    exact = weighed(gradient, steps=steps, guide_loc=[10.0])
    assert exact.theirs == pytest.approx(0.1) and "differences of steps" not in exact.reason


def test_without_a_kernel_its_error_is_untested():
    finding = weighed(made_up(EXACT), prior_concentration1=[1.0])
    assert finding.status == "untested" and "where PyTorch is installed too" in finding.reason


@pytest.mark.parametrize(("most", "steps"), [(2, [39]), (5, [39]), (6, [0, 39]), (9, [0, 19, 39])])
def test_standard_deviations_at_some_of_the_steps(made, monkeypatch, most, steps):
    """Of three latents in all, from the last step to the first; the average, over the particles."""
    monkeypatch.setattr(module, "_MOST", most)
    trace = trace_of(made.recording())
    found = module._standard_deviations(trace)
    wanted = []
    for step in steps:
        prior = trace.model.prior[:, step]
        (variances, _) = trace.model.loss.gradient_variance(
            Task(trace.guide, trace.model.counts), prior, np.zeros((0, 1))
        )
        wanted.append(np.sqrt(np.ravel(variances) / trace.draws.c.shape[1]))
    one, zero = np.mean(wanted, axis=0)
    assert found["prior.concentration1"] == pytest.approx([one], rel=1e-12)
    assert found["prior.concentration0"] == pytest.approx([zero], rel=1e-12)


def test_no_standard_deviation_is_known_of_a_scaled_model(made):
    trace = trace_of(made.recording())
    for change in ({"batch_scale": 2.0}, {"likelihood_weight": 0.5}, {"batch": 3}):
        assert module._standard_deviations(trace.under(trace.model._replace(**change))) == {}
    assert module._standard_deviations(trace)


def test_a_probability_at_its_end_is_still_free():
    """A clamp passes the derivative at its ends, and none beyond them."""
    guide, ends = guides.find("empty"), probability_ends("float64")
    model = LossModel(
        COUNTS, guide, OBJECTIVES["trace"], 2, PRIOR[:, None], np.zeros((0, 1, 3)), "float64"
    )
    path = np.ones((2, 2, 3))
    beyond = [np.nextafter(ends.low, 0), np.nextafter(ends.high, 1)]

    def data_of(c):
        at = columns(special.logit(c), PRIOR, np.zeros((0, 3)))._replace(c=c)
        without = at._replace(outcomes=np.zeros((2, 3)))
        with_data, alone = (gradient_parts(model, x, path).through for x in (at, without))
        return with_data - alone

    for low, high, free in ((ends.low, ends.high, True), (*beyond, False)):
        c = np.array([[low, 0.5, high], [low, 0.5, high]])
        data = data_of(c)
        np.testing.assert_allclose(data[:, 1], (N - 2 * K)[1] * -0.5, rtol=1e-12)
        outer = [K[0] * (1 - low) if free else 0.0, -(N - K)[2] * high if free else 0.0]
        np.testing.assert_allclose(data[:, [0, 2]], [outer] * 2, rtol=1e-9, atol=1e-12)


def test_the_parts_of_recorded_gradients(monkeypatch):
    """For the arguments of a Beta guide: at fixed draws, through them, and by the score."""
    hide_pytorch(monkeypatch)
    run = Made()
    found = {x.role: x for x in module._gradients(trace_of(run.recording()))}
    roles = {
        "prior.concentration1": "a", "prior.concentration0": "b",
        "guide.concentration1": "qa", "guide.concentration0": "qb",
    }  # fmt: skip
    assert [*found] == [*roles]
    constrained = run.recording().constrained
    for role, name in roles.items():
        value = constrained[name].reshape(len(constrained[name]), -1)
        for part in ("density", "through", "score"):
            wanted = run.gradient(part)[name].reshape(value.shape) / value
            np.testing.assert_allclose(getattr(found[role], part), wanted, rtol=1e-7, atol=1e-7)
        gradient = found[role]
        assert gradient.by_kernel is None and not gradient.by_gammas and not gradient.by_score
        assert gradient.through_beta is role.startswith("guide")
        assert np.isinf(gradient.kernel_allowance).all() == gradient.through_beta
        assert np.isnan(gradient.detached).all()
        assert (gradient.allowance > 0).all() and (gradient.allowance < 1e-5).all()


def test_only_draws_of_a_beta_have_a_kernel_of_pytorch(monkeypatch):
    """For gammas of NumPyro, or where nothing goes through a draw, nothing is said of it."""
    hide_pytorch(monkeypatch)
    run = Made()
    whole = run.recording()
    kernels = []
    for recording in (
        whole,
        replace(whole, header={**whole.header, "framework": "numpyro"}),
        replace(whole, argument_gradients={
            x: g for x, g in whole.argument_gradients.items() if x.startswith("model")
        }),
    ):  # fmt: skip
        findings = compare_gradients(Explanation((), trace_of(recording)))
        kernels.append([x.name for x in findings].count("kernel_error"))
    assert kernels == [1, 0, 0]


def test_an_error_of_the_weights_is_one_of_all_terms():
    """In units of eps, of the magnitude of each row."""
    guide = guides.find("beta")
    own = OWN["beta"]
    model = LossModel(
        COUNTS, guide, OBJECTIVES["trace"], 2, PRIOR[:, None], own[:, None], "float64"
    )
    y = np.random.default_rng(0).normal(-0.5, 0.4, (2, 3))
    path = guide.source.pathwise(y, guide.source_parameters(PRIOR, own))
    at = columns(y, PRIOR, own)
    exact, rounded = (
        gradient_parts(model, at._replace(weight_error=np.full(3, x)), path) for x in (0.0, 4.0)
    )
    np.testing.assert_allclose(
        rounded.rounding - exact.rounding, 4 * exact.magnitude, rtol=1e-9, atol=1e-9
    )
