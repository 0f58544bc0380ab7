"""Lists of targets: text files with one TARGETID per line and ``#`` comments.

This is the format of ``prospect_pages --target_list`` (docs/formats.md). Lists to leave out may be
tables with a column TARGETID, too: CSV, FITS (first table that has it) or Parquet files.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.files import write_text
from qnal.spectra.fits import integers, open_fits

_INT64 = np.iinfo(np.int64)


def read_target_list(path: Path) -> NDArray[np.int64]:
    """Read TARGETIDs in the order of the file, int64 [n], without loss of digits.

    Raises:
        InputError: the file cannot be read, a line is not a 64-bit integer, or a table has no
            TARGETIDs.
    """
    name = path.name.lower()
    if name.endswith((".fits", ".fits.gz", ".fit")):
        return _from_fits(path)
    if name.endswith((".csv", ".parquet")):
        return _from_table(path)
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise InputError(f"{path}: cannot be read as a list of TARGETIDs ({error}).") from error
    targetids = []
    for number, line in enumerate(lines, start=1):
        text = line.partition("#")[0].strip()
        if not text:
            continue
        digits = text.removeprefix("-")
        if not (digits.isascii() and digits.isdigit() and _INT64.min <= int(text) <= _INT64.max):
            raise InputError(f"{path}, line {number}: {text[:60]!r} is not a TARGETID.")
        targetids.append(int(text))
    return np.array(targetids, np.int64)


def _from_fits(path: Path) -> NDArray[np.int64]:
    with open_fits(path) as file:
        for number in range(len(file.hdus)):
            if file.is_table(number) and "TARGETID" in file.columns(number):
                return integers(file.table(number, ["TARGETID"])["TARGETID"], "TARGETID", path)
    raise InputError(f"{path}: has no table with a column TARGETID.")


def _from_table(path: Path) -> NDArray[np.int64]:
    try:
        if path.suffix.lower() == ".parquet":
            column = pq.read_table(path, columns=["TARGETID"])["TARGETID"]
        else:
            # As text first: a column with one decimal number would be read as floats.
            read = pyarrow.csv.ConvertOptions(
                include_columns=["TARGETID"], column_types={"TARGETID": pa.string()}
            )
            column = pyarrow.csv.read_csv(path, convert_options=read)["TARGETID"]
            column = pc.utf8_trim_whitespace(column)
        if pa.types.is_floating(column.type):
            raise pa.ArrowInvalid("TARGETID is a floating-point number, which rounds it")
        column = column.cast(pa.int64())
    except (OSError, KeyError, pa.ArrowException) as error:
        first = str(error).splitlines()[0]
        raise InputError(f"{path}: cannot be read as a list of TARGETIDs ({first}).") from error
    return np.asarray(column.drop_null(), np.int64)


def read_target_lists(paths: Sequence[Path]) -> NDArray[np.int64]:
    """The distinct TARGETIDs of several lists, sorted."""
    lists = [read_target_list(path) for path in paths]
    return np.unique(np.concatenate(lists)) if lists else np.empty(0, np.int64)


def write_target_list(path: Path, targetids: Iterable[int]) -> None:
    """Write one TARGETID per line, in the given order."""
    write_text(path, "".join(f"{int(targetid)}\n" for targetid in targetids))
