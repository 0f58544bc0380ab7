"""A file before, while and after it is scored."""

from dataclasses import dataclass

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from qnal.scores.file_index import IndexEntry
from qnal.spectra.file_version import FileVersion
from qnal.spectra.spectra_file import SpectraFile


@dataclass(frozen=True)
class FileToScore:
    """A file, and what is known of it before it is opened.

    Attributes:
        file: the file.
        scored: entry of its part in the dataset, if there is one.
        cached: the version that it had when predictions were stored, if there are any.
    """

    file: SpectraFile
    scored: IndexEntry | None = None
    cached: FileVersion | None = None


@dataclass(frozen=True)
class Targets:
    """The rows of a file that are scored.

    Attributes:
        table: the target table of the file.
        selected: whether a row is scored, shape [rows].
        targeting: name of the column that DESI_TARGET was taken from.
    """

    table: pa.Table
    selected: NDArray[np.bool_]
    targeting: str


@dataclass(frozen=True)
class Outcome:
    """What scoring a file took, and what is known of it now.

    Attributes:
        entry: of its part.
        read: whether its spectra were read.
        forward_passes: computed for it, of one spectrum and member each.
    """

    entry: IndexEntry
    read: bool
    forward_passes: int
