"""Keys of simulated loops and of comparisons."""

from dataclasses import dataclass

from qnal.config.key import Valid, at_least, key, positive
from qnal.ensemble.prior import PriorKind
from qnal.learning.oracle import OracleKind


@dataclass
class LoopConfig:
    """The closed loop, simulated on a labelled set."""

    rounds: int = key(
        "number of batches that are inspected after the seed labels; 0 compares training settings "
        "at one number of labels",
        at_least(0),
    )
    seed_labels: int = key(
        "number of targets that are labelled at the start, drawn at random",
        at_least(2, "a number of targets"),
    )
    batch: int = key("targets inspected in the first round", at_least(1, "a number of targets"))
    growth: float = key(
        "factor by which each batch is larger than the one before; 1 for equal batches, 2 for "
        "budgets that double if loop.batch equals loop.seed_labels",
        at_least(1, "a number"),
    )
    strategies: list[str] = key(
        "choices of `query`, or YAML files of strategies of your own, to compare; random and "
        "stratified are always among them",
        Valid("names of strategies, each once", lambda v: len(set(v)) == len(v)),
    )
    repeats: int = key(
        "number of repeats; in a repeat all strategies start from the same labels and members",
        at_least(1),
    )
    oracle: OracleKind = key(
        "the simulated inspector: always right, or with wrong or missing classes that are more "
        "frequent at low signal-to-noise"
    )
    test: float = key(
        "share of the targets that are held out in all rounds",
        Valid("a share above 0 and below 1", lambda v: 0 < v < 1),
    )
    minutes: float = key(
        "minutes that inspecting one target takes, for the cost in inspectors' hours", positive()
    )
    steps: int | None = key(
        "optimizer steps of a member at every number of labels, completed to whole epochs",
        at_least(1).or_null("the epochs and steps of stage=train"),
    )
    warm_start: bool = key(
        "whether the members of a round continue from those of the round before, for loop.steps "
        "further optimizer steps, instead of from new weights; the networks of all rounds are kept"
    )
    priors: list[PriorKind] = key(
        "choices of train.prior to compare, each with all strategies and the same seed labels; [] "
        "for train.prior alone. The first is the baseline",
        Valid("different choices of train.prior", lambda v: len(set(v)) == len(v)),
    )


@dataclass
class CompareConfig:
    """Comparison of two ensembles."""

    candidate: str | None = key(
        "the new ensemble: a folder, an MLflow URI, or latest; null for the newest one"
    )
    champion: str | None = key("the ensemble that it is compared with, in the same ways")
    draws: int = key("bootstrap samples for the intervals", at_least(1, "a number of samples"))
    pool: bool = key("also score data.pool with both, if it is set")
    promote: bool = key(
        "make the candidate the champion of the model registry, unless the verdict is that it "
        "is worse"
    )
