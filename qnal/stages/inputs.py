"""What stages read: labelled spectra and the pool, from files or from the mock survey."""

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
from filelock import FileLock

from qnal.config.data_keys import BossConfig, DataKind, DesiConfig, LabelledConfig
from qnal.config.schema import Config
from qnal.ensemble.inspected_set import read_inspected, superseded, without_bad
from qnal.ensemble.labelled_set import LabelledSet, merged, one_exposure_each, thinned
from qnal.ensemble.read_labelled import read_boss, read_labelled
from qnal.errors import ConfigError
from qnal.files import write_text
from qnal.fingerprint import fingerprint
from qnal.labels.label import BadRows
from qnal.labels.label_table import LabelTable
from qnal.progress import progress, say
from qnal.spectra.grid import Grid
from qnal.spectra.mock import MockConfig, MockSurvey, survey_at, write_survey
from qnal.spectra.readers.desi import Desi
from qnal.spectra.readers.desi.release import release_folders
from qnal.spectra.spectra_file import SpectraFile, paths_of
from qnal.stages.conditions import row_condition
from qnal.stages.work_folder import WorkFolder, to_dict
from qnal.tracking.download import downloaded_ensemble, is_mlflow_uri, resolved, store_of

# Bump this number when the same MockConfig gives another survey, or when a default of it changes.
MOCK_VERSION = 1
NEWEST = "latest"  # as the path of an ensemble
FILE_LIST = "files.json"  # sizes of the survey's files; written last


def with_survey(config: Config) -> Config:
    """The configuration with the paths of the mock survey (``data=mock``) or of a DESI release.

    The survey is written if it does not exist. Paths that are set in the configuration are kept.
    """
    if config.data.kind is DataKind.desi_release:
        return _with_release(config)
    if config.data.kind is not DataKind.mock:
        return config
    survey, _ = mock_survey(config)
    data, mock = config.data, config.data.mock or MockConfig()
    desi, boss = data.desi, data.boss
    if desi.spectra is None and mock.labelled:
        desi = replace(desi, spectra=str(survey.desi_spectra), truth=str(survey.desi_truth))
    if boss.spectra is None and mock.boss:
        boss = replace(boss, spectra=str(survey.boss_spectra), truth=str(survey.boss_truth))
    pool = str(survey.pool) if data.pool is None and mock.pool else data.pool
    return replace(config, data=replace(data, desi=desi, boss=boss, pool=pool))


def _with_release(config: Config) -> Config:
    """The configuration with the folders of ``data.release`` as pool and as labelled spectra."""
    data, release = config.data, config.data.release
    if release is None or release.root is None:
        raise ConfigError(
            "data.release.root is not set; give the folder of the productions (spectro/redux of "
            "the release)."
        )
    where = Path(release.root).expanduser().absolute()
    folders = release_folders(
        where, release.production, release.survey, release.program, release.tiles, release.pixels
    )
    paths = [str(folder) for folder in folders]
    desi = data.desi
    if desi.truth is not None and desi.spectra is None:
        desi = replace(desi, spectra=paths)
    pool = paths if data.pool is None else data.pool
    return replace(config, data=replace(data, desi=desi, pool=pool))


def mock_survey(config: Config) -> tuple[MockSurvey, bool]:
    """The mock survey of the configuration, and whether it was written by this call.

    Raises:
        ConfigError: ``data.mock`` is null or has a value that is not valid.
    """
    mock = config.data.mock
    if mock is None:
        raise ConfigError("data.kind=mock needs the keys of data.mock; choose data=mock.")
    mock.validate()
    root = WorkFolder(config.work).folder_for("mock", mock_fingerprint(mock))
    root.mkdir(parents=True, exist_ok=True)
    with FileLock(root / ".lock"):
        if _is_complete(root):
            return survey_at(root), False
        with progress("mock survey", mock.labelled + mock.boss + mock.pool) as advance:
            survey = write_survey(mock, root, advance)
        write_text(root / FILE_LIST, json.dumps(_sizes(root), indent=0) + "\n")
    return survey, True


def mock_fingerprint(mock: MockConfig) -> str:
    """Fingerprint of a survey: values that differ from the defaults, and the version."""
    defaults = to_dict(MockConfig())
    changed = {key: value for key, value in to_dict(mock).items() if value != defaults[key]}
    return fingerprint({"version": MOCK_VERSION} | changed)


def _sizes(root: Path) -> dict[str, int]:
    """Size of each file of a survey by its name, without hidden files and the list itself."""
    files = (p for p in root.rglob("*") if p.is_file() and not p.name.startswith("."))
    return {
        p.relative_to(root).as_posix(): p.stat().st_size
        for p in sorted(files)
        if p != root / FILE_LIST
    }


def _is_complete(root: Path) -> bool:
    """Whether a survey was written completely and its files still have the same sizes."""
    try:
        return bool(json.loads((root / FILE_LIST).read_text()) == _sizes(root))
    except (OSError, ValueError):
        return False


