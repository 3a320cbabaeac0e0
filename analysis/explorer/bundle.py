"""The bundle: the data from which the page computes, in a few files that any web server can serve.

    bundle.json     provenance, layers, levels, labels, the criteria's formulas, and the scalars whose value depends on
                    the order of a sum, which the page reads instead of computing them
    images.bin      the first 1,000 test images, one byte per pixel
    training.bin    the first 3,500 training images, on which the page trains
    seed-N.bin      one seed's initial and final kernels, layer by layer, in float32: first the lowest byte of every
                    weight, then the next (such planes compress better than whole numbers); then, one byte per weight,
                    the last round of iterative pruning that kept it

The .bin files are zlib streams. The bundle holds the masks of iterative pruning only, because their networks were
trained in every round. The page computes all other masks from the weights, by the rules of `supermask.masks`.
"""

import json
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import UInt8

from supermask.actions import constant_same_sign
from supermask.analysis.drawing.captions import title_of
from supermask.analysis.drawing.results import Results
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.store.provenance import version_words
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.protocols import PAPER, TITLES, protocol
from supermask.analysis.system.errors import UsageError
from supermask.criteria import CRITERIA
from supermask.datasets import DATASETS, Dataset, Split
from supermask.draws import glorot_deviation, glorot_kernel, layer_key
from supermask.keys import Purpose, derive_key
from supermask.masks import full_masks, kept_counts, one_shot, rank_layers
from supermask.networks import Network, Params, kernels_of, layer_kinds, logits, with_kernels
from supermask.restarts import Treatment, scores_of
from supermask.untrained_networks import masked_kernels, untrained_network

FORMAT = 4
IMAGES = 1000
TRAINING_IMAGES = 3500
"""The number of training images in the embedded digits: about 0.6 MB, and seconds of training in the page."""

FEWEST_PIXELS = 5
"""Rows and columns that an image must have, so that one can see and draw something."""

LEVELS = 24
MOST_BYTES = 6_000_000
"""Largest bundle, in bytes: short enough to download in a lecture hall."""

LARGEST = 1e9
"""Largest weight that is shown: the page draws and trains in float32."""

DIGITS = ("digits", "mnist5k", "mnist")
"""Data sets whose class is the digit that an image shows."""

CLASS_NAMES = {
    "fashion-mnist": (
        *("T-shirt", "trousers", "pullover", "dress", "coat"),
        *("sandal", "shirt", "sneaker", "bag", "ankle boot"),
    ),
}
"""Names of the classes of other data sets (Xiao et al. 2017, table 2)."""

PRUNING = Treatment()
"""Iterative pruning by the lottery ticket algorithm; the page has a slider over its rounds."""

TRAINING = protocol("quick", "fc")
"""Settings of training in the page, for any protocol of the bundle: they suit its few images."""


@dataclass(frozen=True)
class Round:
    """One round of iterative pruning: the fraction of weights remaining, and the trained network's test accuracy."""

    weights_remaining: float
    test_accuracy: float


@dataclass(frozen=True)
class SeedRun:
    """One seed: its network before and after training, and the rounds of iterative pruning, including round 0.

    `last_round` holds the last round in which each weight was alive: all zeros if only round 0 is known.
    """

    seed: int
    initial: Params
    final: Params
    rounds: tuple[Round, ...]
    last_round: Mapping[str, UInt8[np.ndarray, "..."]]


def seed_run(results: Results, seed: int) -> SeedRun:
    """Return a seed's run from stored results: the study's one treatment, or round 0 alone if it has none."""
    initial, final = results.unpruned_weights(seed)
    last_round = {layer: np.zeros(kernel.shape, np.uint8) for layer, kernel in kernels_of(initial).items()}
    pruned = results.study.of(Treatment)[:1]
    named = [each for run in (Unpruned(), *pruned) for each in results_of(results.experiment, run, seed)]
    rounds = []
    for round_, (_, id_) in enumerate(named):
        metrics = results.metrics_of(id_)
        rounds.append(Round(metrics["weights_remaining"], metrics["test_accuracy"]))
        if round_:
            masks, _ = results.end_of_round(pruned[0], seed, round_)
            for layer, mask in masks.items():
                last_round[layer][np.asarray(mask)] = round_
    return SeedRun(seed, initial, final, tuple(rounds), last_round)


