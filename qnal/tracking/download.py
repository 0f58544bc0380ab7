"""Ensembles that are named by an MLflow URI."""

import os
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from qnal.config.tracking_keys import TrackingConfig
from qnal.ensemble.description import MANIFEST, EnsembleDescription
from qnal.errors import InputError

SCHEMES = ("runs:/", "models:/", "mlflow-artifacts:/")


def is_mlflow_uri(path: str | Path) -> bool:
    """Whether a path is the URI of an MLflow artifact or model."""
    return str(path).startswith(SCHEMES)


def store_of(config: TrackingConfig, work: Path) -> str:
    """URI of the store that a job reads from, which is also that of ``tracking=none``."""
    default = f"sqlite:///{work / 'mlflow.db'}"
    return config.uri or os.environ.get("MLFLOW_TRACKING_URI") or default


def downloaded_ensemble(uri: str, store: str | None = None, to: Path | None = None) -> Path:
    """Download an ensemble; returns its folder or weight file.

    ``runs:/ID`` of a run of ``stage=train`` gives the ensemble of that run: its ``ensemble.json``,
    and the weights from the runs of the members. Other URIs are of an artifact or model that
    contains an ensemble.

    Args:
        uri: ``runs:/…``, ``models:/…`` or ``mlflow-artifacts:/…``.
        store: URI of the tracking store; None: the one of MLFLOW_TRACKING_URI or
            ``mlflow.set_tracking_uri``.
        to: folder to download into; None: a temporary one.

    Raises:
        InputError: the store has no such artifact, or lacks the weights of a member.
    """
    from mlflow.artifacts import download_artifacts

    if to is not None:
        to.mkdir(parents=True, exist_ok=True)
    try:
        # A run has no artifact path of its own; "." is all of its artifacts.
        whole = uri.startswith("runs:/") and uri.removeprefix("runs:/").strip("/").count("/") == 0
        location = f"{uri.rstrip('/')}/." if whole else _location(uri, store)
        path = Path(
            download_artifacts(
                artifact_uri=location,
                dst_path=None if to is None else str(to),
                tracking_uri=store,
            )
        )
    except InputError:
        raise
    except Exception as error:  # stores raise anything
        raise InputError(_missing(uri, error)) from error
    if path.name == MANIFEST:
        path = path.parent
    found = sorted(path.rglob(MANIFEST), key=_lacks_members) if path.is_dir() else []
    if not found:
        return path
    _fetch_weights(found[0], uri, store)
    return found[0].parent


def resolved(uri: str, store: str | None) -> str:
    """A model URI with the version that its alias stands for; other URIs as they are.

    Raises:
        InputError: there is no such model or alias.
    """
    name, at, alias = uri.removeprefix("models:/").partition("@")
    if not (uri.startswith("models:/") and at):
        return uri
    from mlflow import MlflowClient

    try:
        number = MlflowClient(store).get_model_version_by_alias(name, alias).version
    except Exception as error:  # stores raise anything
        raise InputError(_missing(uri, error)) from error
    return f"models:/{name}/{number}"


def _location(uri: str, store: str | None) -> str:
    """Where a version of a registered model lies; other URIs as they are.

    MLflow itself would look for a model in the registry of the environment, not in the store.
    """
    name, slash, number = resolved(uri, store).removeprefix("models:/").partition("/")
    if store is None or not uri.startswith("models:/") or not slash:
        return uri
    from mlflow import MlflowClient

    client = MlflowClient(store)
    if number == "latest":
        number = max((v.version for v in client.search_model_versions(f"name = '{name}'")), key=int)
    return str(client.get_model_version_download_uri(name, number))


def _missing(uri: str, error: Exception) -> str:
    reason = str(error).strip().splitlines()[:1] or [repr(error)]
    return f"{uri}: MLflow has no such artifact ({reason[0].rstrip('.')})."


def _lacks_members(manifest: Path) -> tuple[bool, Path]:
    """Sort key that puts ensembles with their weights before those without."""
    return not (manifest.parent / "members").is_dir(), manifest


def _fetch_weights(manifest: Path, uri: str, store: str | None) -> None:
    """Download the weights that are not beside ``ensemble.json`` from the members' runs."""
    from mlflow import MlflowClient

    description = EnsembleDescription.read(manifest)
    folder = manifest.parent
    missing = {m.member: folder / m.file for m in description.members}
    missing = {k: file for k, file in missing.items() if not file.exists()}
    if not missing:
        return
    client = MlflowClient(store)
    runs = {
        run.data.tags["qnal.member"]: run.info.run_id
        for run in _member_runs(client, description.fingerprint)
    }
    for member, file in missing.items():
        if str(member) not in runs:
            raise InputError(f"{uri}: the store has no finished run of member {member}.")
        file.parent.mkdir(parents=True, exist_ok=True)
        client.download_artifacts(runs[str(member)], file.name, str(file.parent))


def _member_runs(client: Any, fingerprint: str) -> Iterable[Any]:
    """The finished runs of the members of an ensemble, in all experiments."""
    experiments = [e.experiment_id for e in client.search_experiments()]
    which = f"attributes.status = 'FINISHED' and tags.`qnal.ensemble` = '{fingerprint}'"
    which += " and tags.`qnal.stage` = 'member'"
    token = None
    while True:
        page = client.search_runs(experiments, which, max_results=1000, page_token=token)
        yield from page
        token = page.token
        if not token:
            return
