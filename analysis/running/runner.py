"""Trains and evaluates everything that a study needs and the store does not have.

Call it again to resume after an interrupt.
"""

from supermask.analysis.kinds.base import Context
from supermask.analysis.kinds.plan import by_kind, complete
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.store.checkpoints import FOLDER, FolderCheckpoints, Settling
from supermask.analysis.store.store import Storage
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.work import Watcher
from supermask.analysis.studies.workbench import Workbench
from supermask.resuming import Checkpoints
from supermask.settings import check_numbers


def run(
    experiment: Experiment,
    study: Study,
    store: Storage,
    watch: Watcher = lambda done: None,
    stop: Stop | None = None,
    bench: Workbench | None = None,
) -> None:
    """Train and evaluate everything of the study that the store lacks, kind by kind, and store each population.

    Long trainings leave checkpoints in the store's folder; each is deleted when its results are stored.

    Raises KeyboardInterrupt when `stop` requests it, and ValueError under settings of JAX or Flax that change numbers,
    because a result's name does not include them.
    """
    check_numbers()
    bench = bench or Workbench()
    folder = bench.checkpoints = bench.checkpoints or FolderCheckpoints(store.folder / FOLDER)
    checkpoints: Checkpoints = folder if stop is None else stop.checkpoints(folder)
    watch = watch if stop is None else stop.watcher(watch)
    context = Context(experiment, Settling(store, folder), watch, checkpoints, bench, study)
    for kind, runs in by_kind(complete(study)):
        kind.make(context, runs)
