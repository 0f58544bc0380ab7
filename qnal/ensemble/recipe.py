"""Recipe of a member: the settings it is made from, and the identity that they give an ensemble."""

from dataclasses import dataclass, field
from typing import Any

from qnal.ensemble.augmentation import Augment
from qnal.ensemble.bootstrap import Bootstrap
from qnal.ensemble.prior import Prior
from qnal.ensemble.votes import Thresholds
from qnal.fingerprint import fingerprint
from qnal.network.hyperparameters import Hyperparameters, Schedule
from qnal.network.structure import Structure

# Values that mean "this setting does nothing": a key at its neutral value is left out of the
# fingerprint. A key that is added later gets, as its neutral value, what was done before it
# existed, so that ensembles trained before keep their names.
NEUTRAL: dict[str, Any] = {
    "bal_lines": [],
    "width": 10,
    "stride": 2,
    "units": 100,
    "dropout": 0.0,
    "reg_conv": 0.0,
    "reg_dense": 0.0,
    "min_steps": 0,
    "amsgrad": False,
    "initial": None,
    "prior": None,
    "augment": None,
    "schedule": Schedule.constant,
}


@dataclass(frozen=True)
class MemberRecipe:
    """Settings that a member is made from, besides the labelled set.

    Attributes:
        structure: structure of the networks.
        hyperparameters: how a network is fitted.
        thresholds: used to evaluate a member out of bag; they do not affect its weights.
        bootstrap: what a bootstrap sample draws.
        seed: seed of the ensemble.
        threads: number of threads per process; it affects the weights by rounding only.
        group: number of members that are fitted together; it affects the weights by rounding only.
        prior: mock spectra that are used beside the labelled set.
        augment: further versions of the spectra.
    """

    structure: Structure
    hyperparameters: Hyperparameters
    thresholds: Thresholds
    bootstrap: Bootstrap
    seed: int
    threads: int
    group: int = 1
    prior: Prior = field(default_factory=Prior)
    augment: Augment = field(default_factory=Augment)

    def fingerprint(self, training_set: str, initial: str | None = None) -> str:
        """Fingerprint of an ensemble: equal for ensembles with the same members up to rounding.

        Args:
            training_set: fingerprint of the labelled set.
            initial: checksum of the ensemble whose weights training starts from, if any.
        """
        structure, fit = self.structure, self.hyperparameters
        identity = {
            "training_set": training_set,
            "initial": initial,
            "grid": structure.grid.name,
            "lines": list(structure.lines),
            "bal_lines": list(structure.bal_lines),
            "layers": structure.layers,
            "filters": structure.filters,
            "width": structure.width,
            "stride": structure.stride,
            "units": structure.units,
            "boxes": structure.boxes,
            "padding": structure.resolved_padding,
            "offset_activation": structure.offset_activation,
            "dropout": float(fit.dropout),
            "reg_conv": float(fit.reg_conv),
            "reg_dense": float(fit.reg_dense),
            "epochs": fit.epochs,
            "min_steps": fit.min_steps,
            "batch_size": fit.batch_size,
            "learning_rate": float(fit.learning_rate),
            "amsgrad": fit.amsgrad,
            "schedule": fit.schedule,
            "precision": fit.precision,
            "bootstrap": self.bootstrap,
            "seed": self.seed,
            "prior": self.prior.identity(),
            "augment": self.augment.identity(),
        }
        nothing = object()
        return fingerprint({k: v for k, v in identity.items() if v != NEUTRAL.get(k, nothing)})

    def settings(self) -> dict[str, Any]:
        """The settings by their configuration keys, as ``ensemble.json`` records them."""
        structure, fit = self.structure, self.hyperparameters
        return {
            "network": {
                "layers": structure.layers,
                "filters": structure.filters,
                "boxes": structure.boxes,
                "padding": structure.padding,
                "offset_activation": structure.offset_activation,
                "grid": structure.grid.name,
                "reg_conv": fit.reg_conv,
                "reg_dense": fit.reg_dense,
                "dropout": fit.dropout,
            },
            "lines": {"names": list(structure.lines), "bal": list(structure.bal_lines)},
            "train": {
                "epochs": fit.epochs,
                "min_steps": fit.min_steps,
                "batch_size": fit.batch_size,
                "learning_rate": fit.learning_rate,
                "amsgrad": fit.amsgrad,
                "precision": fit.precision,
            }
            | ({} if fit.schedule is Schedule.constant else {"schedule": fit.schedule})
            | self.prior.settings()
            | self.augment.settings(),
            "bootstrap": self.bootstrap,
            "seed": self.seed,
        }
