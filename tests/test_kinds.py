"""Every kind of result keeps the promises of the protocol for kinds, and the names of all figures' results stay."""

import copy
import hashlib
import json
from pathlib import Path

import numpy as np
import pytest

from supermask.analysis.drawing.tidy_cells import COLUMNS
from supermask.analysis.kinds import BY_NAME, KINDS, kind_of
from supermask.analysis.kinds.barrier import Barrier, UnprunedBarrier
from supermask.analysis.kinds.edge_swaps import SwapRun
from supermask.analysis.kinds.plan import complete, ids_needed, results_of, uses_of
from supermask.analysis.kinds.rounds import There, Unpruned
from supermask.analysis.kinds.schema import fault_of_description, unknown_part
from supermask.analysis.kinds.shared_weight import SharedRun
from supermask.analysis.kinds.sign_flips import Flips, UnprunedFlips
from supermask.analysis.kinds.superposition import Superposed
from supermask.analysis.kinds.task_pair import TaskPairs
from supermask.analysis.kinds.tasks import TaskMasks
from supermask.analysis.kinds.transfer import FromOtherData, Transfer
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running.units import units
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import PROTOCOLS, Changes, protocol
from supermask.analysis.studies.recipes import SETTINGS
from supermask.augmentation import Augmentation
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.criteria import CRITERIA
from supermask.datasets import Split
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.networks import NETWORKS, shapes_of
from supermask.neural_graphs.runs import GraphRun
from supermask.recipe import PLAIN, Recipe
from supermask.sparse_training.runs import SparseRun

RUNS = (
    *(Unpruned(), BUILT_IN.treatment("movement", kept="constant"), Untrained(CRITERIA["random"], "signed_constant")),
    *(LearnedMask("binary", method="edge_popup"), LearnedMask(method="signed", decay=0.01)),
    *(LearnedMask(rescaled=True), SparseRun("set", 0.1), SparseRun(density=0.1, structure="set")),
    *(DSDRun(0.3), CompressionRun(bits=2), GraphRun("static"), GraphRun("continuous", "uniform")),
    *(SharedRun(GraphRun("static"), signs=True), SharedRun(SparseRun("set", 0.1))),
    *(
        UnprunedBarrier(),
        Barrier(),
        Barrier(CRITERIA["random"], "rounds"),
        Transfer(),
        Transfer(signs=True, matched=True),
        FromOtherData(),
        There(Unpruned()),
        There(BUILT_IN.treatment("movement")),
        SwapRun(0.3),
    ),
    *(UnprunedFlips(), UnprunedFlips(rate=0.5, length=2.0), UnprunedFlips(every_step=True), Flips()),
    *(TaskMasks(), TaskMasks("pixels"), TaskMasks("classes", "cut"), TaskPairs(), TaskPairs("classes", "cut")),
    Superposed(),
)
EVERYTHING = Recipe(
    "nesterov",
    learning_rate=0.1,
    batch_size=50,
    momentum=0.8,
    schedule="steps",
    warm_up=0.1,
    cuts=(0.3, 0.6),
    cut_factor=0.2,
    weight_decay=1e-4,
    clip=1.0,
    label_smoothing=0.1,
    augment=Augmentation(2, cut_out=3),
    normalise=True,
)
FIELDS = (
    "epochs",
    "rounds",
    "rates",
    "ranking",
    "mask_epochs",
    "task_epochs",
    "sparse_epochs",
    "graph_epochs",
    "other_dataset",
    *SETTINGS,
)
GOLDEN = json.loads((Path(__file__).parent / "golden.json").read_text(encoding="utf-8"))
"""Number and digest of the ids of each figure's results, by 'network protocol figure'."""


@pytest.fixture(scope="module")
def experiment(digits, other_digits):
    changes = Changes(dataset="digits", seeds=2, rounds=2)
    return Experiment(protocol("quick", changes=changes), digits, other_data=other_digits)


