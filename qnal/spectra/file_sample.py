"""A seeded random sample of the usable spectra of many files."""

import zlib
from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from qnal.errors import InputError
from qnal.spectra.grid import Grid
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.reader import Reader
from qnal.spectra.rebin import Status
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.sample import SpectraSample
from qnal.spectra.spectra_file import SpectraFile


def sample_files(
    files: Sequence[SpectraFile],
    grid: Grid,
    n: int,
    seed: int,
    *,
    reader: Reader | None = None,
    condition: RowCondition | None = None,
    strict: bool = False,
    progress: Callable[[int, str], None] | None = None,
) -> tuple[NDArray[np.float32], list[str]]:
    """Draw spectra whose STATUS is ``ok`` from files.

    Every spectrum gets a random number, which is determined by the seed, the name of its file and
    its row; the spectra with the ``n`` smallest numbers are drawn. Memory grows with ``n`` only.

    Args:
        files: the files.
        grid: grid to rebin to.
        n: number of spectra to draw; all if there are fewer.
        seed: seed of the random numbers.
        reader: of the files; None: that of DESI coadds.
        condition: which spectra may be drawn; None: all.
        strict: raise an error for a file that cannot be read instead of skipping it.
        progress: called before each file with 1 and its name.

    Returns:
        The spectra, float32 [≤ n, npix], and one sentence per file that could not be read.

    Raises:
        InputError: a file cannot be read and ``strict`` is set.
    """
    sample = SpectraSample(n, len(grid))
    failed = []
    reader = reader or Desi()
    for file in files:
        if progress is not None:
            progress(1, file.name)
        try:
            spectra = reader.read(file, grid)
        except InputError as error:
            if strict:
                raise
            failed.append(str(error))
            continue
        rng = np.random.default_rng([seed, zlib.crc32(file.name.encode())])
        ok = np.asarray(spectra.table["STATUS"]) == Status.OK
        if condition:
            ok &= condition.selected(spectra.table, spectra.targeting, str(file.path))
        sample.offer(spectra.x[ok], rng.random(len(ok))[ok])
    return sample.spectra(), failed
