"""Long trainings go on after an interrupt: to the same bits, from the last checkpoint, or from the start."""

import os
import signal
import time
from dataclasses import replace
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

import supermask
from supermask.analysis.command.verify import report_damage
from supermask.analysis.kinds import kind_of
from supermask.analysis.kinds.base import Context
from supermask.analysis.running import runner
from supermask.analysis.running.interrupts import Interrupted, Stop
from supermask.analysis.store.checkpoints import FOLDER, FolderCheckpoints, Settling
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.studies.workbench import Workbench
from supermask.augmentation import Augmentation
from supermask.compression.dsd import DSDRun
from supermask.compression.runs import CompressionRun
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.lottery import Treatment, initial_params
from supermask.masks import full_masks
from supermask.networks import NETWORKS, kernels_of, pruned
from supermask.neural_graphs.runs import GraphRun
from supermask.population import Placement, place
from supermask.recipe import Recipe
from supermask.resuming import Resumable
from supermask.sparse_training import METHODS, DropAndGrowConfig
from supermask.sparse_training.runs import SparseRun, sgd_cosine
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import Job, Trainer, TrainingConfig
from supermask.zoo.recurrent import LSTM
from supermask.zoo.resnet import ResNet


class InterruptError(Exception):
    """Stands for whatever ends a process."""


class Switched:
    """Checkpoints in a folder or, without one, none: so that one compiled trainer serves all tests."""

    folder: FolderCheckpoints | None = None

    def due(self) -> bool:
        return self.folder is not None and self.folder.due()

    def load(self, key):
        return None if self.folder is None else self.folder.load(key)

    def save(self, key, arrays) -> None:
        self.folder.save(key, arrays)


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def weights(trainer):
    """A trainer of weights, and three jobs for it: not as many as there are slots."""
    params = [initial_params(trainer, seed) for seed in range(3)]
    return trainer, [Job(p, full_masks(kernels_of(p)), seed) for seed, p in enumerate(params)]


def masks(trainer):
    """A trainer of masks, and three jobs for it."""
    config = TrainingConfig(300, 100.0, batch_size=50, evaluate_every=100)
    jobs = [MaskJob(initial_params(trainer, seed), LearnedMask(rescaled=True), seed) for seed in range(3)]
    return MaskTrainer(trainer.network, trainer.data, config, trainer.placement), jobs


def by_recipe(trainer):
    """A trainer of weights with a schedule, and with images that every step changes."""
    recipe = Recipe("sgd", schedule="cosine", clip=1.0, augment=Augmentation(1, flip=False, cut_out=2), normalise=True)
    own, jobs = weights(trainer)
    return replace(own, recipe=recipe, config=replace(own.config, learning_rate=0.05)), jobs


@pytest.fixture(scope="module", params=[weights, masks, by_recipe])
def work(request, trainer):
    """A trainer, its jobs, and what they come to when nothing comes between."""
    own, jobs = request.param(trainer)
    own = replace(own, checkpoints=Switched())
    return own, jobs, own.train(jobs)


@pytest.fixture
def checkpoints(work, tmp_path):
    """Checkpoints after every interval, in a folder that is not there yet."""
    folder = FolderCheckpoints(tmp_path / "unfinished", seconds_between=0.0)
    work[0].checkpoints.folder = folder
    yield folder
    work[0].checkpoints.folder = None


def interrupted(trainer, jobs, after: int) -> None:
    """Trains until `after` network-steps are done."""
    done = []

    def tell(steps: int) -> None:
        done.append(steps)
        if sum(done) >= after:
            raise InterruptError

    with pytest.raises(InterruptError):
        trainer.train(jobs, tell)


def goes_on(trainer, jobs, switched: Switched, folder: Path) -> None:
    """Two networks, interrupted after 200 of their steps, go on from a checkpoint after 160, to the same bits."""
    straight = trainer.train(jobs)
    switched.folder = FolderCheckpoints(folder, seconds_between=0.0)
    interrupted(trainer, jobs, 200)
    steps: list[int] = []
    assert same_bits(straight, trainer.train(jobs, steps.append))
    assert steps == [160, 40]


