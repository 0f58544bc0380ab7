"""Entropy and mutual information, compared with scikit-activeml."""

import numpy as np

from qnal.ensemble.information import entropy, mutual_information

# scikit-activeml 1.0.1, skactiveml.pool._query_by_committee: average_kl_divergence(P), which is the
# mutual information of class and member, and vote_entropy(VOTES, classes=[0, 1, 2]).
P = np.random.default_rng(7).dirichlet([0.6, 0.5, 0.4], (4, 5))  # members, rows, classes
KL_DIVERGENCE = [
    0.3540235603540841, 0.377762268538389, 0.22358582259630194, 0.25737046134050884,
    0.26434667104698056,
]  # fmt: skip
VOTES = np.array([[0, 1, 2, 2], [0, 0, 0, 0], [1, 1, 2, 2], [0, 1, 1, 1]])
VOTE_ENTROPY = [1.0397207708399179, 0.0, 0.6931471805599453, 0.5623351446188083]


def test_mutual_information_of_scikit_activeml():
    np.testing.assert_allclose(mutual_information(P), KL_DIVERGENCE, rtol=1e-6)


def test_vote_entropy_of_scikit_activeml():
    shares = np.stack([(c == VOTES).mean(axis=1) for c in range(3)], axis=1)
    np.testing.assert_allclose(entropy(shares), VOTE_ENTROPY, rtol=1e-12)
