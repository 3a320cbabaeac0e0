"""Checks options against the chosen figures: refuses one that none depends on, notes one that only some depend on.

No option is ignored silently.
"""

import argparse
import shlex
from collections.abc import Container, Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from supermask.analysis.drawing.entries import Catalogue
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.words import number

if TYPE_CHECKING:
    from supermask.analysis.drawing.figure import Figure
    from supermask.analysis.studies.experiment import Experiment, Study
    from supermask.analysis.studies.network_files import OwnNetwork
    from supermask.analysis.studies.protocols import Protocol
    from supermask.datasets import Dataset
    from supermask.named_members import Members
    from supermask.recipe import Recipe

OF_RECIPES = ("optimiser", "learning_rate", "batch_size", "weight_decay", "schedule", "augment")
"""Options that change a recipe's setting of that name."""

OF_STUDIES = (
    *("rounds", "epochs", "mask_epochs", "task_epochs", "sparse_epochs", "graph_epochs", "rates", "ranking", "recipe"),
    *OF_RECIPES,
    "other_dataset",
)
"""Options that change an experiment and matter to some studies only; all depend on seeds and data set."""

OF_FIGURES = ("criteria", "show", "plugin")
"""Options that change what some figures show."""


def own_names(members: "Members | None") -> dict[str, tuple[str, ...]]:
    """Return the names of a user's own criteria, mask-1 and mask-0 actions, by what figures compare."""
    if members is None:
        return {}
    kinds = {"criterion": members.criterion, "kept": members.kept, "pruned": members.pruned}
    own = {member.name for member in members.own}
    return {kind: tuple(name for name in known if name in own) for kind, known in kinds.items()}


def used_by(
    figure: "Figure", study: "Study", own: Mapping[str, tuple[str, ...]], in_file: Container[str] | None = None
) -> frozenset[str]:
    """Return the options above that a figure depends on; `own` are a plugin's members by kind.

    in_file: the settings that the recipe's file changes; None for any.
    """
    shows = {"criteria"} if figure.compares == "criterion" else {"show"} if figure.names else set()
    from supermask.analysis.kinds.plan import uses_of
    from supermask.analysis.studies.own_figures import OwnFigure
    from supermask.analysis.studies.recipes import SETTINGS

    plugin = {"plugin"} if own.get(figure.compares) or isinstance(figure, OwnFigure) else set()

    uses = uses_of(study)
    file = {"recipe"} if any(name in uses and (in_file is None or name in in_file) for name in SETTINGS) else set()
    return uses | file | shows | plugin


def recipe_of(options: argparse.Namespace) -> tuple["Recipe", frozenset[str] | None]:
    """Return the recipe that the options name: a file's, with the settings of other options in place of its own.

    Returns also the settings that the file changes; None without a file. Raises UsageError for impossible settings.
    """
    from supermask.analysis.studies.recipes import changed, parse_augment, read_recipe
    from supermask.recipe import PLAIN

    file = PLAIN if options.recipe is None else read_recipe(options.recipe)
    own = {name: getattr(options, name) for name in OF_RECIPES if getattr(options, name) is not None}
    if "augment" in own:
        own["augment"] = parse_augment(own["augment"])
    return changed(file, own), None if options.recipe is None else frozenset(file.changed())


def lines(figure: "Figure", own: Mapping[str, tuple[str, ...]], other_data: bool = False) -> tuple[str, ...]:
    """Return the labels of a figure that --show may name: its own, and a plugin's members of its kind."""
    if figure.compares == "criterion":
        return ()
    return (*figure.names_on(other_data), *own.get(figure.compares, ()))


def check_used(given: frozenset[str], used: Mapping[str, frozenset[str]]) -> list[str]:
    """Return a note for every given option that some figures do not depend on. `used`: the options of each figure.

    Raises UsageError for an option that none of them depends on.
    """
    notes = []
    for option in (*OF_STUDIES, *OF_FIGURES):
        if option not in given:
            continue
        without = [name for name, options in used.items() if option not in options]
        if len(without) == len(used):
            allowed = [_name(o) for o in (*OF_STUDIES, *OF_FIGURES[:2]) if any(o in own for own in used.values())]
            raise UsageError(
                f"{_name(option)} is given, but {' and '.join(used)} would not change by it; "
                f"allowed: {', '.join(allowed)}"
            )
        if without:
            notes.append(f"{_name(option)} does not matter to {', '.join(without)}")
    return notes


