"""Protocols: training length, data set and number of seeds. `paper` has the paper's numbers.

Zhou et al. 2019, table 1 and supplement; Frankle & Carbin 2019, figure 2. `paper` differs from the released code in two
points. The validation images are the last 5,000 training images (there, a random 5,000). Batches continue across epochs
(there, an epoch's last partial batch is dropped: 50,380 steps in 55 epochs of MNIST, here 50,416).
"""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any

from supermask.analysis.studies.rates import check_ranking, check_rates
from supermask.analysis.studies.recipes import setting_words
from supermask.analysis.system.errors import UsageError, between, choose, whole_between
from supermask.counts import LAYER_KINDS, RANKINGS, Rates, own_number
from supermask.datasets import DATASETS
from supermask.datasets.texts import WINDOW
from supermask.recipe import PLAIN, Recipe
from supermask.sparse_training.runs import SCHEDULES
from supermask.zoo import BUILT_IN

PROTOCOLS = ("quick", "short", "paper")
TEXT, TEXT_SHAPE = "text", (WINDOW, 1, 1)
"""In place of a data set's name: a text of the user's own, which no protocol has. Its examples' shape."""

MOST_SEEDS, MOST_ROUNDS, MOST_EPOCHS = 10_000, 1_000, 1_000_000
"""Upper limits, so that a mistyped number is an error and not a year of work."""


@dataclass(frozen=True)
class MaskProtocol:
    """Training of masks on untrained weights. Defaults: Zhou et al. 2019, section 5.2, and its released code.

    optimiser: a name in `learned_masks.OPTIMISERS`.
    score_learning_rate: for the methods that use only a logit's sign or rank.
    """

    epochs: float = 2000
    optimiser: str = "sgd"
    learning_rate: float = 100.0
    score_learning_rate: float = 1.0
    batch_size: int = 250
    evaluate_every: int = 2200


@dataclass(frozen=True)
class TaskProtocol:
    """Masks of many tasks on one network's weights. Defaults: as many images as Wortsman et al. 2020 take for a mask.

    Their released code takes 1,000 steps of RMSprop on batches of 128. Here Adam takes them, at a rate that falls to 0.
    outputs: of the network, as in their code; those beyond the classes help to tell a task from the others.
    superposed: numbers of tasks among which the task of a batch is inferred.
    """

    epochs: float = 2.33
    learning_rate: float = 0.1
    batch_size: int = 128
    outputs: int = 100
    superposed: tuple[int, ...] = (10, 50, 250)


@dataclass(frozen=True)
class SparseProtocol:
    """Sparse training of all methods: `sgd_cosine`, with momentum and weight decay, from this learning rate.

    The settings are no paper's, but close to those of DSR and sparse momentum. They were chosen on validation data: at
    2% of FC's weights on MNIST, after 20 epochs, DSR from ERK densities has a validation accuracy of 97.8%; under Adam
    at 2.5e-3 it has 97.2%.
    """

    epochs: float = 20
    learning_rate: float = 0.1


@dataclass(frozen=True)
class GraphProtocol:
    """Neural graphs and their training. Defaults: Wortsman et al. 2019, section 4.1, and its released code.

    nodes, edges, inputs, features, side, ode_steps: see `supermask.neural_graphs.graph.NeuralGraph`. They give
        about 42,000 parameters.
    schedule: 'steps' cuts the learning rate to a tenth after half and three quarters of the training, 'cosine' lets it
        fall to 0 along half a cosine, which short trainings need.
    augment: whether training images are shifted, and photographs mirrored.
    """

    epochs: float = 160
    nodes: int = 800
    edges: int = 32_000
    inputs: int = 32
    features: int = 100
    side: int = 8
    ode_steps: int = 8
    learning_rate: float = 0.1
    batch_size: int = 512
    schedule: str = "steps"
    augment: bool = True

    def __post_init__(self) -> None:
        choose("graph-schedule", self.schedule, SCHEDULES)


