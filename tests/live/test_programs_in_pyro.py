"""Programs in many hands' styles, recorded from a live Pyro with nothing else said.

Clean ones have no mistake, and not a bit of them is changed; each kind of mistake has its name in
several styles; what is another model is said to be.
"""

from __future__ import annotations

from contextlib import nullcontext

import pytest
from programs import COUNTS, STYLES, Hand, K, N, Style

import elbo_ref as er
from elbo_ref.recording import record
from elbo_ref.recording.replay.check import replay
from elbo_ref.recording.statement import read_statement

pytestmark = [
    pytest.mark.live,
    pytest.mark.filterwarnings("ignore:Found .*:UserWarning"),
    pytest.mark.filterwarnings("ignore:Encountered NaN:UserWarning"),
    pytest.mark.filterwarnings("ignore:.*num_chains.*:UserWarning"),
]


@pytest.fixture
def run(torch, pyro):
    """Run a program; its recording, or what it leaves where nobody watches."""

    def steps(style, *, watch=True, number=4, lr=0.05, programs=None, **wrong):
        hand = Hand(torch, pyro, style, wrong)
        torch.set_default_dtype(getattr(torch, style.dtype))
        try:
            with pyro.get_param_store().scope():
                pyro.set_rng_seed(1)
                model, guide = programs(hand) if programs else hand.programs()
                elbo = getattr(pyro.infer, style.loss)(
                    num_particles=style.particles,
                    vectorize_particles=style.vectorize,
                    max_plate_nesting=2,
                )
                svi = pyro.infer.SVI(model, guide, pyro.optim.Adam({"lr": lr}), elbo)
                with record(svi) if watch else nullcontext() as recorder:
                    losses = [svi.step() for _ in range(number)]
                store = pyro.get_param_store()
                left = {name: store[name].detach().numpy().copy() for name in store}
                noise = torch.rand(3).tolist()
                return (losses, left, noise), recorder and recorder.recording
        finally:
            torch.set_default_dtype(torch.float32)

    return steps


def names(verdict, status):
    return {finding.name for finding in verdict.having(status)}


@pytest.mark.parametrize("name", STYLES)
def test_a_clean_program(run, name):
    """It needs nothing but its recording, and not a bit of the run is another."""
    style = STYLES[name]
    left, recording = run(style)
    verdict = replay(recording)
    assert not verdict.mistakes and verdict.outcome != "outside_model", verdict
    assert names(verdict, "agrees") >= {"losses", "updates"}, verdict
    assert "gradients" in names(verdict, "agrees") or style == STYLES["minibatch, empty"], verdict
    untested = names(verdict, "untested")
    assert untested <= {"kernel_error"}, verdict
    counts = COUNTS[style.layout]
    assert replay(recording, counts).mistakes == ()
    assert style.layout == "minibatch" or read_statement(recording).data.counts() == counts
    (losses, parameters, noise), _ = run(style, watch=False)
    assert (losses, noise) == (left[0], left[2])
    assert all(x.tobytes() == left[1][y].tobytes() for y, x in parameters.items())


# -- mistakes --------------------------------------------------------------------------------------

DETACHED = [
    ("plain", "prior", "detach"),
    ("plain, float64", "guide", "detach"),
    ("stacked", "guide", "item"),
    ("columns", "prior", "data"),
    ("to_event", "guide", "data"),
    ("loop", "guide", "detach"),
    ("loop, stacked", "prior", "item"),
    ("nested trials", "prior", "detach"),
    ("dirichlet", "guide", "detach"),
    ("dirichlet, vectorized", "prior", "item"),
    ("logs by hand", "guide", "detach"),
    ("softplus by hand", "prior", "item"),
    ("mean and concentration", "prior", "detach"),
    ("network", "guide", "detach"),
    ("module", "prior", "item"),
    ("group numbers", "guide", "item"),
    ("marginal, float32", "prior", "detach"),
    ("AutoNormal", "prior", "detach"),
    ("tied", "guide", "detach"),
]


