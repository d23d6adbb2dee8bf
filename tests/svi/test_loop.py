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
