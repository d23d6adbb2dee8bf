"""Counts whose evidence has profiles of every shape."""

from __future__ import annotations

import elbo_ref as er

COUNTS = {
    "overdispersed": er.Counts([0, 3, 9, 1, 10], [10, 10, 10, 4, 12]),
    "two trials": er.Counts([0, 1, 2], 2, multiplicity=[40, 30, 50]),
    "nearly all or none": er.Counts([0, 20, 7], 20, multiplicity=[500, 300, 1]),
    "rare": er.Counts([1, 0, 6], [900, 700, 800]),
}
