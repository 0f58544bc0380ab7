"""What a person sees while members are trained somewhere."""

import pytest

from qnal.ensemble.folder import EnsembleFolder
from qnal.stages.training_progress import TrainingProgress


def test_the_bar_follows_the_members(tmp_path):
    (tmp_path / "members").mkdir()
    folder = EnsembleFolder(tmp_path)
    steps, notes = [], []

    def advance(step, note):
        steps.append(step)
        notes.append(note)

    bar = TrainingProgress(folder, [2, 3, 4], advance)
    folder.note_progress(2, 1, 4, 9.5)
    folder.note_progress(7, 1, 4, 9.5)  # another job's
    bar.look()
    assert sum(steps) == 0.25 and notes[-1] == "member 2, epoch 1/4, loss 9.500"
    folder.note_progress(3, 2, 4, 3.0)
    (tmp_path / "members" / ".0004.progress").write_text("1 ")  # in the midst of being written
    bar.look()
    assert sum(steps) == 0.75 and notes[-1] == "2 in training, loss 3.000 to 9.500"
    folder.progress_file(2).unlink()  # its worker died
    bar.look()
    assert sum(steps) == 0.5
    bar.finished([3])
    assert sum(steps) == 1 and notes[-1] == ""
    bar.finished([2, 4])
    assert sum(steps) == pytest.approx(3)
