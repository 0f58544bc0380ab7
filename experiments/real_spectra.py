"""What an ensemble says about inspected BOSS spectra, which it was not trained on.

Source:  the DR12 training file and truth table that QuasarNET uses (docs/formats.md)
Command: qnal stage=train train=small ensemble.n=5
         python experiments/real_spectra.py latest dr12_train.fits truth_dr12q.fits
Cost:    seconds
Expect:  docs/learning.md has what was measured
"""

import argparse
from pathlib import Path

import numpy as np

from qnal.api import load_ensemble
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.read_labelled import read_boss
from qnal.inference.ensemble import Ensemble
from qnal.labels.label import BadRows, is_quasar
from qnal.learning.ranking import completeness_at_purity

RIGHT = 0.05  # |Δz| / (1 + z) below which a redshift is right


def counts(ensemble: Ensemble, labelled: LabelledSet) -> dict[str, float]:
    """Numbers of spectra by label and vote, and the completeness at a purity of 0.99."""
    scores = ensemble.score_on_grid(labelled.x).to_pandas()
    quasar, z = is_quasar(labelled.column("LABEL")), labelled.column("Z")
    found = scores["C_NOT"].to_numpy() < 0.5
    right = np.abs(scores["Z"].to_numpy() - z) < RIGHT * (1 + z)
    complete = completeness_at_purity(1 - scores["P_NOT"].to_numpy(), quasar, 0.99)
    return {
        "quasars": int(quasar.sum()),
        "found": int((found & quasar).sum()),
        "right_z": int((found & right & quasar).sum()),
        "others": int((~quasar).sum()),
        "called_quasar": int((found & ~quasar).sum()),
        "completeness_at_purity_99": np.nan if complete is None else complete,
    }


def main() -> None:
    """Print what the ensemble says."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", help="folder, MLflow URI, or latest")
    parser.add_argument("spectra", type=Path)
    parser.add_argument("truth", type=Path)
    arguments = parser.parse_args()
    ensemble = load_ensemble(arguments.ensemble)
    labelled = read_boss(
        [arguments.spectra], [arguments.truth], ensemble.grid, high_z=2.1, bad=BadRows.drop
    )
    found = counts(ensemble, labelled)
    print(
        f"{found['quasars']} quasars: {found['found']} found by majority vote, "
        f"{found['right_z']} of them with a right redshift\n"
        f"{found['others']} stars and galaxies: {found['called_quasar']} called a quasar\n"
        f"completeness at purity 0.99: {found['completeness_at_purity_99']:.2f}"
    )


if __name__ == "__main__":
    main()
