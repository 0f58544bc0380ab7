"""Where a run comes from: command, user, version and state of the source code."""

import getpass
import shlex
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path

GIT_TIMEOUT = 5  # seconds


@cache
def source_tags() -> dict[str, str]:
    """Tags that say who started this process, with which command, version and commit.

    The commit is that of the checkout which the package is imported from; an installed package has
    none.
    """
    arguments = ["qnal", *sys.argv[1:]] if _is_command() else [Path(sys.argv[0]).name or "python"]
    tags = {
        "mlflow.source.name": shlex.join(arguments)[:5000],
        "mlflow.source.type": "LOCAL",
        "mlflow.user": _user(),
        "qnal.version": _version(),
    }
    package = Path(__file__).parents[1]
    # The package may be installed into an environment that lies in somebody else's checkout.
    if _git(package, "ls-files", "--error-unmatch", "__init__.py"):
        tags["mlflow.source.git.commit"] = _git(package, "rev-parse", "HEAD") or ""
        changed = _git(package, "status", "--porcelain", "--untracked-files=no", ".")
        tags["qnal.git.dirty"] = "true" if changed else "false"
    return {name: value for name, value in tags.items() if value}


def _is_command() -> bool:
    """Whether this process is the ``qnal`` command, not a notebook or a test."""
    path = Path(sys.argv[0] or "python")
    return path.stem == "qnal" or (path.name == "__main__.py" and path.parent.name == "qnal")


def _user() -> str:
    try:
        return getpass.getuser()
    except (OSError, KeyError):  # a container's user may have no name
        return "unknown"


def _version() -> str:
    try:
        return version("qnal")
    except PackageNotFoundError:
        return "unknown"


def _git(folder: Path, *arguments: str) -> str | None:
    """What git answers; None without git, outside a checkout or after an error."""
    try:
        command = ["git", "-C", str(folder), *arguments]
        answer = subprocess.run(  # noqa: S603
            command, capture_output=True, text=True, check=True, timeout=GIT_TIMEOUT
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return answer.stdout.strip()
