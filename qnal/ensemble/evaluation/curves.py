"""Completeness and purity by threshold, signal-to-noise and redshift; the confusion matrix."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.metrics import classification_metrics
from qnal.ensemble.evaluation.out_of_bag import OutOfBag, majority, ratio
from qnal.ensemble.votes import CLASSES, Thresholds
from qnal.labels.label import Label, is_quasar

ALL = "all"  # SOURCE of rows over all sources
GRID = (*np.round(np.arange(0.025, 1, 0.025), 3), 0.01, 0.98, 0.99, 0.995, 0.998, 0.999)
PERCENTILES = (16, 50, 84)  # over the members
SNR_BIN = 40  # minimum number of spectra per bin of signal-to-noise; there are 3 to 12 bins
FINE_QUASARS = 2000  # number of quasars from which redshift bins are half as wide
Z_STEP = 0.5  # width of redshift bins


def sources(training_set: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.bool_]]]:
    """Name and row mask of all sources together, then of each source if there are several."""
    source = training_set["SOURCE"].to_numpy()
    yield ALL, np.ones(len(source), bool)
    names = sorted(set(source))
    if len(names) > 1:
        yield from ((name, source == name) for name in names)


def share_interval(k: NDArray, n: NDArray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Ends of the 68 % Wilson interval of a share ``k / n``; NaN where ``n`` is 0."""
    from astropy.stats import binom_conf_interval

    low, high = binom_conf_interval(k, np.maximum(n, 1), interval="wilson")
    return np.where(n > 0, low, np.nan), np.where(n > 0, high, np.nan)


def by_threshold(training_set: pd.DataFrame, oob: OutOfBag, thresholds: Thresholds) -> pd.DataFrame:
    """Completeness and purity of the ensemble and of its members by confidence threshold.

    Args:
        training_set: SOURCE and LABEL of each row.
        oob: out-of-bag predictions for these rows.
        thresholds: ``line_threshold`` is one of the thresholds of the table.

    Returns:
        One row per SOURCE and THRESHOLD, with COMPLETENESS and PURITY of the ensemble, and the
        percentiles of those of its members as ``MEMBER_…_16``, ``_50`` and ``_84``. NaN where
        undefined.
    """
    grid = np.unique([*GRID, thresholds.line_threshold])
    label = training_set["LABEL"].to_numpy()
    rows = []
    for source, use in sources(training_set):
        use &= oob.available.any(axis=1) & (label != Label.BAD)
        of_source, truth = oob.rows(use), is_quasar(label[use])
        deciding, available = of_source.deciding, of_source.available
        count, mean_confidence = available.sum(axis=1), of_source.mean_confidence()
        quasars = available[truth].sum(axis=0)
        for threshold in grid:
            vote = deciding > np.float32(threshold)
            called = majority(ratio(vote.sum(axis=1), count), mean_confidence)
            found = vote[truth].sum(axis=0)
            row = {"SOURCE": source, "THRESHOLD": threshold}
            row |= {
                "COMPLETENESS": _share(called & truth, truth),
                "PURITY": _share(called & truth, called),
            }
            for name, values in (
                ("COMPLETENESS", ratio(found, quasars)),
                ("PURITY", ratio(found, vote.sum(axis=0))),
            ):
                values = values[~np.isnan(values)]
                ends = np.percentile(values, PERCENTILES) if len(values) else [np.nan] * 3
                row |= {f"MEMBER_{name}_{p}": v for p, v in zip(PERCENTILES, ends, strict=True)}
            rows.append(row)
    return pd.DataFrame(rows)