@dataclass(frozen=True)
class Protocol:
    """One network's training and pruning, fully resolved. Rates are fractions of live weights per round.

    The recipe is that of the rounds and of dense-sparse-dense training. Its learning rate and batch size, where it has
    any, are theirs alone: the protocol's are for Adam, and for sparse training. `network_digest` identifies the code of
    a network of the user's own. `ranking` is that of the rounds: weights compete within their 'layer', or 'global'ly,
    and then the rate of dense layers holds for all. `differences` compares the protocol with the original one of its
    name.
    """

    name: str
    network: str
    dataset: str
    epochs: float
    rounds: int
    seeds: int
    learning_rate: float
    rates: Rates
    batch_size: int = 60
    evaluate_every: int = 100
    masks: MaskProtocol = MaskProtocol()
    tasks: TaskProtocol = TaskProtocol()
    sparse: SparseProtocol = SparseProtocol()
    graph: GraphProtocol = GraphProtocol()
    recipe: Recipe = PLAIN
    network_digest: str = ""
    ranking: str = RANKINGS[0]

    @property
    def named(self) -> "Protocol | None":
        """The original protocol of this name; None if the name is the user's own, or the network is not known."""
        known = self.network in PAPER or self.network_digest
        return (
            protocol(self.name, self.network, None, self.network_digest) if self.name in PROTOCOLS and known else None
        )

    @property
    def label(self) -> str:
        """The name with all changes."""
        names = ", ".join(change.name for change in differences(self))
        return f"{self.name} (changed: {names})" if names else self.name


@dataclass(frozen=True)
class Difference:
    """One field in which a protocol differs from the original of its name.

    name: the field in the spelling of options: 'epochs', 'batch-size', 'mask-epochs', 'mask-optimiser', 'optimiser'.
    value: its value; for rates, only those that differ, by kind of layer; for a recipe's setting, as an option has it.
    undone: the protocol with the original field, or with the original recipe, whose settings need one another.
    """

    name: str
    value: Any
    undone: Protocol


def differences(own: Protocol) -> list[Difference]:
    """Return all fields in which a protocol differs from the original of its name, however it was made."""
    named = own.named
    if named is None:
        return []
    found = []
    for field in fields(Protocol):
        value, base = getattr(own, field.name), getattr(named, field.name)
        if value == base:
            continue
        if field.name not in _PARTS:
            shown = value
            if isinstance(value, Rates):
                shown = {kind: each for kind, each in asdict(value).items() if each != getattr(base, kind)}
            found.append(Difference(_option(field.name), shown, replace(own, **{field.name: base})))
            continue
        for part in fields(value):
            part_value, part_base = getattr(value, part.name), getattr(base, part.name)
            if part_value != part_base:
                is_recipe = field.name == "recipe"
                undone = base if is_recipe else replace(value, **{part.name: part_base})
                shown = setting_words(part_value) if is_recipe else part_value
                name = f"{_PARTS[field.name]}{_option(part.name)}"
                found.append(Difference(name, shown, replace(own, **{field.name: undone})))
    return found


_PARTS = {"masks": "mask-", "tasks": "task-", "sparse": "sparse-", "graph": "graph-", "recipe": ""}


def _option(field: str) -> str:
    return field.replace("_", "-")


def _deep(network: str, epochs: float) -> Protocol:
    """Return the protocol of a network with batch norm: rates and batches of Frankle & Carbin 2019, figure 2."""
    rates = Rates(conv=0.20, dense=0.20, output=0.10)
    return Protocol("paper", network, "cifar10", epochs, 24, 3, 1e-3, rates, batch_size=128)


