"""Out-of-bag metrics of networks trained by Keras and by qnal, over five seeds.

Command: python experiments/benchmarks/training_metrics.py [--seeds 0 1 2 3 4] [--results FILE]
             [KEY=VALUE …]
Source:  qnal's own; networks with the same bag and initial weights are trained by Keras, as in the
         QuasarNET active-learning scripts, and by qnal in float32 and in bfloat16
Cost:    1 to 2 minutes per seed on 2 cores; with --results, finished seeds are not repeated
Expect:  differences smaller than the scatter between seeds. Measured on the mock survey: loss
         0.573 ± 0.041 by Keras, 0.552 ± 0.036 in float32, 0.551 ± 0.027 in bfloat16; completeness
         0.721 ± 0.026, 0.732 ± 0.027, 0.734 ± 0.020; purity 0.995 in all cases

The spectra are those of ``data=mock``; overrides such as ``data=files data.boss.spectra=…
data.boss.truth=…`` choose others. Networks are trained for 600 steps of 64 spectra with a learning
rate of 5e-4, unless ``train.min_steps``, ``train.batch_size`` or ``train.learning_rate`` is given.
"""

import argparse
import json
import tempfile
from itertools import product
from pathlib import Path

import numpy as np
from hydra import compose, initialize_config_dir
from training import head_loss

from qnal.config.schema import Config
from qnal.config.validation import validated
from qnal.ensemble.bootstrap import draw_bag, out_of_bag, streams
from qnal.ensemble.evaluation.metrics import classification_metrics
from qnal.ensemble.labelled_set import LabelledSet
from qnal.ensemble.votes import votes
from qnal.inference.members import SeparateMembers, predictions
from qnal.network.backends.forward import Backend, forward
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.keras_model import keras_model
from qnal.network.loss import quasarnet_loss
from qnal.network.network import Network
from qnal.network.precision import Precision
from qnal.network.structure import Structure
from qnal.network.targets import Targets, targets
from qnal.network.training import Trainer
from qnal.network.weights import read_network
from qnal.spectra.grid import named_grid
from qnal.stages.inputs import labelled_set, with_survey
from qnal.tf import keras, tf

CONF = Path(__file__).resolve().parents[2] / "conf"
DEFAULTS = ["data=mock", "train.min_steps=600", "train.batch_size=64", "train.learning_rate=5e-4",
            "train.epochs=1", "work_dir=/tmp/qnal_training_metrics"]  # fmt: skip
WAYS = ("Keras", "qnal float32", "qnal bfloat16")
COMPARED = ("loss", "completeness", "completeness_z", "purity", "z_nmad")


def main() -> None:
    """Train, evaluate, and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2, 3, 4])
    parser.add_argument("--results", type=Path, help="JSON file of finished seeds")
    parser.add_argument(
        "--ways",
        nargs="+",
        default=WAYS,
        choices=WAYS,
        help="the table needs all of them",
    )
    parser.add_argument("overrides", nargs="*")
    options = parser.parse_args()
    with initialize_config_dir(str(CONF), version_base="1.3"):
        config = with_survey(validated(compose("config", [*DEFAULTS, *options.overrides])))
    labelled = labelled_set(config, named_grid("log"))
    done: dict[str, dict[str, dict[str, float]]] = {}
    if options.results and options.results.exists():
        done = json.loads(options.results.read_text())
    for seed, way in product(options.seeds, options.ways):
        of_seed = done.setdefault(str(seed), {})
        if way not in of_seed:
            of_seed[way] = out_of_bag_metrics(way, config, labelled, seed)
            print(seed, way, {k: round(v, 4) for k, v in of_seed[way].items()}, flush=True)
            if options.results:
                options.results.write_text(json.dumps(done, indent=1))
    if set(options.ways) < set(WAYS):
        return
    print(f"{len(labelled)} spectra, {len(done)} seeds; mean and scatter of one seed\n")
    table(list(done.values()))


def out_of_bag_metrics(
    way: str, config: Config, labelled: LabelledSet, seed: int
) -> dict[str, float]:
    """Out-of-bag metrics of a network trained by one implementation on the seed's bag."""
    structure = Structure(named_grid("log"), tuple(config.lines.names), tuple(config.lines.bal))
    aims = targets(
        labelled.column("LABEL"), labelled.column("Z"), labelled.column("BAL"),
        lines=structure.lines, bal_lines=structure.bal_lines, boxes=13, grid=structure.grid,
    )  # fmt: skip
    targetid = labelled.column("TARGETID")
    bag = draw_bag(targetid, config.ensemble.bootstrap, streams(seed, 0).bag)
    rows = out_of_bag(targetid, bag)
    train, random = config.train, streams(seed, 0)
    initial = structure.initial(random.weights)
    hyperparameters = Hyperparameters(
        train.epochs, train.min_steps, train.batch_size, train.learning_rate
    )
    if way == "Keras":
        network = trained_by_keras(initial, hyperparameters, labelled.x[bag], aims, bag, seed)
    else:
        precise = Hyperparameters(
            **vars(hyperparameters) | {"precision": Precision(way.split()[1])}
        )
        network, _ = Trainer(initial, precise, labelled.x, aims).fit(initial, bag, random.fit)
    return evaluated(config, network, labelled, aims, rows)


