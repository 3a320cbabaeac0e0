"""Running what the store lacks.

The runner asks the store which results of a study are missing, trains and evaluates them in populations, and stores
each population as it is done. What is interrupted is taken up again by calling it again.
"""

import time
from collections.abc import Mapping, Sequence
from itertools import product

import numpy as np

from analysis.arrays import decode_round, decode_round_zero, encode
from analysis.checkpoints import FOLDER, FolderCheckpoints, Settling
from analysis.compression_runs import run_compression, run_dsd
from analysis.graph_runs import run_graphs, run_shared
from analysis.interrupts import Stop
from analysis.learned_runs import run_learned
from analysis.metrics import training_metrics
from analysis.provenance import provenance
from analysis.sparse_runs import run_sparse
from analysis.store import Result, Storage
from analysis.studies import Experiment, Study, Untrained, identity
from analysis.work import Done, Watcher, steps_teller
from analysis.workbench import Workbench
from supermask.criteria import CRITERIA, Criterion
from supermask.datasets import check_content
from supermask.evaluation import Scores
from supermask.intervals import Checkpoints
from supermask.keys import Purpose, derive_key
from supermask.lottery import End, RoundRecord, Treatment, find_tickets, scores_of
from supermask.masks import full_masks, kept_counts, rank_layers
from supermask.networks import NETWORKS, Kernels, Params, kernels_of, layer_kinds, parameter_count
from supermask.population import place
from supermask.settings import check_numbers
from supermask.supermasks import untrained_network
from supermask.training import Trainer


def make_trainer(experiment: Experiment, networks: int, checkpoints: Checkpoints | None = None) -> Trainer:
    """A trainer for the experiment on all local devices, with slots for no more networks than there will be."""
    network = NETWORKS[experiment.protocol.network]
    placement = place(parameter_count(network, experiment.data.image_shape), networks=networks)
    return Trainer(network, experiment.data, experiment.training, placement, checkpoints=checkpoints)


def run(
    experiment: Experiment,
    study: Study,
    store: Storage,
    watch: Watcher = lambda done: None,
    stop: Stop | None = None,
    bench: Workbench | None = None,
) -> None:
    """Trains and evaluates everything of the study that the store lacks, storing as it goes.

    Trainings that take long leave checkpoints in the store's folder; each goes when its results are stored. Raises
    KeyboardInterrupt where `stop` asks for it, DataError where the data set's digest is not that of its content, and
    ValueError under settings of JAX or Flax that change numbers, which are no part of a result's name.
    """
    check_numbers()
    check_content(experiment.data)
    bench = bench or Workbench()
    folder = bench.checkpoints = bench.checkpoints or FolderCheckpoints(store.folder / FOLDER)
    store = Settling(store, folder)
    checkpoints: Checkpoints = folder if stop is None else stop.checkpoints(folder)
    watch = watch if stop is None else stop.watcher(watch)
    networks = bench.slots(max(len(study.treatments), 1) * len(experiment.seeds))
    trainer = bench.trainer(("rounds", networks), lambda: make_trainer(experiment, networks, checkpoints))
    memory = StoredRounds(experiment, store, watch)
    treatments, seeds = _unfinished(experiment, study, store)
    protocol = experiment.protocol
    for _ in find_tickets(trainer, protocol.rates, treatments, seeds, protocol.rounds, memory, steps_teller(watch)):
        pass
    for seed in experiment.seeds:
        _run_untrained(experiment, study.untrained, seed, store, trainer, memory, watch)
    run_learned(experiment, study.learned, store, watch, checkpoints, bench)
    run_sparse(experiment, study.sparse, store, watch, bench)
    run_dsd(experiment, study.dsd, store, watch)
    run_compression(experiment, study.compressed, store, watch, bench)
    run_graphs(experiment, study.graphs, store, watch, bench)
    run_shared(experiment, study.shared, store, watch)


def _unfinished(experiment: Experiment, study: Study, store: Storage) -> tuple[list[Treatment], list[int]]:
    """The treatments and the seeds that lack a round."""

    def lacks(treatment: Treatment | None, seed: int) -> bool:
        rounds = [0] if treatment is None else range(1, experiment.protocol.rounds + 1)
        ids = [identity(experiment.describe_training(treatment, seed, round_)) for round_ in rounds]
        return len(store.known(ids)) < len(ids)

    first = [None] if study.has_round_zero else []
    lacking = [run for run in product([*first, *study.treatments], experiment.seeds) if lacks(*run)]
    treatments = dict.fromkeys(treatment for treatment, _ in lacking if treatment is not None)
    return list(treatments), [seed for seed in experiment.seeds if seed in {seed for _, seed in lacking}]


