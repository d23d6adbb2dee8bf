"""`svi.checkpoint_fields`: each number of a checkpoint up to both ends of its range.

The ends are those of the words that NumPy's generators are made of, and of what a run can hold;
each is accepted, and one beyond it refused by its place and range.
"""

import copy
import io
import json

import numpy as np
import pytest

import elbo_ref as er
from elbo_ref.objectives.trace import MOST_DRAWS
from elbo_ref.svi import checkpoint
from elbo_ref.svi.checkpoint_fields import DOCUMENT, check_generator, generator_to_plain

HALF = {("has_uint32",): (0, 1), ("uinteger",): (0, 2**32 - 1)}
CONGRUENTIAL = {
    ("state", "state"): (0, 2**128 - 1),
    ("state", "inc"): (1, 2**128 - 1),
    **HALF,
}
WORDS = {
    "MT19937": {("state", "key"): (32, 624)},
    "PCG64": {},
    "PCG64DXSM": {},
    "Philox": {("state", "counter"): (64, 4), ("state", "key"): (64, 2), ("buffer",): (64, 4)},
    "SFC64": {("state", "state"): (64, 4)},
}
"""Bits and number of the words of each generator's arrays."""
NUMBERS = {
    "MT19937": {("state", "pos"): (0, 624)},
    "PCG64": CONGRUENTIAL,
    "PCG64DXSM": CONGRUENTIAL,
    "Philox": {("buffer_pos",): (0, 4), **HALF},
    "SFC64": HALF,
}
"""Least and greatest of each generator's numbers."""


def note_of(kind):
    """A state in which no word is left over, so that the words of Philox's buffer may be any."""
    return generator_to_plain(getattr(np.random, kind)(3).state)


def at(note, *place):
    """The mapping that the last of the names stands in, of a copy."""
    note = copy.deepcopy(note)
    inner = note
    for name in place[:-1]:
        inner = inner[name]
    return note, inner, place[-1]


def refused(note, words):
    with pytest.raises(ValueError) as caught:
        check_generator("g", note)
    assert str(caught.value) == words


@pytest.mark.parametrize("kind", NUMBERS)
def test_numbers_of_a_generator_up_to_their_ends(kind):
    assert note_of(kind).get("buffer_pos", 4) == 4
    for place, (low, high) in NUMBERS[kind].items():
        words = ".".join(("g", *place))
        for value in (low, high):
            note, inner, name = at(note_of(kind), *place)
            inner[name] = value
            if place != ("buffer_pos",) or value == high:
                check_generator("g", note)
        least = 0 if place == ("state", "inc") else low
        for value in (least - 1, high + 1):
            inner[name] = value
            refused(note, f"{words} = {value} must be a whole number of [{least}, {high}]")


@pytest.mark.parametrize("kind", WORDS)
def test_words_of_a_generator_up_to_their_ends(kind):
    for place, (bits, count) in WORDS[kind].items():
        note, inner, name = at(note_of(kind), *place)
        words = ".".join(("g", *place))
        good = inner[name]["items"]
        assert (inner[name]["dtype"], len(good)) == (f"uint{bits}", count)
        for items in ([0, *good[1:]], [*good[:-1], 2**bits - 1]):
            inner[name]["items"] = items
            check_generator("g", note)
        for number in (-1, 2**bits):
            inner[name]["items"] = [number, *good[1:]]
            rule = f"must be a whole number of [0, {2**bits - 1}]"
            refused(note, f"{words}.items[0] = {number} {rule}")
        for items in (good[:-1], [*good, 0]):
            inner[name]["items"] = items
            with pytest.raises(ValueError, match=f"must be a list of {count}$"):
                check_generator("g", note)
        inner[name] = {"dtype": f"uint{96 - bits}", "items": good}
        with pytest.raises(ValueError, match=rf"dtype = 'uint{96 - bits}' must be one of"):
            check_generator("g", note)


def test_states_that_no_seed_gives():
    """All bits 0 of MT19937, of whose first word the lowest 31 do not count; an even increment."""
    note, inner, name = at(note_of("MT19937"), "state", "key")
    for first, last, good in ((2**31 - 1, 0, False), (2**31, 0, True), (0, 1, True)):
        inner[name]["items"] = [first, *[0] * 622, last]
        if good:
            check_generator("g", note)
        else:
            refused(note, "g.state.key is 0 in all bits, which no seed gives")
    for kind in ("PCG64", "PCG64DXSM"):
        note, inner, name = at(note_of(kind), "state", "inc")
        for value in (0, 2, 2**128 - 2):
            inner[name] = value
            refused(note, f"g.state.inc = {value} must be odd")


