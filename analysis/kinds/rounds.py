"""Trainings of the unpruned network, and of treatments over their rounds of pruning."""

import time
from collections.abc import Hashable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Any, ClassVar

import numpy as np

from supermask.analysis.kinds.base import FILE_BYTES, RECORD_BYTES, Context, Kind, Named
from supermask.analysis.kinds.fields import TEXT, WHOLE, ColumnTypes, Parts
from supermask.analysis.kinds.layout import check_array, check_curves, check_mask, params_of
from supermask.analysis.kinds.leaves import check_others, decode_others, encode_others, others_size
from supermask.analysis.kinds.metrics import CURVES, TRAINING_METRICS, training_metrics
from supermask.analysis.store.identity import REVISIONS, Description
from supermask.analysis.store.store import Result, Storage
from supermask.analysis.studies.experiment import (
    Experiment,
    choices_of,
    dense_kernels,
    plugins_of,
    rates_by_layer,
    rates_of,
    without_defaults,
)
from supermask.analysis.studies.protocols import Protocol
from supermask.analysis.studies.recipes import SETTINGS
from supermask.analysis.studies.rules import rules_of
from supermask.analysis.system.words import count
from supermask.bits import pack, unpack
from supermask.live_weights import pays
from supermask.lottery import RoundRecord, find_tickets
from supermask.masks import Masks, kept_counts
from supermask.networks import Kernels, Params, kernels_of
from supermask.restarts import End, Treatment, zeroed_of
from supermask.training import Trainer

UNPRUNED = "unpruned"
"""Name in place of a treatment for round 0, which has none."""

_DEFAULTS = choices_of(Treatment())


@dataclass(frozen=True)
class Unpruned:
    """The unpruned network's training: round 0, which every treatment of a seed starts from."""


@dataclass(frozen=True)
class There:
    """A run of rounds on the experiment's other data set, from the same initial weights."""

    run: Treatment | Unpruned


RoundsRun = Treatment | Unpruned | There


