"""Keys of networks, their training, and ensembles."""

import math
from dataclasses import dataclass
from enum import StrEnum
from typing import Any

from qnal.config.key import PATHS, Valid, at_least, key, positive
from qnal.ensemble.augmentation import Augmentation
from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.votes import Thresholds
from qnal.network.hyperparameters import Schedule
from qnal.network.network import OffsetActivation, Padding
from qnal.network.precision import Precision


class GridName(StrEnum):
    """Wavelength grid of a new network."""

    log = "log"
    linear = "linear"


@dataclass
class NetworkConfig:
    """Structure of a new network."""

    layers: int = key("number of convolutional layers", at_least(1))
    filters: int = key("number of filters of a convolutional layer", at_least(1))
    boxes: int = key("number of wavelength boxes of a head", at_least(2))
    padding: Padding = key("padding of convolutions; auto is same from 6 layers on, else valid")
    offset_activation: OffsetActivation = key("activation of the offsets within a box")
    grid: GridName = key("wavelength grid, logarithmic or linear")
    reg_conv: float = key("L2 regularisation of the convolutional layers", at_least(0, "a number"))
    reg_dense: float = key("L2 regularisation of the dense layer", at_least(0, "a number"))
    dropout: float = key(
        "dropout rate", Valid("a number from 0 up to 0.99", lambda v: 0 <= v <= 0.99)
    )


@dataclass
class LinesConfig:
    """Emission lines that a network detects, with one head per line."""

    names: list[str] = key(
        "emission lines, in QuasarNP's names", Valid("at least one line", lambda v: len(v) >= 1)
    )
    bal: list[str] = key(
        "lines with a head for broad absorption",
        Valid("one BAL line or none", lambda v: len(v) <= 1),
    )


@dataclass
class TrainConfig:
    """Training of a member."""

    epochs: int = key("number of epochs", at_least(1))
    min_steps: int = key(
        "smallest number of training steps; raises the number of epochs for small label sets, and "
        "0 is the reference's behaviour",
        at_least(0),
    )
    batch_size: int = key("spectra per training step", at_least(2))
    learning_rate: float = key("learning rate of Adam", positive())
    schedule: Schedule = key(
        "learning rate during training: constant, or cosine, which lets it fall to 0"
    )
    amsgrad: bool = key("use the AMSGrad variant of Adam")
    precision: Precision = key(
        "precision of the convolutions; auto is bfloat16 where the processor or GPU supports it"
    )
    threads: int = key("threads per worker; the exact weights depend on their number", at_least(1))
    where: str | None = key(
        "train only on spectra that satisfy this condition in SQL on their target columns "
        "(docs/conditions.md); null for all"
    )
    targets: Any = key(
        "train only on spectra of the targets on these lists of TARGETIDs; null for all", PATHS
    )
    group: int | None = key(
        "members trained together in one program",
        at_least(1, "a number of members").or_null("the best for the machine"),
    )
    prior: PriorKind = key(
        "how spectra of the built-in mock survey are used in training: not at all, mixed into each "
        "epoch, or to train a network that training on the labelled spectra then starts from"
    )
    prior_spectra: int = key(
        "number of mock spectra that are made for the prior", at_least(2, "a number of spectra")
    )
    prior_weight: int = key(
        "number of mock spectra in each epoch with train.prior=mix, drawn anew for each; the prior "
        "counts like this many labelled spectra, so its share falls as the number of labels grows",
        at_least(1, "a number of spectra"),
    )
    augment: list[Augmentation] = key(
        "how versions of the training spectra differ from the spectra themselves: redshift, noise, "
        "calibration, sky, gap; [] for the spectra alone",
        Valid("different kinds of augmentation", lambda v: len(set(v)) == len(v)),
    )
    augment_versions: int = key(
        "versions of each spectrum with train.augment, one of which is drawn in each epoch",
        at_least(2, "a number of versions"),
    )
    init: str | None = key(
        "ensemble that training starts from, member k from its member k: a folder, an MLflow URI, "
        "or latest; null for new weights"
    )


@dataclass
class EnsembleConfig:
    """The ensemble, and when its members call a spectrum a quasar."""

    n: int = key("number of members", at_least(1, "a number of members"))
    path: str | None = key("the ensemble to use; null for the latest one in work_dir")
    bootstrap: Bootstrap = key(
        "what is drawn with replacement: targets with all their exposures, or rows"
    )
    line_threshold: float = key(
        "confidence above which a line counts as detected",
        Valid("a confidence from 0 up to, not including, 1", lambda v: 0 <= v < 1),
    )
    min_lines: int = key(
        "number of detected lines that makes a spectrum a quasar",
        at_least(1, "a number of lines"),
    )
    high_z: float = key(
        "quasars at this redshift or above are in class QSO_HZ",
        Valid("a redshift", lambda v: -1 < v < math.inf),
    )
    calibrate: bool = key(
        "apply the calibration that was fitted out of bag to the soft probabilities; votes are "
        "never calibrated"
    )

    def thresholds(self) -> Thresholds:
        """When a member votes quasar."""
        return Thresholds(self.line_threshold, self.min_lines, self.high_z)