@pytest.mark.parametrize("after", [1, 301, 601])
def test_a_training_that_was_cut_off_ends_in_the_same_bits(work, checkpoints, tmp_path, after):
    trainer, jobs, straight = work
    interrupted(trainer, jobs, after)
    steps = []
    assert same_bits(straight, trainer.train(jobs, steps.append))
    assert sum(steps) == 3 * 300, "what was done before counts as done"
    assert steps[0] >= 300 * (after // 300) - 300
    checkpoints.settle()
    assert not (tmp_path / "unfinished").exists()


def test_nothing_is_saved_before_it_is_due(work, tmp_path):
    trainer, jobs, straight = work
    trainer.checkpoints.folder = FolderCheckpoints(tmp_path / "patient")
    assert same_bits(straight[:1], trainer.train(jobs[:1]))
    trainer.checkpoints.folder = None
    assert not (tmp_path / "patient").exists()


def test_other_work_is_not_taken_for_ones_own(work, checkpoints):
    trainer, jobs, straight = work
    interrupted(trainer, jobs[:2], 401)
    assert same_bits(straight[1:], trainer.train(jobs[1:]))
    assert same_bits(straight[:1], trainer.train(jobs[:1]))

    def key(data=trainer.data, programs="program", config=trainer.config) -> str:
        return Resumable.of(checkpoints, data, jobs[0].seed, programs, config).key

    labels = trainer.data.train.labels.copy()
    labels[0] = (labels[0] + 1) % 10
    other_data = replace(trainer.data, train=replace(trainer.data.train, labels=labels), digest="")
    other_config = replace(trainer.config, learning_rate=1e-3)
    assert len({key(), key(config=other_config), key(data=other_data), key(programs="other")}) == 4


def _clipped(norm: float) -> optax.GradientTransformation:
    return optax.chain(optax.clip_by_global_norm(norm), optax.sgd(0.5))


def _by_table(last: float) -> optax.GradientTransformation:
    table = jnp.linspace(0.5, 0.1, 5000, dtype=jnp.float32).at[-1].set(last)
    return optax.sgd(lambda step: table[-1 - step])


@pytest.mark.parametrize(
    ("first", "second"),
    [
        (optax.sgd(0.5), optax.sgd(0.001)),
        (optax.sgd(0.5), optax.sgd(0.50000006)),
        (_clipped(1.0), _clipped(2.0)),
        (_by_table(0.1), _by_table(0.2)),
    ],
    ids=["rate", "one-bit", "clipping", "table"],
)
def test_a_training_is_not_resumed_under_another_optimiser(trainer, tmp_path, first, second):
    """Their states are alike, and what differs is in closures: the compiled program tells."""
    config = replace(trainer.config, steps=40, evaluate_every=20)
    jobs = weights(trainer)[1][:1]
    checkpoints = FolderCheckpoints(tmp_path / "unfinished", seconds_between=0.0)
    anew = replace(trainer, config=config, optimiser=second).train(jobs)
    interrupted(replace(trainer, config=config, optimiser=first, checkpoints=checkpoints), jobs, 20)
    steps: list[int] = []
    other = replace(trainer, config=config, optimiser=second, checkpoints=checkpoints)
    assert same_bits(anew, other.train(jobs, steps.append))
    assert steps[0] == 0, "trained from its first step on"
    steps.clear()
    assert same_bits(anew, replace(other).train(jobs, steps.append))
    assert steps[0] == 40, "its own checkpoint serves a new trainer"


def test_a_damaged_checkpoint_is_left_alone(work, checkpoints, tmp_path):
    trainer, jobs, straight = work
    interrupted(trainer, jobs[:1], 201)
    (path,) = (tmp_path / "unfinished").glob("*.safetensors")
    content = bytearray(path.read_bytes())
    for damage in (content[:-1], b"", content[:500] + b"x" + content[501:]):
        path.write_bytes(damage)
        assert same_bits(straight[:1], trainer.train(jobs[:1]))


def test_a_folder_that_cannot_be_written_costs_the_checkpoint_alone(work, checkpoints, tmp_path):
    trainer, jobs, straight = work
    (tmp_path / "unfinished").write_text("in the way")
    assert same_bits(straight[:1], trainer.train(jobs[:1]))


def test_every_trainer_goes_through_the_same_loop():
    """Batches are dealt out there alone; what infers tasks deals out test images, and trains nothing.

    In a checkout, two of the package's folders are links, into which a search does not go by itself.
    """
    folders = [Path(supermask.__path__[0]).joinpath(name).resolve() for name in (".", "analysis", "figures")]
    modules = [path for folder in folders for path in folder.rglob("*.py")]
    dealing = {path.stem for path in modules if "batch_order(" in path.read_text(encoding="utf-8")}
    assert dealing == {"intervals", "keys", "superposition"}


@pytest.mark.parametrize("name", METHODS)
def test_a_sparse_training_goes_on_where_it_was(name, trainer, tmp_path):
    """Three intervals of 40, 40 and 20 steps, cut off in the last one: after the middle, whose masks are kept."""
    params = [initial_params(trainer, seed) for seed in range(2)]
    counts = {layer: kernel.size // 4 for layer, kernel in kernels_of(params[0]).items()}
    jobs = [SparseJob(own, counts, seed) for seed, own in enumerate(params)]
    config, switched = TrainingConfig(100, 3e-2, evaluate_every=40), Switched()
    given = (trainer.network, trainer.data, config, place(4000, networks=2), METHODS[name], sgd_cosine(3e-2, 100))
    own = SparseTrainer(*given, checkpoints=switched)
    goes_on(own, jobs, switched, tmp_path / "unfinished")


DEEPER = {"lstm": LSTM(hidden=(12,)), "resnet": ResNet(stages=((4, 1), (8, 1)))}


@pytest.mark.parametrize("name", DEEPER)
def test_a_deeper_network_goes_on_to_the_same_bits(name, digits, tmp_path):
    """By a schedule and momentum; running statistics go on as well, in a round that is rewound to a later step."""
    network, switched = DEEPER[name], Switched()
    config, recipe = TrainingConfig(120, 2e-2, 30, evaluate_every=40), Recipe("nesterov", schedule="cosine")
    own = Trainer(network, digits, config, place(4000, networks=2), checkpoints=switched, recipe=recipe)
    starts = [initial_params(own, seed) for seed in range(2)]
    masks = [{n: np.arange(k.size).reshape(k.shape) % 3 > 0 for n, k in kernels_of(each).items()} for each in starts]
    jobs = [Job(pruned(start, masks[seed]), masks[seed], seed, 20) for seed, start in enumerate(starts)]
    goes_on(own, jobs, switched, tmp_path / "unfinished")


def test_where_masks_change_is_part_of_what_a_sparse_training_is_found_by(trainer):
    """It is no part of the compiled programs."""

    class Asked(Switched):
        def load(self, key):
            keys.append(key)
            raise InterruptError

    keys: list[str] = []
    params, config = initial_params(trainer, 0), TrainingConfig(40, 3e-2, evaluate_every=20)
    job = SparseJob(params, {layer: kernel.size // 4 for layer, kernel in kernels_of(params).items()}, 0)
    given = (trainer.network, trainer.data, config, place(4000, networks=1), METHODS["set"], optax.sgd(0.1))
    for every in (5, 8, 5):
        with pytest.raises(InterruptError):
            SparseTrainer(*given, DropAndGrowConfig(every=every), Asked()).train([job])
    assert keys[0] == keys[2] != keys[1]


KINDS = {
    "learned mask": LearnedMask(),
    "sparse": SparseRun("set", 0.1),
    "graph": GraphRun("static"),
    "compression": CompressionRun(bits=4, pruned=False),
    "dsd": DSDRun(0.5),
}


@pytest.mark.parametrize(
    "kind", [pytest.param(each, marks=() if each == "learned mask" else pytest.mark.slow) for each in KINDS]
)
def test_every_kind_of_training_stops_at_a_checkpoint_and_goes_on_from_there(kind, digits, tmp_path):
    """A stop is asked for as by Ctrl-C, with no time left to finish."""
    run = KINDS[kind]
    base = protocol("quick", changes=Changes(dataset="digits", seeds=1))
    short = replace(
        base,
        evaluate_every=4,
        sparse=replace(base.sparse, epochs=10),
        masks=replace(base.masks, epochs=1, evaluate_every=4),
    )
    experiment = Experiment(replace(short, graph=replace(base.graph, nodes=40, features=7)), digits)
    source = Study(tuple(kind_of(run).sources(run)))

    def asked(done) -> None:
        told.append(done.work)
        if sum(told) > 0:
            os.kill(os.getpid(), signal.SIGINT)

    with Store(tmp_path / "straight") as straight, Store(tmp_path / "stopped") as stopped:
        for store in (straight, stopped):
            runner.run(experiment, source, store)
        runner.run(experiment, Study((run,)), straight)
        told: list[float] = []
        with pytest.raises(Interrupted), Stop(patience=0.0) as stop:
            runner.run(experiment, Study((run,)), stopped, asked, stop)
        before = sum(told)
        (left,) = (tmp_path / "stopped" / "unfinished").iterdir()
        told.clear()
        runner.run(experiment, Study((run,)), stopped, lambda done: told.append(done.work))
        assert told[0] == before > 0, "what was done before counts at once"
        assert not left.exists()
        (named,) = kind_of(run).results(experiment, run, 0)
        assert straight.metrics(named.id) == stopped.metrics(named.id)
        if kind != "dsd":  # which stores none
            assert same_bits(straight.arrays(named.id), stopped.arrays(named.id))


@pytest.mark.parametrize("in_turn", [True, False])
def test_a_checkpoint_is_found_after_other_populations_are_stored(in_turn, digits, tmp_path, monkeypatch):
    """The number of slots is part of what it is found by, and stays what it was; no slot is empty that would cost."""
    monkeypatch.setattr(Placement, "one_at_a_time", in_turn)
    experiment, network = Experiment(protocol("quick", changes=Changes(dataset="digits")), digits), NETWORKS["fc"]
    with Store(tmp_path) as store:
        context = Context(experiment, store, lambda done: None, None, Workbench())
        most = context.placement(network, 10**6, 10**6).slots
        assert context.placement(network, 3, most + 8).slots == most, "several populations"
        assert context.placement(network, 2, 8).slots == (8 if in_turn else 2), "one, of which a part was stored before"
        assert context.slots(8, 8).slots == 8


def test_another_command_in_the_folder_leaves_a_checkpoint_where_it_is(digits, results_folder, monkeypatch):
    """A study is cut off, others are run to their end in the same folder, and the first goes on where it was."""
    monkeypatch.setattr(runner, "FolderCheckpoints", partial(FolderCheckpoints, seconds_between=0.0))
    unfinished = results_folder / "unfinished"

    def study(seeds: tuple[int, ...], epochs: int) -> tuple[Experiment, Study]:
        changes = Changes(dataset="digits", epochs=epochs, rounds=1)
        return Experiment(protocol("quick", changes=changes), digits, seeds), Study((Treatment(),))

    def interrupt(done) -> None:
        told.append(done.work)
        if sum(told) > 400:
            raise InterruptError

    told: list[float] = []
    with Store(results_folder) as store:
        with pytest.raises(InterruptError):
            runner.run(*study((0,), 30), store, interrupt)
        (left,) = unfinished.iterdir()
        runner.run(*study((1,), 2), store)
        runner.run(*study((1,), 2), store)  # all of it is stored
        assert list(unfinished.iterdir()) == [left]
        told = []
        runner.run(*study((0,), 30), store, lambda done: told.append(done.work))
        assert told[0] >= 300, "what was done before counts at once"
    assert not unfinished.exists(), "its own results are stored"


def test_a_checkpoint_stays_where_its_result_could_not_be_stored(tmp_path):
    class Full:
        folder, known, arrays = tmp_path, None, None

        def add(self, results, made_with) -> None:
            raise OSError("No space left on device")

    checkpoints = FolderCheckpoints(tmp_path / "unfinished", 0.0)
    checkpoints.save("key", {"w": np.zeros(3)})
    store = Settling(Full(), checkpoints)
    with pytest.raises(OSError, match="No space"):
        store.add([], {})
    assert FolderCheckpoints(tmp_path / "unfinished").load("key") is not None


def test_a_checkpoint_is_listed_with_its_age_and_left(tmp_path, capsys):
    with Store(tmp_path):
        pass
    FolderCheckpoints(tmp_path / FOLDER).save("key", {"a": np.arange(3)})
    (path,) = (each for each in tmp_path.rglob("*") if each.suffix == ".safetensors")
    os.utime(path, (time.time() - 3 * 86400,) * 2)
    assert not report_damage(tmp_path)
    said = " ".join(capsys.readouterr().out.split())
    assert "checkpoint of a training under way, 0.0 MB, saved 3.0 days ago" in said
    assert path.exists()
