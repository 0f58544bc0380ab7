"""Completeness and purity against what they depend on, and what is taken for what: tables."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.metrics import classification_metrics
from qnal.ensemble.evaluation.out_of_bag import OutOfBag, majority, over
from qnal.ensemble.votes import CLASSES, Thresholds
from qnal.labels.label import Label, is_quasar

ALL = "all"  # the SOURCE of rows that are of all sources together
GRID = (*np.round(np.arange(0.025, 1, 0.025), 3), 0.01, 0.98, 0.99, 0.995, 0.998, 0.999)
PERCENTILES = (16, 50, 84)  # of the members
SNR_BIN = 40  # spectra at least in a bin of signal-to-noise, of which there are 3 to 12
FINE_QUASARS = 2000  # from which redshift bins are half as wide
Z_STEP = 0.5


def sources(training_set: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """All rows together, then each source if there are several: its name, and which are its."""
    source = training_set["SOURCE"].to_numpy()
    yield ALL, np.ones(len(source), bool)
    names = sorted(set(source))
    if len(names) > 1:
        yield from ((name, source == name) for name in names)


def wilson(part: NDArray, whole: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the 68 % interval of a share, NaN of nothing (Wilson 1927)."""
    n: NDArray = np.where(whole > 0, whole, np.nan)
    share = part / n
    middle = (share + 0.5 / n) / (1 + 1 / n)
    half = np.sqrt(share * (1 - share) / n + 0.25 / n**2) / (1 + 1 / n)
    return np.maximum(middle - half, 0), np.minimum(middle + half, 1)


def by_threshold(training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds) -> pd.DataFrame:
    """Completeness and purity of the ensemble and of its members by confidence threshold.

    Returns:
        A row a SOURCE and THRESHOLD, ``line_threshold`` itself among them: COMPLETENESS and
        PURITY of the ensemble, and as ``MEMBER_…_16``, ``_50`` and ``_84`` percentiles of the
        members'. NaN where undefined.
    """
    grid = np.unique([*GRID, thresholds.line_threshold])
    label = training_set["LABEL"].to_numpy()
    rows = []
    for source, use in sources(training_set):
        use &= oob.answered.any(axis=1) & (label != Label.BAD)
        deciding, truth = oob.deciding[use], is_quasar(label[use])
        answered = ~np.isnan(deciding)
        count = answered.sum(axis=1)
        mean_confidence = over(np.nansum(deciding, axis=1, dtype=np.float64), count)
        quasars = answered[truth].sum(axis=0)
        for threshold in grid:
            vote = deciding > np.float32(threshold)
            called = majority(over(vote.sum(axis=1), count), mean_confidence)
            found = vote[truth].sum(axis=0)
            row = {"SOURCE": source, "THRESHOLD": threshold}
            row |= {
                "COMPLETENESS": _share(called & truth, truth),
                "PURITY": _share(called & truth, called),
            }
            for name, values in (
                ("COMPLETENESS", over(found, quasars)),
                ("PURITY", over(found, vote.sum(axis=0))),
            ):
                values = values[~np.isnan(values)]
                ends = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * 3
                row |= {f"MEMBER_{name}_{p}": v for p, v in zip(PERCENTILES, ends, strict=True)}
            rows.append(row)
    return pd.DataFrame(rows)