PAPER: Mapping[str, Protocol] = {
    "fc": Protocol("paper", "fc", "mnist", 55, 24, 5, 1.2e-3, Rates(dense=0.20, output=0.10)),
    "conv2": Protocol("paper", "conv2", "cifar10", 27, 24, 5, 2e-4, Rates(conv=0.10, dense=0.20, output=0.10)),
    "conv4": Protocol("paper", "conv4", "cifar10", 34, 24, 5, 3e-4, Rates(conv=0.10, dense=0.20, output=0.10)),
    "conv6": Protocol("paper", "conv6", "cifar10", 40, 24, 5, 3e-4, Rates(conv=0.15, dense=0.20, output=0.10)),
    # Deep Compression's network has FC's protocol, because the pruning papers give none for it.
    "lenet5": Protocol("paper", "lenet5", "mnist", 55, 24, 5, 1.2e-3, Rates(conv=0.10, dense=0.20, output=0.10)),
    # Conv8 has Conv6's, because the pruning papers give none for it.
    "conv8": Protocol("paper", "conv8", "cifar10", 40, 24, 5, 3e-4, Rates(conv=0.15, dense=0.20, output=0.10)),
    **{name: _deep(name, 85) for name in ("resnet20", "resnet32", "resnet56", "resnet18")},  # 30,000 steps
    **{name: _deep(name, 160) for name in ("vgg11", "vgg16", "vgg19", "wrn28-2", "wrn22-2", "mobilenet")},
    "lstm": Protocol("paper", "lstm", "mnist", 20, 24, 5, 1e-3, Rates(dense=0.20, output=0.10)),
    "char-lstm": Protocol("paper", "char-lstm", TEXT, 10, 24, 5, 2e-3, Rates(dense=0.20, output=0.10), batch_size=128),
}


TITLES: Mapping[str, str] = {
    **{"fc": "FC", "conv2": "Conv2", "conv4": "Conv4", "conv6": "Conv6", "conv8": "Conv8", "lenet5": "LeNet-5"},
    **{"resnet20": "ResNet-20", "resnet32": "ResNet-32", "resnet56": "ResNet-56", "resnet18": "ResNet-18"},
    **{"vgg11": "VGG-11", "vgg16": "VGG-16", "vgg19": "VGG-19", "mobilenet": "MobileNetV1"},
    **{"wrn28-2": "WRN-28-2", "wrn22-2": "WRN-22-2", "lstm": "LSTM", "char-lstm": "Character LSTM"},
}
"""Names of the networks in the papers."""


@dataclass(frozen=True)
class Changes:
    """A user's changes of a protocol; None keeps a field."""

    dataset: str | None = None
    seeds: int | None = None
    rounds: int | None = None
    epochs: float | None = None
    rates: Mapping[str, float] | None = None
    mask_epochs: float | None = None
    task_epochs: float | None = None
    sparse_epochs: float | None = None
    graph_epochs: float | None = None
    recipe: Recipe | None = None
    ranking: str | None = None


def protocol(name: str, network: str = "fc", changes: Changes | None = None, network_digest: str = "") -> Protocol:
    """Return the protocol of that name for a network, with changes.

    network_digest: that of a network of the user's own, which has the protocol of ResNet-20.

    quick: embedded digits, 3 epochs per round at a higher learning rate, 6 rounds that each prune as much as four of
        the paper's, 3 seeds; masks learned by Adam for 20 epochs, sparse training for 3. A first look: every figure in
        minutes.
    short: the paper's data, rates and 24 rounds, but 3 epochs per round and 5 seeds; masks learned by Adam for 300
        epochs, or 100 for networks other than FC.
    paper: also the paper's epochs; masks learned by SGD for 2,000 epochs. Sparse training takes 20 epochs in both.

    Raises UsageError, with the allowed values, for an unknown name or an impossible value.
    """
    choose("protocol", name, PROTOCOLS)
    if network_digest:
        base = replace(_deep(network, 85), network_digest=network_digest)
    else:
        base = PAPER[choose("network", network, PAPER)]
    if name == "short":
        masks = _LONG_MASKS if network == "fc" else _FAST_MASKS
        base = replace(base, name="short", epochs=3, masks=masks, tasks=_SHORT_TASKS, graph=_SHORT_GRAPHS)
    elif name == "quick":
        base = replace(
            base,
            name="quick",
            dataset=TEXT if base.dataset == TEXT else "mnist5k",
            epochs=3,
            rounds=6,
            seeds=3,
            learning_rate=2.5 * base.learning_rate,
            rates=_in_one_round(base.rates, 4),
            evaluate_every=35,
            masks=replace(_FAST_MASKS, epochs=20, learning_rate=0.2, evaluate_every=56),
            tasks=_QUICK_TASKS,
            sparse=SparseProtocol(epochs=3),
            graph=_QUICK_GRAPHS,
        )
    return _change(base, changes or Changes())


