"""The benchmarked workloads: the function that this toolkit runs, and the request that its PyTorch peer gets."""

import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import jax
import numpy as np

from supermask import datasets
from supermask.analysis.command.bench.peers import MODES
from supermask.analysis.studies.protocols import PAPER
from supermask.criteria import CRITERIA, OTHER_READINGS
from supermask.datasets import Dataset, Split
from supermask.keys import Purpose, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer, mask_optimiser
from supermask.lottery import InMemory, RoundRecord, find_tickets, initial_of
from supermask.masks import Rates, full_masks, kept_counts, rank_layers
from supermask.networks import NETWORKS, Params, initialise, kernels_of, layer_kinds, parameter_count
from supermask.population import Placement, place
from supermask.restarts import Treatment, scores_of
from supermask.training import Job, Trainer, TrainingConfig

IMAGE_SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}
NETWORK_STEP, MASKED_NETWORK = "ms a network-step", "ms a masked network"
LATE_ROUNDS = range(16, 25)
FIGURE_10 = tuple(
    name for name in CRITERIA if "gradient" not in CRITERIA[name].needs and CRITERIA[name] not in OTHER_READINGS
)


@dataclass(frozen=True)
class Comparison:
    """A workload. `ours` runs it once; `peer` is the request to PyTorch, or None if nothing is comparable.

    units: network-steps or masked networks in one run of ours.
    peer_units: the same for the peer, in all its processes together, or in each of them if `peer_units_each`.
    modes: the PyTorch versions that are measured, of `peers.MODES` and 'sparse_csr'.
    """

    name: str
    unit: str
    ours: Callable[[], object]
    units: int
    peer: Mapping[str, Any] | None = None
    peer_units: int = 0
    peer_units_each: bool = False
    modes: tuple[str, ...] = MODES

    def time(self) -> float:
        """Return the milliseconds per unit of one run."""
        started = time.perf_counter()
        self.ours()
        return 1000 * (time.perf_counter() - started) / self.units

    def peer_time(self, seconds: float, processes: int) -> float:
        """Return the peer's milliseconds per unit, from the seconds of one run."""
        return 1000 * seconds / (self.peer_units * (processes if self.peer_units_each else 1))


