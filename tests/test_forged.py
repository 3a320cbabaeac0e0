"""Records that were forged under the names of results: what is taken over trips nothing, and the rest is refused."""

import hashlib
import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from safetensors.numpy import save

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED
from supermask.analysis.command.merging import merge
from supermask.analysis.command.verify import verify
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.drawing.tables import tidy_table
from supermask.analysis.kinds import KINDS, kind_of
from supermask.analysis.kinds.barrier import Barrier
from supermask.analysis.kinds.edge_swaps import SwapRun
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.kinds.rounds import Unpruned, decode_round_zero
from supermask.analysis.kinds.schema import fault_of, fault_of_arrays, fault_of_description
from supermask.analysis.kinds.shared_weight import SharedRun
from supermask.analysis.kinds.sign_flips import Flips
from supermask.analysis.kinds.superposition import Superposed
from supermask.analysis.kinds.task_pair import TaskPairs
from supermask.analysis.kinds.tasks import TaskMasks
from supermask.analysis.kinds.transfer import FromOtherData, Transfer
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Store, StoredResult, insert_record
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import StoreError
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.criteria import CRITERIA
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.lottery import Treatment
from supermask.named_members import BUILT_IN
from supermask.networks import NETWORKS, kernels_of, shapes_of
from supermask.neural_graphs.runs import GraphRun
from supermask.sparse_training.runs import SparseRun

MADE_WITH = {"supermask": "test", "devices": 2}
NARROW = SparseRun("small_dense", 0.1)
RUNS = (
    *(
        Unpruned(),
        BUILT_IN.treatment("movement", pruned="init"),
        Untrained(CRITERIA["random"]),
        LearnedMask(rescaled=True),
    ),
    *(SparseRun("rigl", 0.1), NARROW, DSDRun(0.3), CompressionRun(), GraphRun("static")),
    *(SharedRun(GraphRun("static")), Barrier(), Transfer(signs=True), FromOtherData(), Flips(), SwapRun(0.3)),
    *(TaskMasks("classes"), TaskPairs(), Superposed()),
)
VALUES = st.sampled_from(
    (
        *(None, True, -1, 0, 1, 0.5, 1e308, -1e-308, 1 << 62, 1 << 70, "", "x", "fc", "\ud800", "\x1b[31m", "../x"),
        *([], ["x"], {}, {"a": 1}, [[]], "0", "🙂", "a" * 5000),
    )
)


@pytest.fixture(scope="module")
def experiment(digits, other_digits):
    return Experiment(protocol("quick", changes=Changes(dataset="digits", rounds=1)), digits, other_data=other_digits)


def test_every_kind_is_forged_here():
    assert {kind_of(run) for run in RUNS} == set(KINDS)


def places(value, at=()):
    """Where the parts of nested objects and lists are."""
    yield at
    for name, part in value.items() if isinstance(value, dict) else ():
        yield from places(part, (*at, name))


@st.composite
def forgeries(draw):
    """A run, and what to do to its description or its metrics: a part to replace, drop, rename or add."""
    return (
        draw(st.sampled_from(RUNS)),
        draw(st.sampled_from(["description", "description", "metrics"])),
        draw(st.integers(0, 1000)),
        draw(st.sampled_from(["replace", "replace", "replace", "drop", "rename", "add", "list"])),
        draw(VALUES),
    )


def forged(value, number: int, how: str, other):
    value = json.loads(json.dumps(value))
    found = [each for each in places(value) if each]
    *outer, last = found[number % len(found)]
    part = value
    for name in outer:
        part = part[name]
    match how:
        case "replace":
            part[last] = other
        case "drop":
            del part[last]
        case "rename":
            part[f"{last} "] = part.pop(last)
        case "add":
            part[("extra", "round", "treatment", "mask", "rules", "self")[number % 6]] = other
        case "list":
            part[last] = [part[last]]
    return value


@settings(max_examples=40)
@given(forgeries())
def test_what_passes_the_schema_trips_no_table(tmp_path_factory, experiment, forgery):
    """Taken over with nothing said: then `results` reads it. Refused: then --verify sets it aside."""
    run, what, number, how, other = forgery
    kind = kind_of(run)
    description: object = results_of(experiment, run, 0)[-1].description
    metrics: object = dict.fromkeys(kind.metrics, 0.5)
    if what == "description":
        description = forged(description, number, how, other)
    else:
        metrics = forged(metrics, number, how, other)
    result = StoredResult(
        identity(description), description, json.dumps(metrics), None, 1.0, "2026-01-02T03:04:05+00:00", MADE_WITH
    )
    folder = tmp_path_factory.mktemp("forged")
    with Store(folder) as store, store._transaction() as database:
        insert_record(database, result, None)
    fault = fault_of(result)
    if fault is None:
        with Store(folder, for_reading=True) as store:
            assert len(tidy_table(store)) == len(json.loads(result.metrics_text))
    else:
        assert f"it is no result: {fault}" in [each.how for each in verify(folder).damages]
        fault.encode("ascii")