@pytest.mark.parametrize("counter", [0, 1, 2**64 - 1, 2**64, 2**192 + 5, 2**256 - 1])
def test_the_buffer_of_philox_is_what_its_counter_and_key_give(counter):
    """After one draw, with a carry from word to word; nothing counts of a buffer that is used."""
    bits = np.random.Philox(counter=counter, key=2**100 + 7)
    bits.random_raw()
    note = generator_to_plain(bits.state)
    assert note["buffer_pos"] == 1
    check_generator("g", note)
    for position in (0, 1, 3):
        note["buffer_pos"] = position
        check_generator("g", note)
        other = copy.deepcopy(note)
        other["buffer"]["items"][2] ^= 1
        refused(other, "g.buffer is not what its counter and key give")
    other["buffer_pos"] = 4
    check_generator("g", other)


# -- the rest of a run ---------------------------------------------------------------------------


@pytest.fixture(scope="module")
def document():
    run = er.maximize_elbo(
        er.Counts([3, 0], [10, 4]), num_steps=3, subsample_size=1,
        loss="trace", optimizer=er.ClippedAdam(lr=0.1),
    )  # fmt: skip
    packed = checkpoint.pack([(run.config, run.state, run.num_steps)])
    return json.loads(str(np.load(io.BytesIO(packed))["runs"]))


COUNT = (0, 2**63 - 1)
RANGES = {
    ("counts", "successes", 0): COUNT,
    ("counts", "total_count", 1): COUNT,
    ("counts", "multiplicity", 0): COUNT,
    ("num_particles",): (1, MOST_DRAWS),
    ("subsample_size",): COUNT,
    ("num_steps",): COUNT,
    ("seed",): (0, None),
    ("adam_step",): COUNT,
    ("steps",): COUNT,
    ("stride",): (1, 2**62),
    ("ended",): (0, 2**62),
}


@pytest.mark.parametrize("place", RANGES, ids=lambda place: "-".join(map(str, place)))
def test_numbers_of_a_run_up_to_their_ends(document, place):
    low, high = RANGES[place]
    whole, inner, name = at(document, "runs", 0, *place)
    for value in (low, 10**400 if high is None else high):
        inner[name] = value
        DOCUMENT("", whole)
    for value in (low - 1, *([] if high is None else [high + 1]), 1.0, True):
        inner[name] = value
        with pytest.raises(ValueError, match=f"{place[0]}.* must be "):
            DOCUMENT("", whole)


@pytest.mark.parametrize("place", [("subsample_size",), ("seed",), ("ended",)])
def test_what_may_be_left_open(document, place):
    whole, inner, name = at(document, "runs", 0, *place)
    inner[name] = None
    DOCUMENT("", whole)


def test_numbers_that_may_be_any(document):
    """Of an optimizer; a log share of coefficients is at most 0."""
    for key in ("lr", "eps", "weight_decay", "clip_norm", "lrd"):
        whole, inner, name = at(document, "runs", 0, "optimizer", key)
        for value in (-1e308, 0, 1.5):
            inner[name] = value
            DOCUMENT("", whole)
    whole, inner, name = at(document, "runs", 0, "optimizer", "betas")
    for value in ([0.9], [0.9, 0.99, 0.999]):
        inner[name] = value
        with pytest.raises(ValueError, match=r"betas = .* must be a list of 2"):
            DOCUMENT("", whole)
    whole, inner, name = at(document, "runs", 0, "counts", "log_split", 0)
    for value, good in ((-1.0, True), (0.0, True), (1e-9, False)):
        inner[name] = value
        if good:
            DOCUMENT("", whole)
        else:
            with pytest.raises(ValueError, match=r"log_split\[0\] = 1e-09 must be"):
                DOCUMENT("", whole)
    for loss, good in (
        ({"name": "renyi", "alpha": 0.5, "num_samples": 1}, True),
        ({"name": "renyi", "alpha": 0.5, "num_samples": MOST_DRAWS}, True),
        ({"name": "renyi", "alpha": 0.5, "num_samples": 0}, False),
        ({"name": "renyi", "alpha": 0.5, "num_samples": MOST_DRAWS + 1}, False),
        ({"name": "score_function", "baseline": "leave_one_out"}, True),
        ({"name": "score_function", "baseline": 1.5}, True),
        ({"name": "score_function", "baseline": 1}, False),
    ):
        whole, inner, name = at(document, "runs", 0, "loss")
        inner[name] = loss
        if good:
            DOCUMENT("", whole)
        else:
            with pytest.raises(ValueError, match=r"loss\.\w+ = .* must be"):
                DOCUMENT("", whole)
