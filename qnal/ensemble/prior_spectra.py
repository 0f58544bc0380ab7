"""Spectra of the physical prior: a mock survey of its own, read as a labelled set."""

import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd

from qnal.ensemble.labelled_set import LabelledSet, concatenated, merged
from qnal.ensemble.read_labelled import read_labelled
from qnal.labels.label import BadRows
from qnal.spectra.grid import Grid
from qnal.spectra.mock import MockConfig, write_survey
from qnal.spectra.readers.desi import find_coadds

SEED = 5_170_329  # of the prior's spectra; the mock surveys that judge have other seeds
BATCH = 1000  # spectra that are on disk as FITS files at a time


def prior_survey(seed: int, spectra: int) -> MockConfig:
    """Mock survey of which the prior is made: every target once, all labels right and confident.

    Labels of real surveys come from deeper coadds than most of their spectra, so that faint spectra
    have confident labels, too.
    """
    return MockConfig(
        seed=seed,
        labelled=spectra,
        boss=0,
        pool=0,
        exposures=1,
        revisited=0,
        snr_min=0.1,
        inspection_snr=1e-3,
        label_errors=0,
    )


def prior_set(
    spectra: int, grid: Grid, scratch: Path, progress: Callable[[int], None] = lambda n: None
) -> LabelledSet:
    """Make the spectra of the prior: usable, with confident labels.

    The mock survey's inspectors note no BALs, so that BAL is unknown for all quasars.

    Args:
        spectra: their number.
        grid: wavelength grid.
        scratch: folder for FITS files, which is removed.
        progress: called with the number of spectra that were made.
    """
    number = min(BATCH, 2 * spectra)
    parts: list[LabelledSet] = []
    while (missing := spectra - sum(map(len, parts))) > 0:
        try:
            survey = write_survey(prior_survey(SEED + len(parts), number), scratch)
            made = read_labelled(
                find_coadds(str(survey.desi_spectra), "the prior"),
                [survey.desi_truth],
                grid,
                high_z=np.inf,
                bad=BadRows.drop,
            )
        finally:
            shutil.rmtree(scratch, ignore_errors=True)
        parts.append(made.subset(np.arange(min(len(made), missing))))
        progress(len(parts[-1]))
    return merged(parts)


def with_prior(labelled: LabelledSet, prior: LabelledSet) -> LabelledSet:
    """The labelled spectra, then those of the prior."""
    table = pd.concat([labelled.table, prior.table], ignore_index=True)
    return concatenated([labelled, prior], table, {})


def no_labels(grid: Grid) -> LabelledSet:
    """A labelled set without spectra, for training on the prior alone."""
    columns = {
        "SOURCE": object,
        "TARGETID": np.int64,
        "EXPID": np.int64,
        "FILE": object,
        "ROW": np.int32,
        "SNR": np.float32,
        "DESI_TARGET": np.int64,
        "LABEL": np.int8,
        "Z": np.float64,
        "BAL": np.int8,
    }
    table = pd.DataFrame({name: pd.Series([], dtype=kind) for name, kind in columns.items()})
    rebinned = np.zeros((0, 2, len(grid)), np.float32)
    return LabelledSet(rebinned[:, 0], table, rebinned=rebinned)
