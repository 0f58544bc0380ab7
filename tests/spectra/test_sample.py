import tracemalloc

import numpy as np

from qnal.spectra.sample import SpectraSample

SPECTRA = np.random.default_rng(0).normal(size=(700, 5)).astype(np.float32)
KEYS = np.random.default_rng(1).random(700)


def sampled(most, batches):
    sample = SpectraSample(most, 5)
    for rows in batches:
        sample.offer(SPECTRA[rows], KEYS[rows])
    return sample


def test_the_smallest_keys_are_kept_in_their_order():
    sample = sampled(100, np.array_split(np.arange(700), 9))
    assert len(sample) == 100
    np.testing.assert_array_equal(sample.spectra(), SPECTRA[np.argsort(KEYS)[:100]])


def test_order_and_batches_do_not_matter():
    whole = sampled(100, [np.arange(700)])
    other = sampled(100, np.array_split(np.random.default_rng(2).permutation(700), 23))
    np.testing.assert_array_equal(whole.spectra(), other.spectra())


def test_fewer_spectra_than_asked_for_are_all_kept():
    sample = sampled(1000, [np.arange(3), np.arange(0), np.arange(3, 700)])
    np.testing.assert_array_equal(sample.spectra(), SPECTRA[np.argsort(KEYS)])
    assert SpectraSample(10, 5).spectra().shape == (0, 5)


def test_memory_does_not_grow_with_the_pool():
    def peak(files):
        random = np.random.default_rng(3)
        sample = SpectraSample(2000, 100)
        x = random.normal(size=(100, 100)).astype(np.float32)
        tracemalloc.start()
        for _ in range(files):
            sample.offer(x, random.random(100))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    few, many = peak(40), peak(800)
    assert many < 1.1 * few < 3 * 2000 * 100 * 4