@pytest.mark.parametrize(("name", "whose", "how"), DETACHED)
def test_a_parameter_taken_out_of_the_graph(run, name, whose, how):
    """By detach(), item() or data: no gradient reaches it, and it stands where it began."""
    _, recording = run(STYLES[name], detached=(whose, how))
    verdict = replay(recording)
    assert verdict.mistakes == ("gradient_detached",), verdict
    assert replay(run(STYLES[name])[1]).mistakes == ()


SEVERAL = ["plain", "columns", "to_event", "loop", "nested trials", "dirichlet", "group numbers"]
SEVERAL += ["stacked", "mean and concentration"]


@pytest.mark.parametrize("name", [*SEVERAL, "marginal", "empty"])
def test_observations_that_are_missing(run, name):
    verdict = replay(run(STYLES[name], unobserved=True)[1])
    assert verdict.mistakes == ("observations_missing",), verdict


@pytest.mark.parametrize("factor", [0.5, 2.0])
@pytest.mark.parametrize("name", [*SEVERAL, "AutoNormal, trials"])
def test_a_likelihood_that_is_weighted(run, name, factor):
    """An annealed divergence, or data that count twice."""
    verdict = replay(run(STYLES[name], likelihood=factor)[1])
    assert verdict.mistakes == ("likelihood_weight",), verdict


@pytest.mark.parametrize(
    ("factor", "mistake"),
    [(1.5, "subsample_scaled_twice"), (2 / 3, "subsample_unscaled")],
)
@pytest.mark.parametrize("guide", ["own", "empty"])
def test_a_minibatch_that_is_scaled_otherwise(run, factor, mistake, guide):
    style = STYLES["minibatch"]._replace(guide=guide)
    verdict = replay(run(style, scale=factor)[1])
    assert verdict.mistakes == (mistake,), verdict


@pytest.mark.parametrize("name", ["plain", "plain, float64", "nested trials"])
def test_one_name_in_model_and_guide(run, name):
    """The guide's are those of the model, which states them first or last."""
    verdict = replay(run(STYLES[name], names=("a", "b"))[1])
    assert verdict.mistakes[:1] == ("shared_parameter",), verdict


def test_values_of_a_column_against_latents_of_a_row(run):
    verdict = replay(run(STYLES["to_event"], column=True)[1])
    assert verdict.mistakes == ("broadcast_observations",), verdict


@pytest.mark.parametrize("name", ["plain", "plain, float64", "to_event", "loop", "group numbers"])
def test_a_guide_whose_constraint_is_too_narrow(run, name):
    """`unit_interval` for concentrations, where they want to be above 1."""
    style = STYLES[name]._replace(own="positive")
    verdict = replay(run(style, constraint="unit_interval")[1])
    assert verdict.mistakes == ("guide_at_constraint",), verdict


@pytest.mark.parametrize("name", [x for x in STYLES if STYLES[x].guide == "auxiliary"])
@pytest.mark.parametrize("layout", ["plate", "minibatch"])
def test_a_sigmoid_whose_jacobian_was_forgotten(run, name, layout):
    """The Delta around it has no density of its own: that is the loss of TraceMeanField_ELBO."""
    style = STYLES[name]
    if layout == "minibatch":
        style = style._replace(layout=layout, particles=1)
    verdict = replay(run(style, **{"no jacobian": True})[1])
    assert verdict.mistakes == ("other_objective",), verdict
    assert "without the Jacobian of the sigmoid" in verdict.having("mistake")[0].reason
    assert not replay(run(style)[1]).mistakes


ROWS = ["plain", "stacked", "columns", "to_event", "loop", "dirichlet", "AutoDelta", "empty"]
ROWS += ["network", "marginal", "minibatch", "minibatch, empty"]


