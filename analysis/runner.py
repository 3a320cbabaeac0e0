"""Running what the store lacks.

The runner asks the store which results of a study are missing, trains and evaluates them in populations, and stores
each population as it is done. What is interrupted is taken up again by calling it again.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import jax

from analysis.arrays import decode_round, decode_round_zero, encode
from analysis.provenance import provenance
from analysis.store import Result, Store
from analysis.studies import Experiment, Study, Untrained, identity
from supermask.criteria import CRITERIA, Criterion, score_layers_jit
from supermask.keys import Purpose, derive_key
from supermask.lottery import RoundRecord, Treatment, facts_of, find_tickets
from supermask.masks import Masks, full_masks, kept_counts, rank_layers
from supermask.networks import NETWORKS, Kernels, Params, kernels_of, layer_kinds, parameter_count
from supermask.population import place
from supermask.supermasks import masked_networks
from supermask.training import Scores, Trained, Trainer


@dataclass(frozen=True)
class Workload:
    """What is to be done for a study, and what of it is stored. `steps` are network-steps still to be taken."""

    trainings: int
    trainings_stored: int
    evaluations: int
    evaluations_stored: int
    steps: int


@dataclass(frozen=True)
class Done:
    """Told to whoever watches: network-steps, trainings or evaluations done since the last word."""

    steps: int = 0
    trainings: int = 0
    evaluations: int = 0


Watcher = Callable[[Done], None]


def workload(experiment: Experiment, study: Study, store: Store) -> Workload:
    """Counts a study's results, stored and missing."""
    descriptions = {identity(d): d for d in experiment.descriptions(study)}
    stored = store.known(descriptions)
    kinds = [(d["kind"], id_ in stored) for id_, d in descriptions.items()]
    trainings, evaluations = (sum(kind == k for kind, _ in kinds) for k in ("training", "untrained"))
    trainings_stored, evaluations_stored = (kinds.count((k, True)) for k in ("training", "untrained"))
    steps = sum(
        d["steps"] - d.get("treatment", {}).get("rewind_step", 0)
        for id_, d in descriptions.items()
        if d["kind"] == "training" and id_ not in stored
    )
    return Workload(trainings, trainings_stored, evaluations, evaluations_stored, steps)


def missing_results(experiment: Experiment, study: Study, store: Store) -> int:
    """How many of a study's results are not stored."""
    ids = {identity(description) for description in experiment.descriptions(study)}
    return len(ids - store.known(ids))


def make_trainer(experiment: Experiment, networks: int) -> Trainer:
    """A trainer for the experiment on all local devices, with slots for no more networks than there will be."""
    network = NETWORKS[experiment.protocol.network]
    placement = place(parameter_count(network, experiment.data.image_shape), networks=networks)
    return Trainer(network, experiment.data, experiment.training, placement)


def run(experiment: Experiment, study: Study, store: Store, watch: Watcher = lambda done: None) -> None:
    """Trains and evaluates everything of the study that the store lacks, storing as it goes."""
    trainer = make_trainer(experiment, max(len(study.treatments), 1) * experiment.protocol.seeds)
    memory = StoredRounds(experiment, store, watch)
    steps_done = lambda steps: watch(Done(steps=steps))  # noqa: E731
    protocol = experiment.protocol
    for _ in find_tickets(
        trainer, protocol.rates, study.treatments, experiment.seeds, protocol.rounds, memory, steps_done
    ):
        pass
    for seed in experiment.seeds:
        _run_untrained(experiment, study.untrained, seed, store, trainer, memory, watch)


class StoredRounds:
    """A `lottery.Memory` on the store: a round that is stored is not trained again."""

    def __init__(self, experiment: Experiment, store: Store, watch: Watcher) -> None:
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

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> tuple[Masks, Kernels]:
        """Masks of a later round, and kernels at its end."""
        arrays = self._store.arrays(self._id(treatment, seed, round_))
        return decode_round(arrays, kernels_of(self.round_zero(seed)[0]))

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Stores the rounds of one population in one transaction."""
        now = time.monotonic()
        seconds, self._since = (now - self._since) / len(records), now
        self._store.add([self._result(record, seconds) for record in records], provenance())
        self._watch(Done(trainings=len(records)))

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


def training_metrics(trained: Trained) -> dict[str, float]:
    """The metrics of a training: accuracies are fractions, losses nats, early_stop_step the papers' early stopping."""
    return {
        "test_accuracy": float(trained.test_at_early_stop.accuracy),
        "test_loss": float(trained.test_at_early_stop.loss),
        "test_accuracy_at_end": float(trained.test_at_end.accuracy),
        "test_loss_at_end": float(trained.test_at_end.loss),
        "early_stop_step": float(trained.early_stop),
        "validation_accuracy": float(trained.validation_at_early_stop.accuracy),
        "validation_loss": float(trained.validation_at_early_stop.loss),
        "validation_accuracy_at_end": float(trained.validation_at_end.accuracy),
        "validation_loss_at_end": float(trained.validation_at_end.loss),
    }


_rank_layers = jax.jit(rank_layers)


def _run_untrained(
    experiment: Experiment,
    untrained: Sequence[Untrained],
    seed: int,
    store: Store,
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
            scores = trainer.evaluate(masked_networks(initial, each.weights, ranks, [counts[k] for k in levels]))
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
            watch(Done(evaluations=len(levels)))


def _one_shot_ranks(
    criterion: Criterion, seed: int, trainer: Trainer, initial: Params, final: Params
) -> Mapping[str, jax.Array]:
    """One ranking a layer, which every level of sparsity is cut from."""
    masks = full_masks(kernels_of(initial))
    gradient = trainer.gradients(initial) if "gradient" in criterion.needs else None
    facts = facts_of(kernels_of(initial), kernels_of(final), masks, gradient)
    return _rank_layers(derive_key(seed, Purpose.TIES), score_layers_jit(criterion, facts), masks)


def _untrained_metrics(scores: Scores, kept: Mapping[str, int], sizes: Mapping[str, int]) -> dict[str, float]:
    return {
        "weights_remaining": sum(kept.values()) / sum(sizes.values()),
        "test_accuracy": float(scores.accuracy),
        "test_loss": float(scores.loss),
    }
