"""Two ensembles on the same labelled spectra: paired differences and a verdict."""

from collections.abc import Collection
from dataclasses import dataclass
from enum import StrEnum

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.evaluation.metrics import GOOD_DZ
from qnal.ensemble.evaluation.out_of_bag import OutOfBag
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.inspected_set import SOURCE
from qnal.ensemble.votes import Thresholds
from qnal.labels.label import Label, is_quasar

TARGET = ["SOURCE", "TARGETID"]
KEYS = [*TARGET, "EXPID", "ROW"]  # what identifies a labelled spectrum
# Metrics as quotients of two counts per target.
RATIOS = {
    "completeness": ("found", "quasars"),
    "purity": ("found", "predicted"),
    "completeness_z": ("good", "quasars"),
    "purity_z": ("good", "predicted"),
}
DECISIVE = ("completeness_z", "purity_z")  # the verdict depends on these
LEVEL = 0.95  # of the intervals
# Quasars among the control picks, or the held-out targets, from which these decide alone
ENOUGH = 30


class Verdict(StrEnum):
    """The rule: a decisive metric whose interval lies below 0 makes the candidate worse; else one
    whose interval lies above 0 makes it better.
    """

    better = "better"
    no_difference = "no difference"
    worse = "worse"


class Basis(StrEnum):
    """Which labelled spectra were compared.

    Control labels are a random sample of the pool; other labels are of targets that somebody, or an
    earlier ensemble, has chosen.
    """

    control = "control labels"
    held_out = "targets that neither was trained on"
    all = "all labels, out of bag where an ensemble was trained on them"


@dataclass(frozen=True)
class Comparison:
    """What two ensembles do on the same labelled spectra.

    Attributes:
        metrics: one row per metric: METRIC, CHAMPION, CANDIDATE, DIFFERENCE, LOW, HIGH.
        flipped: the spectra that one ensemble calls a quasar and the other does not.
        verdict: by the rule of :class:`Verdict`.
        spectra, targets: numbers that were compared.
        basis: which spectra were compared.
    """

    metrics: pd.DataFrame
    flipped: pd.DataFrame
    verdict: Verdict
    spectra: int
    targets: int
    basis: Basis

    @property
    def compared(self) -> str:
        """What was compared, in words."""
        return f"{self.spectra:,} spectra of {self.targets:,} targets ({self.basis})"


def out_of_bag_calls(folder: EnsembleFolder, n: int | None, thresholds: Thresholds) -> pd.DataFrame:
    """An ensemble's out-of-bag calls: KEYS, LABEL, Z, QUASAR, Z_CALL and TRAINED (always true).

    Spectra that are in the bag of every member are left out.
    """
    labels = folder.training_set()
    tables = (folder.out_of_bag(r.member, thresholds.min_lines) for r in folder.records(n))
    combined = OutOfBag.of(tables, len(labels)).combined(thresholds)
    calls = labels[[*KEYS, "LABEL", "Z"]].assign(
        QUASAR=combined["QUASAR"], Z_CALL=combined["Z"], TRAINED=True
    )
    return calls[combined["MEMBERS"].to_numpy() > 0].reset_index(drop=True)


def compare_calls(
    champion: pd.DataFrame,
    candidate: pd.DataFrame,
    draws: int,
    seed: int,
    control: Collection[int] = (),
) -> Comparison:
    """Compare the calls of two ensembles for the spectra that both have calls for.

    Only control labels are compared if there are at least :data:`ENOUGH` quasars among them; else
    only targets that neither ensemble was trained on, if these have as many; else all.

    Args:
        champion, candidate: calls, as of :func:`out_of_bag_calls`.
        draws: bootstrap samples; targets are drawn, and both ensembles are measured on the same
            sample.
        seed: of the random numbers.
        control: TARGETIDs of control picks, whose SOURCE is ``inspected``. Each counts once,
            whatever the size of the pool when it was picked.
    """
    shared = champion.drop_duplicates(KEYS).merge(
        candidate.drop_duplicates(KEYS)[[*KEYS, "QUASAR", "Z_CALL", "TRAINED"]],
        on=KEYS,
        suffixes=("_CHAMPION", "_CANDIDATE"),
    )
    basis, which = _basis(shared, control)
    shared = shared[which].reset_index(drop=True)
    metrics = _differences(shared, draws, seed)
    differ = shared["QUASAR_CHAMPION"] != shared["QUASAR_CANDIDATE"]
    flipped = shared[differ].drop(columns=["TRAINED_CHAMPION", "TRAINED_CANDIDATE"])
    targets = len(shared[TARGET].drop_duplicates())
    return Comparison(metrics, flipped, verdict(metrics), len(shared), targets, basis)