def check_images(data: Dataset) -> None:
    """Raise UsageError for images that the page cannot show: with colours, of numbers, or of one row or column."""
    height, width, channels = data.image_shape
    found = "colours" if channels != 1 else "numbers in place of bytes" if data.dtype != np.uint8 else ""
    if min(height, width) < FEWEST_PIXELS:
        found = f"images of {height}×{width}"
    if found:
        allowed = f"grey images of bytes, {FEWEST_PIXELS}×{FEWEST_PIXELS} pixels or more"
        raise UsageError(f"dataset {data.name!r} has {found}; the explorer shows {allowed}")


def make_bundle(experiment: Experiment, network: Network, runs: Sequence[SeedRun]) -> dict[str, bytes]:
    """Return the bundle's files by name, made from the runs of two or more seeds of one experiment.

    Raises UsageError for fewer seeds, for images that cannot be shown, for weights of diverged trainings, and if the
    bundle would exceed `MOST_BYTES`.
    """
    data = experiment.data
    check_images(data)
    height, width, _ = data.image_shape
    if len(runs) < 2:
        raise UsageError(f"seeds is {len(runs)}; allowed: 2 or more, because a new draw is another seed's")
    for run in runs:
        _check_finite(run)
    kernels = kernels_of(runs[0].initial)
    sizes = {layer: kernel.size for layer, kernel in kernels.items()}
    counts = kept_counts(sizes, PAPER["fc"].rates.by_layer(layer_kinds(kernels)), LEVELS)
    shown = Split(data.test.images[:IMAGES], data.test.labels[:IMAGES])
    trained_on = Split(data.train.images[:TRAINING_IMAGES], data.train.labels[:TRAINING_IMAGES])
    files = {name: _pixels(split) for name, split in (("images.bin", shown), ("training.bin", trained_on))}
    files |= {f"seed-{run.seed}.bin": zlib.compress(_weights(run), 9) for run in runs}
    manifest = {
        "format": FORMAT,
        "about": _about(experiment, len(shown)),
        "packed": {
            "network": experiment.protocol.network,
            "dataset": data.name,
            "jax": jax.__version__,
            **({} if data.name in DATASETS else {"image_shape": list(data.image_shape)}),
        },
        "image": {"height": height, "width": width, "maximum": data.maximum},
        "labels": shown.labels.tolist(),
        "classes": data.classes,
        "layers": [
            {"name": layer, "inputs": kernel.shape[0], "outputs": kernel.shape[1]} for layer, kernel in kernels.items()
        ],
        "levels": [[count[layer] for layer in kernels] for count in counts],
        "formulas": {name: each.formula for name, each in CRITERIA.items()},
        "best_level": _best_level(runs, network, data.validation, data.maximum, counts),
        "seeds": [_seed_entry(run, network, shown, data.maximum) for run in runs],
        "training": {
            "labels": trained_on.labels.tolist(),
            "learning_rate": TRAINING.learning_rate,
            "batch_size": TRAINING.batch_size,
            "epochs": TRAINING.epochs,
            "mask_learning_rate": TRAINING.masks.learning_rate,
            "mask_epochs": TRAINING.masks.epochs,
        },
        "sizes": {name: len(content) for name, content in files.items()},
    }
    files["bundle.json"] = json.dumps(manifest, separators=(",", ":"), allow_nan=False).encode()
    size = sum(map(len, files.values()))
    if size > MOST_BYTES:
        raise UsageError(f"seeds is {len(runs)}, which makes a bundle of {size:,} bytes; allowed: {MOST_BYTES:,}")
    return files


def _check_finite(run: SeedRun) -> None:
    """Raise UsageError for weights that the page cannot draw: those of a training that diverged."""
    for params in (run.initial, run.final):
        for layer, leaves in params.items():
            if not all(np.abs(leaf).max(initial=0) <= LARGEST for leaf in leaves.values()):
                raise UsageError(
                    f"seed {run.seed} has weights in layer {layer} that are no numbers, or above {LARGEST:g}: its "
                    "training diverged; allowed: trainings that did not, of another protocol or data set"
                )


