"""Completeness at a fixed purity, of spectra ranked by the probability of a quasar."""

import numpy as np
from numpy.typing import NDArray


def confident_quasars(
    probability: NDArray[np.floating], quasar: NDArray[np.bool_], purity: float
) -> NDArray[np.bool_]:
    """The longest prefix of the ranking in which the share of quasars is at least ``purity``.

    Spectra of equal probability are taken together or not at all, so that the result does not
    depend on their order.

    Args:
        probability: probability of a quasar, 1 − P_NOT, shape [rows]; NaN ranks last, and is never
            part of the prefix.
        quasar: whether the spectrum is a quasar, shape [rows].
        purity: lowest share of quasars.

    Returns:
        Which spectra are in the prefix, shape [rows]; none if no prefix is pure enough.
    """
    order = np.argsort(-probability, kind="stable")
    ranked = probability[order]
    known = int(np.sum(~np.isnan(ranked)))
    ranked = ranked[:known]
    hits = np.cumsum(quasar[order][:known])
    lengths = np.arange(1, known + 1)
    ends = np.append(ranked[1:] != ranked[:-1], True)[:known]
    # hits / n ≥ purity, with room for the rounding of 0.99 as a binary number.
    pure = ends & (hits >= purity * lengths - 1e-9 * lengths)
    chosen = np.zeros(len(probability), bool)
    if pure.any():
        chosen[order[: lengths[pure][-1]]] = True
    return chosen


def completeness_at_purity(
    probability: NDArray[np.floating], quasar: NDArray[np.bool_], purity: float
) -> float | None:
    """Share of the quasars that are in the prefix of :func:`confident_quasars`.

    None without quasars; arguments as there.
    """
    if not quasar.any():
        return None
    return float((confident_quasars(probability, quasar, purity) & quasar).sum() / quasar.sum())
