"""The header of a recording as a table: each of its fields, and what it may be.

Every field may be left out, and others may stand beside them, which nothing reads.
"""

from __future__ import annotations

from elbo_ref.io.fields import (
    flag,
    items,
    name,
    named,
    number,
    optional,
    plain,
    record,
    text,
    typed,
    whole,
)

SCHEMA = "elbo_ref/recording/2"
FORMER = "elbo_ref/recording/1"

GROUPS = (
    "draws",
    "before",
    "constrained",
    "after",
    "gradients",
    "lr",
    "moments",
    "arguments",
    "argument_gradients",
    "observed",
)
"""The groups of arrays."""

_COUNT = whole(0, 2**53)
_SCALE = number(1e-300, 1e300)
_SITE = record(
    {"program": text("model", "guide"), "name": name, "class": text(), "observed": flag},
    {
        "reparameterized": flag,
        "scale": _SCALE,
        "planned_scale": _SCALE,
        "plates": items(text()),
        "transforms": items(text()),
        "sources": named(items(text())),
        "varying": items(text()),
        "learnable": items(text()),
        "rows": _COUNT,
        "elements": _COUNT,
        "latent": text(),
        "complement": flag,
        "logits": flag,
        "enumerated": flag,
    },
    others=plain,
)
_LOSS = record(
    {},
    {
        "class": optional(text()),
        "bases": items(text()),
        "num_particles": whole(1, 2**53),
        "vectorize_particles": flag,
        "alpha": number(),
    },
    others=plain,
)
_SETTINGS = record(
    {},
    {
        "lr": number(),
        "betas": items(number(), 2),
        "eps": optional(number()),
        "weight_decay": optional(number()),
        "amsgrad": optional(flag),
        "clip_norm": optional(number()),
        "lrd": optional(number()),
    },
    others=plain,
)
_OPTIMIZER = record(
    {},
    {
        "class": optional(text()),
        "scheduler": optional(text()),
        "clip": typed({str: text(), dict: named(optional(number()))}),
        "settings": named(_SETTINGS),
        "changing": items(text()),
    },
    others=plain,
)
HEADER = record(
    {},
    {
        "framework": text(),
        "versions": named(text()),
        "loss": optional(_LOSS),
        "optimizer": optional(_OPTIMIZER),
        "constraints": named(text()),
        "ends": named(named(number())),
        "earlier_steps": named(_COUNT),
        "plates": named(_COUNT),
        "programs": named(items(text())),
        "conflicts": items(text()),
        "left_out": _COUNT,
        "leading": _COUNT,
        "sites": items(_SITE),
    },
    others=plain,
)

DOCUMENT = record(
    {
        "schema": text(SCHEMA, FORMER),
        "names": record({}, {group: items(name) for group in GROUPS}),
        "header": HEADER,
    }
)
"""The text in the file."""
