"""Budgets and trainings of a study."""

from dataclasses import replace

from qnal.learning.plan import Plan
from qnal.query.strategies.random import Random
from qnal.query.strategies.vote_entropy import VoteEntropy

PLAN = Plan(
    {"random": Random(), "a": VoteEntropy()},
    rounds=4,
    seed_labels=100,
    batch=50,
    repeats=3,
    test=0.3,
)


def test_trainings_are_counted_once_for_the_seed_labels():
    assert PLAN.trainings == 3 * (1 + 4 * 2)


def test_equal_batches():
    assert PLAN.labels == [100, 150, 200, 250, 300]


def test_batches_grow():
    doubled = replace(PLAN, rounds=6, seed_labels=50, growth=2.0)
    assert doubled.labels == [50, 100, 200, 400, 800, 1600, 3200]
    assert replace(PLAN, batch=10, growth=1.5).batches == [10, 15, 22, 34]
