"""The loop: a step changes nothing of the state that it is given, and rows are copied seldom."""

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.svi import loop
from elbo_ref.svi.config import checked_config
from elbo_ref.svi.result import run_at

COUNTS = er.Counts([3, 0, 7, 2], [10, 4, 9, 8])


def config_of(loss):
    return checked_config(
        COUNTS, "beta", loss=loss, prior=er.Beta(2.0, 3.0), learn_prior=True,
        optimizer=er.Adam(lr=0.05), num_particles=2, rng=0, constraint="positive",
        subsample_size=None,
    )  # fmt: skip


@pytest.mark.parametrize("loss", ["exact", "trace"])
@pytest.mark.parametrize("numbers", [30, 10**6])
def test_states_can_be_gone_on_from_again(monkeypatch, loss, numbers):
    """From each of ten states in turn, after all of them have been made; in blocks or in one."""
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", numbers)
    config, rng = config_of(loss), np.random.default_rng(5)
    states = [loop.initial_state(config, rng)]
    for _ in range(10):
        states.append(loop.advance(config, states[-1], rng))
    whole = run_at(config, states[-1], 10)
    for state in states[:-1]:
        again = loop.advance_to(config, state, loop.generator_of(state), 10)
        assert run_at(config, again, 10).to_json() == whole.to_json(), state.step
    for state in states[1:]:
        ours = run_at(config, state, state.step).losses
        assert ours.tobytes() == whole.losses[: state.step].tobytes(), state.step


def test_the_objective_of_a_step_is_its_value_and_the_rest():
    config, rng = config_of("trace"), np.random.default_rng(5)
    start = loop.initial_state(config, rng)
    after = loop.advance(config, start, rng)
    parameters = config.parameters
    _, value = parameters.gradient(
        config.objective, start.vector, config.num_particles, loop.generator_of(start)
    )
    priors, owns = parameters.split_rows(start.vector[None])
    rest = config.objective.rest(parameters.task, er.Beta(*priors), owns)
    assert -(value + rest[0]) == run_at(config, after, 1).losses[0]


def test_rows_are_copied_a_few_times_only(monkeypatch):
    """A row is in as many joins as a full part has digits, and in the part that holds its step."""
    joins, join = [], loop.joined
    monkeypatch.setattr(loop, "_NUMBERS_AT_ONCE", 90)
    monkeypatch.setattr(loop, "joined", lambda rows: joins.append(rows) or join(rows))
    rows: tuple[loop.Rows, ...] = ()
    for step in range(500):
        losses, guides = np.full(1, float(step)), np.full((2, 1, 3), float(step))
        new = loop.Rows(step, losses, np.zeros((2, 1)), guides, 1)
        rows = loop._appended(rows, new) if rows else (new,)
    assert [len(part.losses) for part in rows] == [8] * 62 + [4]
    assert sum(len(part.losses) for parts in joins for part in parts) <= 3 * 500
    assert join(rows).losses.tolist() == list(range(500)) == join(rows).guides[0, :, 0].tolist()


def test_a_state_is_equal_to_itself_only():
    one, other = (er.maximize_elbo(er.Counts(3, 10), num_steps=3).state for _ in range(2))
    assert one == one
    assert one != other
    assert len({one, other, one}) == 2


def test_steps_wait_for_65536_numbers():
    """Of 10 parameters that is 6552 steps."""
    config, rng = config_of("exact"), np.random.default_rng(5)
    assert config.row_size == 10
    start = loop.initial_state(config, rng)
    waiting = loop.Waiting([(start.vector, 0.0)] * 6551, 6551)
    state = loop.advance(config, start._replace(step=6551, waiting=waiting), rng)
    assert (state.waiting.size, len(loop.joined(state.rows).losses)) == (6552, 0)
    more = loop.advance(config, state, rng)
    assert (more.waiting.size, len(loop.joined(more.rows).losses)) == (0, 6553)


