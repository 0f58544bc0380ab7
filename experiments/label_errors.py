"""How many wrong labels does the list of suspected errors find?

A mock survey is written twice, with 2 % of the confident labels wrong and with none, which gives
the same spectra. An ensemble is trained on the labels with errors, and the targets are ranked by
how confidently it disagrees with their labels out of bag (``suspected_labels.csv``; confident
learning, Northcutt et al. 2021, arXiv:1911.00068). Printed is the share of the wrong labels among
the first 4 % of the list. Errors between STAR and GALAXY are counted apart: a network that detects
quasars cannot see them.

    python experiments/label_errors.py work/label_errors ensemble.n=12

Cost: about ten minutes on two cores. Expected: 16 of 27 wrong labels among the first 64 of 1,594
(59 %) with ensemble.n=10 network.filters=40, and 16 of the 17 that involve a quasar.
"""

import argparse
import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pandas as pd

from qnal.labels.boss_truth import read_boss_truth
from qnal.labels.label import Label
from qnal.labels.truth import read_truth
from qnal.spectra.mock import MockConfig, MockSurvey, write_survey

WRONG = 0.02
FIRST = 0.04  # share of the list that is looked at
HIGH_Z = 2.1


def main(work: Path, overrides: list[str]) -> None:
    """Write the surveys, train, compare."""
    config = MockConfig(label_errors=WRONG, pool=0)
    survey = write_survey(config, work / "survey")
    true = write_survey(replace(config, label_errors=0), work / "survey_without_errors")
    command = [sys.executable, "-m", "qnal", "stage=train", "train=short", "tracking=none",
               f"work_dir={work}", f"hydra.run.dir={work}/job",
               f"data.desi.spectra={survey.desi_spectra}", f"data.desi.truth={survey.desi_truth}",
               f"data.boss.spectra={survey.boss_spectra}", f"data.boss.truth={survey.boss_truth}",
               *overrides]  # fmt: skip
    subprocess.run(command, check=True)  # noqa: S603
    ranked = pd.read_csv(work / "job" / "suspected_labels.csv")
    given, correct = labels(survey), labels(true)
    both = given.merge(correct, left_index=True, right_index=True, suffixes=("_GIVEN", "_TRUE"))
    both = both.loc[pd.MultiIndex.from_frame(ranked[["SOURCE", "TARGETID"]])].reset_index()
    quasar = [Label.QSO_LZ, Label.QSO_HZ]
    wrong = both["LABEL_GIVEN"] != both["LABEL_TRUE"]
    visible = wrong & (both["LABEL_GIVEN"].isin(quasar) | both["LABEL_TRUE"].isin(quasar))
    top = ranked.index < FIRST * len(ranked)
    result = {
        "targets": len(ranked),
        "looked_at": int(top.sum()),
        "wrong": int(wrong.sum()),
        "wrong_found": int((wrong & top).sum()),
        "found_share": float((wrong & top).sum() / wrong.sum()),
        "wrong_with_a_quasar": int(visible.sum()),
        "found_share_with_a_quasar": float((visible & top).sum() / visible.sum()),
        "suspected": int(ranked["SUSPECTED"].sum()),
        "wrong_among_suspected": int((wrong & ranked["SUSPECTED"]).sum()),
    }
    print(json.dumps(result, indent=1))


def labels(survey: MockSurvey) -> pd.DataFrame:
    """LABEL by SOURCE and TARGETID."""
    tables = {
        "desi": read_truth([survey.desi_truth], HIGH_Z).table,
        "boss": read_boss_truth([survey.boss_truth], HIGH_Z).table,
    }
    return pd.concat(
        [table[["LABEL"]].assign(SOURCE=name).reset_index() for name, table in tables.items()]
    ).set_index(["SOURCE", "TARGETID"])


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("work", type=Path, help="folder to write to")
    parser.add_argument("overrides", nargs="*", help="keys of the training, such as ensemble.n=12")
    arguments = parser.parse_args()
    main(arguments.work.absolute(), arguments.overrides)