def test_whatever_part_of_a_description_is_another_the_table_can_be_read(tmp_path, experiment):
    """Every part of every kind's description, left out or replaced: what passes the schema is listed."""
    passed: dict[str, StoredResult] = {}
    tried = 0
    for run in RUNS:
        honest = results_of(experiment, run, 0)[-1].description
        metrics = json.dumps(dict.fromkeys(kind_of(run).metrics, 0.5))
        for number in range(sum(1 for each in places(honest) if each)):
            for how, other in (("drop", None), ("rename", None), *(("replace", each) for each in REPLACED)):
                description = forged(honest, number, how, other)
                result = StoredResult(identity(description), description, metrics, None, 1.0, "2026-01-02", MADE_WITH)
                tried += 1
                if fault_of(result) is None:
                    passed[result.id] = result
    with Store(tmp_path) as store, store._transaction() as database:
        for result in passed.values():
            insert_record(database, result, None)
    with Store(tmp_path, for_reading=True) as store:
        assert set(tidy_table(store)["id"]) == set(passed)
    assert len(passed) > 100
    assert tried > 2 * len(passed)


REPLACED = (None, True, -1, 0.5, "", "x", "a b", [], {}, {"a": 1})


def arrays_of(run, experiment) -> dict[str, np.ndarray]:
    """Arrays such as a result of that run has."""
    params = shapes_of(NETWORKS["fc"], experiment.data.image_shape)
    kernels, generator = kernels_of(params), np.random.default_rng(0)
    curves = {"curve.evaluated_at": np.arange(3), "curve.validation_loss": np.ones(3, np.float32)}
    curves["curve.validation_accuracy"] = np.ones(3, np.float32)
    masks = {layer: generator.random(kernel.shape) < 0.1 for layer, kernel in kernels.items()}
    bits = {layer: np.packbits(mask) for layer, mask in masks.items()}
    kept = {f"kept.{layer}": np.ones(int(mask.sum()), np.float32) for layer, mask in masks.items()}
    biases = {f"bias.{layer}": np.zeros(leaves["bias"].shape, np.float32) for layer, leaves in params.items()}
    match run:
        case Unpruned():
            whole = {
                f"{layer}.{name}": np.zeros(a.shape, np.float32) for layer, p in params.items() for name, a in p.items()
            }
            return curves | {f"{part}.{name}": a for part in ("initial", "final") for name, a in whole.items()}
        case Treatment():
            return curves | kept | biases | {f"mask.{layer}": own for layer, own in bits.items()}
        case LearnedMask():
            logits = {f"logits.{layer}": np.zeros(kernel.shape, np.float32) for layer, kernel in kernels.items()}
            return {"curve.evaluated_at": np.arange(3), "curve.loss": np.ones(3), "curve.accuracy": np.ones(3)} | logits
        case SparseRun():
            both = {f"{end}.{layer}": own for end in ("first", "last") for layer, own in bits.items()}
            return curves | kept | biases | both | {f"curve.{name}": np.ones((3, 3), int) for name in ("live", "grown")}
        case TaskMasks():
            sizes = {layer: kernel.size for layer, kernel in kernels.items()} | {"output": 100 * 100}
            return {f"mask.{layer}": np.zeros(-(-size // 8), np.uint8) for layer, size in sizes.items()}
        case CompressionRun():
            return {"file": np.zeros(9, np.uint8)}
        case GraphRun():
            wiring = {f"{moment}.edges": np.full(5, 3, np.uint8) for moment in ("first", "halfway", "last")}
            moving = {"curve.grown": np.zeros((3, 1), int), "curve.wiring": np.zeros((3, 80, 80), np.uint16)}
            return curves | wiring | moving | {"edges.kernel": np.zeros(10, np.float32)}
        case Flips():
            lengths = {"number": (5,), "waits": (7,), "distance": (10, 4)}
            return {f"{part}.{layer}": np.ones(shape, int) for layer in kernels for part, shape in lengths.items()}
    return {}


WITH_ARRAYS = [run for run in RUNS if kind_of(run).has_arrays]


@pytest.mark.parametrize("run", WITH_ARRAYS, ids=lambda run: type(run).__name__)
def test_arrays_are_held_to_their_kind(run, experiment):
    description = results_of(experiment, run, 0)[-1].description
    result = StoredResult("", description, "{}", "", 1.0, "", {})
    arrays = arrays_of(run, experiment)
    assert fault_of_arrays(result, arrays) is None
    assert "has no arrays" in str(fault_of_arrays(result, None))
    for name, array in arrays.items():
        others = {
            "missing": None,
            "longer": np.concatenate([array, array]),
            "deeper": array[None],
            "scalar": array.sum(),
        }
        others |= {"complex": array.astype(complex), "truths": array.astype(bool)}
        for how, other in others.items():
            changed = {n: a for n, a in (arrays | {name: other}).items() if a is not None}
            free = (
                name == "file" or name.startswith(("number.", "waits.")) or (run == NARROW and name.startswith("bias."))
            )
            if how == "longer" and free:
                continue  # of any length
            assert "array" in str(fault_of_arrays(result, changed)), (name, how)


@pytest.mark.parametrize("damage", ["none", "another shape", "another layer", "of a type that NumPy lacks", "junk"])
def test_a_record_with_arrays_of_others_is_neither_taken_over_nor_called_undamaged(damage, experiment, tmp_path):
    description = results_of(experiment, Unpruned(), 0)[0].description
    arrays = arrays_of(Unpruned(), experiment)
    if damage == "another shape":
        arrays["initial.output.bias"] = np.zeros(11, np.float32)
    if damage == "another layer":
        arrays["final.extra.kernel"] = np.zeros(3, np.float32)
    content = {
        "none": None,
        "junk": b"junk" * 9,
        "of a type that NumPy lacks": bf16(),
    }.get(damage, save(arrays))
    forge(tmp_path / "forged", description, content)
    with Store(tmp_path / "mine") as store:
        with pytest.raises(StoreError, match=r"nothing was taken over|is not a safetensors file"):
            merge(store, tmp_path / "forged")
        assert not list(store.everything())
    (found,) = verify(tmp_path / "forged").damages
    assert found.moved_to.exists()


LEARNED = {
    "no data set": lambda d: {name: value for name, value in d.items() if name != "dataset"},
    "a network of one's own": lambda d: d | {"network": "<b>x</b>"},
    "weights that are unknown": lambda d: d | {"mask": {"weights": "heavy"}},
    "a field of a later version": lambda d: d | {"mask": {"speed": 3}},
    "a list": lambda d: d | {"mask": [1]},
    "no metrics": lambda d: d,
    "arrays of others": lambda d: d,
}


@pytest.mark.parametrize("how", LEARNED)
@pytest.mark.parametrize("command", ["pack", "export"])
def test_a_forged_mask_is_neither_packed_nor_exported(how, command, experiment, tmp_path, capsys):
    """Before anybody has called --verify."""
    run = LearnedMask(rescaled=True)
    description = LEARNED[how](results_of(experiment, run, 0)[0].description)
    content = save({"x": np.zeros(3, np.float32)} if how == "arrays of others" else arrays_of(run, experiment))
    metrics = {} if how == "no metrics" else None
    forge(tmp_path / "forged", description, content, metrics, run)
    folder = ["--results", str(tmp_path / "forged")]
    for name in ("best", identity(description)[:8]):
        assert run_command([command, name, str(tmp_path / "out.npz"), *folder], CATALOGUE) in (FAILED, MISUSED)
        said = capsys.readouterr().err
        assert said.startswith("supermask: error: ")
        assert identity(description)[:12] in said
        assert not (tmp_path / "out.npz").exists()


@pytest.mark.parametrize("metrics", [{}, {"weights_remaining": "all"}, None])
def test_a_forged_result_is_not_drawn(metrics, experiment, tmp_path):
    """Of an honest description, so that it is found, before anybody has called --verify."""
    description = results_of(experiment, Unpruned(), 0)[0].description
    forge(tmp_path, description, save({"x": np.zeros(3, np.float32)}), metrics)
    with Store(tmp_path, for_reading=True) as store:
        results = Results(experiment, Study((Unpruned(),)), store, Shown(()))
        for read in (results.metrics, results.arrays) if metrics is not None else (results.arrays,):
            with pytest.raises(StoreError, match=f"record {identity(description)} in .* is no result: .*--verify"):
                read(Unpruned(), 0)
        with pytest.raises(StoreError, match="is no result"):
            results.unpruned_weights(0)


def bf16() -> bytes:
    header = b'{"x":{"dtype":"BF16","shape":[2],"data_offsets":[0,4]}}'
    header += b" " * (-len(header) % 8)
    return len(header).to_bytes(8, "little") + header + bytes(4)


def forge(folder: Path, description: dict[str, object], content: bytes | None, metrics=None, run=Unpruned()) -> None:  # noqa: B008
    """A record that agrees with its digests, whatever it holds."""
    metrics = dict.fromkeys(kind_of(run).metrics, 0.5) if metrics is None else metrics
    sha256 = None if content is None else hashlib.sha256(content).hexdigest()
    result = StoredResult(
        *(identity(description), description, json.dumps(metrics), sha256, 1.0),
        *("2026-01-02T03:04:05+00:00", MADE_WITH),
    )
    with Store(folder) as store, store._transaction() as database:
        if content is not None:
            store.arrays_path(result.id).parent.mkdir()
            store.arrays_path(result.id).write_bytes(content)
        insert_record(database, result, sha256)


def test_honest_descriptions_pass(experiment):
    for run in RUNS:
        for each in results_of(experiment, run, 0):
            assert fault_of_description(each.description) is None
    initial, final = decode_round_zero(arrays_of(Unpruned(), experiment))
    assert set(initial) == set(final) == set(shapes_of(NETWORKS["fc"], experiment.data.image_shape))