def test_rows_that_are_kept():
    """The multiples of the stride, first and last row included; thinned, those of a longer one."""
    guides = np.arange(10.0, 20.0)[None, :, None]
    rows = loop.Rows(10, np.zeros(10), np.zeros((2, 10)), guides, 1)
    assert (rows.end, rows.size) == (20, 40)
    assert rows.kept.tolist() == list(range(10, 20))
    thin = rows.thinned(3)
    assert thin.guides[0, :, 0].tolist() == thin.kept.tolist() == [12, 15, 18]
    assert thin.thinned(6).guides[0, :, 0].tolist() == [12, 18]
    assert rows.thinned(1) is rows
    assert loop.Rows(0, np.zeros(1), np.zeros((2, 1)), guides[:, :1], 4).kept.tolist() == [0]


@pytest.mark.parametrize(("most", "stride"), [(1600, 1), (1599, 2), (800, 2), (799, 4), (8, 128)])
def test_the_guide_s_history_fits_into_its_bytes(monkeypatch, most, stride):
    """100 rows of 2 numbers take 1600 bytes; the stride is doubled until they fit."""
    monkeypatch.setattr(loop, "GUIDE_HISTORY_BYTES", most)
    first = loop.Rows(0, np.zeros(60), np.zeros((2, 60)), np.zeros((2, 60, 1)), 1)
    new = loop.Rows(60, np.zeros(40), np.zeros((2, 40)), np.zeros((2, 40, 1)), 1)
    rows = loop._appended((first,), new)
    assert {x.stride for x in rows} == {stride}
    assert loop.joined(rows).kept.tolist() == list(range(0, 100, stride))


def test_items_that_wait_are_shared_until_two_go_on_from_one():
    one = loop.Waiting([], 0).added(np.ones(2), 1.0)
    two, other = one.added(np.full(2, 2.0), 2.0), one.added(np.full(2, 3.0), 3.0)
    assert (one.size, two.size, other.size) == (1, 2, 2)
    assert one.items is two.items is not other.items
    for waiting, values in ((one, [1.0]), (two, [1.0, 2.0]), (other, [1.0, 3.0])):
        vectors, found = waiting.arrays(2)
        assert found.tolist() == vectors[:, 0].tolist() == values
    empty = loop.Waiting([], 0).arrays(2)
    assert (empty[0].shape, empty[1].shape) == ((0, 2), (0,))


@pytest.mark.parametrize("bad", [0, 2, 4])
def test_a_run_ends_at_its_first_value_that_is_not_finite(bad):
    """It stands at the step of that value, whose parameters are its last row's."""
    config, rng = config_of("exact"), np.random.default_rng(5)
    state = loop.advance_to(config, loop.initial_state(config, rng), rng, 5)
    vectors, values = state.waiting.arrays(10)
    values[bad:] = np.nan
    ended = loop.with_losses(config, state._replace(waiting=loop.Waiting.of(vectors, values)))
    assert (ended.step, ended.ended, ended.waiting.size) == (bad, "objective", 0)
    assert ended.vector.tolist() == vectors[bad].tolist()
    whole = loop.with_losses(config, state)
    assert (whole.step, whole.ended) == (5, None)
    kept = loop.joined(ended.rows)
    assert kept.losses.tolist() == loop.joined(whole.rows).losses[:bad].tolist()
    assert loop.with_losses(config, whole) is whole


def test_every_step_is_noted_once_and_any_may_be_the_last():
    config, rng = config_of("exact"), np.random.default_rng(5)
    start, noted = loop.initial_state(config, rng), []
    whole = loop.advance_to(config, start, rng, 7, add=noted.append)
    assert (noted, whole.step) == ([1] * 7, 7)
    assert loop.advance_to(config, whole, rng, 7, add=noted.append) is whole
    stopped = loop.advance_to(config, start, rng, 7, lambda state: state.step == 3, noted.append)
    assert (len(noted), stopped.step) == (10, 3)