def check_shown(
    shown: tuple[str, ...],
    figures: Mapping[str, "Figure"],
    own: Mapping[str, tuple[str, ...]],
    other_data: bool = False,
) -> list[str]:
    """Return a note on the figures of which --show names nothing: they show all, including a plugin's `own`."""
    whole = [
        name
        for name, figure in figures.items()
        if shown and figure.compares != "criterion" and not set(shown) & set(lines(figure, own, other_data))
    ]
    return [f"show names nothing of {', '.join(whole)}: all lines are shown"] if whole else []


def check_data_dir(folder: Path | None, dataset: str) -> list[str]:
    """Return a note if the data set comes with the package or is a path, so that the given data folder is not read."""
    from supermask.datasets import DATASETS

    if dataset not in DATASETS:
        return [f"data-dir does not matter: dataset {dataset} is a path"] if folder is not None else []
    embedded = DATASETS[dataset].embedded
    return [f"data-dir does not matter: {dataset} comes with the package"] if folder is not None and embedded else []


def own_data(dataset: str | None) -> "Dataset | None":
    """Return the user's own data set at a path; None if a published one is named, or none.

    Raises UsageError if there is neither, DataError if the files are no data set.
    """
    from supermask.datasets import DATASETS, is_path, load

    if dataset is None or dataset in DATASETS:
        return None
    if not is_path(dataset):
        choose("dataset", dataset, DATASETS)
    return load(dataset)


def with_other_data(experiment: "Experiment", name: str | None, data_dir: Path | None, progress: bool) -> "Experiment":
    """Return the experiment with its other data set, if one is named.

    Raises DataError if it cannot be had, UsageError if it is the same as the first, or its images are not like them.
    """
    from supermask.datasets import load

    if name is None:
        return experiment
    both = replace(experiment, other_data=load(name, data_dir=data_dir, progress=progress))
    try:
        _ = both.there
    except ValueError as error:
        raise UsageError(str(error).replace("other_data", "other-dataset", 1)) from None
    return both


def check_steps(experiment: "Experiment", study: "Study") -> None:
    """Raise UsageError if a study trains for so few epochs that they are no step."""
    from supermask.analysis.kinds.plan import uses_of

    own, training = experiment.protocol, experiment.training
    if not training.steps and "epochs" in uses_of(study):
        images = f"{len(experiment.data.train):,} training images of {experiment.data.name}"
        raise UsageError(
            f"epochs is {own.epochs:g}, which is no step: {images} in batches of {training.batch_size}; allowed: more "
            "epochs, or smaller batches"
        )


def check_fit(protocol: "Protocol", own: "Dataset | None" = None, own_network: "OwnNetwork | None" = None) -> None:
    """Raise UsageError if a data set's images are too small for the network's layers, or cannot be read by its own.

    A network that reads codes of symbols takes data of these alone, and by no recipe that changes them. A network of
    the user's own has rates of kinds of layers that it has.
    """
    from supermask.zoo import BUILT_IN

    if own_network is not None:
        _check_own(protocol, own, own_network)
    elif BUILT_IN[protocol.network].reads_codes:
        _check_codes(protocol, own)
    else:
        _check_size(protocol.network, protocol.dataset, own)


def _check_own(protocol: "Protocol", own: "Dataset | None", own_network: "OwnNetwork") -> None:
    """Raise UsageError unless a network of the user's own can read the images, and has layers of the rates' kinds."""
    from supermask.analysis.command.network_tables import check_reads
    from supermask.analysis.studies.rates import check_rates
    from supermask.counts import RATE_BY_DEFAULT
    from supermask.datasets import DATASETS

    facts = DATASETS[protocol.dataset] if own is None else own
    network = own_network.network(facts.classes)
    if network.reads_codes:
        _check_codes(protocol, own)
    check_reads(network, protocol.network, facts.image_shape, facts.classes)
    given = [kind for kind in RATE_BY_DEFAULT if getattr(protocol.rates, kind) is not None]
    check_rates(given, protocol.network, network, facts.image_shape)