class Rounds(Kind[RoundsRun]):
    """Trainings of the lottery ticket algorithm: one result per round."""

    name, plural = "training", "trainings"
    run_types = (Unpruned, Treatment, There)
    required = ("round",)
    parts: ClassVar[Parts] = {
        "treatment": {
            **dict.fromkeys(("criterion", "kept", "pruned", "schedule", "ranking"), TEXT),
            "rewind_step": WHOLE,
        }
    }
    column_types: ClassVar[ColumnTypes] = {
        **dict.fromkeys(("criterion", "kept", "pruned", "schedule", "ranking"), "text"),
        "rewind_step": "whole",
    }
    metrics = ("weights_remaining", *TRAINING_METRICS)
    has_arrays = True
    chained = True

    def describe(self, experiment: Experiment, run: RoundsRun, seed: int) -> Sequence[Description]:
        """Describe round 0 for the unpruned network, rounds 1 and later for a treatment."""
        if isinstance(run, There):
            return self.describe(experiment.there, run.run, seed)
        base = experiment.describe(self.name, seed)
        if isinstance(run, Unpruned):
            return (base | {"round": 0},)
        run = experiment.treated(run)
        own: Description = {"treatment": without_defaults(run)} | rates_of(experiment)
        own |= plugins_of(run.criterion, run.kept, run.pruned) | rules_of(run)
        revisions = _revisions(experiment, run)
        return tuple(base | {"round": round_, "revision": each} | own for round_, each in enumerate(revisions, 1))

    def sources(self, run: RoundsRun) -> Sequence[Hashable]:
        """Return the unpruned network's training for a treatment."""
        if isinstance(run, There):
            return [There(Unpruned()) for _ in self.sources(run.run)]
        return () if isinstance(run, Unpruned) else (Unpruned(),)

    def group(self, run: RoundsRun) -> str:
        """Separate round 0, which comes before all others, and the other data set."""
        if isinstance(run, There):
            return f"{self.group(run.run)} there"
        return "round 0" if isinstance(run, Unpruned) else "rounds"

    def make(self, context: Context, runs: Sequence[RoundsRun]) -> None:
        """Train the rounds that the store lacks, all runs side by side, a round at a time; other data's last."""
        if there := [run.run for run in runs if isinstance(run, There)]:
            self.make(context, [run for run in runs if not isinstance(run, There)])
            self.make(context.there, there)
            return
        experiment = context.experiment
        every = [(run, seed) for run in runs for seed in experiment.seeds]
        lacking = self.missing(context, every)
        if not lacking:
            return
        memory = StoredRounds(context)
        treatments = dict.fromkeys(experiment.treated(run) for run, _ in lacking if isinstance(run, Treatment))
        seeds = [seed for seed in experiment.seeds if seed in {seed for _, seed in lacking}]
        rates, rounds = experiment.protocol.rates, experiment.protocol.rounds
        for _ in find_tickets(trainer_of(context), rates, list(treatments), seeds, rounds, memory, context.steps()):
            pass

    def columns(self, description: Description) -> dict[str, Any]:
        """Return the treatment, including defaults."""
        if "treatment" in description:
            return _DEFAULTS | description["treatment"]
        return dict.fromkeys(("criterion", "kept", "pruned"), UNPRUNED)

    def check_arrays(self, description: Description, arrays: Mapping[str, np.ndarray]) -> None:
        """Check parameters at both ends of round 0, or the differences of a later round."""
        check_curves(arrays)
        params = params_of(description)
        if params is None:
            return
        if description["round"] == 0:
            for part, (layer, leaves) in product(("initial", "final"), params.items()):
                for name, leaf in leaves.items():
                    check_array(arrays, f"{part}.{layer}.{name}", "f", leaf.shape)
            if set(decode_round_zero(arrays)[0]) | set(decode_round_zero(arrays)[1]) != set(params):
                raise ValueError("its arrays have other layers than its network")
            return
        for layer, kernel in kernels_of(params).items():
            check_array(arrays, f"kept.{layer}", "f", (check_mask(arrays, f"mask.{layer}", kernel.size),))
        check_others(arrays, params)
        decode_round(arrays, kernels_of(params))

    def uses(self, run: RoundsRun) -> frozenset[str]:
        """Return the fields; pruning does not matter to the unpruned network, nor the ranking to a global one."""
        if isinstance(run, There):
            return self.uses(run.run)
        if isinstance(run, Unpruned):
            return frozenset({"epochs", *SETTINGS})
        ranking = {"ranking"} if run.ranking == "layer" else set()
        return frozenset({"epochs", "rounds", "rates", *ranking, *SETTINGS})

    def length(self, protocol: Protocol, runs: Sequence[RoundsRun]) -> str:
        """Return epochs and rounds."""
        if all(run in (Unpruned(), There(Unpruned())) for run in runs):
            return count(protocol.epochs, "epoch")
        return f"{count(protocol.epochs, 'epoch')} a round, {count(protocol.rounds, 'round')}"

    def work(self, experiment: Experiment, description: Description) -> float:
        """Return its steps; fewer after rewinding to a later step."""
        return float(description["steps"] - description.get("treatment", {}).get("rewind_step", 0))

    def size(self, experiment: Experiment, description: Description, params: Params) -> float:
        """Return the bytes: round 0 is stored whole, a later round by its differences."""
        kernels = kernels_of(params)
        weights = sum(kernel.size for kernel in kernels.values())
        biases = others_size(params)
        evaluations = description["steps"] // description["evaluate_every"] + 2
        if "treatment" not in description:
            return RECORD_BYTES + FILE_BYTES + 8 * (weights + biases) + 12 * evaluations
        ranking = description["treatment"].get("ranking", "layer")
        live = _live_weights(experiment, ranking, kernels, description["round"])[-1]
        frozen = description["treatment"].get("pruned", "zero") != "zero"
        content = weights / 8 + 4 * (live + biases) + frozen * (weights - live) / 8 + 12 * evaluations
        return RECORD_BYTES + FILE_BYTES + content


ROUNDS = Rounds()