_FAST_MASKS = MaskProtocol(100, "adam", 0.1, 0.003, evaluate_every=1100)
_LONG_MASKS = MaskProtocol(300, "adam", 0.03, 0.003, evaluate_every=2200)

_QUICK_TASKS = TaskProtocol(5, 0.2, superposed=(10, 25))
_SHORT_TASKS = TaskProtocol(0.7, 0.2)

_QUICK_GRAPHS = GraphProtocol(
    *(3, 80, 80, 12, 16), side=4, ode_steps=4, batch_size=60, schedule="cosine", augment=False
)
_SHORT_GRAPHS = GraphProtocol(4, ode_steps=4, batch_size=128, schedule="cosine")


def _in_one_round(rates: Rates, rounds: int) -> Rates:
    """Return rates that prune in one round as much as these prune in `rounds`: 1 - (1 - r)^rounds."""
    own = {kind: getattr(rates, kind) for kind in LAYER_KINDS}
    return Rates(**{kind: round(1 - (1 - rate) ** rounds, 4) for kind, rate in own.items() if rate is not None})


_MOST = {"seeds": MOST_SEEDS, "rounds": MOST_ROUNDS}


def _change(base: Protocol, changes: Changes) -> Protocol:
    given = {name: value for name, value in vars(changes).items() if value is not None}
    for name, value in given.items():
        if name in _MOST:
            given[name] = whole_between(name, value, 1, _MOST[name])
        elif name.endswith("epochs"):
            between(_option(name), value, 0, MOST_EPOCHS)
            given[name] = own_number(_option(name), value)
        elif name == "rates":
            given[name] = _changed_rates(base, value)
        elif name == "recipe":
            _check_recipe(base, value)
            if value.learning_rate is not None and f"{value.learning_rate:.12g}" == f"{base.learning_rate:.12g}":
                given[name] = replace(value, learning_rate=base.learning_rate)  # as it is printed, 0.003 of a product
        elif name == "ranking":
            choose("ranking", value, RANKINGS)
            check_ranking(value, changes.rates or ())
    for field in ("masks", "tasks", "sparse", "graph"):
        if (epochs := given.pop(f"{_PARTS[field][:-1]}_epochs", None)) is not None:
            given[field] = replace(getattr(base, field), epochs=epochs)
    return replace(base, **given)


def _check_recipe(base: Protocol, recipe: Recipe) -> None:
    """Raise UsageError for SGD at the rate of Adam, which would hardly move a weight."""
    if not recipe.optimiser.startswith("adam") and recipe.learning_rate is None:
        raise UsageError(
            f"optimiser is {recipe.optimiser} without a learning-rate; the protocol's, {base.learning_rate:g}, is for "
            "Adam; allowed: with a learning-rate of its own"
        )


def shape_of(dataset: str) -> tuple[int, int, int]:
    """Return the shape of the images of a data set that a protocol names."""
    return TEXT_SHAPE if dataset == TEXT else DATASETS[dataset].image_shape


def _changed_rates(base: Protocol, rates: Mapping[str, float]) -> Rates:
    for kind in rates:
        choose("rates", kind, LAYER_KINDS)
    if base.network in BUILT_IN:
        check_rates(rates, base.network, BUILT_IN[base.network], shape_of(PAPER[base.network].dataset))
    try:
        return replace(base.rates, **rates)
    except ValueError as error:
        raise UsageError(str(error)) from None
