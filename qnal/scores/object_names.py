"""Checks that names of objects and TARGETIDs correspond over a whole dataset."""

from collections.abc import Iterable

import duckdb

from qnal.errors import InputError
from qnal.scores.dataset import ScoresFolder
from qnal.scores.statistics import MEMORY, from_parquet
from qnal.spectra.object_names import collision
from qnal.spectra.readers.reader import Reader

COLLISION = """
    SELECT TARGETID, min(OBJECT), max(OBJECT) FROM {parts} WHERE OBJECT IS NOT NULL
    GROUP BY TARGETID HAVING min(OBJECT) <> max(OBJECT) ORDER BY TARGETID LIMIT 1
"""


def check_names(scores: ScoresFolder, reader: Reader, names: Iterable[str]) -> None:
    """Check that no two names of objects have the same TARGETID, if the reader gives names.

    Args:
        scores: the dataset.
        reader: of the pool.
        names: of the files that have parts.

    Raises:
        InputError: two names have the same TARGETID.
    """
    parts = [scores.parts / f"{name}.parquet" for name in sorted(names)]
    if not reader.named or not parts:
        return
    with duckdb.connect(":memory:", config={"memory_limit": MEMORY}) as connection:
        found = connection.execute(COLLISION.format(parts=from_parquet(parts))).fetchone()
    if found is not None:
        targetid, one, other = found
        raise InputError(collision(str(scores.path), one, other, targetid))
