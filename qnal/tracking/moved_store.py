"""The store of a work folder that was moved or copied: its artifact locations follow.

MLflow stores absolute locations of artifacts. Those of the database in a work folder all begin with
the folder's path, which is replaced if the folder has another path now.
"""

import sqlite3
from contextlib import closing
from pathlib import Path
from urllib.parse import unquote, urlparse

ARTIFACTS = "mlartifacts"
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


def _has_moved(location: str, here: str) -> bool:
    """Whether a location is that of the artifacts of this store at an earlier path."""
    parsed = urlparse(location)
    path = Path(unquote(parsed.path))
    if parsed.scheme not in {"", "file"} or path.name != ARTIFACTS or location == here:
        return False
    now = Path(unquote(urlparse(here).path))
    # The same folder by another name, such as through a link, has not moved.
    return not (path.exists() and now.exists() and path.samefile(now))
