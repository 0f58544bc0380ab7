"""The scores that a selection was made from."""

import json
from pathlib import Path

from qnal.stages.work_folder import WorkFolder


def scores_of(selection: Path, work: WorkFolder) -> Path | None:
    """The scores that ``summary.json`` beside a selection names; None if they are not there."""
    try:
        named = json.loads((selection.parent / "summary.json").read_text())["paths"]["scores"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    if not isinstance(named, str):
        return None
    path = work.own(Path(named))
    return path if path.exists() else None