def _pixels(split: Split) -> bytes:
    return zlib.compress(np.ascontiguousarray(split.images).tobytes(), 9)


def _about(experiment: Experiment, images: int) -> dict[str, str | int | list[str]]:
    """Return the provenance that the page shows."""
    protocol = experiment.protocol
    return {
        "dataset": title_of(experiment.data),
        "network": TITLES[protocol.network],
        "protocol": protocol.label,
        "epochs": f"{protocol.epochs:g}",
        "images": images,
        "test_images": len(experiment.data.test),
        "version": version_words(),
        "digits": experiment.data.name in DIGITS,
        "class_names": list(experiment.data.class_names or CLASS_NAMES.get(experiment.data.name, ())),
    }


def _seed_entry(run: SeedRun, network: Network, shown: Split, maximum: int) -> dict[str, object]:
    initial, final = kernels_of(run.initial), kernels_of(run.final)
    reach_initial, reach_final = (
        {n: float(stretch * np.quantile(np.abs(k), q)) for n, k in kernels.items()}
        for kernels, q, stretch in ((initial, 1.0, 1.03), (final, 0.9995, 1.1))
    )
    return {
        "seed": run.seed,
        "file": f"seed-{run.seed}.bin",
        "trained_accuracy": _accuracy(network, run.final, shown, maximum),
        "rounds": [[each.weights_remaining, each.test_accuracy] for each in run.rounds],
        "constant": [float(jnp.max(jnp.abs(constant_same_sign(jnp.asarray(kernel))))) for kernel in initial.values()],
        "reach_initial": list(reach_initial.values()),
        "reach_final": list(reach_final.values()),
        "as_drawn": _as_drawn(run.seed, initial),
    }


def _as_drawn(seed: int, initial: Mapping[str, Any]) -> bool:
    """Return whether weights equal those of a packed file to the bit: on some machines JAX rounds draws otherwise."""
    return all(
        np.array_equal(kernel, glorot_kernel(layer_key(seed, layer), kernel.shape, glorot_deviation(kernel.shape)))
        for layer, kernel in initial.items()
    )


def _weights(run: SeedRun) -> bytes:
    """Return initial and final kernels as byte planes, followed by the last rounds."""
    parts = []
    for params in (run.initial, run.final):
        values = np.concatenate([np.asarray(k, "<f4").ravel() for k in kernels_of(params).values()])
        parts.append(np.ascontiguousarray(values.view(np.uint8).reshape(-1, 4).T).tobytes())
    parts += [np.ascontiguousarray(run.last_round[layer]).tobytes() for layer in kernels_of(run.initial)]
    return b"".join(parts)


def _best_level(
    runs: Sequence[SeedRun], network: Network, validation: Split, maximum: int, counts: Sequence[Mapping[str, int]]
) -> int:
    """Return the level at which signed constants under the same-sign mask do best, on *validation* images.

    The page opens at this level. Test images do not affect the choice.
    """
    total = np.zeros(len(counts))
    for run in runs:
        kernels = kernels_of(run.initial)
        masks = full_masks(kernels)
        scores = scores_of(CRITERIA["large_final_same_sign"], kernels, kernels_of(run.final), masks, None)
        ranks = rank_layers(derive_key(run.seed, Purpose.TIES), scores, masks)
        constants = untrained_network(run.initial, "signed_constant")
        supermasks = [masked_kernels(kernels_of(constants), one_shot(ranks, count), rescaled=False) for count in counts]
        total += [_accuracy(network, with_kernels(constants, each), validation, maximum) for each in supermasks]
    return int(np.argmax(total))


def _accuracy(network: Network, params: Params, split: Split, maximum: int) -> float:
    right = 0
    for start in range(0, len(split), IMAGES):
        images = jnp.asarray(split.images[start : start + IMAGES]).astype(jnp.float32) / maximum
        found = jnp.argmax(_logits(network, params, images), axis=-1)
        right += int(jnp.sum(found == split.labels[start : start + IMAGES]))
    return right / len(split)


_logits = jax.jit(logits, static_argnums=0)
