"""What to run: a study is a set of treatments; an experiment is a network, its data and a protocol.

A result is named by the hash of its *description*: everything that determines it and nothing else. So the same result
is recognised whatever figure asks for it, however many rounds or seeds it is asked with. Fields that hold a default are
left out of the treatment, so that a new kind of choice leaves old results their names.
"""

import hashlib
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, fields, replace
from fractions import Fraction
from functools import cache
from typing import Any

import optax

from analysis.errors import UsageError, choose
from analysis.protocols import Protocol
from analysis.rules import rules_of, rules_of_criterion
from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS, Action
from supermask.compression.dsd import LAST_RATE, DSDRun
from supermask.compression.pruning import RECIPES
from supermask.compression.runs import CompressionRun
from supermask.counts import exact_fraction
from supermask.criteria import CRITERIA, Criterion
from supermask.datasets import Dataset
from supermask.intervals import steps_of
from supermask.learned_masks import EVALUATION_SAMPLES, LearnedMask
from supermask.lottery import Treatment
from supermask.networks import NETWORKS, parameter_count
from supermask.neural_graphs.graph import NeuralGraph
from supermask.neural_graphs.runs import GraphRun
from supermask.shared_weights import VALUES, SharedRun
from supermask.sparse_training import METHODS, Horizon
from supermask.sparse_training.runs import RECIPE_NAMES, SGD_COSINE, SMALL_DENSE, SparseRun
from supermask.supermasks import WEIGHTS
from supermask.training import TrainingConfig

Description = dict[str, Any]

REVISIONS = {"pruned training": 2, "learned_mask": 3, "rescaled mask": 4, "compression": 2, "neural_graph": 2}
"""By what a change of code changed, 1 where it's not named: so that old results and new are not taken for one another.

Pruned trainings (round 1 and later): 2 since dead units are left out. Learned masks: 2 since draws use all of threefry,
3 since all layers' bits are drawn at one go; where they are rescaled, 4 since the gradient passes through the factor
(edge-popup apart, whose factor is constant). Compressed networks: 2 since k-means runs to its end and filler zeros have
a code of their own. Neural graphs, and curves over one shared weight of theirs: 2 since their filters are matrices.

The rule of a criterion or action that changed has a revision of its own, in `rules`: results under other rules keep
their names.
"""


KINDS = {
    "training": "trainings",
    "untrained": "masks on untrained networks",
    "learned_mask": "learned masks",
    "sparse_training": "sparse trainings",
    "dsd": "dense-sparse-dense trainings",
    "compression": "compressed networks",
    "neural_graph": "neural graphs",
    "shared_weight": "curves over one shared weight",
}
"""The kinds of results, and what several of them are called."""

MASK_OPTIMISERS = {"sgd": "sgd, momentum 0.9", "adam": "adam, cosine to 0"}
"""What descriptions call the optimisers of learned masks."""


@dataclass(frozen=True)
class Untrained:
    """An untrained network under one-shot masks of a criterion, at every level: its kept weights are `weights`."""

    criterion: str
    weights: str = WEIGHTS[0]


@dataclass(frozen=True)
class Study:
    """What a figure needs to be trained or evaluated.

    `unpruned`: whether round 0 of every seed is wanted for itself; what starts from it takes it along anyway.
    """

    treatments: tuple[Treatment, ...] = ()
    untrained: tuple[Untrained, ...] = ()
    learned: tuple[LearnedMask, ...] = ()
    sparse: tuple[SparseRun, ...] = ()
    dsd: tuple[DSDRun, ...] = ()
    compressed: tuple[CompressionRun, ...] = ()
    graphs: tuple[GraphRun, ...] = ()
    shared: tuple[SharedRun, ...] = ()
    unpruned: bool = True

    @property
    def has_round_zero(self) -> bool:
        """Whether the unpruned network's training is part of it."""
        return self.unpruned or bool(self.treatments or self.untrained)

    @property
    def uses(self) -> frozenset[str]:
        """What of a protocol its results depend on, beside data set, network and seeds: names as in `Changes`."""
        shared = [type(run.source) for run in self.shared]
        used = {
            "epochs": self.has_round_zero,
            "rounds": bool(self.treatments or self.untrained),
            "rates": bool(self.treatments or self.untrained),
            "mask_epochs": bool(self.learned),
            "sparse_epochs": bool(self.sparse or self.dsd or self.compressed or SparseRun in shared),
            "graph_epochs": bool(self.graphs or GraphRun in shared),
        }
        return frozenset(name for name, is_used in used.items() if is_used)

    def __or__(self, other: "Study") -> "Study":
        """Both studies, with what they share once."""
        return Study(
            tuple(dict.fromkeys(self.treatments + other.treatments)),
            tuple(dict.fromkeys(self.untrained + other.untrained)),
            tuple(dict.fromkeys(self.learned + other.learned)),
            tuple(dict.fromkeys(self.sparse + other.sparse)),
            tuple(dict.fromkeys(self.dsd + other.dsd)),
            tuple(dict.fromkeys(self.compressed + other.compressed)),
            tuple(dict.fromkeys(self.graphs + other.graphs)),
            tuple(dict.fromkeys(self.shared + other.shared)),
            self.unpruned or other.unpruned,
        )