def trained_by_keras(
    initial: Network,
    hyperparameters: Hyperparameters,
    x: np.ndarray,
    aims: Targets,
    bag: np.ndarray,
    seed: int,
) -> Network:
    """Train a network with Keras, which draws its own batches and dropout masks."""
    keras.utils.set_random_seed(seed)
    model, first = keras_model(initial, hyperparameters.dropout), initial.arrays()
    for layer in model.layers:
        if layer.name in first:
            layer.set_weights(list(first[layer.name].values()))
    heads = range(aims.boxes.shape[1])
    model.compile(
        keras.optimizers.Adam(hyperparameters.learning_rate), loss=[head_loss for _ in heads]
    )
    model.fit(
        x[:, :, None],
        [np.concatenate([aims.boxes[bag, h], aims.offsets[bag, h]], axis=1) for h in heads],
        sample_weight=[aims.weights[bag, h] for h in heads],
        batch_size=hyperparameters.batch_size,
        epochs=hyperparameters.epochs_for(len(bag)),
        verbose=0,
    )
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "net.keras"
        model.save(path)
        network = read_network(path, initial.lines, initial.bal_lines)
    keras.backend.clear_session()
    return network


def evaluated(
    config: Config, network: Network, labelled: LabelledSet, aims: Targets, rows: np.ndarray
) -> dict[str, float]:
    """Mean loss and metrics of a network on rows that are out of bag."""
    thresholds, function = config.ensemble.thresholds(), forward(network, Backend.tensorflow)
    output = tf.constant(function(labelled.x[rows]), tf.float32)
    loss = quasarnet_loss(output, aims.boxes[rows], aims.offsets[rows]) * aims.weights[rows]
    predicted = predictions(
        SeparateMembers([(network, function)], thresholds.min_lines), labelled.x[rows]
    )
    vote = votes(predicted.deciding[:, 0], predicted.z_best[:, 0], thresholds)
    found = classification_metrics(
        labelled.column("LABEL")[rows], labelled.column("Z")[rows], vote > 0, predicted.z_best[:, 0]
    )
    found["loss"] = float(tf.reduce_mean(tf.reduce_sum(loss, axis=1)))
    return {name: np.nan if found[name] is None else float(found[name]) for name in COMPARED}


def table(done: list[dict[str, dict[str, float]]]) -> None:
    """Mean and scatter per implementation, and differences from Keras in standard errors."""
    print("{:16s}".format(""), *(f"{name:>16s}" for name in COMPARED))
    base = {name: np.array([found["Keras"][name] for found in done]) for name in COMPARED}
    for way in done[0]:
        values = {name: np.array([found[way][name] for found in done]) for name in COMPARED}
        cells = [f"{v.mean():8.4f} ±{v.std(ddof=1):7.4f}" for v in values.values()]
        print(f"{way:16s}", *(f"{cell:>16s}" for cell in cells))
        if way != "Keras":
            cells = []
            for name in COMPARED:
                difference = values[name] - base[name]
                error = difference.std(ddof=1) / np.sqrt(len(done))
                cells.append(f"{difference.mean():+.4f} ({difference.mean() / error:+.1f}σ)")
            print(f"{'  less Keras':16s}", *(f"{cell:>16s}" for cell in cells))


if __name__ == "__main__":
    main()
