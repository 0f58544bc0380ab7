"""Artifact locations in an sqlite store, which lie beside its database.

MLflow stores absolute locations of artifacts. Those of the database in a work folder all begin with
the folder's path, which is replaced if the folder has another path now.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

from qnal.errors import ConfigError

ARTIFACTS = "mlartifacts"
MADE_UP = "mlruns"  # where MLflow puts artifacts of experiments without a location
# Tables and columns that hold locations of artifacts.
LOCATIONS = (
    ("experiments", "artifact_location"),
    ("runs", "artifact_uri"),
    ("logged_models", "artifact_location"),
    ("model_versions", "source"),
    ("model_versions", "storage_location"),
)


def follow(database: Path) -> list[str]:
    """Make the artifact locations of a database lie beside it.

    Locations elsewhere, such as object stores, are kept. The caller holds the lock of the store.

    Returns:
        The locations that were replaced.

    Raises:
        sqlite3.Error: the database cannot be read or written.
    """
    if not database.exists():
        return []
    here = (database.parent / ARTIFACTS).as_uri()
    # Not a `with connection` alone, which commits but does not close.
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        tables = {name for (name,) in store.execute("select name from sqlite_master")}
        if "experiments" not in tables:
            return []
        known = store.execute("select distinct artifact_location from experiments").fetchall()
        old = [location for (location,) in known if location and _has_moved(location, here)]
        for location in old:
            for table, column in LOCATIONS:
                if table not in tables:
                    continue
                # The names are those of LOCATIONS, not anything that was read.
                change = f"update {table} set {column} = ? || substr({column}, ?) "
                which = f"where {column} = ? or substr({column}, 1, ?) = ?"
                store.execute(
                    change + which,
                    (here, len(location) + 1, location, len(location) + 1, f"{location}/"),
                )
    return old


def settle(database: Path, experiment_id: str, location: str, is_used: bool) -> None:
    """Make the artifacts of an experiment that others created lie beside the database.

    Without a location of its own, such as the experiment "Default", an experiment has one in the
    folder in which its creator was started. It is kept if the experiment has runs.

    Raises:
        ConfigError: the location is relative, and the experiment has runs.
        sqlite3.Error: the database cannot be written.
    """
    parsed = urlparse(location)
    path = Path(unquote(parsed.path))
    if parsed.scheme not in {"", "file"} or path == database.parent / ARTIFACTS:
        return
    if is_used and not path.is_absolute():
        raise ConfigError(
            f"{database}: MLflow experiment {experiment_id} has the relative artifact location "
            f"{location}, which is another folder for each job; set another experiment by "
            "tracking.experiment or MLFLOW_EXPERIMENT_NAME."
        )
    if is_used or (path.is_absolute() and path.parts[-2:] != (MADE_UP, experiment_id)):
        return
    with closing(sqlite3.connect(database, timeout=60)) as store, store:
        store.execute(
            "update experiments set artifact_location = ? where experiment_id = ?",
            ((database.parent / ARTIFACTS).as_uri(), int(experiment_id)),
        )


def _has_moved(location: str, here: str) -> bool:
    """Whether a location is that of the artifacts of this store at an earlier path."""
    parsed = urlparse(location)
    path = Path(unquote(parsed.path))
    if parsed.scheme not in {"", "file"} or path.name != ARTIFACTS or location == here:
        return False
    now = Path(unquote(urlparse(here).path))
    # The same folder by another name, such as through a link, has not moved.
    return not (path.exists() and now.exists() and path.samefile(now))
