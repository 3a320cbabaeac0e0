"""The commands `networks` and `check-network`: what a network has, what of it is pruned, and what it costs."""

import time
from collections.abc import Sequence

import numpy as np
from flax.errors import FlaxError

from supermask import datasets
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.network_files import OwnNetwork, is_own, load_network
from supermask.analysis.studies.protocols import PAPER, TEXT, TITLES, Changes, protocol, shape_of
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.screen import Screen, print_table
from supermask.analysis.system.words import count
from supermask.datasets import DATASETS, Dataset
from supermask.intervals import TrainingConfig
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import (
    Network,
    kernels_of,
    outputs_of,
    parameter_count,
    shapes_of,
    statistics_of,
)
from supermask.population import place
from supermask.training import Job, Trainer
from supermask.zoo import BUILT_IN, built_in

STEPS = 10
"""Training steps of `check-network`."""

SYMBOLS = 64
"""Different characters of a text, for the numbers of a network that reads any."""


def list_networks() -> None:
    """Print all built-in networks, for the images of their own protocol."""
    rows = []
    for name in BUILT_IN:
        image_shape, classes = _images_of(PAPER[name].dataset)
        network = built_in(name, classes)
        weights = sum(kernel.size for kernel in kernels_of(shapes_of(network, image_shape)).values())
        numbers = parameter_count(network, image_shape), weights, int(network.products(image_shape))
        rows.append((name, TITLES[name], PAPER[name].dataset, *(f"{number:,}" for number in numbers)))
    columns = ("network", "in papers", "images", "parameters", "prunable", "products")
    print_table(Screen(), "", columns, rows, numbers=False, lines=False)


def show_network(text: str, dataset: str | None) -> None:
    """Print the layers of a built-in network, or of `FILE.py:NAME`.

    Raises UsageError for an unknown network or data set, and for a network that cannot read its images.
    """
    if dataset is None:
        dataset = "digits" if is_own(text) else PAPER[choose("network", text, PAPER)].dataset
    image_shape, classes = _images_of(dataset if dataset == TEXT else choose("dataset", dataset, DATASETS))
    own = load_network(text) if is_own(text) else None
    _print_layers(Screen(), _rows(text, own, image_shape, classes), text, image_shape)


def _images_of(dataset: str) -> tuple[tuple[int, int, int], int]:
    """Return the shape of images and the number of classes of a data set that a protocol names."""
    return shape_of(dataset), SYMBOLS if dataset == TEXT else DATASETS[dataset].classes


def check_network(text: str, dataset: str, steps: int = STEPS) -> None:
    """Print what a network of one's own would prune and cost, and train it for some steps on embedded data.

    Raises UsageError for a network that is none, that does not fit the data, or whose loss is not a number.
    """
    if not is_own(text):
        raise UsageError(f"network is {text!r}; allowed: FILE.py:NAME")
    data, own = datasets.load(choose("dataset", dataset, _embedded())), load_network(text)
    check_reads(own.network(data.classes), text, data.image_shape, data.classes)
    screen = Screen()
    _print_layers(screen, _rows(text, own, data.image_shape, data.classes), text, data.image_shape)
    changes = Changes(dataset=data.name)
    experiment = Experiment(
        protocol("quick", own.name, changes, own.digest), data, own_network=own.network(data.classes)
    )
    first, last, seconds = _trained(experiment, data, steps)
    screen.print(f"{steps} steps on {data.name}: validation loss {first:.3f}, then {last:.3f}; {seconds:.2g} s a step")
    if not np.isfinite(last):
        raise UsageError(f"network {text} has a loss that is not a number after {steps} steps")


def _embedded() -> list[str]:
    return [name for name, info in DATASETS.items() if info.embedded]


def _trained(experiment: Experiment, data: Dataset, steps: int) -> tuple[float, float, float]:
    """Return the validation loss before and after some steps, and the seconds of a step after compiling."""
    network = experiment.network
    config = TrainingConfig(steps, experiment.protocol.learning_rate, min(60, len(data.train)), steps)
    trainer = Trainer(network, data, config, place(experiment.parameters, networks=1))
    params = initial_of(network, 0, data.image_shape)
    job = Job(params, full_masks(kernels_of(params)), 0)
    trainer.train([job])
    started = time.monotonic()
    (trained,) = trainer.train([job])
    seconds = (time.monotonic() - started) / max(steps, 1)
    return float(trained.validation_loss[0]), float(trained.validation_loss[-1]), seconds


Row = tuple[str, str, str, str, int, int]


def _rows(text: str, own: OwnNetwork | None, image_shape: tuple[int, int, int], classes: int) -> list[Row]:
    """Return one row per layer with products, in the order of the network's program, and one for all others.

    own: the network of a file that `text` names. The last row has normalisations and the like, and the products of
    two activations, as in attention.
    """
    network = built_in(choose("network", text, BUILT_IN), classes) if own is None else own.network(classes)
    check_reads(network, text, image_shape)
    shapes, products = shapes_of(network, image_shape), network.layer_products(image_shape)
    state, kinds = statistics_of(network, image_shape), network.layer_kinds(image_shape)
    rates = protocol("paper", text if own is None else own.name, None, "" if own is None else own.digest).rates
    by_layer = rates.by_layer(kinds)
    rows: list[Row] = []
    for layer in (name for name in products if name):
        leaves = {n: leaf for n, leaf in shapes[layer].items() if n not in state.get(layer, ())}
        largest = max(leaves.values(), key=lambda leaf: leaf.size).shape
        numbers = sum(leaf.size for leaf in leaves.values()), int(products[layer])
        rows.append((layer, _sides(largest), kinds.get(layer, "dense: kept"), _percent(by_layer.get(layer)), *numbers))
    others = parameter_count(network, image_shape) - sum(row[4] for row in rows)
    rows.append(("all others", "", "kept", "", others, int(products.get("", 0))))
    return rows


def _sides(shape: tuple[int, ...]) -> str:
    return "×".join(map(str, shape))


def check_reads(network: Network, text: str, image_shape: tuple[int, int, int], classes: int = 1) -> None:
    """Raise UsageError where a network cannot read images of a shape, has nothing to prune, or too few outputs."""
    try:
        outputs = outputs_of(network, image_shape)
    except (FlaxError, TypeError, ValueError) as error:
        words = " ".join(str(error).split())
        raise UsageError(f"network {text} cannot read images of {_sides(image_shape)}: {words}") from error
    if outputs < classes:
        raise UsageError(
            f"network {text} has {count(outputs, 'output')}; allowed: {classes} or more, one for each class"
        )


def _percent(rate: float | None) -> str:
    return "" if rate is None else f"{100 * rate:g}%"


def _print_layers(screen: Screen, rows: Sequence[Row], text: str, image_shape: tuple[int, int, int]) -> None:
    columns = ("layer", "shape", "kind", "a round", "parameters", "products")
    total = ("all", "", "", "", sum(row[4] for row in rows), sum(row[5] for row in rows))
    shown = [(*row[:4], f"{row[4]:,}", f"{row[5]:,}") for row in (*rows, total)]
    screen.print(f"{text} for images of {_sides(image_shape)}:")
    print_table(screen, "", columns, shown, numbers=False, lines=False)