@dataclass(frozen=True)
class Experiment:
    """A protocol and the data it runs on: what all results of one job have in common.

    `chosen` are the seeds that it is about, where not all of the protocol's.
    """

    protocol: Protocol
    data: Dataset
    chosen: tuple[int, ...] | None = None

    @property
    def seeds(self) -> Sequence[int]:
        """0 to n - 1, or the chosen ones."""
        return range(self.protocol.seeds) if self.chosen is None else self.chosen

    @property
    def training(self) -> TrainingConfig:
        """How each network is trained; epochs become steps of this data set."""
        protocol = self.protocol
        return TrainingConfig(
            steps=steps_of(protocol.epochs, len(self.data.train), protocol.batch_size),
            learning_rate=protocol.learning_rate,
            batch_size=protocol.batch_size,
            evaluate_every=protocol.evaluate_every,
        )

    def mask_training(self, method: str) -> TrainingConfig:
        """How a mask is learned by that method; epochs become steps of this data set."""
        masks = self.protocol.masks
        return TrainingConfig(
            steps=steps_of(masks.epochs, len(self.data.train), masks.batch_size),
            learning_rate=masks.learning_rate if method == "bernoulli" else masks.score_learning_rate,
            batch_size=masks.batch_size,
            evaluate_every=masks.evaluate_every,
        )

    @property
    def sparse_training(self) -> TrainingConfig:
        """How sparse networks are trained; epochs become steps of this data set."""
        protocol = self.protocol
        return TrainingConfig(
            steps=steps_of(protocol.sparse.epochs, len(self.data.train), protocol.batch_size),
            learning_rate=protocol.sparse.learning_rate,
            batch_size=protocol.batch_size,
            evaluate_every=protocol.evaluate_every,
        )

    def describe_training(self, treatment: Treatment | None, seed: int, round_: int) -> Description:
        """The description of one round of one run; round 0 has no treatment."""
        description = self._base("training", seed) | {"round": round_}
        if round_:
            description["revision"] = REVISIONS["pruned training"]
        if treatment is not None:
            description |= {"treatment": _without_defaults(treatment), "rates": self._rates} | _counts_of(self._rates)
            description |= _plugins(treatment.criterion, treatment.kept, treatment.pruned)
            description |= rules_of(treatment)
        return description

    def describe_untrained(self, untrained: Untrained, seed: int, level: int) -> Description:
        """The description of an untrained network's evaluation at a level of sparsity."""
        own = {"criterion": untrained.criterion, "weights": untrained.weights, "level": level, "rates": self._rates}
        base = self._base("untrained", seed) | _counts_of(self._rates)
        return base | own | _plugins(untrained.criterion) | rules_of_criterion(untrained.criterion)

    def describe_learned(self, learned: LearnedMask, seed: int) -> Description:
        """The description of a learned mask; what it goes onto is drawn from the seed, so no training is part of it."""
        own: Description = {"samples": EVALUATION_SAMPLES, "mask": _without_defaults(learned)}
        if learned.rescaled and learned.method != "edge_popup":
            own["revision"] = REVISIONS["rescaled mask"]
        if learned.method == "edge_popup":
            own |= _counts_of({"kept": learned.kept})
        name = self.protocol.masks.optimiser
        return self._base("learned_mask", seed, self.mask_training(learned.method), MASK_OPTIMISERS[name]) | own

    def describe_sparse(self, run: SparseRun, seed: int) -> Description:
        """The description of a sparse training, its method's choices in full: another choice, another result.

        Raises UsageError where the training is too short for its method.
        """
        training = self.sparse_training
        if run.method in METHODS:
            epoch = max(len(self.data.train) // training.batch_size, 1)
            if problem := _problem_of(run.method, Horizon(training.steps, epoch)):
                raise UsageError(f"sparse-epochs is {self.protocol.sparse.epochs:g}, for {run.method}: {problem}")
        own: dict[str, Any] = {"sparse": _sparse_fields(run)}
        method = run.structure or run.method
        if method != SMALL_DENSE and (choices := asdict(METHODS[method].config())):
            own["choices"] = choices
        if run.distribution in RECIPE_NAMES:
            own["kept"] = dict(RECIPES[self.protocol.network][run.distribution].kept)
        else:
            own |= _counts_of({"density": run.density})
        return self._base("sparse_training", seed, training, SGD_COSINE) | own

    @property
    def dsd_training(self) -> TrainingConfig:
        """How a phase of dense-sparse-dense is trained, but for the last one's rate: as long as a sparse training."""
        return replace(self.sparse_training, learning_rate=self.protocol.learning_rate)

    def describe_dsd(self, run: DSDRun, seed: int) -> Description:
        """The description of a dense-sparse-dense training; `steps` are those of a phase."""
        own = {"dsd": {"sparsity": run.sparsity, "last_rate": LAST_RATE}}
        return self._base("dsd", seed, self.dsd_training) | own | _counts_of({"sparsity": run.sparsity})

    @property
    def centroid_training(self) -> TrainingConfig:
        """How shared values are tuned: a tenth as long as sparse training, at a tenth of the rounds' rate."""
        config = self.sparse_training
        return replace(config, steps=config.steps // 10, learning_rate=0.1 * self.protocol.learning_rate)

    def describe_compression(self, run: CompressionRun, seed: int) -> Description:
        """The description of a compressed network: what it was trained like, and how it is coded."""
        recipe = RECIPES[choose("network for Deep Compression", self.protocol.network, RECIPES)][run.recipe]
        own = {
            "bits": dict.fromkeys(recipe.bits, run.bits) if run.bits else dict(recipe.bits),
            "index_bits": dict(recipe.index_bits),
            "trained": self.describe_sparse(run.source, seed),
        }
        return self._base("compression", seed, self.centroid_training) | {"compression": own}

    @property
    def graph_training(self) -> TrainingConfig:
        """How neural graphs are trained; epochs become steps of this data set. Evaluated once an epoch."""
        graph = self.protocol.graph
        return TrainingConfig(
            steps=steps_of(graph.epochs, len(self.data.train), graph.batch_size),
            learning_rate=graph.learning_rate,
            batch_size=graph.batch_size,
            evaluate_every=max(len(self.data.train) // graph.batch_size, 1),
        )

    def graph_of(self, setting: str) -> NeuralGraph:
        """The protocol's neural graph in that setting."""
        graph = self.protocol.graph
        size = graph.nodes, graph.edges, graph.inputs, graph.features
        return NeuralGraph(setting, *size, side=graph.side, ode_steps=graph.ode_steps)

    def describe_graph(self, run: GraphRun, seed: int) -> Description:
        """The description of a neural graph's training. The network of the experiment is no part of it."""
        graph = self.graph_of(run.setting)
        own = {name: getattr(graph, name) for name in ("setting", "nodes", "edges", "inputs", "features", "side")}
        own |= {"ode_steps": graph.ode_steps} if run.setting == "continuous" else {"steps": graph.steps}
        base = self._base("neural_graph", seed, self.graph_training, SGD_COSINE)
        return base | {"network": "neural_graph", "graph": own | {"wiring": run.wiring}}

    def describe_shared(self, run: SharedRun, seed: int) -> Description:
        """The description of a curve over one shared weight: that of the network it is of, and the values."""
        of = self.describe_source(run, seed)
        return of | {"kind": "shared_weight", "shared": {"of": of["kind"], "signs": run.signs, "values": list(VALUES)}}

    def describe_source(self, run: SharedRun, seed: int) -> Description:
        """The description of the trained network whose weights come to share a value."""
        source = run.source
        return self.describe_graph(source, seed) if isinstance(source, GraphRun) else self.describe_sparse(source, seed)

    def descriptions(self, study: Study) -> Iterator[Description]:
        """Of everything that the study needs."""
        for seed in self.seeds:
            if study.has_round_zero:
                yield self.describe_training(None, seed, 0)
            for round_ in range(1, self.protocol.rounds + 1):
                for treatment in study.treatments:
                    yield self.describe_training(treatment, seed, round_)
            for level in range(self.protocol.rounds + 1):
                for untrained in study.untrained:
                    yield self.describe_untrained(untrained, seed, level)
            for learned in study.learned:
                yield self.describe_learned(learned, seed)
            for run in study.sparse:
                yield self.describe_sparse(run, seed)
            for dsd in study.dsd:
                yield self.describe_dsd(dsd, seed)
            for compressed in study.compressed:
                yield self.describe_compression(compressed, seed)
            for graph in study.graphs:
                yield self.describe_graph(graph, seed)
            for shared in study.shared:
                yield self.describe_shared(shared, seed)

    def work_of(self, description: Description) -> float:
        """What a result costs, in steps of one network at the protocol's batch size: for progress and estimates."""
        if description["kind"] == "untrained":
            return len(self.data.test) / (3 * self.protocol.batch_size)  # a step costs three forward passes
        if description["kind"] == "learned_mask":
            return description["steps"] * description["batch_size"] / self.protocol.batch_size
        if description["kind"] == "dsd":
            return 3 * description["steps"]
        if "graph" in description:
            network = parameter_count(NETWORKS[self.protocol.network], self.data.image_shape)
            graph = self.graph_of(description["graph"]["setting"])
            cost = (
                graph.products(self.data.image_shape) / network * description["batch_size"] / self.protocol.batch_size
            )
        else:
            cost = 1.0
        if description["kind"] == "shared_weight":
            return cost * len(VALUES) * len(self.data.test) / (3 * description["batch_size"])
        if description["kind"] == "neural_graph":
            return cost * description["steps"]
        return description["steps"] - description.get("treatment", {}).get("rewind_step", 0)

    @property
    def _rates(self) -> dict[str, float]:
        """The rates of the layer kinds that the network has."""
        rates = self.protocol.rates
        convolutional = {"conv": rates.conv} if NETWORKS[self.protocol.network].convolutional else {}
        return convolutional | {"dense": rates.dense, "output": rates.output}

    def _base(
        self, kind: str, seed: int, training: TrainingConfig | None = None, optimiser: str = "adam"
    ) -> Description:
        training = training or self.training
        return {
            "revision": REVISIONS.get(kind, 1),
            "kind": kind,
            "dataset": self.data.name,
            "data_digest": self.data.digest,
            "network": self.protocol.network,
            "optimiser": optimiser,
            "learning_rate": training.learning_rate,
            "batch_size": training.batch_size,
            "steps": training.steps,
            "evaluate_every": training.evaluate_every,
            "seed": seed,
        }


def identity(description: Description) -> str:
    """A description's name: the first 32 hex digits of the SHA-256 of its canonical JSON."""
    text = json.dumps(description, sort_keys=True, separators=(",", ":"), allow_nan=False)
    return hashlib.sha256(text.encode()).hexdigest()[:32]


def _plugins(criterion: str, kept: str = "rewind", pruned: str = "zero") -> dict[str, dict[str, str]]:
    """What a user's own criteria and actions are known by: the digest of a file or of code, or a version.

    Raises ValueError where a registry has a member under another name than its own, whose results would be mistaken.
    """
    members: tuple[Criterion | Action, ...] = CRITERIA[criterion], KEPT_ACTIONS[kept], PRUNED_ACTIONS[pruned]
    for name, member in zip((criterion, kept, pruned), members, strict=True):
        if member.name != name:
            raise ValueError(f"{member.kind} {member.name!r} is registered as {name!r}; allowed: under its own name")
    sources = {(member.name, member.source) for member in members if member.source}
    if len({name for name, _ in sources}) < len(sources):
        raise ValueError(f"{criterion}, {kept} and {pruned} share a name; allowed: a name of its own for each")
    return {"plugins": dict(sorted(sources))} if sources else {}


def _counts_of(rates: Mapping[str, float]) -> dict[str, str]:
    """Mark results that once had other counts: rates were read as fractions of denominators up to 46,340."""
    changed = any(exact_fraction(rate) != Fraction(rate).limit_denominator(46_340) for rate in rates.values())
    return {"counts": "exact"} if changed else {}


@cache
def _problem_of(method: str, horizon: Horizon) -> str:
    """What is wrong with a sparse training of that length; '' for nothing."""
    try:
        METHODS[method].make(optax.identity(), horizon)
    except ValueError as error:
        return str(error)
    return ""


def _sparse_fields(run: SparseRun) -> dict[str, Any]:
    """A sparse run's fields but for defaults; 'erk' is left out, the only distribution that there once was."""
    return {name: value for name, value in _without_defaults(run).items() if (name, value) != ("distribution", "erk")}


def _without_defaults(choice: Treatment | LearnedMask | SparseRun) -> dict[str, Any]:
    return {f.name: getattr(choice, f.name) for f in fields(choice) if getattr(choice, f.name) != f.default}
