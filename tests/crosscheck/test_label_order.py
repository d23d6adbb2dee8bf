"""Groups whose latents a program orders by their labels, not by their first appearance.

Losses of a guide that is the exact posterior are minus the log evidence in every order; those of
another guide tell the orders apart, here without noise.
"""

from __future__ import annotations

import numpy as np
import pytest
from scipy import special as sc, stats

import elbo_ref as er
from elbo_ref.crosscheck.label_order import in_order, sorted_orders
from tiers import few

K, N = np.array([3, 11, 0, 7, 5, 9]), np.array([10, 20, 6, 7, 30, 12])
PRIOR = er.Beta(2.0, 3.0)
LABELS = {
    "numbers": ["4", "0", "10", "2", "3", "1"],
    "whole numbers": [4, 0, 10, 2, 3, 1],
    "text": ["lyon", "bonn", "riga", "oslo", "graz", "bern"],
}


def orders(labels):
    """First appearance, and every sorted order."""
    return [np.arange(len(labels)), *sorted_orders(labels)]


def verdict(labels, order, probs, losses):
    counts = er.Counts.grouped(K, N, labels)
    params = {"guide.probs": probs[order]}
    return er.cross_check(counts, params, guide="delta", prior=PRIOR, evaluations=losses)


def loss(probs):
    """Minus the log density of counts and latents, each row with its own latent."""
    density = stats.binom.logpmf(K, N, probs) + stats.beta.logpdf(probs, 2.0, 3.0)
    return [-density.sum()] * 5


@pytest.mark.parametrize("kind", few(sorted(LABELS, reverse=True)))
def test_every_sorted_order_is_a_meaning_and_is_told(kind):
    labels, probs = LABELS[kind], (K + 1.0) / (N + 3.0)
    assert len(orders(labels)) == (2 if kind == "text" else 3)
    for order in orders(labels):
        found = verdict(labels, order, probs, loss(probs))
        assert not found.mistakes, found
        (said,) = [x.quantity for x in found.having("note") if x.name == "labels"]
        assert str(labels[order[0]]) in said, (order, said)


@pytest.mark.thorough
def test_negative_control_another_order_is_none():
    labels, probs = LABELS["numbers"], (K + 1.0) / (N + 3.0)
    order = np.array([5, 4, 3, 2, 1, 0])
    assert not any(np.array_equal(order, x) for x in orders(labels))
    assert verdict(labels, order, probs, loss(probs)).mistakes


def test_where_nothing_else_tells_the_nearer_guide_does():
    """Without losses the order is the one under which the guide is nearest to the posterior."""
    labels = LABELS["numbers"]
    params = {"guide.loc": sc.logit((K + 2.0) / (N + 5.0)), "guide.scale": np.full(6, 0.4)}
    for order in orders(labels):
        ordered = {name: x[order] for name, x in params.items()}
        counts = er.Counts.grouped(K, N, labels)
        found = er.cross_check(counts, ordered, guide="normal", prior=PRIOR)
        (said,) = [x.quantity for x in found.having("note") if x.name == "labels"]
        assert labels[order[0]] in said


def test_labels_that_are_sorted_need_no_note():
    counts = er.Counts.grouped(K, N, list("abcdef"))
    params = {"guide.probs": (K + 1.0) / (N + 3.0)}
    found = er.cross_check(counts, params, guide="delta", prior=PRIOR)
    assert "labels" not in {x.name for x in found.findings}


def test_entries_keep_their_labels():
    counts = er.Counts.grouped([1, 0, 2, 1], [1, 1, 2, 3], ["b", "a", "b", "c"])
    (order,) = sorted_orders(counts.labels)
    assert in_order(counts, order).labels == ("a", "b", "c")
    assert in_order(counts, order) == er.Counts.grouped(
        [0, 1, 2, 1], [1, 1, 2, 3], ["a", "b", "b", "c"]
    )
