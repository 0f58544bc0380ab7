"""Where the spectra of given targets are, by the scores of a pool."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import numpy as np
import pandas as pd
import pyarrow as pa

from qnal.errors import InputError


def spectra_of(parts: Path, targetids: Sequence[int]) -> pd.DataFrame:
    """All usable spectra of some targets.

    Args:
        parts: folder of the parts of a scores dataset.
        targetids: the targets.

    Returns:
        TARGETID, FILE and ROW, ordered by these. Memory does not grow with the number of spectra.

    Raises:
        InputError: the parts cannot be read.
    """
    wanted = pa.table({"TARGETID": pa.array(np.unique(np.asarray(targetids, np.int64)))})
    pattern = str(parts / "**" / "*.parquet").replace("'", "''")
    with duckdb.connect() as connection:
        connection.register("wanted", wanted)
        try:
            found = connection.sql(
                f"SELECT TARGETID, FILE, ROW FROM read_parquet('{pattern}', union_by_name=true) "
                "SEMI JOIN wanted USING (TARGETID) WHERE STATUS = 'ok' ORDER BY ALL"
            ).to_arrow_table()
        except duckdb.Error as error:
            raise InputError(
                f"{parts}: the scores cannot be read ({str(error).splitlines()[0]})."
            ) from error
    return found.to_pandas()