def _revisions(experiment: Experiment, run: Treatment) -> list[int]:
    """Return the revision of each round's code: later, sparser rounds may be trained on live weights alone.

    A user-defined action may freeze all pruned weights at 0. Only plain recipes are trained so.
    """
    rounds = experiment.protocol.rounds
    if not experiment.protocol.recipe.plain or not (kernels := dense_kernels(experiment)):
        return [REVISIONS["pruned training"]] * rounds
    whole, *left = _live_weights(experiment, run.ranking, kernels, rounds)
    zeros = run.pruned.name == "zero" or bool(run.pruned.source)
    steps = experiment.training.steps - run.rewind_step
    live = [zeros and pays(whole, each, steps) for each in left]
    return [REVISIONS["live training" if each else "pruned training"] for each in live]


def _live_weights(experiment: Experiment, ranking: str, kernels: Kernels, rounds: int) -> list[int]:
    """Return the number of the network's live weights after 0, 1, ..., `rounds` rounds of pruning."""
    sizes = {layer: kernel.size for layer, kernel in kernels.items()}
    if ranking == "global":
        counts = kept_counts({"": sum(sizes.values())}, {"": experiment.protocol.rates.dense}, rounds)
    else:
        counts = kept_counts(sizes, rates_by_layer(experiment), rounds)
    return [sum(each.values()) for each in counts]


def trainer_of(context: Context) -> Trainer:
    """Return the trainer of the experiment's rounds, which also evaluates masks on untrained networks.

    It has slots for all of the study's treatments and seeds.
    """
    experiment = context.experiment
    networks = max(len(context.study.of(Treatment)), 1) * len(experiment.seeds)

    def make() -> Trainer:
        placement, given = context.slots(networks, networks), (experiment.data, experiment.training)
        recipe = experiment.protocol.recipe
        return Trainer(experiment.network, *given, placement, checkpoints=context.checkpoints, recipe=recipe)

    return context.bench.trainer((ROUNDS.name, experiment.data.digest, context.bench.slots(networks)), make)


def round_zero(experiment: Experiment, store: Storage, seed: int) -> tuple[Params, Params]:
    """Return initial and final parameters of a seed's stored round 0."""
    return decode_round_zero(store.arrays(ROUNDS.results(experiment, Unpruned(), seed)[0].id))


class StoredRounds:
    """A `lottery.Memory` backed by a store: stored rounds are not trained again."""

    def __init__(self, context: Context) -> None:
        self._context = context
        self._round_zero: dict[int, tuple[Params, Params]] = {}
        self._since = time.monotonic()

    def has(self, treatment: Treatment | None, seed: int, round_: int) -> bool:
        """Return whether that round is stored."""
        return bool(self._context.store.known([self._id(treatment, seed, round_)]))

    def round_zero(self, seed: int) -> tuple[Params, Params]:
        """Return initial parameters, and those at the end of round 0."""
        if seed not in self._round_zero:
            self._round_zero[seed] = round_zero(self._context.experiment, self._context.store, seed)
        return self._round_zero[seed]

    def end_of_round(self, treatment: Treatment, seed: int, round_: int) -> End:
        """Return the end of a later round."""
        arrays = self._context.store.arrays(self._id(treatment, seed, round_))
        return decode_round(arrays, kernels_of(self.round_zero(seed)[0]))

    def remember(self, records: Sequence[RoundRecord]) -> None:
        """Store the rounds of one population in one transaction."""
        now = time.monotonic()
        seconds, self._since = (now - self._since) / len(records), now
        self._context.keep(ROUNDS.name, [self._result(record, seconds) for record in records])

    def _result(self, record: RoundRecord, seconds: float) -> Result:
        initial = record.start.params if record.treatment is None else self.round_zero(record.seed)[0]
        description = self._named(record.treatment, record.seed, record.round).description
        metrics = {"weights_remaining": record.weights_remaining} | training_metrics(record.trained)
        return Result(description, metrics, encode(record, initial), seconds)

    def _named(self, treatment: Treatment | None, seed: int, round_: int) -> Named:
        run = Unpruned() if treatment is None else treatment
        return ROUNDS.results(self._context.experiment, run, seed)[max(round_ - 1, 0)]

    def _id(self, treatment: Treatment | None, seed: int, round_: int) -> str:
        return self._named(treatment, seed, round_).id