@pytest.mark.parametrize(
    ("counts", "mistake"),
    [
        (er.Counts(K[::-1], N[::-1]), "permuted_rows"),
        (er.Counts([3, 7, 13], N), "wrong_counts"),
        (er.Counts(K, [10, 9, 41]), "wrong_total_count"),
        (er.Counts(K[:2], N[:2]), "wrong_counts"),
        (er.Counts([K[0], sum(K[1:])], [N[0], sum(N[1:])]), "wrong_latents"),
    ],
)
@pytest.mark.parametrize("name", ROWS)
def test_counts_that_are_not_those_of_the_run(run, name, counts, mistake):
    """The same trials, grouped otherwise, are other latents; of a batch they are not all seen."""
    if mistake == "wrong_latents" and name.startswith("minibatch"):
        mistake = "wrong_counts"
    verdict = replay(run(STYLES[name])[1], counts)
    assert verdict.mistakes == (mistake,), verdict


@pytest.mark.parametrize("name", ["plain", "loop", "to_event", "marginal", "AutoNormal", "empty"])
def test_a_run_that_is_no_number_from_a_step_on(run, name, pyro):
    style = STYLES[name]
    per_step = 2 if style.own == "prior" else 1
    with pyro.validation_enabled(False):
        _, recording = run(style, number=5, nan_at=3 * per_step * style.particles)
    verdict = replay(recording)
    assert verdict.mistakes == ("not_finite",), verdict
    said = verdict.having("mistake")[0].quantity
    assert "not finite, first the argument model." in said and ".concentration" in said
    assert {"losses", "updates"} <= names(verdict, "agrees")


# -- other models ----------------------------------------------------------------------------------


def regression(hand):
    """The mean depends on a covariate."""
    pyro, dist, torch = hand.pyro, hand.dist, hand.torch

    def model():
        slope, shift = hand.parameter("w", 0.3, "real"), hand.parameter("v", 0.0, "real")
        total, x = hand.parameter("s", 5.0), hand.tensor([-1.0, 0.0, 1.0])
        mean = torch.sigmoid(slope * x + shift)
        with pyro.plate("g", 3):
            c = pyro.sample("c", dist.Beta(mean * total, (1 - mean) * total))
            pyro.sample("k", dist.Binomial(hand.tensor(N), c), obs=hand.tensor(K))

    return model, hand.programs()[1]


def hyperprior(hand):
    """The prior's concentrations are drawn."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        a = pyro.sample("a", dist.Gamma(hand.tensor(2.0), hand.tensor(1.0)))
        with pyro.plate("g", 3):
            c = pyro.sample("c", dist.Beta(a, hand.parameter("b", 5.0)))
            pyro.sample("k", dist.Binomial(hand.tensor(N), c), obs=hand.tensor(K))

    return model, pyro.infer.autoguide.AutoNormal(model)


def two_sites(hand):
    """Two latents with a learned prior each."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        for i, rows in enumerate((slice(0, 2), slice(2, 3))):
            a, b = hand.parameter(f"a_{i}", 2.0 + i), hand.parameter(f"b_{i}", 5.0)
            k, n = hand.tensor(K)[rows], hand.tensor(N)[rows]
            with pyro.plate(f"g_{i}", len(k)):
                c = pyro.sample(f"c_{i}", dist.Beta(a, b))
                pyro.sample(f"k_{i}", dist.Binomial(n, c), obs=k)

    return model, pyro.infer.autoguide.AutoNormal(model)


def logit_normal(hand):
    """The latent is no Beta."""
    pyro, dist, torch = hand.pyro, hand.dist, hand.torch

    def model():
        with pyro.plate("g", 3):
            y = pyro.sample("y", dist.Normal(hand.parameter("m", 0.0, "real"), 1.0))
            pyro.sample("k", dist.Binomial(hand.tensor(N), torch.sigmoid(y)), obs=hand.tensor(K))

    return model, pyro.infer.autoguide.AutoNormal(model)


