"""Choice of the reading that losses fit: the order of what is asked, and what decides."""

from __future__ import annotations

from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import pytest
from scipy import stats

import elbo_ref as er
from elbo_ref.crosscheck import chosen_reading
from elbo_ref.crosscheck.chosen_reading import Candidate, likeliest, reading_by_letters
from elbo_ref.crosscheck.claims import UnknownRoleError
from elbo_ref.crosscheck.coordinates import Coordinates
from elbo_ref.crosscheck.readings import Reading
from elbo_ref.objectives import OBJECTIVES, RenyiBound
from loss_models import COUNTS, elbo_losses, model_of
from tiers import few

NONE = np.zeros(0)


def reading(name="", **fields):
    return Reading(model_of(**fields), {"is": name}, (), name, Coordinates({}))


def handed(losses=5, evaluations=0, particles=None, order_said=True, loss="trace"):
    return SimpleNamespace(
        losses=np.ones(losses), evaluations=np.ones(evaluations), num_particles=particles,
        order_said=order_said, loss=OBJECTIVES[loss] if isinstance(loss, str) else loss,
    )  # fmt: skip


class Fake(Candidate):
    """A candidate whose answers are given, by the name of its reading and its particles."""

    known: ClassVar[dict[tuple[str, int], dict[str, object]]] = {}
    aligned: ClassVar[object] = object()

    @property
    def _told(self):
        name, number = self.reading.names["is"], self.reading.model.num_particles
        return self.known.get((name, number), {})

    @property
    def fits(self):
        return self._told.get("fits", False)

    @property
    def is_stale(self):
        return self._told.get("stale", False)

    @property
    def is_mistaken(self):
        return self._told.get("mistaken", False)

    @property
    def cost(self):
        return self._told.get("mistake", False), self._price + self._told.get("cost", 0.0)

    def numbers_of_particles(self):
        return self._told.get("numbers", ([], []))


@pytest.fixture
def told(monkeypatch):
    """What each candidate answers."""

    def of(known, paired=True):
        monkeypatch.setattr(Fake, "known", {k if isinstance(k, tuple) else (k, 1): v
                                            for k, v in known.items()})  # fmt: skip
        monkeypatch.setattr(Fake, "aligned", object() if paired else None)

    return of


def likeliest_of(names, given):
    return likeliest([Fake(reading(x), given, None, 0) for x in names], given).reading


def chosen(names, given=None):
    found = likeliest_of(names, given or handed(particles=1))
    return found.names["is"], found.model.num_particles


def test_the_first_that_fits(told):
    told({"b": {"fits": True}, "c": {"fits": True}})
    assert chosen("abc") == ("b", 1)


def test_otherwise_the_cheapest_without_a_mistake(told):
    told({"a": {"mistake": True, "cost": -9.0}, "b": {"cost": 5.0}, "c": {"cost": 4.0}})
    assert chosen("abc") == ("c", 1)
    told({"a": {"mistake": True, "cost": 2.0}, "b": {"mistake": True, "cost": 1.0}})
    assert chosen("ab") == ("b", 1)


def test_without_losses_it_is_the_first(told):
    told({"b": {"fits": True}}, paired=False)
    assert chosen("ab") == ("a", 1)


def test_one_reading_is_not_tested_where_its_particles_are_said(told):
    told({"a": {"numbers": ([3], [])}, ("a", 3): {"fits": True}})
    assert chosen("a") == ("a", 1)
    assert chosen("a", handed()) == ("a", 3)


def test_a_stale_history_beside_a_mistake(told):
    """It is none where the losses are certainly those of another mistake."""
    for mistaken in (True, False):
        told({"a": {"mistaken": mistaken, "cost": 1.0}, "b": {"stale": True, "fits": True}})
        assert chosen("ab") == (("a", 1) if mistaken else ("b", 1))
    told({"a": {"stale": True, "fits": True}})
    assert chosen("ab") == ("a", 1), "there is none before it"


def test_a_number_that_nobody_said(told):
    """The first about the mean that fits; one particle where a mistake is certain."""
    told({"a": {"numbers": ([3, 7], [9])}, ("a", 7): {"fits": True}})
    found = likeliest_of("a", handed())
    assert found.model.num_particles == 7
    (note,) = found.findings
    assert note.name == "num_particles" and note.of == "7"
    assert note.quantity == "7, taken from the spread of the losses, as none was given"
    told({"a": {"numbers": ([7], []), "mistaken": True}, ("a", 7): {"fits": True}})
    assert chosen("a", handed()) == ("a", 1)