def _check_size(network: str, dataset: str, own: "Dataset | None") -> None:
    from supermask.datasets import DATASETS
    from supermask.networks import shapes_of
    from supermask.zoo import BUILT_IN

    def fits(image_shape: tuple[int, int, int]) -> bool:
        try:
            shapes_of(BUILT_IN[network], image_shape)
        except ValueError:
            return False
        return True

    name, image_shape = (dataset, DATASETS[dataset].image_shape) if own is None else (own.name, own.image_shape)
    if not fits(image_shape):
        shape = "×".join(map(str, image_shape))
        allowed = ", ".join(name for name, info in DATASETS.items() if fits(info.image_shape))
        if own is not None:
            side = next(side for side in range(1, 65) if fits((side, side, 1)))
            allowed = f"{side}×{side} pixels or more, or a network without convolutions"
        raise UsageError(f"dataset {name} has images of {shape}, too small for {network}; allowed: {allowed}")


def _check_codes(protocol: "Protocol", own: "Dataset | None") -> None:
    """Raise UsageError unless data and recipe are for a network that reads codes of symbols."""
    from supermask.evaluation import check_codes

    where = f"network {protocol.network} reads text"
    if own is None or own.image_shape[1:] != (1, 1):
        found = protocol.dataset if own is None else f"{own.name}, images of {'×'.join(map(str, own.image_shape))}"
        raise UsageError(f"dataset is {found}, and {where}; allowed: --dataset FILE.txt")
    for name in ("augment", "normalise"):
        if getattr(protocol.recipe, name):
            raise UsageError(f"{name} is given, and {where}, whose characters are no pixels; allowed: without it")
    try:
        check_codes(own, own.classes)
    except ValueError as error:
        raise UsageError(str(error)) from None


def without_dense(
    figures: Mapping[str, "Figure"], catalogue: Catalogue, network: str
) -> tuple[dict[str, "Figure"], list[str]]:
    """Return the figures without lines that the network has none of, and a note on each that loses some."""
    from supermask.zoo import BUILT_IN

    dense = network in BUILT_IN and BUILT_IN[network].dense_layers
    left, notes = dict(figures), []
    if not dense:
        for name, figure in figures.items():
            if gone := catalogue[name].dense:
                left[name] = replace(figure, names=tuple(label for label in figure.names if label not in gone))
                notes.append(f"{name} is drawn without {', '.join(gone)}, for networks of dense layers alone")
    return left, notes


def unfit(study: "Study", experiment: "Experiment") -> str:
    """Return why a study cannot be made of an experiment's images; empty if it can."""
    from supermask.analysis.kinds.neural_graph import graph_of
    from supermask.compression.file import check_size
    from supermask.compression.runs import CompressionRun
    from supermask.networks import shapes_of
    from supermask.neural_graphs.runs import GraphRun

    shape = experiment.data.image_shape
    try:
        for setting in dict.fromkeys(run.setting for run in study.of(GraphRun)):
            shapes_of(graph_of(experiment, setting), shape)
        if study.of(CompressionRun):
            check_size(experiment.protocol.network, shape, experiment.data.classes)
    except ValueError as error:
        return f"{experiment.data.name}, images of {'×'.join(map(str, shape))}: {error}"
    return ""


def said(
    options: argparse.Namespace, used: frozenset[str], figure: "Figure", own: Mapping[str, tuple[str, ...]]
) -> str:
    """Return the options that name a figure's experiment, as on a command line: no folders, and none without effect."""
    words = [] if options.protocol == "quick" else ["--protocol", options.protocol]
    words += [] if options.network == "fc" else ["--network", options.network]
    for name in ("seeds", *OF_STUDIES, "dataset"):
        value = getattr(options, name)
        if value is not None and (name in used or name not in OF_STUDIES):
            words += [f"--{_name(name)}", number(value) if isinstance(value, float) else shlex.quote(str(value))]
    if options.criteria and "criteria" in used:
        words += ["--criteria", *map(shlex.quote, options.criteria)]
    if shown := [name for name in options.show or () if "show" in used and name in lines(figure, own)]:
        words += ["--show", *map(shlex.quote, shown)]
    if options.plugin and "plugin" in used:
        words += ["--plugin", shlex.quote(options.plugin.name)]
    return " ".join(words)


def _name(option: str) -> str:
    return option.replace("_", "-")
