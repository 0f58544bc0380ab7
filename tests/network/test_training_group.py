"""Networks fitted together equal those fitted one by one, up to rounding."""

import numpy as np
import pytest

from qnal.network.fit_state import InitialState
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.precision import Precision
from qnal.network.targets import Targets
from qnal.network.training import Trainer

pytestmark = pytest.mark.process

ROWS, HEADS, BOXES = 60, 7, 13
BAGS = (60, 45, 33)  # the last batches have 12, 13 and 1 rows; the third member has most epochs


@pytest.fixture(scope="module")
def labelled():
    rng = np.random.default_rng(3)
    x = rng.normal(size=(ROWS, 443)).astype(np.float32)
    boxes = np.eye(BOXES, dtype=np.float32)[rng.integers(BOXES, size=(ROWS, HEADS))]
    weights = (rng.random((ROWS, HEADS)) < 0.8).astype(np.float32)
    return x, Targets(boxes, rng.random((ROWS, HEADS, BOXES)).astype(np.float32), weights)


def initial_states(random_network, spoiled=None):
    given = []
    for k, rows in enumerate(BAGS):
        network = random_network(k, layers=3, filters=6, units=8)
        if k == spoiled:
            network.head_bias[:] = np.nan
        bag = np.random.default_rng(k).integers(ROWS, size=rows)
        given.append(InitialState(network, bag, np.random.default_rng(100 + k)))
    return given


def fitted(random_network, labelled, group, spoiled=None, **options):
    given = initial_states(random_network, spoiled)
    hyperparameters = Hyperparameters(
        **{"epochs": 3, "min_steps": 11, "batch_size": 16, "amsgrad": True, "reg_conv": 1e-3}
        | options
    )
    trainer = Trainer(given[0].network, hyperparameters, *labelled, group)
    if group == 1:
        return [trainer.fit(state.network, state.rows, state.rng) for state in given]
    return list(trainer.fit_group(dict(enumerate(given))).values())


@pytest.fixture(scope="module")
def one_by_one(random_network, labelled):
    return fitted(random_network, labelled, 1)


def assert_alike(ours, theirs, atol):
    for (network, losses), (peer, peers) in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(losses, peers, rtol=1e-5)
        for layer, arrays in peer.arrays().items():
            for name, array in arrays.items():
                np.testing.assert_allclose(network.arrays()[layer][name], array, atol=atol)


@pytest.mark.parametrize("group", [3, 5], ids=["full", "not full"])
def test_a_group_gives_the_networks_fitted_alone(random_network, labelled, one_by_one, group):
    """Bags of three sizes give different last batches and numbers of epochs."""
    together = fitted(random_network, labelled, group)
    assert [len(losses) for _, losses in together] == [3, 4, 4]
    # With Adam, a weight with a tiny gradient can step the other way, by 2e-4 per step.
    assert_alike(together, one_by_one, atol=4e-4)


def test_a_member_does_not_depend_on_the_others(random_network, labelled):
    """Bit for bit, also if another member diverges."""
    well = fitted(random_network, labelled, 3)
    beside = fitted(random_network, labelled, 3, spoiled=1)
    assert np.isnan(beside[1][1]).tolist() == [True]
    for k in (0, 2):
        assert beside[k][1] == well[k][1]
        for layer, arrays in well[k][0].arrays().items():
            for name, array in arrays.items():
                np.testing.assert_array_equal(beside[k][0].arrays()[layer][name], array)


def test_a_group_in_bfloat16(random_network, labelled, one_by_one):
    rounded = fitted(random_network, labelled, 3, precision=Precision.bfloat16)
    for (_, losses), (_, exact) in zip(rounded, one_by_one, strict=True):
        np.testing.assert_allclose(losses, exact, rtol=0.01)


def test_on_epoch_is_called_per_member(random_network, labelled):
    given = initial_states(random_network)
    trainer = Trainer(
        given[0].network, Hyperparameters(epochs=2, min_steps=0, batch_size=16), *labelled, 3
    )
    calls = []
    fits = trainer.fit_group(
        dict(enumerate(given)), lambda k, done, loss: calls.append((k, done, loss))
    )
    expected = {
        (k, e + 1, loss) for k, (_, losses) in fits.items() for e, loss in enumerate(losses)
    }
    assert set(calls) == expected and len(calls) == 6


def test_slot_outside_the_group(random_network, labelled):
    given = initial_states(random_network)
    trainer = Trainer(given[0].network, Hyperparameters(), *labelled, 2)
    with pytest.raises(ValueError, match=r"slots \[0, 2\] are not all in a group of 2"):
        trainer.fit_group({0: given[0], 2: given[2]})
