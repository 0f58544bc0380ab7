"""Calls of an ensemble for labelled spectra of the configuration that it was not trained on."""

import numpy as np
import pandas as pd

from qnal.config.schema import Config
from qnal.ensemble.evaluation.comparison import KEYS
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.votes import Thresholds
from qnal.inference.ensemble import read_scoring_ensemble
from qnal.labels.label_table import sampling_design
from qnal.stages.inputs import label_table, labelled_set
from qnal.threads import use_threads


def control_targets(config: Config) -> list[int]:
    """TARGETIDs of the control picks in the label table of ``data.labels``, if it is set."""
    labels = label_table(config)
    if labels is None:
        return []
    design = sampling_design(labels.history())
    return [int(target) for target in design.index[design["CONTROL"].to_numpy(bool)]]


def held_out_calls(config: Config, folder: EnsembleFolder, thresholds: Thresholds) -> pd.DataFrame:
    """Calls for labelled spectra of targets that are not in the ensemble's training set.

    Returns:
        KEYS, LABEL, Z, QUASAR, Z_CALL and TRAINED (always false); empty without labelled spectra.
    """
    columns = [*KEYS, "LABEL", "Z", "QUASAR", "Z_CALL", "TRAINED"]
    data = config.data
    sources = (data.desi.spectra, data.boss.spectra, data.labelled.spectra, data.labels)
    if all(source is None for source in sources):
        return pd.DataFrame(columns=columns)
    use_threads(config.infer.threads)  # the number that the scoring of the pool asks for later
    ensemble = read_scoring_ensemble(
        folder.path, lines=config.lines.names, bal_lines=config.lines.bal, thresholds=thresholds
    )
    labelled = labelled_set(config, ensemble.grid)
    table = labelled.table
    trained = set(zip(*(folder.training_set()[c] for c in ("SOURCE", "TARGETID")), strict=True))
    targets = zip(table["SOURCE"], table["TARGETID"], strict=True)
    new = np.array([target not in trained for target in targets], dtype=bool)
    if not new.any():
        return pd.DataFrame(columns=columns)
    scores = ensemble.score_on_grid(labelled.x[new]).to_pandas()
    share = scores["C_QSO_LZ"] + scores["C_QSO_HZ"]
    soft = scores["P_QSO_LZ"] + scores["P_QSO_HZ"]
    # As out of bag: a tie of the votes is decided by the probability.
    quasar = (share > 0.5) | ((share == 0.5) & (soft > 0.5))
    return table.loc[new, [*KEYS, "LABEL", "Z"]].assign(
        QUASAR=quasar.to_numpy(), Z_CALL=scores["Z"].to_numpy(float), TRAINED=False
    )