class StoredRounds:
    """A `lottery.Memory` on a store: a round that is stored is not trained again."""

    def __init__(self, experiment: Experiment, store: Storage, watch: Watcher) -> None:
        self._experiment = experiment
        self._store = store
        self._watch = watch
        self._round_zero: dict[int, tuple[Params, Params]] = {}
        self._since = time.monotonic()

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Whether that round is stored."""
        return bool(self._store.known([self._id(treatment, seed, round_)]))

    def round_zero(self, seed: int) -> tuple[Params, Kernels]:
        """Initial parameters, and kernels at the end of round 0."""
        initial, final = self.round_zero_params(seed)
        return initial, kernels_of(final)

    def round_zero_params(self, seed: int) -> tuple[Params, Params]:
        """Initial and final parameters of round 0."""
        if seed not in self._round_zero:
            self._round_zero[seed] = decode_round_zero(self._store.arrays(self._id(None, seed, 0)))
        return self._round_zero[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """How a later round ended."""
        arrays = self._store.arrays(self._id(treatment, seed, round_))
        return decode_round(arrays, kernels_of(self.round_zero(seed)[0]))

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Stores the rounds of one population in one transaction."""
        now = time.monotonic()
        seconds, self._since = (now - self._since) / len(records), now
        self._store.add([self._result(record, seconds) for record in records], provenance())
        self._watch(Done(results=len(records)))

    def _result(self, record: RoundRecord, seconds: float) -> Result:
        initial = record.start.params if record.treatment is None else self.round_zero(record.seed)[0]
        return Result(
            self._experiment.describe_training(record.treatment, record.seed, record.round),
            {"weights_remaining": record.weights_remaining} | training_metrics(record.trained),
            encode(record, initial),
            seconds,
        )

    def _id(self, treatment: Treatment | None, seed: int, round_: int) -> str:
        return identity(self._experiment.describe_training(treatment, seed, round_))


def _run_untrained(
    experiment: Experiment,
    untrained: Sequence[Untrained],
    seed: int,
    store: Storage,
    trainer: Trainer,
    memory: StoredRounds,
    watch: Watcher,
) -> None:
    """Evaluates one seed's untrained networks under the one-shot masks of every criterion, at every level."""
    rounds = experiment.protocol.rounds
    missing = {}
    for each in untrained:
        ids = {level: identity(experiment.describe_untrained(each, seed, level)) for level in range(rounds + 1)}
        stored = store.known(ids.values())
        if levels := [level for level, id_ in ids.items() if id_ not in stored]:
            missing[each] = levels
    if not missing:
        return
    initial, final = memory.round_zero_params(seed)
    kernels = kernels_of(initial)
    rates = experiment.protocol.rates.by_layer(layer_kinds(kernels))
    counts = kept_counts({layer: kernel.size for layer, kernel in kernels.items()}, rates, rounds)
    for name in dict.fromkeys(each.criterion for each in missing):
        ranks = _one_shot_ranks(CRITERIA[name], seed, trainer, initial, final)
        for each, levels in missing.items():
            if each.criterion != name:
                continue
            started = time.monotonic()
            scores = trainer.evaluate_levels(
                untrained_network(initial, each.weights), ranks, [counts[k] for k in levels]
            )
            seconds = (time.monotonic() - started) / len(levels)
            store.add(
                [
                    Result(
                        experiment.describe_untrained(each, seed, level),
                        _untrained_metrics(score, counts[level], counts[0]),
                        None,
                        seconds,
                    )
                    for level, score in zip(levels, scores, strict=True)
                ],
                provenance(),
            )
            work = len(levels) * experiment.work_of(experiment.describe_untrained(each, seed, 0))
            watch(Done(work, "untrained", len(levels)))


def _one_shot_ranks(
    criterion: Criterion, seed: int, trainer: Trainer, initial: Params, final: Params
) -> Mapping[str, np.ndarray]:
    """One ranking a layer, which every level of sparsity is cut from."""
    masks = full_masks(kernels_of(initial))
    gradient = trainer.gradients(initial) if "gradient" in criterion.needs else None
    scores = scores_of(criterion, kernels_of(initial), kernels_of(final), masks, gradient)
    return rank_layers(derive_key(seed, Purpose.TIES), scores, masks)


def _untrained_metrics(scores: Scores, kept: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, float]:
    return {
        "weights_remaining": sum(kept.values()) / sum(sizes.values()),
        "test_accuracy": float(scores.accuracy),
        "test_loss": float(scores.loss),
    }
