"""The text in a checkpoint: each field of a run, and what it may be.

What ties fields to each other and to the arrays beside them is in `elbo_ref.svi.checkpoint`.

NumPy takes a generator's state as it is: a position behind the end of a generator's words is read
past them, and a state that the generator never leaves draws the same word for ever. So each state
from outside is checked before it is used: the words of the right number and width, the positions
inside them, and

* MT19937: not all of the 19937 bits are 0 (Matsumoto & Nishimura 1998, section 2.1);
* PCG64, PCG64DXSM: the increment is odd (O'Neill 2014, section 4.2.3);
* Philox: what is left of the buffer is what its counter and key give.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np

from elbo_ref.guides import GUIDES
from elbo_ref.guides.constraints import CONSTRAINTS
from elbo_ref.io.fields import (
    Check,
    anything,
    flag,
    items,
    number,
    optional,
    record,
    tagged,
    text,
    typed,
    whole,
)
from elbo_ref.objectives import OBJECTIVES
from elbo_ref.objectives.trace import MOST_DRAWS
from elbo_ref.svi.parameters import NAMES

SCHEMA = "elbo_ref/checkpoint/2"


def _words(bits: int, count: int) -> Check:
    most = 2**bits - 1
    return record({"dtype": text(f"uint{bits}"), "items": items(whole(0, most), count)})


_HALF_WORD = {"has_uint32": whole(0, 1), "uinteger": whole(0, 2**32 - 1)}
_CONGRUENTIAL = {
    "state": record({"state": whole(0, 2**128 - 1), "inc": whole(0, 2**128 - 1)}),
    **_HALF_WORD,
}
_STATES: dict[str, Mapping[str, Check]] = {
    "MT19937": {"state": record({"key": _words(32, 624), "pos": whole(0, 624)})},
    "PCG64": _CONGRUENTIAL,
    "PCG64DXSM": _CONGRUENTIAL,
    "Philox": {
        "state": record({"counter": _words(64, 4), "key": _words(64, 2)}),
        "buffer": _words(64, 4),
        "buffer_pos": whole(0, 4),
        **_HALF_WORD,
    },
    "SFC64": {"state": record({"state": _words(64, 4)}), **_HALF_WORD},
}
_GENERATOR = tagged("bit_generator", _STATES)

GENERATORS = tuple(_STATES)
"""The bit generators whose states are known."""


def generator_to_plain(state: Any) -> Any:
    """Turn a generator's state into plain values: arrays as lists, marked by their type."""
    if isinstance(state, dict):
        return {key: generator_to_plain(value) for key, value in state.items()}
    if isinstance(state, np.ndarray):
        return {"dtype": state.dtype.name, "items": state.tolist()}
    return state if isinstance(state, str) else int(state)


def check_generator(place: str, note: Any) -> None:
    """Raise ValueError unless it is a state, as plain values, that its generator can be in.

    Examples
    --------
    >>> note = generator_to_plain(np.random.MT19937(0).state)
    >>> check_generator("generator", note)
    >>> note["state"]["pos"] = 10**8
    >>> check_generator("generator", note)
    Traceback (most recent call last):
    ValueError: generator.state.pos = 100000000 must be a whole number of [0, 624]
    """
    _GENERATOR(place, note)
    inner = note["state"]
    if note["bit_generator"] == "MT19937":
        first, *rest = inner["key"]["items"]
        if not (first >> 31 or any(rest)):
            raise ValueError(f"{place}.state.key is 0 in all bits, which no seed gives")
    elif note["bit_generator"] == "Philox":
        if note["buffer_pos"] < 4 and note["buffer"]["items"] != _philox_block(inner):
            raise ValueError(f"{place}.buffer is not what its counter and key give")
    elif "inc" in inner and inner["inc"] % 2 == 0:
        raise ValueError(f"{place}.state.inc = {inner['inc']} must be odd")


def generator_from_plain(note: Any) -> Any:
    """Turn a state that has been checked back into what NumPy takes."""
    if isinstance(note, dict) and set(note) == {"dtype", "items"}:
        return np.array(note["items"], note["dtype"])
    if isinstance(note, dict):
        return {key: generator_from_plain(value) for key, value in note.items()}
    return note


def _philox_block(state: Mapping[str, Any]) -> list[int]:
    """Draw the four words of a counter and key; NumPy counts on before it computes them."""
    counter, key = (
        sum(word << (64 * i) for i, word in enumerate(state[name]["items"]))
        for name in ("counter", "key")
    )
    bits = np.random.Philox(counter=(counter - 1) % 2**256, key=key)
    return [int(word) for word in bits.random_raw(4)]


_COUNT = whole(0, 2**63 - 1)
_ADAM_FIELDS: dict[str, Check] = {
    "lr": number(),
    "betas": items(number(), 2),
    "eps": number(),
    "weight_decay": number(),
}
_RUN = record(
    {
        "counts": record(
            {
                "successes": items(_COUNT),
                "total_count": items(_COUNT),
                "multiplicity": items(_COUNT),
                "log_split": items(number(high=0.0)),
            },
            {"labels": items(typed({str: anything, bool: flag, int: anything, float: number()}))},
        ),
        "guide": text(*GUIDES),
        "loss": typed(
            {
                str: text(*OBJECTIVES),
                dict: tagged(
                    "name",
                    {
                        "renyi": {"alpha": number(), "num_samples": whole(1, MOST_DRAWS)},
                        "score_function": {"baseline": typed({str: text(), float: number()})},
                    },
                ),
            }
        ),
        "prior": items(number(), 2),
        "learn_prior": typed({bool: flag, str: text(*NAMES)}),
        "optimizer": tagged(
            "name",
            {
                "Adam": {**_ADAM_FIELDS, "amsgrad": flag},
                "ClippedAdam": {**_ADAM_FIELDS, "clip_norm": number(), "lrd": number()},
                "ExponentialLR": {
                    "optimizer": record({**_ADAM_FIELDS, "amsgrad": flag}),
                    "gamma": number(),
                },
            },
        ),
        "num_particles": whole(1, MOST_DRAWS),
        "constraint": text(*CONSTRAINTS),
        "subsample_size": optional(_COUNT),
        "num_steps": _COUNT,
        "seed": optional(whole(0)),
        "generator": check_generator,
        "adam_step": _COUNT,
        "steps": _COUNT,
        "stride": whole(1, 2**62),
        "ended": optional(typed({int: whole(0, 2**62), str: text("objective")})),
    }
)
DOCUMENT = record({"schema": text(SCHEMA), "runs": items(_RUN)})
"""The values that the text in the member ``runs`` may have."""
