"""Says what a simulated loop costs before it starts."""

from math import ceil

from qnal.executors.tasks import made
from qnal.learning.cost import seconds_per_round
from qnal.learning.study import Study
from qnal.progress import say
from qnal.stages import Job


def say_cost(study: Study, job: Job) -> None:
    """Print the number of trainings, seconds for each, and the time that all take here."""
    plan, task = study.plan, study.task
    fit, extra = task.recipe.hyperparameters, task.recipe.prior.rows_per_epoch
    sizes = [labels + extra for labels in plan.labels]
    steps = [fit.epochs_for(rows) * ceil(rows / fit.batch_size) for rows in sizes]
    seconds = [seconds_per_round(task.recipe, task.members, n, task.store) for n in steps]
    pool = made(lambda: job.executor(task.recipe.threads))
    workers = getattr(pool, "_max_workers", None) or 1
    pool.shutdown(wait=False, cancel_futures=True)
    # A round is one unit of work; the seed rounds come first, then the strategies side by side.
    priors = max(len(plan.priors), 1)
    total = ceil(plan.repeats * (priors + plan.cold) / workers) * seconds[0]
    total += ceil(plan.repeats * len(plan.arms()) / workers) * sum(seconds[1:])
    several = "s" if workers > 1 else ""
    start = (
        "Every training continues from the networks of the round before, except those of the seed "
        "labels, which"
        if task.warm_start
        else "Every training starts from new weights; those of the seed labels"
    )
    say(
        f"{plan.trainings} trainings of {task.members} members, {_span(steps)} steps each: about "
        f"{_span(seconds)} s per training, {_duration(total)} here with {workers} "
        f"worker{several}. Trainings found in {task.store.path} are not repeated. "
        f"{start} are shared by the strategies of a repeat."
    )


def _span(numbers: list[int] | list[float]) -> str:
    low, high = f"{min(numbers):.0f}", f"{max(numbers):.0f}"
    return low if low == high else f"{low} to {high}"


def _duration(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} minutes" if seconds < 5400 else f"{seconds / 3600:.1f} hours"
