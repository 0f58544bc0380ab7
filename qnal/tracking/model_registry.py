"""Ensembles as versions of one registered MLflow model.

The newest version has the alias ``candidate``, the first one gets ``champion``, which is moved by
``stage=compare`` only. A model contains the ensemble's folder; loading it imports
:mod:`qnal.tracking.served_ensemble` and executes nothing that is stored in it.
"""

from collections.abc import Iterable
from dataclasses import asdict, replace
from importlib.metadata import version
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from qnal.ensemble.folder import TRAINING_SET, EnsembleFolder
from qnal.ensemble.votes import score_schema
from qnal.errors import ConfigError
from qnal.fingerprint import fingerprint
from qnal.tracking.download import resolved
from qnal.tracking.recorder import Recorder, without_log_messages
from qnal.tracking.run import Run

MODEL = "qnal-ensemble"
CANDIDATE, CHAMPION = "candidate", "champion"
DIGEST_TAG = "qnal.model"
ARTIFACT = "model"
VOTES = "columns C_* are the fractions of networks that vote for a class"
LOADER = "qnal.tracking.served_ensemble"
REQUIRED = ("qnal", "tensorflow", "numpy", "pandas", "pyarrow", "h5py")


def register(run: Run, folder: EnsembleFolder, n: int, example: NDArray[np.floating]) -> str | None:
    """Log an ensemble as a model of a run and register it, unless this version is there already.

    Args:
        run: the run that trained it.
        folder: the ensemble.
        n: number of members to take.
        example: spectra on the grid, shape [rows, npix], stored as the input example.

    Returns:
        The number of the model's version; None without a store.
    """
    recorder = run.recorder
    if run.id is None or recorder.failed:
        return None
    description = folder.description()
    description = replace(description, members=description.members[:n])
    digest = fingerprint(asdict(description))
    try:
        client = recorder.client
        number = _registered(client, digest)
        if number is None:
            with TemporaryDirectory() as scratch:
                data = Path(scratch) / "ensemble"
                data.mkdir()
                description.write(data / "ensemble.json")
                folder.training_set().to_parquet(data / TRAINING_SET)
                with without_log_messages():
                    _save(Path(scratch) / ARTIFACT, data, folder, example)
                client.log_artifacts(run.id, str(Path(scratch) / ARTIFACT), ARTIFACT)
            below = f"{ARTIFACT}/data/ensemble/members"
            for path in _member_files(folder, n):
                client.log_artifact(run.id, str(path), below)
            tags = {DIGEST_TAG: digest, "qnal.ensemble": description.fingerprint}
            source = f"runs:/{run.id}/{ARTIFACT}"
            said = f"{n} QuasarNET networks, {description.training_spectra or 0:,} labelled spectra"
            made = client.create_model_version(
                MODEL, source, run.id, tags=tags, description=f"{said}; {VOTES}"
            )
            number = str(made.version)
        client.set_registered_model_alias(MODEL, CANDIDATE, number)
        if CHAMPION not in client.get_registered_model(MODEL).aliases:
            client.set_registered_model_alias(MODEL, CHAMPION, number)
    except Exception as error:  # stores raise anything
        recorder.fail(error)
        return None
    run.tags({"qnal.model_version": number})
    return number


def _registered(client: Any, digest: str) -> str | None:
    """Number of the version with this content; creates the registered model if there is none."""
    from mlflow.exceptions import MlflowException

    try:
        client.create_registered_model(
            MODEL, description="Ensembles of QuasarNET networks that score spectra of quasars."
        )
    except MlflowException as error:
        if error.error_code != "RESOURCE_ALREADY_EXISTS":
            raise
    versions = client.search_model_versions(f"name = '{MODEL}'")
    return next((str(v.version) for v in versions if v.tags.get(DIGEST_TAG) == digest), None)


def _member_files(folder: EnsembleFolder, n: int) -> Iterable[Path]:
    for record in folder.records(n):
        weights = folder.weights(record.member)
        yield from (weights, weights.with_suffix(".json"), folder.out_of_bag_file(record.member))


def _save(path: Path, data: Path, folder: EnsembleFolder, example: NDArray[np.floating]) -> None:
    """Save the model without the members, which are large and are logged one by one."""
    from mlflow.models import ModelSignature
    from mlflow.pyfunc import save_model
    from mlflow.types.schema import Array, ColSpec, DataType, Schema

    names = ("x", "flux", "ivar", "wave")
    inputs = [ColSpec(Array(DataType.double), name, required=False) for name in names]
    described = folder.description()
    lines, bal = described.lines.get("names", ()), described.lines.get("bal", ())
    outputs = [ColSpec(DataType.string, "STATUS")]
    outputs += [ColSpec(DataType.float, name) for name in score_schema(lines, bal).names]
    save_model(
        str(path),
        loader_module=LOADER,
        data_path=str(data),
        signature=ModelSignature(Schema(inputs), Schema(outputs)),
        input_example=pd.DataFrame({"x": [row.astype(float).tolist() for row in example]}),
        pip_requirements=[f"{name}=={version(name)}" for name in REQUIRED],
    )


def check_promotable(candidate: str | None) -> str:
    """The candidate, if it is a version of the registered model.

    Raises:
        ConfigError: it is something else, such as a folder.
    """
    if candidate is None or not candidate.startswith((f"models:/{MODEL}/", f"models:/{MODEL}@")):
        raise ConfigError(
            f"compare.candidate={candidate} cannot be promoted; it takes a version of the "
            f"registered model, such as models:/{MODEL}@{CANDIDATE}."
        )
    return candidate


def promote(recorder: Recorder, candidate: str | None) -> str | None:
    """Give the alias ``champion`` to a version of the registered model.

    Args:
        recorder: the store.
        candidate: URI of the version, with an alias or a number.

    Returns:
        The number of the version; None if the store failed.

    Raises:
        ConfigError: the candidate is not a version of the registered model.
    """
    candidate = check_promotable(candidate)
    if recorder.uri is None or recorder.client is None or recorder.failed:
        return None
    number = resolved(candidate, recorder.uri).rpartition("/")[2]
    recorder.call("set_registered_model_alias", MODEL, CHAMPION, number)
    return None if recorder.failed else number