def normal_data(hand):
    """The data are no counts."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        with pyro.plate("g", 3):
            c = pyro.sample("c", dist.Beta(*hand.concentrations("prior")))
            pyro.sample("k", dist.Normal(c, 1.0), obs=hand.tensor(K))

    return model, hand.programs()[1]


def two_latents_of_a_row(hand):
    """The probability is computed from two latents."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        a, b = hand.concentrations("prior")
        with pyro.plate("g", 3):
            c, d = pyro.sample("c", dist.Beta(a, b)), pyro.sample("d", dist.Beta(a, b))
            pyro.sample("k", dist.Binomial(hand.tensor(N), c * d), obs=hand.tensor(K))

    return model, pyro.infer.autoguide.AutoNormal(model)


def multivariate(hand):
    """A guide of all latents together."""
    model, _ = hand.programs()
    return model, hand.pyro.infer.autoguide.AutoMultivariateNormal(model)


def mixture(hand, *, of_guide=False):
    """Each group is of one of two kinds, which is enumerated."""
    pyro, dist = hand.pyro, hand.dist
    kinds = hand.tensor([0.4, 0.6])

    @pyro.infer.config_enumerate
    def model():
        with pyro.plate("kinds", 2):
            c = pyro.sample("c", dist.Beta(*hand.concentrations("prior")))
        with pyro.plate("g", 3):
            z = pyro.sample("z", dist.Categorical(kinds))
            pyro.sample("k", dist.Binomial(hand.tensor(N), c[..., z]), obs=hand.tensor(K))

    @pyro.infer.config_enumerate
    def guide():
        own = hand.parameter("qa", [4.0, 8.0]), hand.parameter("qb", [9.0, 6.0])
        with pyro.plate("kinds", 2):
            pyro.sample("c", dist.Beta(*own))
        if of_guide:
            with pyro.plate("g", 3):
                pyro.sample("z", dist.Categorical(kinds))

    return model, guide


def enumerated_by_the_guide(hand):
    return mixture(hand, of_guide=True)


mixture.loss = enumerated_by_the_guide.loss = "TraceEnum_ELBO"


def three_outcomes(hand):
    """A Multinomial of more than two."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        with pyro.plate("g", 3):
            c = pyro.sample("c", dist.Dirichlet(hand.parameter("a", [2.0, 5.0, 1.0])))
            pyro.sample("k", dist.Multinomial(6, c), obs=hand.tensor([[1.0, 2.0, 3.0]] * 3))

    def guide():
        with pyro.plate("g", 3):
            pyro.sample("c", dist.Dirichlet(hand.parameter("q", [[2.0, 5.0, 1.0]] * 3)))

    return model, guide


def fractions(hand):
    """Shares of successes, that are no counts."""
    pyro, dist = hand.pyro, hand.dist

    def model():
        k = hand.tensor(K) / hand.tensor(N)
        with pyro.plate("g", 3):
            c = pyro.sample("c", dist.Beta(*hand.concentrations("prior")))
            pyro.sample("k", dist.Binomial(1, c, validate_args=False), obs=k)

    return model, hand.programs()[1]


OUTSIDE = {
    mixture: "'z' is a discrete latent, enumerated",
    enumerated_by_the_guide: "'z' is a discrete latent, enumerated",
    three_outcomes: "more than two outcomes",
    fractions: "the values of 'k' are not whole numbers",
    regression: "computed from s, v, w",
    hyperprior: "'a'",
    two_sites: "a prior each",
    logit_normal: "the probability of 'k' is not the latent itself",
    normal_data: "from a Normal",
    two_latents_of_a_row: "the probability of 'k' is not the latent itself",
    multivariate: "all latents together",
}


@pytest.mark.parametrize("program", OUTSIDE)
def test_another_model_is_said_to_be(run, program):
    """With what is other, before anything else; its updates are compared all the same."""
    style = Style(dtype="float64", loss=getattr(program, "loss", "Trace_ELBO"))
    left, recording = run(style, programs=program)
    verdict = replay(recording)
    assert verdict.outcome == "outside_model" and verdict.exit_code == 6, verdict
    assert not verdict.mistakes, verdict
    assert OUTSIDE[program] in verdict.findings[0].quantity, verdict
    assert "updates" in names(verdict, "agrees")
    alone, _ = run(style, programs=program, watch=False)
    assert alone[0] == left[0]
