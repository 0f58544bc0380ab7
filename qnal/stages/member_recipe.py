"""The recipe of a member, from the configuration."""

from qnal.config.schema import Config
from qnal.ensemble.augmentation import Augment
from qnal.ensemble.prior import Prior
from qnal.ensemble.recipe import MemberRecipe
from qnal.network.device import group_size
from qnal.network.hyperparameters import Hyperparameters
from qnal.network.precision import resolved
from qnal.network.structure import Structure
from qnal.spectra.grid import named_grid


def member_recipe(config: Config) -> MemberRecipe:
    """What members are made from, with ``auto`` and ``null`` resolved for this machine."""
    network, fit, lines = config.network, config.train, config.lines
    return MemberRecipe(
        Structure(
            named_grid(network.grid),
            tuple(lines.names),
            tuple(lines.bal),
            network.layers,
            network.filters,
            boxes=network.boxes,
            padding=network.padding,
            offset_activation=network.offset_activation,
        ),
        Hyperparameters(
            fit.epochs,
            fit.min_steps,
            fit.batch_size,
            fit.learning_rate,
            fit.amsgrad,
            network.dropout,
            network.reg_conv,
            network.reg_dense,
            resolved(fit.precision),
            fit.schedule,
        ),
        config.ensemble.thresholds(),
        config.ensemble.bootstrap,
        config.seed,
        fit.threads,
        group_size(fit.group),
        Prior(fit.prior, fit.prior_spectra, fit.prior_weight),
        Augment(frozenset(fit.augment), fit.augment_versions),
    )
