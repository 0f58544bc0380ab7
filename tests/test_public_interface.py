"""The public interface: what users and their programs rely on.

Names may be added. A name that is missing breaks somebody's script: do not change this list to make
a test pass.
"""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from qnal.cli import EXIT_CODES, INTERRUPTED
from qnal.config.schema import Stage
from qnal.config.validation import keys
from qnal.spectra.mock.config import MockConfig
from qnal.summary import Summary

CONF = Path(__file__).parents[1] / "conf"

KEYS = {
    "": "stage seed work_dir objective traceback data reader network lines train ensemble som "
    "infer query inspect label loop compare executor tracking",
    "data": "kind desi boss labelled pool release labels redrock redrock_rerun use_mask bad mock",
    "data.labelled": "spectra truth",
    "data.release": "root production survey program tiles pixels",
    "data.desi": "spectra truth single_exposure bal_recorded",
    "data.boss": "spectra truth most",
    "data.mock": "seed labelled boss pool mix boss_mix snr_min snr_max qso_z_max fibres petals "
    "exposures revisited bal weak_lines dla dead_cameras cosmic_rays cosmics_found sky_residual "
    "calibration inspection_snr label_errors boss_dropped shift redrock",
    "network": "layers filters boxes padding offset_activation grid reg_conv reg_dense dropout",
    "lines": "names bal",
    "train": "epochs min_steps batch_size learning_rate schedule amsgrad precision threads group "
    "where targets prior prior_spectra prior_weight init",
    "ensemble": "n path bootstrap line_threshold min_lines high_z calibrate",
    "som": "backend shape wrap epochs sample spectra where targets path",
    "infer": "backend precision batch_size threads limit random_order strict sky keep_members "
    "where targets verify csv qso_qn redrock_priors qn_confidence redshifts",
    "query": "scores strategy n control som_percentile som_counts max_outlier camera bad_cameras "
    "exclude labels filters memory_limit temp_dir",
    "loop": "rounds seed_labels batch growth strategies repeats oracle test steps warm_start "
    "priors",
    "inspect": "selection blind per_page title",
    "label": "tables selection path bal_recorded population",
    "compare": "candidate champion draws pool promote",
    "tracking": "kind uri experiment",
}
CHOICES = {
    "compare": "bootstrap",
    "data": "desi_release files mock",
    "debug": "default",
    "ensemble": "bootstrap",
    "executor": "dask local serial slurm threads",
    "experiment": "bootstrap demo edr ensemble_size loop-2x2 loop-quick loop-shifted network_depth "
    "reference reference_query reference_scoring slurm survey",
    "infer": "numpy quasarnp tensorflow",
    "inspect": "page",
    "label": "majority",
    "lines": "quasarnet",
    "loop": "simulated",
    "network": "quasarnet",
    "reader": "desi desi_spectra phase3 sdss table",
    "query": "entropy herding least_confidence margin mixture mutual_info power random "
    "redshift_spread stratified typical variation_ratio vote_entropy",
    "som": "torus",
    "tracking": "none server sqlite",
    "train": "reference small",
}
SUMMARY = {"stage", "status", "mlflow_run_id", "paths", "metrics", "funnel", "failed", "notes",
           "error"}  # fmt: skip
