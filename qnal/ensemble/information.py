"""How much a distribution over classes leaves open: entropy and mutual information, in nats.

Shannon 1948; Houlsby et al. 2011, arXiv:1112.5745 (mutual information of members and class).
"""

import numpy as np
from numpy.typing import NDArray


def entropy(p: NDArray[np.floating], axis: int = -1) -> NDArray[np.float64]:
    """Shannon entropy −Σ p ln p in nats, with 0 ln 0 = 0, along ``axis``.

    Summed in order of size, so that permuted probabilities have the same entropy to the bit.
    """
    p = np.asarray(p, np.float64)
    terms = 0.0 - p * np.log(np.where(p == 0, 1.0, p))
    # Not np.sum, whose order of summation depends on the memory layout.
    summed = np.cumsum(np.sort(terms, axis=axis), axis=axis)
    return np.asarray(np.take(summed, -1, axis=axis))


def mutual_information(member_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """What the members disagree about: entropy of their mean less their mean entropy, in nats.

    Args:
        member_probs: class probabilities, shape [members, ..., classes].

    Returns:
        Array of shape [...]; 0 where rounding would make it negative.
    """
    member_probs = np.asarray(member_probs, np.float64)
    information = entropy(member_probs.mean(axis=0)) - entropy(member_probs).mean(axis=0)
    return np.asarray(np.maximum(information, 0.0))