def test_a_number_about_another_mean(told):
    """The likeliest alone, and three nats dearer."""
    for cost, number in ((-2.9, 1), (-3.1, 9)):
        told({"a": {"numbers": ([3], [9, 12])}, ("a", 9): {"cost": cost}, ("a", 12): {"cost": -99}})
        assert chosen("a", handed()) == ("a", number)


OPEN = {
    "few losses": ({"losses": 4}, False),
    "enough with evaluations": ({"losses": 4, "evaluations": 1}, True),
    "a number that was said": ({"particles": 1}, False),
    "an order that was not": ({"order_said": False}, False),
    "a bound": ({"loss": RenyiBound(0.0, 2)}, False),
}


@pytest.mark.parametrize("case", OPEN)
def test_when_a_number_is_looked_for(told, case):
    changes, some = OPEN[case]
    told({"a": {"numbers": ([3], [])}, ("a", 3): {"fits": True}})
    assert chosen("ab", handed(**changes)) == (("a", 3) if some else ("a", 1))


def candidate(losses, name="", **fields):
    beside = SimpleNamespace(losses=NONE, evaluations=losses)
    return Candidate(reading(name, **fields), beside, None, 0)


def test_a_candidate():
    """It fits by its test; its spread tells particles, about its mean or the losses' own."""
    losses = elbo_losses(np.random.default_rng(1), 60, particles=10)
    assert candidate(losses, particles=10).fits
    one = candidate(losses)
    assert not one.fits and not one.is_stale
    assert 10 in one.numbers_of_particles()[0] and 10 in one.numbers_of_particles()[1]
    about_mean, about_own = candidate(losses + 6).numbers_of_particles()
    assert 10 in about_own and 10 not in about_mean
    stale = one.reading._replace(findings=(SimpleNamespace(name="stale_history"),))
    assert Candidate(stale, handed(), None, 0).is_stale
    assert candidate(NONE).aligned is None and candidate(NONE).explained is None


def test_losses_without_a_spread_still_have_one_beside_zero(monkeypatch):
    """A millionth of a millionth of 1 and of the loss, so that nothing is divided by zero."""
    fits = []
    monkeypatch.setattr(chosen_reading, "fitted_particles", lambda _, fit: fits.append(fit) or [])
    law = SimpleNamespace(mean=np.array([0.0, 3.0]), variance=np.zeros(2))
    known = SimpleNamespace(losses=SimpleNamespace(values=np.ones(2)), model=None)
    test = SimpleNamespace(distribution=law, allowance=np.zeros(2))
    Candidate.numbers_of_particles(SimpleNamespace(aligned=known, _test=test))
    assert fits[0].variance == pytest.approx([1e-24, 1e-23], rel=1e-9, abs=0.0)


def explained(name=None, status="note", score=-7.0):
    best = name is not None and SimpleNamespace(hypothesis=SimpleNamespace(name=name))
    report = SimpleNamespace(certain=best or None, score=score)
    return SimpleNamespace(report=report, findings=[SimpleNamespace(status=status)])


def test_what_a_candidate_costs(monkeypatch):
    for name, mistaken in (
        (None, False), ("", False), ("wrong_num_particles", False), ("wrong_sign", True)
    ):  # fmt: skip
        monkeypatch.setattr(chosen_reading, "explain", lambda *_, name=name: explained(name))
        assert Candidate(reading(), handed(), None, 0).is_mistaken is mistaken
    for status, mistake in (("mistake", True), ("agrees", False)):
        monkeypatch.setattr(
            chosen_reading, "explain", lambda *_, status=status: explained(None, status)
        )
        assert Candidate(reading(), handed(), None, 0, 3.0).cost == (mistake, 10.0)


@pytest.fixture
def letters(monkeypatch):
    """Readings of a and b in either order, which fit as they are told to."""

    def of(*fitting, paired=True):
        def made(handed, _rng):
            first = handed.names["prior.concentration1"]
            return [reading(first)]

        monkeypatch.setattr(chosen_reading, "readings_of", made)
        monkeypatch.setattr(Fake, "known", {(x, 1): {"fits": True} for x in fitting})
        monkeypatch.setattr(chosen_reading, "Candidate", Fake)
        monkeypatch.setattr(Fake, "aligned", object() if paired else None)
        unknown = UnknownRoleError("", {"a": np.ones(()), "b": np.ones(())}, ["prior"])

        def given(losses=5, fitting=True):
            class Handed(SimpleNamespace):
                def _replace(self, **changes):
                    return Handed(**{**self.__dict__, **changes})

            one = Handed(
                counts=COUNTS, losses=np.ones(losses), evaluations=NONE, names=None,
                num_particles=1, order_said=True, loss=OBJECTIVES["trace"],
            )  # fmt: skip
            return reading_by_letters(one, unknown, None, 0, fitting=fitting)

        return given

    return of