def _basis(shared: pd.DataFrame, control: Collection[int]) -> tuple[Basis, NDArray[np.bool_]]:
    """Which of the shared spectra are compared."""
    quasar = np.asarray(is_quasar(shared["LABEL"].to_numpy()))
    picked = (shared["SOURCE"] == SOURCE) & shared["TARGETID"].isin(list(control))
    trained = (shared["TRAINED_CHAMPION"] | shared["TRAINED_CANDIDATE"]).to_numpy(bool)
    for basis, which in ((Basis.control, picked.to_numpy(bool)), (Basis.held_out, ~trained)):
        if len(shared.loc[which & quasar, TARGET].drop_duplicates()) >= ENOUGH:
            return basis, which
    return Basis.all, np.ones(len(shared), bool)


def verdict(metrics: pd.DataFrame) -> Verdict:
    """The verdict on a table of differences; undefined intervals decide nothing."""
    decisive = metrics[metrics["METRIC"].isin(DECISIVE)]
    if (decisive["HIGH"] < 0).any():
        return Verdict.worse
    return Verdict.better if (decisive["LOW"] > 0).any() else Verdict.no_difference


def _differences(shared: pd.DataFrame, draws: int, seed: int) -> pd.DataFrame:
    target = shared.groupby(TARGET, sort=True).ngroup().to_numpy()
    number = int(target.max()) + 1 if len(target) else 0
    counts = {w: _counts(shared, w, target, number) for w in ("CHAMPION", "CANDIDATE")}
    rng = np.random.default_rng(seed)
    drawn: dict[str, list[float]] = {name: [] for name in RATIOS}
    for _ in range(draws if number else 0):
        weight = np.bincount(rng.integers(number, size=number), minlength=number)
        values = {w: _ratios(weight @ c) for w, c in counts.items()}
        for name, differences in drawn.items():
            differences.append(values["CANDIDATE"][name] - values["CHAMPION"][name])
    whole = {w: _ratios(c.sum(axis=0)) for w, c in counts.items()}
    rows = []
    for name, differences in drawn.items():
        known = np.array(differences)[np.isfinite(differences)]
        ends = ((1 - LEVEL) / 2, (1 + LEVEL) / 2)
        low, high = np.quantile(known, ends) if len(known) else (np.nan, np.nan)
        champion, candidate = (whole[w][name] for w in ("CHAMPION", "CANDIDATE"))
        rows.append((name, champion, candidate, candidate - champion, low, high))
    return pd.DataFrame(
        rows, columns=["METRIC", "CHAMPION", "CANDIDATE", "DIFFERENCE", "LOW", "HIGH"]
    )


_COUNTS = ("quasars", "predicted", "found", "good")


def _counts(
    shared: pd.DataFrame, which: str, target: NDArray[np.integer], number: int
) -> NDArray[np.float64]:
    """Counts per target, shape [targets, 4], in the order of ``_COUNTS``."""
    label, z = shared["LABEL"].to_numpy(), shared["Z"].to_numpy(float)
    truth = np.asarray(is_quasar(label))
    call = shared[f"QUASAR_{which}"].to_numpy(bool)
    with np.errstate(invalid="ignore"):
        near = np.abs(shared[f"Z_CALL_{which}"].to_numpy(float) - z) < GOOD_DZ * (1 + z)
    columns = (truth, call & (label != Label.BAD), truth & call, truth & call & near)
    return np.stack([np.bincount(target, c, number) for c in columns], axis=1)


def _ratios(counts: NDArray[np.floating]) -> dict[str, float]:
    by_name = dict(zip(_COUNTS, counts, strict=True))
    return {
        name: float(by_name[part] / by_name[whole]) if by_name[whole] else float("nan")
        for name, (part, whole) in RATIOS.items()
    }
