"""Prior knowledge of a job: its mock spectra and the ensemble that training starts from."""

from dataclasses import replace
from functools import partial
from pathlib import Path

from filelock import FileLock

from qnal.config.schema import Config
from qnal.ensemble.description import EnsembleDescription
from qnal.ensemble.evaluation.evaluate_task import evaluate_ensemble
from qnal.ensemble.folder import EnsembleFolder
from qnal.ensemble.labelled_set import LABELS, REBINNED, LabelledSet
from qnal.ensemble.prior import PriorKind
from qnal.ensemble.prior_knowledge import PriorKnowledge
from qnal.ensemble.prior_spectra import no_labels, prior_set
from qnal.ensemble.recipe import MemberRecipe
from qnal.ensemble.train_task import TrainTask, train_members
from qnal.errors import ConfigError
from qnal.progress import progress, say
from qnal.spectra.grid import Grid
from qnal.stages import Job
from qnal.stages.inputs import labelled_set, named_ensemble
from qnal.stages.work_folder import WorkFolder

NO_LABELS = (
    "no labels are given (data.desi, data.boss, data.labels), so the ensemble is trained on mock "
    "spectra alone"
)


def prior_knowledge(config: Config, recipe: MemberRecipe, job: Job) -> PriorKnowledge:
    """What training uses beside the labelled set; made first if it is not in the work folder.

    Args:
        config: ``train.init``, and where results are.
        recipe: settings of the members, with their prior.
        job: the job, whose executor trains the pre-trained networks.

    Raises:
        ConfigError: there is no ensemble to start from, or two are asked for.
        InputError: the pre-trained networks cannot be trained.
    """
    kind, init = recipe.prior.kind, config.train.init
    if kind is PriorKind.pretrain and init is not None:
        raise ConfigError(
            "train.prior=pretrain and train.init both give the weights that training starts from; "
            "set one of them."
        )
    if kind is PriorKind.pretrain:
        return PriorKnowledge(initial=_pretrained(config, recipe, job))
    spectra = _spectra(config, recipe) if kind is PriorKind.mix else None
    initial = None if init is None else named_ensemble(init, "train.init", config)
    return PriorKnowledge(spectra, initial)


def labels_or_prior(config: Config, grid: Grid) -> LabelledSet:
    """The labelled set; an empty one where no labels are given and there is a prior to train on."""
    data = config.data
    given = (data.desi.spectra, data.desi.truth, data.boss.spectra, data.boss.truth, data.labels)
    if config.train.prior is not PriorKind.none and not any(given):
        say(NO_LABELS)
        return no_labels(grid)
    return labelled_set(config, grid)


def _spectra(config: Config, recipe: MemberRecipe) -> Path:
    """Folder of the prior's spectra, which are made if they are not there."""
    grid, prior = recipe.structure.grid, recipe.prior
    folder = WorkFolder(config.work).folder_for("prior", prior.fingerprint(grid))
    folder.mkdir(parents=True, exist_ok=True)
    with FileLock(folder / ".lock"):
        if not {REBINNED, LABELS} <= {p.name for p in folder.iterdir()}:
            with progress("spectra of the prior", prior.spectra) as advance:
                made = prior_set(prior.spectra, grid, folder / ".survey", advance)
            made.write(folder)
    return folder


def _pretrained(config: Config, recipe: MemberRecipe, job: Job) -> Path:
    """An ensemble trained on the prior alone; only missing members are trained."""
    recipe = replace(recipe, prior=recipe.prior.alone())
    knowledge = PriorKnowledge(_spectra(config, recipe))
    nothing = no_labels(recipe.structure.grid)
    description = EnsembleDescription.of(recipe, nothing, knows_bal=knowledge.teaches_bal())
    work = WorkFolder(config.work)
    folder = EnsembleFolder(work.folder_for("ensembles", description.fingerprint))
    folder.start(description, nothing.table)
    labelled = work.folder_for("labelled", description.training_set)
    nothing.write(labelled)
    there = {record.member for record in folder.records(config.ensemble.n)}
    missing = sorted(set(range(config.ensemble.n)) - there)
    with progress("pre-training", len(missing)) as advance:
        train_members(
            TrainTask(recipe, labelled, folder, knowledge),
            missing,
            partial(job.executor, recipe.threads),
            lambda record: advance(1, f"member {record.member}: loss {record.loss[-1]:.3f}"),
        )
    evaluate_ensemble(folder, description, nothing, config.ensemble.n)
    return folder.path
