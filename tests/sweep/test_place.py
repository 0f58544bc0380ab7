"""How a job is named in its sweep."""

from qnal.sweep.place import SweepDescription, as_mapping, label_of, name_of, title_of

OVERRIDES = ["stage=train", "+experiment=demo", "train.learning_rate=1e-4", "lines.names=[LYA,a=b]"]


def test_labels():
    given = as_mapping(OVERRIDES)
    assert given["lines.names"] == "[LYA,a=b]"
    assert label_of(given, ["train.learning_rate", "experiment"]) == (
        "experiment=demo, train.learning_rate=1e-4"
    )
    assert label_of(given, []).startswith("stage=train, experiment=demo")
    assert label_of({}, ["seed"]) == ""
    assert name_of(given, ["train.learning_rate", "experiment"]) == (
        "experiment=demo, learning_rate=1e-4"
    )
    assert title_of("train", ["a.seed", "b.seed", "b.n"]) == "sweep train: a.seed, b.seed, n"


def test_a_description_is_read_back(tmp_path):
    assert SweepDescription.read(tmp_path) == SweepDescription()
    description = SweepDescription(["seed"], "a.Launcher", "/lock")
    description.write(tmp_path)
    assert SweepDescription.read(tmp_path) == description
