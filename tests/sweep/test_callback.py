"""The start and the end of a sweep, as Hydra calls them."""

import pytest
from omegaconf import OmegaConf

from qnal.job import REFUSED
from qnal.sweep.callback import Sweep, SweepCallback
from qnal.sweep.place import SweepDescription


def config(folder, work):
    hydra = {
        "sweep": {"dir": str(folder)},
        "overrides": {"task": [f"work_dir={work}", "seed=1,2"]},
        "sweeper": {},
        "launcher": {"_target_": "a.Launcher"},
        "output_subdir": "hydra",
    }
    return OmegaConf.create({"work_dir": str(work), "hydra": hydra})


def test_each_job_may_have_a_work_folder_of_its_own(tmp_path):
    sweep = Sweep(config(tmp_path / "sweep", f"{tmp_path}/${{hydra:job.num}}"))
    description = SweepDescription.read(tmp_path / "sweep")
    assert (description.varied, description.launcher) == (["seed"], "a.Launcher")
    sweep.end("FINISHED")
    assert sweep.exit_code == REFUSED  # no job has left anything
    assert {path.name for path in tmp_path.iterdir()} == {"sweep"}


def test_a_sweep_that_cannot_start_is_refused(tmp_path, capsys, monkeypatch):
    """Hydra would turn the error into a warning, and run jobs of which nobody sees the outcome."""
    monkeypatch.setattr(Sweep, "current", None)
    (tmp_path / "file").touch()
    with pytest.raises(SystemExit) as ended:
        SweepCallback().on_multirun_start(config(tmp_path / "file" / "sweep", tmp_path))
    assert ended.value.code == REFUSED
    assert capsys.readouterr().err.startswith("error: ")