def encode(record: RoundRecord, initial: Params) -> dict[str, np.ndarray]:
    """Return the arrays of a round's record; `initial` are the seed's initial parameters.

    Round 0 is stored whole. A later round is stored by its differences: the mask as bits, the kept weights' final
    values, which pruned weights are frozen at their initial value rather than at 0, and, where an action asks for it,
    which kept weights started at 0. At 1% of weights that is a fiftieth of the network's size.
    """
    final = record.trained.params
    arrays = {f"curve.{name}": np.asarray(getattr(record.trained, name)) for name in CURVES}
    if record.treatment is None:
        for layer, leaves in initial.items():
            arrays |= {f"initial.{layer}.{name}": np.asarray(leaf) for name, leaf in leaves.items()}
            arrays |= {f"final.{layer}.{name}": np.asarray(final[layer][name]) for name in leaves}
        return arrays
    for layer, kernel in kernels_of(final).items():
        mask = np.asarray(record.start.masks[layer])
        arrays[f"mask.{layer}"] = pack(mask)
        arrays[f"kept.{layer}"] = np.asarray(kernel)[mask]
        arrays |= _encode_frozen(layer, np.asarray(kernel)[~mask], np.asarray(initial[layer]["kernel"])[~mask])
    arrays |= encode_others(final)
    zeroed = zeroed_of(record.start, initial) if record.treatment.asks_for_zeros else {}
    for layer, places in zeroed.items():
        arrays[f"zeroed.{layer}"] = np.packbits(np.asarray(places)[np.asarray(record.start.masks[layer])])
    return arrays


def decode_round_zero(arrays: Mapping[str, np.ndarray]) -> tuple[Params, Params]:
    """Return initial and final parameters of round 0."""

    def tree(part: str) -> Params:
        params: Params = {}
        for name, array in arrays.items():
            if name.startswith(part + "."):
                layer, _, leaf = name.removeprefix(part + ".").rpartition(".")
                params.setdefault(layer, {})[leaf] = array
        return {layer: params[layer] for layer in sorted(params)}

    return tree("initial"), tree("final")


def decode_round(arrays: Mapping[str, np.ndarray], initial: Kernels) -> End:
    """Return the end of a later round; `initial` are the seed's initial kernels."""
    masks: Masks = {}
    kernels: Kernels = {}
    zeroed: Masks = {}
    params = decode_others(arrays)
    for layer, start in initial.items():
        mask: np.ndarray = unpack(arrays[f"mask.{layer}"], start.shape)
        kernel = np.zeros(start.shape, np.float32)
        kernel[mask] = arrays[f"kept.{layer}"]
        kernel[~mask] = _decode_frozen(layer, arrays, np.asarray(start)[~mask])
        masks[layer], kernels[layer] = mask, kernel
        params[layer] = {"kernel": kernel, **params.get(layer, {})}
        if f"zeroed.{layer}" in arrays:
            zeroed[layer] = np.zeros(start.shape, bool)
            zeroed[layer][mask] = np.unpackbits(arrays[f"zeroed.{layer}"], count=int(mask.sum())).astype(bool)
    return End(masks, kernels, zeroed, params)


def _encode_frozen(layer: str, frozen: np.ndarray, initial: np.ndarray) -> dict[str, np.ndarray]:
    bits = frozen.view(np.uint32)
    at_zero, at_initial = bits == 0, bits == initial.view(np.uint32)
    if at_zero.all():
        return {}
    if (at_zero | at_initial).all():
        return {f"frozen_at_initial.{layer}": np.packbits(~at_zero)}
    return {f"frozen.{layer}": frozen}


def _decode_frozen(layer: str, arrays: Mapping[str, np.ndarray], initial: np.ndarray) -> np.ndarray:
    if f"frozen.{layer}" in arrays:
        return arrays[f"frozen.{layer}"]
    if f"frozen_at_initial.{layer}" in arrays:
        at_initial = np.unpackbits(arrays[f"frozen_at_initial.{layer}"], count=initial.size).astype(bool)
        return np.where(at_initial, initial, np.float32(0))
    return np.zeros_like(initial)
