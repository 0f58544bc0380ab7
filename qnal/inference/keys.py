"""What prediction caches and scores datasets are named by: all that their content depends on.

A setting at its neutral value is left out, so that a setting can be added without renaming what
exists. Paths are left out of the key of predictions, which belong to the digests of spectra.
"""

import hashlib
from collections.abc import Mapping, Sequence
from typing import Any

from qnal.ensemble.combination import CombinationRule
from qnal.inference import prediction_cache
from qnal.inference.float32_recheck import recheck_rule
from qnal.inference.input_file import Reading
from qnal.inference.packing import Packing
from qnal.inference.score_options import Passes
from qnal.network.precision import Precision
from qnal.scores.description import FORMAT_VERSION
from qnal.spectra.row_condition import RowCondition

NEUTRAL_PASSES = {"backend": "tensorflow", "precision": "float32", "batch_size": 512}
NEUTRAL_PASSES |= {"sky": True, "min_lines": 1, "recheck": None}
NEUTRAL_RULE = {"line_threshold": 0.95, "high_z": 2.1, "calibration": None, "bal_trained": True}


def predictions_key(
    packing: Packing, reading: Reading, passes: Passes, min_lines: int
) -> dict[str, Any]:
    """What the predictions for given spectra and weights depend on.

    ``min_lines`` is part of it, because it chooses which confidence is stored as the deciding one.
    """
    grid, precision = reading.grid, passes.precision
    settings = {
        "backend": str(passes.backend),
        "precision": str(precision),
        "batch_size": passes.batch_size,
        "sky": reading.sky,
        "min_lines": min_lines,
        "recheck": None if precision is Precision.float32 else recheck_rule(),
    }
    return {
        "format_version": prediction_cache.FORMAT_VERSION,
        **packing.description(),
        "grid": [grid.name, hashlib.sha256(grid.wave.tobytes()).hexdigest()],
        **reading.reader.key(),
        **_without(settings, NEUTRAL_PASSES),
    }


def dataset_key(
    predictions: Mapping[str, Any],
    checksums: Sequence[str],
    rule: CombinationRule,
    pool: Sequence[str],
    condition: RowCondition | None = None,
) -> dict[str, Any]:
    """What a scores dataset depends on.

    Args:
        predictions: the key of the predictions.
        checksums: of the members.
        rule: how the members are combined.
        pool: paths of the pool, relative to the work folder where they lie inside.
        condition: which rows are scored; None: all.
    """
    settings = {
        "line_threshold": rule.thresholds.line_threshold,
        "high_z": rule.thresholds.high_z,
        "calibration": rule.calibration and rule.calibration.parameters(),
        "bal_trained": rule.bal_trained,
    }
    return {
        "format_version": FORMAT_VERSION,
        "predictions": dict(predictions),
        "checksums": list(checksums),
        "pool": list(pool),
        **_without(settings, NEUTRAL_RULE),
        **({} if condition is None else condition.key()),
    }


def _without(settings: Mapping[str, Any], neutral: Mapping[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in settings.items() if value != neutral[name]}
