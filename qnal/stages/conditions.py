"""Conditions on spectra of the configuration: ``where`` and ``targets`` of a stage."""

import hashlib

import numpy as np

from qnal.config.schema import Config
from qnal.errors import ConfigError
from qnal.files import written_aside
from qnal.fingerprint import fingerprint
from qnal.query.target_list import read_target_list
from qnal.spectra.readers.reader import Reader
from qnal.spectra.row_condition import RowCondition
from qnal.spectra.spectra_file import paths_of
from qnal.stages.work_folder import WorkFolder

SECTIONS = ("infer", "som", "train")


def row_condition(config: Config, section: str, reader: Reader) -> RowCondition:
    """The condition of a section of the configuration, checked.

    Lists of targets are stored in the work folder, where worker processes look them up.

    Args:
        config: the configuration.
        section: infer, som or train.
        reader: of the spectra.

    Raises:
        ConfigError: the condition is not SQL, or names a column or a bit that does not exist.
        InputError: a list of targets cannot be read.
    """
    settings = getattr(config, section)
    where, key = settings.where, f"{section}.where"
    if where is not None and not where.strip():
        raise ConfigError(f"{key} is empty; it takes a condition in SQL, or null.")
    lists = paths_of(settings.targets, f"{section}.targets")
    stored = digest = None
    if lists:
        ids = np.unique(np.concatenate([read_target_list(path) for path in lists]))
        digest = hashlib.sha256(ids.tobytes()).hexdigest()
        folder = WorkFolder(config.work).folder_for("targets", fingerprint({"targets": digest}))
        stored = folder / "targets.npy"
        if not stored.exists():
            with written_aside(stored) as scratch, scratch.open("wb") as file:
                np.save(file, ids)
    condition = RowCondition(where, reader.bits, stored, digest, key)
    condition.check(reader)
    return condition
