"""The text in a checkpoint, as a table: each field of a run and what it may be.

What ties fields to each other and to the arrays beside them is in `elbo_ref.svi.checkpoint`.
"""

from __future__ import annotations

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
from elbo_ref.svi import generators
from elbo_ref.svi.parameters import NAMES

SCHEMA = "elbo_ref/checkpoint/1"

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
        "generator": generators.check,
        "adam_step": _COUNT,
        "steps": _COUNT,
        "stride": whole(1, 2**62),
        "ended": optional(text()),
    }
)
DOCUMENT = record({"schema": text(SCHEMA), "runs": items(_RUN)})
"""What the text in the member ``runs`` may be."""
