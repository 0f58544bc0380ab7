"""Uncertainty of a distribution over classes: entropy and mutual information, in nats.

Sources: Shannon 1948; Houlsby et al. 2011, arXiv:1112.5745 (mutual information between the class
and the choice of the member).
"""

import numpy as np
from numpy.typing import NDArray


def entropy(p: NDArray[np.floating], axis: int = -1) -> NDArray[np.float64]:
    """Shannon entropy −Σ p ln p in nats, with 0 ln 0 = 0, along ``axis``.

    Terms are summed in ascending order, so that permuting the probabilities does not change a
    single bit of the result.
    """
    p = np.asarray(p, np.float64)
    terms = 0.0 - p * np.log(np.where(p == 0, 1.0, p))
    # np.sum would add in an order that depends on the memory layout.
    summed = np.cumsum(np.sort(terms, axis=axis), axis=axis)
    return np.asarray(np.take(summed, -1, axis=axis))


def mutual_information(member_probs: NDArray[np.floating]) -> NDArray[np.float64]:
    """Entropy of the members' mean minus their mean entropy: the members' disagreement.

    Args:
        member_probs: class probabilities, shape [members, ..., classes].

    Returns:
        Array of shape [...], in nats; negative rounding errors are set to 0.
    """
    member_probs = np.asarray(member_probs, np.float64)
    information = entropy(member_probs.mean(axis=0)) - entropy(member_probs).mean(axis=0)
    return np.asarray(np.maximum(information, 0.0))
