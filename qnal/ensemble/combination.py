"""How the predictions of the members are combined into the score columns of a table of spectra."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.ensemble.calibration import Calibration
from qnal.ensemble.votes import MemberPredictions, Thresholds, score_columns, score_schema
from qnal.spectra.rebin import Status


@dataclass(frozen=True)
class CombinationRule:
    """What scores depend on besides the members' predictions.

    Attributes:
        thresholds: when a member votes quasar.
        bal_trained: whether the BAL heads are trained; C_BAL is null if not.
        calibration: applied to the confidences that the soft outputs are computed from, if any.
    """

    thresholds: Thresholds
    bal_trained: bool = True
    calibration: Calibration | None = None

    def table(
        self,
        target_table: pa.Table,
        predictions: MemberPredictions,
        lines: Sequence[str],
        bal_lines: Sequence[str],
    ) -> pa.Table:
        """The table of spectra with its score columns; null where STATUS is not ``ok``.

        Args:
            target_table: columns that describe the spectra, STATUS among them.
            predictions: for the rows whose STATUS is ``ok``, in order.
            lines, bal_lines: names of the lines that they are of.
        """
        schema = score_schema(lines, bal_lines)
        ok = is_ok(target_table)
        # Row i of the table is prediction `where[i]`, or null.
        where = pa.array(np.cumsum(ok) - 1, mask=~ok)
        columns: Sequence[NDArray | None] = [None] * len(schema)
        if ok.any():
            columns = score_columns(
                predictions, self.thresholds, self.bal_trained, self.calibration
            )
        table = target_table
        for field, values in zip(schema, columns, strict=True):
            array = pa.nulls(len(ok), field.type)
            if values is not None:
                array = pa.array(values, field.type).take(where)
            table = table.append_column(field, array)
        return table

    def description(self) -> dict[str, Any]:
        """Thresholds and calibration, as JSON takes them."""
        calibration = self.calibration and self.calibration.parameters()
        return {"thresholds": vars(self.thresholds), "calibration": calibration}


def is_ok(target_table: pa.Table) -> NDArray[np.bool_]:
    """Which rows of a table are usable spectra."""
    return np.asarray(target_table["STATUS"]) == Status.OK