def by_snr(training_set: pd.DataFrame, combined: pd.DataFrame) -> pd.DataFrame:
    """Completeness and purity by SNR, in bins with equal numbers of spectra.

    Args:
        training_set: SOURCE, LABEL and SNR of each row.
        combined: :meth:`OutOfBag.combined` of these rows.

    Returns:
        One row per SOURCE and bin (SNR_LOW, SNR_HIGH), with QUASARS, FOUND and COMPLETENESS, and
        with CALLED (spectra predicted quasar, without BAD labels), RIGHT (quasars among them) and
        PURITY; ``_LOW`` and ``_HIGH`` are the ends of the 68 % intervals of both shares.
    """
    snr = training_set["SNR"].to_numpy().astype(np.float64)
    counted = (training_set["LABEL"] != Label.BAD) & (combined["MEMBERS"] > 0) & np.isfinite(snr)
    if not counted.any():
        edges = np.array([0.0, 1.0])
    else:
        bins = int(np.clip(counted.sum() // SNR_BIN, 3, 12))
        edges = np.unique(np.quantile(snr[counted], np.linspace(0, 1, bins + 1)).round(3))
    return _binned(training_set, combined, "SNR", edges, snr, snr)


def by_redshift(training_set: pd.DataFrame, combined: pd.DataFrame) -> pd.DataFrame:
    """Completeness by labelled redshift, and purity by predicted redshift.

    Args:
        training_set: SOURCE, LABEL and Z of each row.
        combined: :meth:`OutOfBag.combined` of these rows.

    Returns:
        As :func:`by_snr`, with bins Z_LOW to Z_HIGH, and with Z_BIAS, Z_NMAD and Z_OUTLIERS of the
        quasars found (:func:`~qnal.ensemble.evaluation.metrics.classification_metrics`).
    """
    quasar = is_quasar(training_set["LABEL"].to_numpy())
    z, z_predicted = training_set["Z"].to_numpy(), combined["Z"].to_numpy()
    step = Z_STEP / 2 if quasar.sum() >= FINE_QUASARS else Z_STEP
    last = max(z[quasar].max(initial=step), np.nanmax(z_predicted, initial=step))
    edges = np.arange(np.floor(last / step) + 2) * step
    table = _binned(training_set, combined, "Z", edges, z, z_predicted)
    errors = []
    for row in table.itertuples():
        use = quasar & (combined["MEMBERS"].to_numpy() > 0) & (z >= row.Z_LOW) & (z < row.Z_HIGH)
        if row.SOURCE != ALL:
            use &= training_set["SOURCE"].to_numpy() == row.SOURCE
        label, called = training_set["LABEL"].to_numpy()[use], combined["QUASAR"].to_numpy()[use]
        found = classification_metrics(label, z[use], called, z_predicted[use])
        errors.append({k.upper(): found[k] for k in ("z_bias", "z_nmad", "z_outliers")})
    return table.join(pd.DataFrame(errors, dtype=float))


def _binned(
    training_set: pd.DataFrame,
    combined: pd.DataFrame,
    name: str,
    edges: NDArray[np.float64],
    labelled: NDArray[np.floating],
    predicted: NDArray[np.floating],
) -> pd.DataFrame:
    """Completeness in bins of the labelled coordinate, purity in bins of the predicted one.

    The first and the last bin include the values beyond them.
    """
    label, called = training_set["LABEL"].to_numpy(), combined["QUASAR"].to_numpy()
    counted = (label != Label.BAD) & (combined["MEMBERS"].to_numpy() > 0)
    truth = is_quasar(label)
    bins = len(edges) - 1

    def count(coordinate: NDArray[np.floating], which: NDArray[np.bool_]) -> NDArray[np.intp]:
        values = coordinate[which & np.isfinite(coordinate)]
        index = np.searchsorted(edges, values, side="right") - 1
        return np.bincount(np.clip(index, 0, bins - 1), minlength=bins)

    parts = []
    for source, use in sources(training_set):
        use &= counted
        columns = {"SOURCE": source, f"{name}_LOW": edges[:-1], f"{name}_HIGH": edges[1:]}
        for share, whole, part, coordinate, of in (
            ("COMPLETENESS", "QUASARS", "FOUND", labelled, truth),
            ("PURITY", "CALLED", "RIGHT", predicted, called),
        ):
            n, k = count(coordinate, use & of), count(coordinate, use & truth & called)
            columns |= {whole: n, part: k, share: ratio(k, n)}
            columns[f"{share}_LOW"], columns[f"{share}_HIGH"] = share_interval(k, n)
        parts.append(pd.DataFrame(columns))
    return pd.concat(parts, ignore_index=True)


def confusion(training_set: pd.DataFrame, combined: pd.DataFrame) -> pd.DataFrame:
    """Confusion matrix: inspectors against ensemble, out of bag.

    Returns:
        One row per SOURCE and LABEL, with the number of spectra that the ensemble assigns to each
        of :data:`~qnal.ensemble.votes.CLASSES`.
    """
    label, predicted = training_set["LABEL"].to_numpy(), combined["CLASS"].to_numpy()
    rows = []
    for source, use in sources(training_set):
        for kind in Label:
            of_kind = use & (label == kind)
            counts = {name: int((of_kind & (predicted == name)).sum()) for name in CLASSES}
            rows.append({"SOURCE": source, "LABEL": kind.name} | counts)
    return pd.DataFrame(rows)


def _share(part: NDArray[np.bool_], whole: NDArray[np.bool_]) -> float:
    return float(part.sum() / whole.sum()) if whole.any() else np.nan
