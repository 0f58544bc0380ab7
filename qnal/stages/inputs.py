"""What a stage reads: the labelled set and the pool, of files or of the mock survey."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from qnal.config.schema import Config, DataKind, DesiConfig
from qnal.ensemble.labelled_set import (
    LabelledSet,
    merged,
    one_exposure_each,
    read_boss,
    read_desi,
    thinned,
)
from qnal.errors import ConfigError
from qnal.files import write_text
from qnal.fingerprint import fingerprint
from qnal.progress import progress, say
from qnal.spectra.grid import Grid
from qnal.spectra.mock import MockSurvey, survey_at, write_survey
from qnal.spectra.readers.desi import find_coadds
from qnal.spectra.spectra_file import SpectraFile, paths_of
from qnal.stages.work_folder import folder_for, to_dict

MOCK_VERSION = 1  # raised when the same configuration gives another survey
MOCK_DONE = "files.json"


def with_survey(config: Config) -> Config:
    """The configuration with the mock survey's files filled in, if it asks for one.

    The survey is written once and found again; keys that are set win over it.
    """
    if config.data.kind is not DataKind.mock:
        return config
    survey, _ = mock_survey(config)
    data, mock = config.data, config.data.mock
    assert mock is not None  # noqa: S101 (mock_survey has seen to it)
    desi, boss = data.desi, data.boss
    if desi.spectra is None and mock.labelled:
        desi = replace(desi, spectra=str(survey.desi_spectra), truth=str(survey.desi_truth))
    if boss.spectra is None and mock.boss:
        boss = replace(boss, spectra=str(survey.boss_spectra), truth=str(survey.boss_truth))
    pool = str(survey.pool) if data.pool is None and mock.pool else data.pool
    return replace(config, data=replace(data, desi=desi, boss=boss, pool=pool))


def mock_survey(config: Config) -> tuple[MockSurvey, bool]:
    """The mock survey of the configuration, and whether it had to be written."""
    mock = config.data.mock
    if mock is None:
        raise ConfigError(
            "data.kind=mock says nothing of what the survey contains; take data=mock."
        )
    mock.validate()
    root = folder_for(config.work, "mock", fingerprint({"version": MOCK_VERSION} | to_dict(mock)))
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        if _is_whole(root):
            return survey_at(root), False
        with progress("mock survey", mock.labelled + mock.boss + mock.pool) as advance:
            survey = write_survey(mock, root, advance)
        write_text(root / MOCK_DONE, json.dumps(_sizes(root), indent=0) + "\n")
    return survey, True


def _sizes(root: Path) -> dict[str, int]:
    """Size of every file of a survey by its name; hidden files and the list itself are none."""
    files = (p for p in root.rglob("*") if p.is_file() and p.name[0] != "." and p.parent != root)
    beside = (p for p in root.glob("*.csv"))
    return {p.relative_to(root).as_posix(): p.stat().st_size for p in sorted({*files, *beside})}


def _is_whole(root: Path) -> bool:
    """Whether a survey was written to its end, and is still as it was written."""
    try:
        listed = json.loads((root / MOCK_DONE).read_text())
    except (OSError, ValueError):
        return False
    return bool(listed == _sizes(root))


def labelled_set(config: Config, grid: Grid) -> LabelledSet:
    """The labelled spectra of all sources, in canonical order.

    Raises:
        ConfigError: no source is given, or one lacks its truth.
        InputError: a file is missing or broken, or nothing matches.
    """
    data, high_z = config.data, config.ensemble.high_z
    sets = []
    for name, source in (("boss", data.boss), ("desi", data.desi)):
        if (source.spectra is None) != (source.truth is None):
            lacking = "truth" if source.truth is None else "spectra"
            raise ConfigError(
                f"data.{name}.{lacking} is not set; training needs data.{name}.spectra and "
                f"data.{name}.truth, or neither."
            )
    # Draws of their own streams, so that one source does not change what is drawn of the other.
    desi_rng, boss_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(2)
    )
    if data.desi.spectra is not None:
        desi = read_desi(
            find_coadds(data.desi.spectra, "data.desi.spectra"),
            paths_of(data.desi.truth, "data.desi.truth"),
            grid,
            high_z=high_z,
            use_mask=data.use_mask,
            bal_recorded=_bal_recorded(data.desi),
            bad=data.bad,
        )
        sets.append(one_exposure_each(desi, desi_rng) if data.desi.single_exposure else desi)
    if data.boss.spectra is not None:
        boss = read_boss(
            paths_of(data.boss.spectra, "data.boss.spectra"),
            paths_of(data.boss.truth, "data.boss.truth"),
            grid,
            high_z=high_z,
            bad=data.bad,
        )
        outnumbers = len(boss) > (len(sets[0]) if sets else 0)
        sets.append(thinned(boss, data.boss.most, boss_rng) if outnumbers else boss)
    if not sets:
        raise ConfigError(
            "no labelled spectra: set data.desi.spectra and data.desi.truth, or data.boss.spectra "
            "and data.boss.truth, or take data=mock."
        )
    return merged(sets)


def _bal_recorded(desi: DesiConfig) -> list[Path] | bool:
    """For which of the truth tables inspectors noted every BAL."""
    value = desi.bal_recorded
    if value is None or isinstance(value, bool):
        return bool(value)
    recorded = paths_of(value, "data.desi.bal_recorded")
    foreign = set(recorded) - set(paths_of(desi.truth, "data.desi.truth"))
    if foreign:
        raise ConfigError(
            f"data.desi.bal_recorded: {min(foreign)} is not one of data.desi.truth; it takes true, "
            "false, or some of these tables."
        )
    return recorded


def pool(config: Config) -> list[SpectraFile]:
    """The files of the pool, in the order of their names."""
    if config.data.pool is None:
        raise ConfigError("data.pool is not set; give a tree of coadds, or take data=mock.")
    files = find_coadds(config.data.pool, "data.pool")
    say(f"data.pool: {len(files):,} files of spectra")
    return files
