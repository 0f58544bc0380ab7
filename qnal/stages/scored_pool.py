"""What a scored pool looks like as a whole: numbers and a picture."""

import numpy as np
import pyarrow.compute as pc
from matplotlib.figure import Figure

from qnal.ensemble.scores import ScoresFolder, read_part, read_scores
from qnal.ensemble.votes import CLASSES
from qnal.selection.map_figures import som_map
from qnal.selection.som import SelfOrganizingMap
from qnal.spectra.rebin import Status
from qnal.summary import Number

OUTLIER = 5  # standard deviations from which a spectrum counts as an outlier of its cell


def pool_metrics(folder: ScoresFolder) -> dict[str, Number]:
    """How many spectra there are, how many have an answer, and how far the members disagree."""
    columns = ["STATUS", "VOTE_ENTROPY", "MUTUAL_INFO", "C_NOT"]
    table = read_scores(folder.parts, columns)
    ok = table.filter(pc.equal(table["STATUS"], Status.OK.value))
    metrics: dict[str, Number] = {"spectra": len(table), "scored": len(ok)}
    for status in list(Status)[1:]:
        metrics[status.value] = pc.sum(pc.equal(table["STATUS"], status.value)).as_py() or 0
    if len(ok):
        vote_entropy = np.asarray(ok["VOTE_ENTROPY"])
        metrics["disagreement"] = float((vote_entropy > 0).mean())
        metrics["vote_entropy_mean"] = float(vote_entropy.mean())
        metrics["mutual_info_mean"] = float(np.asarray(ok["MUTUAL_INFO"]).mean())
        metrics["quasar_share"] = float((np.asarray(ok["C_NOT"]) < 0.5).mean())
    return metrics


def uncertainty_by_class(folder: ScoresFolder) -> dict[str, dict[str, float]]:
    """Spectra by their most voted class, and how uncertain they are."""
    measures = ["VOTE_ENTROPY", "ENTROPY", "MUTUAL_INFO"]
    table = read_scores(folder.parts, [f"C_{c}" for c in CLASSES] + measures).drop_null()
    shares = np.array([np.asarray(table[f"C_{c}"], np.float64) for c in CLASSES])
    winner = shares.argmax(axis=0)
    summary = {}
    for k, name in enumerate(CLASSES):
        of_class = winner == k
        numbers = {"spectra": float(of_class.sum())}
        if of_class.any():
            for measure in measures:
                values = np.asarray(table[measure])[of_class]
                numbers[f"{measure}_mean"] = float(values.mean())
                numbers[f"{measure}_90"] = float(np.percentile(values, 90))
        summary[name] = numbers
    return summary


def map_of_pool(folder: ScoresFolder, som: SelfOrganizingMap) -> Figure:
    """The pool on the map: where its spectra, its quasars, uncertain ones and outliers lie.

    Sums over the spectra of each cell, a part at a time, so that memory does not grow with them.
    """
    sums = np.zeros((4, som.cells))  # spectra, quasars, uncertainty, outliers
    scores, best = folder.parts, folder.best_cells(som.fingerprint)
    for part in sorted(best.rglob("*.parquet")):
        cells = read_part(part, ["BMU", "BMU_OUTLIER"])
        answers = read_part(scores / part.relative_to(best), ["C_NOT", "VOTE_ENTROPY"])
        known = pc.and_(pc.is_valid(cells["BMU"]), pc.is_valid(answers["C_NOT"]))
        cells, answers = cells.filter(known), answers.filter(known)
        outlier = np.asarray(pc.fill_null(cells["BMU_OUTLIER"], 0)) > OUTLIER
        quasar = np.asarray(answers["C_NOT"]) < 0.5
        for total, values in zip(
            sums, (None, quasar, np.asarray(answers["VOTE_ENTROPY"]), outlier), strict=True
        ):
            total += np.bincount(np.asarray(cells["BMU"]), values, som.cells)
    with np.errstate(invalid="ignore"):
        quasars, uncertainty, outliers = sums[1:] / sums[0]
    return som_map(
        som,
        sums[0].astype(int),
        quasars=quasars,
        uncertainty=uncertainty,
        outliers=None if som.sample is None else outliers,
    )