def labelled_set(config: Config, grid: Grid) -> LabelledSet:
    """The labelled spectra of all sources, in canonical order.

    Raises:
        ConfigError: no source is set, or one has spectra without truth or truth without spectra.
        InputError: a file is missing or cannot be read, or no spectrum has a label.
    """
    data, high_z = config.data, config.ensemble.high_z
    sets = []
    sources: dict[str, BossConfig | DesiConfig | LabelledConfig] = {
        "boss": data.boss,
        "desi": data.desi,
        "labelled": data.labelled,
    }
    for name, source in sources.items():
        if (source.spectra is None) != (source.truth is None):
            lacking = "truth" if source.truth is None else "spectra"
            raise ConfigError(
                f"data.{name}.{lacking} is not set; training needs data.{name}.spectra and "
                f"data.{name}.truth, or neither."
            )
    # One random stream per source, so that what is drawn from one does not depend on the other.
    desi_rng, boss_rng = (
        np.random.default_rng(s) for s in np.random.SeedSequence(config.seed).spawn(2)
    )
    if data.desi.spectra is not None:
        desi_files = desi_reader(config)
        desi = read_labelled(
            desi_files.find(data.desi.spectra, "data.desi.spectra"),
            paths_of(data.desi.truth, "data.desi.truth"),
            grid,
            high_z=high_z,
            reader=desi_files,
            condition=row_condition(config, "train", desi_files),
            bal_recorded=_bal_recorded(data.desi),
            bad=data.bad,
        )
        sets.append(desi)
    if data.labelled.spectra is not None:
        reader = config.created_reader()
        others = read_labelled(
            reader.find(data.labelled.spectra, "data.labelled.spectra"),
            paths_of(data.labelled.truth, "data.labelled.truth"),
            grid,
            high_z=high_z,
            reader=reader,
            condition=row_condition(config, "train", reader),
            source="labelled",
            bad=data.bad,
        )
        sets.append(others)
    labels = label_table(config)
    if labels is not None:
        sets = _with_labels(labels, sets, grid, config)
    if data.desi.single_exposure and sets:
        sets = [one_exposure_each(merged(sets), desi_rng)]
    if data.boss.spectra is not None:
        boss = read_boss(
            paths_of(data.boss.spectra, "data.boss.spectra"),
            paths_of(data.boss.truth, "data.boss.truth"),
            grid,
            high_z=high_z,
            bad=data.bad,
        )
        outnumbers = len(boss) > sum(map(len, sets))
        sets.append(thinned(boss, data.boss.most, boss_rng) if outnumbers else boss)
    if not sets:
        raise ConfigError(
            "no labelled spectra: set data.desi.spectra and data.desi.truth, or data.boss.spectra "
            "and data.boss.truth, or those of data.labelled, or data.labels, or choose data=mock."
        )
    return merged(sets)


def desi_reader(config: Config) -> Desi:
    """The reader of labelled DESI spectra: that of the pool, if it reads DESI's files."""
    reader = config.created_reader()
    return reader if isinstance(reader, Desi) else Desi(config.data.use_mask)


def label_table(config: Config) -> LabelTable | None:
    """The label table of ``data.labels``; None if it is null.

    Raises:
        ConfigError: there is no such file.
    """
    if config.data.labels is None:
        return None
    path = Path(config.data.labels).expanduser().absolute()
    if not path.is_file():
        raise ConfigError(
            f"data.labels={config.data.labels}: there is no such file; it takes the label table "
            "that stage=label wrote, labels/labels.parquet in its work_dir."
        )
    return LabelTable(path)


def _with_labels(
    labels: LabelTable, sets: list[LabelledSet], grid: Grid, config: Config
) -> list[LabelledSet]:
    """The labelled set of a label table, and the others without what it supersedes."""
    reader = config.created_reader()
    inspected = read_inspected(
        labels.current(),
        labels.path,
        grid,
        high_z=config.ensemble.high_z,
        reader=reader,
        condition=row_condition(config, "train", reader),
    )
    both = [*(superseded(others, inspected) for others in sets), inspected]
    if config.data.bad is BadRows.drop:
        both = [without_bad(one) for one in both]
    return [one for one in both if len(one)]


def _bal_recorded(desi: DesiConfig) -> list[Path] | bool:
    """The truth tables in which quasars without a BAL comment are non-BALs; true for all."""
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
    """The files of the pool, sorted by name."""
    if config.data.pool is None:
        raise ConfigError(
            "data.pool is not set; set it to a folder of spectra, or choose data=mock."
        )
    files = config.created_reader().find(config.data.pool, "data.pool")
    say(f"data.pool: {len(files):,} files")
    return files


def ensemble_path(config: Config) -> Path | None:
    """The ensemble that ``ensemble.path`` names, or else the newest one; None if there is none.

    An ensemble named by an MLflow URI is downloaded into the work folder.
    """
    return named_ensemble(config.ensemble.path, "ensemble.path", config)


def named_ensemble(value: str | None, key: str, config: Config) -> Path | None:
    """The ensemble that the value of a key names.

    Args:
        value: a folder or file, an MLflow URI, or ``latest`` or None for the newest one.
        key: the key, for messages.
        config: the work folder and the store.

    Raises:
        ConfigError: there is nothing at the path, or no newest one though ``latest`` was asked for.
        InputError: the store does not have it.
    """
    work = WorkFolder(config.work)
    if value is None or not is_mlflow_uri(value):
        found = work.given_or_latest(None if value == NEWEST else value, key, "ensemble")
        if found is None and value == NEWEST:
            raise ConfigError(f"{key}=latest: no ensemble was trained in {config.work_dir} yet.")
        return found
    store = store_of(config.tracking, config.work)
    value = resolved(value, store)
    to = work.folder_for("downloads", fingerprint({"uri": value}))
    return downloaded_ensemble(value, store, to)
