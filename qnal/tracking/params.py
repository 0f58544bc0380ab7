"""The params of a run: the keys that matter to its stage, and those that the user set."""

from collections.abc import Iterable, Mapping
from typing import Any

_VOTES = ("ensemble.line_threshold", "ensemble.min_lines", "ensemble.high_z")
_TRAINING = (
    "seed", "ensemble.n", "ensemble.bootstrap", "network.layers", "network.grid", "train.epochs",
    "train.min_steps", "train.batch_size", "train.learning_rate", "train.schedule", "train.amsgrad",
    "train.precision", "ensemble.line_threshold",
)  # fmt: skip
_QUERY = ("query.n", "query.strategy._target_", "query.som_percentile", "query.max_outlier",
          "query.camera")  # fmt: skip
KEYS = {
    "train": _TRAINING,
    "som": ("seed", "som.shape", "som.epochs", "som.sample", "som.wrap", "som.backend"),
    "infer": ("ensemble.n", *_VOTES, "ensemble.calibrate", "infer.precision", "infer.backend"),
    "query": _QUERY,
    "compare": ("seed", "compare.candidate", "compare.champion", "compare.draws", *_VOTES),
    "loop": ("seed", "ensemble.n", "network.layers", "train.learning_rate", "train.prior",
             "loop.strategies", "loop.rounds", "loop.seed_labels", "loop.batch", "loop.repeats",
             "loop.test", "loop.steps", "loop.oracle"),
    "inspect": ("seed", "inspect.blind", "inspect.selection"),
    "label": ("label.tables", "label.selection", "label.bal_recorded"),
    "mock": ("data.mock.seed", "data.mock.labelled", "data.mock.boss", "data.mock.pool"),
    "pipeline": (*_TRAINING[:5], *_QUERY[:2], "som.shape"),
}  # fmt: skip


def params(stage: str, config: Mapping[str, Any], overrides: Iterable[str]) -> dict[str, Any]:
    """Params of a stage's run.

    Args:
        stage: name of the stage.
        config: the configuration as one level of dotted keys.
        overrides: what the user set, as ``KEY=VALUE``; an override of a group (``query=margin``)
            keeps its choice, one of a key has the value of the configuration.
    """
    found = {key: config[key] for key in KEYS.get(stage, ("seed",)) if key in config}
    for override in overrides:
        key, equals, value = override.lstrip("+~").partition("=")
        key = key.partition("@")[0]
        if equals and key != "stage" and not key.startswith("hydra"):
            found[key] = config.get(key, value)
    return found