def test_every_kind_is_tried_here():
    assert {kind_of(run) for run in RUNS} == set(KINDS)
    assert len(BY_NAME) == len(KINDS)


@pytest.mark.parametrize("recipe", [PLAIN, EVERYTHING], ids=["plain", "recipe"])
@pytest.mark.parametrize("run", RUNS, ids=str)
def test_a_kind_keeps_its_promises(run, recipe, digits, other_digits):
    own = protocol("quick", changes=Changes(dataset="digits", seeds=2, rounds=2, recipe=recipe))
    experiment = Experiment(own, digits, other_data=other_digits)
    kind, shape = kind_of(run), experiment.data.image_shape
    params = shapes_of(NETWORKS["fc"], shape)
    forward = 2 * NETWORKS["fc"].products(shape)
    named = results_of(experiment, run, 1)
    assert named
    assert results_of(experiment, run, 1) is named, "described and named once"
    assert len({each.id for each in named}) == len(named)
    assert {each.id for each in named}.isdisjoint(each.id for each in results_of(experiment, run, 0))
    for description, _ in named:
        assert description["kind"] == kind.name
        assert json.loads(json.dumps(description)) == description
        assert unknown_part(description) is None
        assert fault_of_description(description) is None
        assert kind.work(experiment, description) > 0
        assert kind.flops(experiment, description, forward) > 0
        assert kind.size(experiment, description, params) > 0
        assert set(kind.columns(description)) <= set(COLUMNS)
    assert uses_of(Study((run,))) <= set(FIELDS)
    own = kind.length(experiment.protocol, (run,))
    assert own or kind.sources(run), "a caption says how long it is, or that of its source does"


@pytest.mark.parametrize("run", RUNS, ids=str)
def test_what_a_run_starts_from_is_made_before_it(run, experiment):
    runs = complete(Study((run,))).runs
    assert runs[-1] == run
    for source in kind_of(run).sources(run):
        assert runs.index(source) < len(runs) - 1
        assert KINDS.index(kind_of(source)) <= KINDS.index(kind_of(run))
    made: set[str] = set()
    for unit in units(experiment, Study((run,))):
        assert made.issuperset(unit.needs)
        made.update(unit.ids)
    assert made == ids_needed(experiment, Study((run,)))


def stand_in(digits, name, shape, sizes):
    """A data set of that size and shape without its content, which names of results know by its digest alone."""

    def split(size: int) -> Split:
        return Split(np.broadcast_to(np.uint8(0), (size, *shape)), np.broadcast_to(digits.test.labels[0], (size,)))

    parts = dict(zip(("train", "validation", "test"), map(split, sizes), strict=True))
    data = copy.copy(digits)
    for field, value in (parts | {"name": name, "digest": f"digest of {name}"}).items():
        object.__setattr__(data, field, value)  # unchecked: it has no such content
    return data


@pytest.fixture(scope="module")
def stand_ins(digits):
    return {
        "mnist5k": stand_in(digits, "mnist5k", (28, 28, 1), (3500, 500, 1000)),
        "mnist": stand_in(digits, "mnist", (28, 28, 1), (55_000, 5_000, 10_000)),
        "cifar10": stand_in(digits, "cifar10", (32, 32, 3), (45_000, 5_000, 10_000)),
    }


@pytest.mark.parametrize("network", ["fc", "conv2", "lenet5", "resnet20", "lstm"])
@pytest.mark.parametrize("name", PROTOCOLS)
def test_the_names_of_every_figures_results_stay(network, name, stand_ins):
    """A digest changes only where results have: then those, and no others, are to be made again."""
    own = protocol(name, network)
    experiment = Experiment(own, stand_ins[own.dataset])
    for title, entry in CATALOGUE.items():
        if entry.only and network not in entry.only:
            continue
        figure = entry.load()
        ids = sorted(ids_needed(experiment, figure.whole))
        digest = hashlib.sha256(" ".join(ids).encode()).hexdigest()[:16]
        assert f"{len(ids)} {digest}" == GOLDEN[f"{network} {name} {title}"], title
