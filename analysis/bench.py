"""How fast populations train here: the one number that thousands of small trainings turn on."""

import statistics
import time
from typing import Any

import numpy as np
from rich.console import Console

from analysis.errors import at_least, choose
from analysis.protocols import PAPER
from analysis.provenance import provenance
from supermask.datasets import Dataset, Split
from supermask.keys import Purpose, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer, mask_optimiser
from supermask.masks import full_masks
from supermask.networks import NETWORKS, Params, initialise, kernels_of, parameter_count
from supermask.population import Placement, place
from supermask.training import Job, Trainer, TrainingConfig

IMAGE_SHAPES = {"mnist": (28, 28, 1), "cifar10": (32, 32, 3)}


def bench(network: str, pairs: int, steps: int | None = None) -> None:
    """Prints milliseconds a network-step: medians of runs taken in turn.

    Training weights, without and with validation every 100 steps; and learning masks, in batches of 250.
    `steps` is the length of a training: by default 1,000 for fc, 20 for the others. Data is random, of the size and
    shape of the network's data set; speed does not depend on what an image shows.
    Raises UsageError for an unknown network, or fewer than one pair or step.
    """
    choose("network", network, PAPER)
    at_least("pairs", pairs, 1)
    steps = (1000 if network == "fc" else 20) if steps is None else steps
    at_least("steps", steps, 1)
    console = Console(highlight=False)
    trainers: dict[str, tuple[Any, list[Any]]] = {
        "training": _trainer(network, steps, validation=1),
        "training and validation": _trainer(network, steps, validation=5000),
        "learning a mask, SGD": _mask_trainer(network, steps, "sgd"),
        "learning a mask, Adam": _mask_trainer(network, steps, "adam"),
    }
    seconds: dict[str, list[float]] = {name: [] for name in trainers}
    for turn in range(pairs + 1):
        for name, (trainer, jobs) in trainers.items():
            started = time.perf_counter()
            trainer.train(jobs)
            if turn:  # the first one compiles
                seconds[name].append((time.perf_counter() - started) / (steps * len(jobs)))
    made_with = provenance()
    console.print(
        f"{network}, batch 60 (masks: 250), {made_with['devices']} × {made_with['device']}, jax {made_with['jax']}"
    )
    for name, times in seconds.items():
        low, median, high = (1000 * f(times) for f in (min, statistics.median, max))
        console.print(f"{name:24} {median:.3f} ms a network-step (median of {pairs}; {low:.3f} to {high:.3f})")


def _trainer(network: str, steps: int, validation: int) -> tuple[Trainer, list[Job]]:
    protocol = PAPER[network]
    params, placement = _network(network)
    config = TrainingConfig(steps, protocol.learning_rate, protocol.batch_size)
    jobs = [Job(params, full_masks(kernels_of(params)), seed) for seed in range(placement.slots)]
    return Trainer(NETWORKS[network], _data(network, validation), config, placement), jobs


def _mask_trainer(network: str, steps: int, optimiser: str) -> tuple[MaskTrainer, list[MaskJob]]:
    params, placement = _network(network)
    config = TrainingConfig(steps, 0.1, PAPER[network].masks.batch_size, evaluate_every=max(steps, 1))
    jobs = [MaskJob(params, LearnedMask("signed_constant", rescaled=True), seed) for seed in range(placement.slots)]
    chosen = mask_optimiser(optimiser, config.learning_rate, steps)
    return MaskTrainer(NETWORKS[network], _data(network, 1), config, placement, chosen), jobs


def _network(network: str) -> tuple[Params, Placement]:
    shape = IMAGE_SHAPES[PAPER[network].dataset]
    params = initialise(NETWORKS[network], derive_key(0, Purpose.INITIAL_WEIGHTS), shape)
    return params, place(parameter_count(NETWORKS[network], shape), networks=16 if network == "fc" else 2)


def _data(network: str, validation: int) -> Dataset:
    shape = IMAGE_SHAPES[PAPER[network].dataset]
    random = np.random.default_rng(0)

    def split(size: int) -> Split:
        images = random.integers(0, 256, (size, *shape), dtype=np.uint8)
        return Split(images, random.integers(0, 10, size).astype(np.int32))

    return Dataset("random", split(55000), split(validation), split(1), 255, 10, "", "random bytes")