def test_letters_in_the_order_that_fits(letters):
    """The first letter is tried for concentration1 first."""
    for fitting, order in ((("a",), "ab"), (("b",), "ba"), (("a", "b"), "ab")):
        found = letters(*fitting)().reading
        assert found.names["is"] == order[0]
        (note,) = found.findings
        assert note.quantity == (
            f"{order[0]} for prior.concentration1, {order[1]} for prior.concentration0 were taken: "
            "the losses fit so"
        )


def test_letters_that_fit_in_no_order(letters):
    """The likelier one, unless it must be fitting."""
    assert letters()() is None
    found = letters()(fitting=False).reading
    assert found.names["is"] == "a"
    assert found.findings[0].quantity.endswith("were taken, as no order fits the losses better")


def test_letters_without_losses(letters):
    assert letters("a")(losses=0) is None and letters("a")(losses=0, fitting=False) is None
    assert letters("a", paired=False)(fitting=False) is None


SIZE, BATCH = 60, 15


def minibatch_run(seed):
    """Counts, the store of a guide that is near its posterior, and losses by SciPy."""
    rng = np.random.default_rng(seed)
    n = rng.integers(10, 40, SIZE)
    k = rng.binomial(n, rng.beta(2.0, 5.0, SIZE))
    own = np.array((k + 1.5, n - k + 5.5))

    def loss(rows):
        c = rng.beta(*own[:, rows])
        joint = stats.binom.logpmf(k[rows], n[rows], c) + stats.beta.logpdf(c, 2.0, 5.0)
        return -float((joint - stats.beta.logpdf(c, *own[:, rows])).sum() * SIZE / rows.size)

    store = {"a0": 2.0, "b0": 5.0, "a": own[0], "b": own[1]}
    steps = np.array([loss(rng.choice(SIZE, BATCH, replace=False)) for _ in range(80)])
    return er.Counts(k, n), store, steps, loss


NAMES = {
    "prior.concentration1": "a0", "prior.concentration0": "b0",
    "guide.concentration1": "a", "guide.concentration0": "b",
}  # fmt: skip


@pytest.mark.parametrize("seed", few(range(4)))
@pytest.mark.parametrize("particles", [None, 1])
def test_a_run_on_minibatches_may_be_evaluated_on_all_the_data(seed, particles):
    """Its evaluations then vary less, which is neither a mistake nor particles."""
    counts, store, losses, loss = minibatch_run(seed)
    of_all = np.array([loss(np.arange(SIZE)) for _ in range(25)])
    rng = np.random.default_rng(seed)
    of_batches = np.array([loss(rng.choice(SIZE, BATCH, replace=False)) for _ in range(25)])
    told = {"names": NAMES, "losses": losses, "subsample_size": BATCH, "num_particles": particles}
    for evaluations, whole in ((of_all, True), (of_batches, False)):
        verdict = er.cross_check(counts, store, evaluations=evaluations, **told)
        assert verdict.genuine, verdict
        noted = [x.quantity for x in verdict.having("note") if x.name == "evaluations"]
        assert len(noted) == whole and all("of all the data" in x for x in noted)


@pytest.mark.thorough
def test_a_run_whose_minibatches_are_not_scaled_beside_evaluations_of_all():
    """The evaluations agree, and the run's own last loss does not."""
    counts, store, losses, loss = minibatch_run(1)
    of_all = np.array([loss(np.arange(SIZE)) for _ in range(25)])
    verdict = er.cross_check(
        counts, store, names=NAMES, losses=losses * BATCH / SIZE, evaluations=of_all,
        subsample_size=BATCH, num_particles=1, optimizer=er.Adam(lr=1e-3),
    )  # fmt: skip
    (found, *_) = verdict.having("mistake")
    assert "subsample_unscaled" in (found.name, *found.rivals)
    assert verdict["evaluations"].status == "agrees"
    assert not {found.name, *found.rivals} & {*verdict.ruled_out}


@pytest.mark.thorough
def test_negative_control_evaluations_of_neither():
    """Those of all the data with a wrong sign, or of other parameters, are mistakes."""
    counts, store, losses, loss = minibatch_run(1)
    of_all = np.array([loss(np.arange(SIZE)) for _ in range(25)])
    told = {"names": NAMES, "losses": losses, "subsample_size": BATCH, "num_particles": 1}
    assert er.cross_check(counts, store, evaluations=-of_all, **told).mistakes == ("wrong_sign",)
    assert er.cross_check(counts, store, evaluations=of_all + 40, **told).mistakes
