"""The table of the BMUs of one file, which lies beside its scores."""

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.spectra.rebin import Status

BMU_SCHEMA = pa.schema(
    [
        pa.field("FILE", pa.string(), nullable=False),
        pa.field("ROW", pa.int32(), nullable=False),
        ("BMU", pa.int32()),
        ("BMU_DISTANCE", pa.float32()),
        ("BMU_OUTLIER", pa.float32()),
    ]
)


def bmu_table(
    target_table: pa.Table, bmu: NDArray, distance: NDArray, outlier: NDArray
) -> pa.Table:
    """A table of BMUs, null where STATUS is not ``ok``.

    Args:
        target_table: FILE, ROW and STATUS of the spectra.
        bmu: BMU of each spectrum whose STATUS is ok; ``distance`` to it and ``outlier`` score
            likewise, the last NaN where unknown.
    """
    ok = np.asarray(target_table["STATUS"]) == Status.OK
    where = pa.array(np.cumsum(ok) - 1, mask=~ok)
    arrays = [
        target_table["FILE"],
        target_table["ROW"],
        pa.array(bmu, pa.int32()).take(where),
        pa.array(distance, pa.float32()).take(where),
        pa.array(outlier, pa.float32(), from_pandas=True).take(where),
    ]
    return pa.table(arrays, schema=BMU_SCHEMA)
