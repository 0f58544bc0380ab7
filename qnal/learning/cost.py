"""What a study costs, before it starts."""

import time
from functools import cache
from statistics import median

import numpy as np

from qnal.ensemble.recipe import MemberRecipe
from qnal.learning.round_folder import RoundStore
from qnal.threads import numpy_threads

BACKWARD = 3  # a training step costs three forward passes
EFFICIENCY = 0.3  # share of the speed of matrix products that training steps reach, about
COMPILING = 6.0  # seconds per round for compiling the training step, evaluating and scoring, about


def seconds_per_round(recipe: MemberRecipe, members: int, steps: int, store: RoundStore) -> float:
    """Time that one ensemble takes on one worker of this machine.

    The median over rounds with as many members and about as many steps that the store has, or else
    an estimate from the number of operations and the measured speed of a matrix product.

    Args:
        recipe: settings of the members.
        members: number of members.
        steps: optimizer steps of a member.
        store: the rounds made so far.
    """
    known = [
        record.training_seconds + record.scoring_seconds
        for record in store.records()
        if record.members == members and abs(record.steps / steps - 1) < 0.25
    ]
    if known:
        return median(known)
    samples = steps * recipe.hyperparameters.batch_size
    operations = BACKWARD * forward_operations(recipe) * samples * members
    return COMPILING + operations / (EFFICIENCY * _operations_per_second(recipe.threads))


def forward_operations(recipe: MemberRecipe) -> int:
    """Multiplications and additions of one forward pass of one spectrum."""
    network = recipe.structure.initial(np.random.default_rng(0))
    pixels, operations = len(network.grid), 0
    for conv in network.convs:
        pixels = conv.pixels(pixels)
        operations += 2 * pixels * conv.kernel.size
    return operations + 2 * network.dense_kernel.size + 2 * network.head_kernel.size


@cache
def _operations_per_second(threads: int, size: int = 1000, seconds: float = 0.2) -> float:
    """Speed of a float32 matrix product."""
    a = np.ones((size, size), np.float32)
    with numpy_threads(threads):
        a @ a
        count, start = 0, time.perf_counter()
        while (elapsed := time.perf_counter() - start) < seconds:
            a @ a
            count += 1
    return count * 2 * size**3 / elapsed