def training(network: str, steps: int, validation: int = 1) -> Comparison:
    """Train a population by Adam in batches of 60, with that many validation images every 100 steps."""
    trainer, jobs = population(network, steps, validation)
    peer = peer_of(network, "training") | {"steps": max(steps // 4, 1) if network == "fc" else steps}
    name = f"{network}: training" + (" and validation" if validation > 1 else "")
    told, ours = peer if validation == 1 else None, partial(trainer.train, jobs)
    return Comparison(name, NETWORK_STEP, ours, steps * len(jobs), told, peer["steps"], peer_units_each=True)


def learning_masks(network: str, steps: int, optimiser: str) -> Comparison:
    """Learn masks by gradient descent on rescaled signed constants, in batches of 250."""
    params, placement = _initial(network), place_for(network, 16)
    config = TrainingConfig(steps, 0.1, PAPER[network].masks.batch_size, evaluate_every=steps)
    jobs = [MaskJob(params, LearnedMask("signed_constant", rescaled=True), seed) for seed in range(placement.slots)]
    chosen = mask_optimiser(optimiser, config.learning_rate, steps)
    trainer = MaskTrainer(NETWORKS[network], data_of(network, 1), config, placement, chosen)
    name = f"{network}: learning a mask, {optimiser}"
    return Comparison(name, NETWORK_STEP, partial(trainer.train, jobs), steps * len(jobs))


def late_rounds(steps: int, networks: int, prepare_steps: int, folder: Path) -> Comparison:
    """Train rounds 16 to 24 of large_final, with masks found on real digits, one population per round."""
    data = datasets.load("mnist5k")
    config = TrainingConfig(prepare_steps, PAPER["fc"].learning_rate)
    trainer = Trainer(NETWORKS["fc"], data, config, place_for("fc", networks))
    records = [
        record
        for record in find_tickets(trainer, Rates(), [Treatment()], range(networks), LATE_ROUNDS[-1], InMemory())
        if record.round in LATE_ROUNDS
    ]
    rounds = [[_job(record) for record in records if record.round == round_] for round_ in LATE_ROUNDS]
    full = Trainer(
        NETWORKS["fc"], data_of("fc", 1), TrainingConfig(steps, config.learning_rate), place_for("fc", networks)
    )

    def ours() -> None:
        for jobs in rounds:
            full.train(jobs)

    file = folder / "masks.npz"
    np.savez(file, **{f"{i}.{n}": mask for i, r in enumerate(records) for n, mask in r.start.masks.items()})  # type: ignore[arg-type]
    peer_steps = max(steps // 20, 1)
    peer = peer_of("fc", "training") | {"steps": peer_steps, "masks": str(file), "networks": len(records)}
    return Comparison(
        "fc: rounds 16 to 24 of large_final", NETWORK_STEP, ours, steps * len(records), peer, peer_steps * len(records)
    )


def masks_and_evaluation(levels: int, folder: Path) -> Comparison:
    """Evaluate masks of 13 criteria at every level, on the initial weights, on 10,000 images.

    Paper figure 7 (post: figure 10).
    """
    data = data_of("fc", 1, test=10_000)
    trainer = Trainer(NETWORKS["fc"], data, TrainingConfig(1, 1e-3), place_for("fc", 32))
    initial, final = (initial_of(NETWORKS["fc"], seed, data.image_shape) for seed in (0, 1))
    kernels = kernels_of(initial)
    facts = kernels, kernels_of(final), full_masks(kernels), None
    rates = Rates().by_layer(layer_kinds(kernels))
    counts = kept_counts({layer: kernel.size for layer, kernel in kernels.items()}, rates, levels - 1)

    def ours() -> None:
        for name in FIGURE_10:
            ranks = rank_layers(derive_key(0, Purpose.TIES), scores_of(CRITERIA[name], *facts), full_masks(kernels))
            trainer.evaluate_levels(initial, ranks, counts)

    np.savez(folder / "test.npz", images=data.test.images, labels=data.test.labels, maximum=data.maximum)
    file = folder / "scores.npz"
    scores = [scores_of(CRITERIA[name], *facts) for name in FIGURE_10]
    np.savez(file, **{f"{c}.{n}": np.asarray(s) for c, layers in enumerate(scores) for n, s in layers.items()})  # type: ignore[arg-type]
    peer = peer_of("fc", "masks") | {
        "scores": str(file),
        "criteria": len(scores),
        "levels": counts,
        "test": str(folder / "test.npz"),
    }
    units = len(FIGURE_10) * levels
    return Comparison(
        "fc: untrained masks, ranking and evaluation", MASKED_NETWORK, ours, units, peer, units, modes=MODES[:2]
    )


def population(network: str, steps: int, validation: int = 1) -> tuple[Trainer, list[Job]]:
    """Return a trainer on random data and one job per slot."""
    protocol, placement = PAPER[network], place_for(network, 16 if network == "fc" else 2)
    params = _initial(network)
    config = TrainingConfig(steps, protocol.learning_rate, protocol.batch_size)
    jobs = [Job(params, full_masks(kernels_of(params)), seed) for seed in range(placement.slots)]
    return Trainer(NETWORKS[network], data_of(network, validation), config, placement), jobs


def _initial(network: str) -> Params:
    return initial_of(NETWORKS[network], 0, _shape(network))


def _job(record: RoundRecord) -> Job:
    return Job(record.start.params, record.start.masks, record.seed)


def place_for(network: str, networks: int) -> Placement:
    """Return the placement of that many networks."""
    return place(parameter_count(NETWORKS[network], _shape(network)), networks=networks)


def _shape(network: str) -> tuple[int, int, int]:
    return IMAGE_SHAPES[PAPER[network].dataset]


def peer_of(network: str, kind: str) -> dict[str, Any]:
    """Describe a network, its data and its batches to PyTorch, whose data is scaled float32 in memory."""
    module = NETWORKS[network]
    params: Params = jax.eval_shape(lambda: initialise(module, jax.random.key(0), _shape(network)))
    return {
        "kind": kind,
        "image": list(_shape(network)),
        "conv_pairs": list(module.conv_pairs),
        "hidden": list(module.hidden),
        "layers": sorted(params, key=_place_in_network),
        "batch": PAPER[network].batch_size,
        "examples": 55_000 if network == "fc" else 5_000,
    }


def _place_in_network(layer: str) -> tuple[int, str]:
    return ("conv", "hidden", "output").index(layer.rstrip("0123456789")), layer


def data_of(network: str, validation: int, test: int = 1) -> Dataset:
    """Return images of the size and shape of the network's data set.

    FC gets the embedded digits, repeated, because evaluation skips pixels that no image uses. The other networks get
    random bytes, because their speed does not depend on the content.
    """
    random = np.random.default_rng(0)
    digits = _digits() if network == "fc" else None

    def split(size: int) -> Split:
        if digits is not None:
            return Split(np.resize(digits.images, (size, *_shape(network))), np.resize(digits.labels, size))
        images = random.integers(0, 256, (size, *_shape(network)), dtype=np.uint8)
        return Split(images, random.integers(0, 10, size).astype(np.int32))

    return Dataset("bench", split(55_000), split(validation), split(test), 255, 10, "", "made for the benchmark")


def _digits() -> Split:
    """Return all embedded digits."""
    data = datasets.load("mnist5k")
    splits = (data.train, data.validation, data.test)
    return Split(*(np.concatenate([getattr(each, part) for each in splits]) for part in ("images", "labels")))