PATHS = {
    "train": "ensemble",
    "som": "som",
    "infer": "scores ensemble predictions",  # and csv, qso_qn where these are asked for
    "query": "selection targetids scores",
}
METRICS = {
    "train": "members training_spectra oob_spectra oob_without oob_completeness oob_purity "
    "oob_completeness_z oob_purity_z oob_z_bias oob_z_nmad oob_z_outliers oob_nll oob_brier "
    "oob_ece oob_class_nll oob_class_brier oob_class_ece oob_calibrated oob_calibrated_nll "
    "oob_calibrated_brier oob_calibrated_ece oob_bal_purity oob_bal_recall oob_boss_completeness "
    "oob_boss_purity oob_desi_completeness oob_desi_purity labels_BAD labels_GALAXY labels_QSO_HZ "
    "labels_QSO_LZ labels_STAR labels_boss_labelled labels_boss_spectra labels_desi_labelled "
    "labels_desi_spectra",
    "som": "som_cells som_spectra som_empty_cells som_files_failed quantization_error "
    "topographic_error",
    "infer": "files files_failed files_read members forward_passes spectra scored no_signal "
    "non_finite zero_variance disagreement vote_entropy_mean mutual_info_mean quasar_share",
    "query": "selected cut on_several_tiles control control_population",
}
SCORES = (
    "TARGETID TILEID EXPID NIGHT HPXPIXEL PETAL_LOC FIBER SURVEY PROGRAM FILE ROW TARGET_RA "
    "TARGET_DEC OBJTYPE COADD_FIBERSTATUS DESI_TARGET FLUX_G FLUX_R FLUX_Z SNR_B SNR_R SNR_Z "
    "CAMERAS STATUS C_NOT C_QSO_LZ C_QSO_HZ P_NOT P_QSO_LZ P_QSO_HZ VOTE_ENTROPY ENTROPY "
    "MUTUAL_INFO Z Z_SPREAD C_LYA Z_LYA C_CIV Z_CIV C_CIII Z_CIII C_MgII Z_MgII C_Hbeta Z_Hbeta "
    "C_Halpha Z_Halpha C_BAL"
)
ENSEMBLE_FILES = ("ensemble.json", "training_set.parquet", "members/0000.h5", "members/0000.json",
                  "members/0000_oob.parquet")  # fmt: skip


@pytest.mark.parametrize("section", KEYS)
def test_config_keys(section):
    names = {name for name, _, _ in keys()}
    prefix = f"{section}." if section else ""
    assert {f"{prefix}{key}" for key in KEYS[section].split()} <= names


def test_the_mock_surveys_keys_have_python_names():
    assert set(KEYS["data.mock"].split()) <= vars(MockConfig()).keys()


@pytest.mark.parametrize("group", CHOICES)
def test_group_choices(group):
    assert set(CHOICES[group].split()) <= {path.stem for path in (CONF / group).glob("*.yaml")}


def test_stages_and_exit_codes():
    stages = "train som infer query inspect label loop compare mock pipeline"
    assert set(stages.split()) <= set(Stage)
    assert EXIT_CODES == {"done": 0, "refused": 1, "incomplete": 3}
    assert INTERRUPTED == 130


@pytest.mark.parametrize("stage", PATHS)
def test_summaries(pipeline, stage):
    work, whole = pipeline
    document = json.loads((work / "job" / "summary" / f"{stage}.json").read_text())
    assert document.keys() >= SUMMARY
    assert set(PATHS[stage].split()) <= document["paths"].keys() & whole["paths"].keys()
    assert set(METRICS[stage].split()) <= document["metrics"].keys() & whole["metrics"].keys()


def test_a_fresh_summary_is_done():
    assert Summary("query").status == "done"


def test_a_scores_dataset(pipeline):
    work, summary = pipeline
    (pool,) = (work / "mock").glob("*/pool/tiles/perexp")
    parts = Path(summary["paths"]["scores"]) / "parts"
    coadds = {path.relative_to(pool).as_posix() for path in pool.rglob("coadd-*.fits")}
    found = {path.relative_to(parts).as_posix() for path in parts.rglob("*.parquet")}
    assert found == {f"{name}.parquet" for name in coadds}
    for name in found:
        assert set(SCORES.split()) <= set(pq.read_schema(parts / name).names)


def test_an_ensemble_folder(pipeline):
    folder = Path(pipeline[1]["paths"]["ensemble"])
    for name in ENSEMBLE_FILES:
        assert (folder / name).is_file(), name
    described = json.loads((folder / "ensemble.json").read_text())
    assert {"format_version", "fingerprint", "network", "lines", "thresholds", "members",
            "training_set", "seed"} <= described.keys()  # fmt: skip
    assert {"member", "file", "sha256"} <= described["members"][0].keys()