def by_snr(training_set: pd.DataFrame, answer: pd.DataFrame) -> pd.DataFrame:
    """Completeness and purity by the spectra's SNR, in bins of equal numbers of spectra.

    Returns:
        A row a SOURCE and bin (SNR_LOW, SNR_HIGH), with QUASARS, FOUND and COMPLETENESS, CALLED
        (confidently labelled spectra called quasar), RIGHT (quasars among them) and PURITY; both
        shares with the 68 % interval as ``_LOW`` and ``_HIGH``.
    """
    snr = training_set["SNR"].to_numpy().astype(np.float64)
    counted = (training_set["LABEL"] != Label.BAD) & (answer["MEMBERS"] > 0) & np.isfinite(snr)
    if not counted.any():
        edges = np.array([0.0, 1.0])
    else:
        bins = int(np.clip(counted.sum() // SNR_BIN, 3, 12))
        edges = np.unique(np.quantile(snr[counted], np.linspace(0, 1, bins + 1)).round(3))
    return _binned(training_set, answer, "SNR", edges, snr, snr)


def by_redshift(training_set: pd.DataFrame, answer: pd.DataFrame) -> pd.DataFrame:
    """Completeness by the inspectors' redshift, purity by the ensemble's own.

    Returns:
        As :func:`by_snr`, by Z_LOW and Z_HIGH, with Z_BIAS, Z_NMAD and Z_OUTLIERS of the quasars
        found (:func:`~qnal.ensemble.evaluation.metrics.quality`).
    """
    quasar = is_quasar(training_set["LABEL"].to_numpy())
    z, z_answer = training_set["Z"].to_numpy(), answer["Z"].to_numpy()
    step = Z_STEP / 2 if quasar.sum() >= FINE_QUASARS else Z_STEP
    last = max(z[quasar].max(initial=step), np.nanmax(z_answer, initial=step))
    edges = np.arange(np.floor(last / step) + 2) * step
    table = _binned(training_set, answer, "Z", edges, z, z_answer)
    errors = []
    for row in table.itertuples():
        use = quasar & (answer["MEMBERS"].to_numpy() > 0) & (z >= row.Z_LOW) & (z < row.Z_HIGH)
        if row.SOURCE != ALL:
            use &= training_set["SOURCE"].to_numpy() == row.SOURCE
        label, called = training_set["LABEL"].to_numpy()[use], answer["QUASAR"].to_numpy()[use]
        found = classification_metrics(label, z[use], called, z_answer[use])
        errors.append({k.upper(): found[k] for k in ("z_bias", "z_nmad", "z_outliers")})
    return table.join(pd.DataFrame(errors, dtype=float))


def _binned(
    training_set: pd.DataFrame,
    answer: pd.DataFrame,
    name: str,
    edges: NDArray[np.float64],
    of_label: NDArray[np.floating],
    of_answer: NDArray[np.floating],
) -> pd.DataFrame:
    """Shares in bins; the first and the last one take in what lies beyond them."""
    label, called = training_set["LABEL"].to_numpy(), answer["QUASAR"].to_numpy()
    judged = (label != Label.BAD) & (answer["MEMBERS"].to_numpy() > 0)
    truth = is_quasar(label)
    bins = len(edges) - 1

    def count(coordinate: NDArray[np.floating], which: NDArray[np.bool_]) -> NDArray[np.intp]:
        values = coordinate[which & np.isfinite(coordinate)]
        place = np.searchsorted(edges, values, side="right") - 1
        return np.bincount(np.clip(place, 0, bins - 1), minlength=bins)

    parts = []
    for source, use in sources(training_set):
        use &= judged
        columns = {"SOURCE": source, f"{name}_LOW": edges[:-1], f"{name}_HIGH": edges[1:]}
        for share, whole, part, coordinate, of in (
            ("COMPLETENESS", "QUASARS", "FOUND", of_label, truth),
            ("PURITY", "CALLED", "RIGHT", of_answer, called),
        ):
            n, k = count(coordinate, use & of), count(coordinate, use & truth & called)
            columns |= {whole: n, part: k, share: over(k, n)}
            columns[f"{share}_LOW"], columns[f"{share}_HIGH"] = wilson(k, n)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def confusion(training_set: pd.DataFrame, answer: pd.DataFrame) -> pd.DataFrame:
    """What inspectors call what, and the ensemble: spectra by SOURCE, LABEL and answered class.

    Returns:
        A row a SOURCE and LABEL, with the number of spectra that the ensemble calls each of
        :data:`~qnal.ensemble.votes.CLASSES`, out of bag.
    """
    label, said = training_set["LABEL"].to_numpy(), answer["CLASS"].to_numpy()
    rows = []
    for source, use in sources(training_set):
        for kind in Label:
            of_kind = use & (label == kind)
            counts = {name: int((of_kind & (said == name)).sum()) for name in CLASSES}
            rows.append({"SOURCE": source, "LABEL": kind.name} | counts)
    return pd.DataFrame(rows)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan
