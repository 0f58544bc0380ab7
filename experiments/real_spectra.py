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
from qnal.ensemble.read_labelled import read_boss
from qnal.labels.label import BadRows, is_quasar
from qnal.learning.ranking import completeness_at_purity

RIGHT = 0.05  # |Δz| / (1 + z) below which a redshift is right


def main() -> None:
    """Print the counts."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("ensemble", help="folder, MLflow URI, or latest")
    parser.add_argument("spectra", type=Path)
    parser.add_argument("truth", type=Path)
    arguments = parser.parse_args()
    ensemble = load_ensemble(arguments.ensemble)
    labelled = read_boss(
        [arguments.spectra], [arguments.truth], ensemble.grid, high_z=2.1, bad=BadRows.drop
    )
    scores = ensemble.score_on_grid(labelled.x).to_pandas()
    quasar, z = is_quasar(labelled.column("LABEL")), labelled.column("Z")
    found = scores["C_NOT"].to_numpy() < 0.5
    right = np.abs(scores["Z"].to_numpy() - z) < RIGHT * (1 + z)
    p = 1 - scores["P_NOT"].to_numpy()
    complete = completeness_at_purity(p, quasar, 0.99)
    others = len(quasar) - int(quasar.sum())
    print(f"{quasar.sum()} quasars: {(found & quasar).sum()} found by majority vote, ", end="")
    print(f"{(found & right & quasar).sum()} of them with a right redshift")
    print(f"{others} stars and galaxies: {(found & ~quasar).sum()} called a quasar")
    print(f"completeness at purity 0.99 of the ranking by 1 − P_NOT: {complete:.2f}")


if __name__ == "__main__":
    main()
