"""The commands pack, unpack and evaluate, on masks that a small study learned."""

import json
import shutil
import subprocess
import sys

import jax.numpy as jnp
import numpy as np
import pytest
from safetensors.numpy import load_file
from test_faults import mounted

from supermask.analysis.command.cli import run_command
from supermask.analysis.drawing.results import Results, Shown
from supermask.analysis.kinds.plan import results_of, workload
from supermask.analysis.running import runner
from supermask.analysis.store.store import Result, Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.networks import NETWORKS, logits
from supermask.packed import unpack

RESCALED = LearnedMask("signed_constant", rescaled=True)
EDGE_POPUP = LearnedMask("signed_kaiming", method="edge_popup", kept=0.3)
STUDY = Study((LearnedMask(), RESCALED, EDGE_POPUP))


@pytest.fixture(scope="module")
def experiment(digits):
    changes = Changes(dataset="digits", epochs=1, rounds=1, seeds=2, mask_epochs=60)
    return Experiment(protocol("quick", changes=changes), digits)


@pytest.fixture(scope="module")
def folder(experiment, tmp_path_factory):
    folder = tmp_path_factory.mktemp("masks")
    with Store(folder) as store:
        runner.run(experiment, STUDY, store)
    return folder


def command(*arguments) -> int:
    return run_command([str(argument) for argument in arguments], CATALOGUE)


def id_of(experiment, learned: LearnedMask, seed: int) -> str:
    return results_of(experiment, learned, seed)[0].id


def test_what_is_learned_is_stored_once_and_never_again(experiment, folder):
    words = []
    with Store(folder) as store:
        load = workload(experiment, STUDY, store)
        assert load.counts["learned_mask"] == (6, 6)
        assert load.work == 0
        runner.run(experiment, STUDY, store, words.append)
        results = Results(experiment, STUDY, store, Shown(()))
        metrics = results.metrics(RESCALED, 0)
        curve = results.arrays(RESCALED, 0)["curve.loss"]
    assert words == [], "nothing is left to do"
    assert metrics["test_accuracy"] > 0.6
    assert metrics["validation_loss"] == pytest.approx(curve.min())


@pytest.mark.thorough
def test_masks_learned_in_another_population_are_the_same_bits(experiment, folder, tmp_path):
    """An interrupted study that is taken up again, one mask at a time, ends in the same store."""
    with Store(tmp_path / "other") as other, Store(folder) as store:
        for learned in reversed(STUDY.runs):
            runner.run(experiment, Study((learned,)), other)
        for learned in STUDY.runs:
            for seed in experiment.seeds:
                id_ = id_of(experiment, learned, seed)
                assert other.metrics(id_) == store.metrics(id_)
                for name, array in store.arrays(id_).items():
                    assert other.arrays(id_)[name].tobytes() == array.tobytes()


@pytest.mark.parametrize("learned", STUDY.runs, ids=["initial", "rescaled", "edge-popup"])
def test_a_packed_network_has_the_stored_accuracy_and_the_same_logits(experiment, folder, learned, tmp_path, capsys):
    file, output = tmp_path / "network.mask", tmp_path / "network.safetensors"
    assert command("pack", id_of(experiment, learned, 1)[:16], file, "--results", folder) == 0
    said = capsys.readouterr().out
    assert f"{file.stat().st_size:,} bytes" in said
    assert command("evaluate", file) == 0
    printed = capsys.readouterr().out
    with Store(folder) as store:
        stored = store.metrics(id_of(experiment, learned, 1))
    assert f"test accuracy {100 * stored['rounded_test_accuracy']:.2f}%" in printed
    assert f"validation accuracy {100 * stored['rounded_validation_accuracy']:.2f}%" in printed
    assert command("unpack", file, output) == 0
    params = {}
    for name, array in load_file(output).items():
        layer, leaf = name.split(".")
        params.setdefault(layer, {})[leaf] = array
    _, rebuilt = unpack(file.read_bytes())
    images = jnp.asarray(experiment.data.test.images[:30], jnp.float32) / experiment.data.maximum
    both = [np.asarray(logits(NETWORKS["fc"], each, images)) for each in (params, rebuilt)]
    assert both[0].tobytes() == both[1].tobytes()


def test_masks_of_a_folder_that_can_only_be_read_are_packed_and_exported(folder, tmp_path):
    disk = tmp_path / "disk"
    with mounted(disk, "size=40m") as protect:
        shutil.copytree(folder, disk / "results")
        protect()
        for verb, name in (("pack", "best.mask"), ("export", "best.npz")):
            assert command(verb, "best", tmp_path / name, "--results", disk / "results") == 0
            assert command(verb, "best", tmp_path / f"other-{name}", "--results", folder) == 0
            assert (tmp_path / name).read_bytes() == (tmp_path / f"other-{name}").read_bytes()


def test_drawn_masks_can_be_packed_and_average_to_the_stored_accuracy(experiment, folder, tmp_path, capsys):
    accuracies = []
    for sample in range(10):
        file = tmp_path / f"{sample}.mask"
        run = id_of(experiment, RESCALED, 0)
        assert command("pack", run, file, "--sample", sample, "--results", folder) == 0
        assert command("evaluate", file) == 0
        accuracies.append(float(capsys.readouterr().out.split("test accuracy ")[1].split("%")[0]))
    with Store(folder) as store:
        assert np.mean(accuracies) == pytest.approx(100 * store.metrics(run)["test_accuracy"], abs=0.006)


def test_best_is_the_highest_validation_accuracy(experiment, folder, tmp_path):
    assert command("pack", "best", tmp_path / "best.mask", "--results", folder) == 0
    with Store(folder) as store:
        names = {id_of(experiment, each, seed): (each, seed) for each in STUDY.runs for seed in experiment.seeds}
        best, seed = names[max(names, key=lambda id_: store.metrics(id_)["validation_accuracy"])]
    network, _ = unpack((tmp_path / "best.mask").read_bytes())
    assert (network.weights, network.rescaled, network.seed) == (best.weights, best.rescaled, seed)


@pytest.mark.parametrize(
    ("arguments", "message", "status"),
    [
        (["pack", "zz", "{new}", "--results", "{folder}"], "run 'zz' is not a learned mask of", 2),
        (["pack", "", "{new}", "--results", "{folder}"], "stands for several learned masks", 2),
        (["pack", "best", "{new}", "--results", "{missing}"], "is not a results folder", 2),
        (["pack", "best", "{new}", "--sample", "10", "--results", "{folder}"], "sample is 10; allowed: 0 to 9", 2),
        (["pack", "best", "{missing}/a.mask", "--results", "{folder}"], "cannot be written", 2),
        (["evaluate", "{missing}"], "cannot be read", 2),
        (["evaluate", "{foreign}"], "not a packed network", 1),
        (["evaluate", "{large}"], "it has more than 4,194,304 bytes", 1),
        (["unpack", "{cut}", "{new}"], "truncated or altered", 1),
    ],
)
def test_errors_say_what_is_wrong_and_nothing_is_written(folder, tmp_path, capsys, arguments, message, status):
    whole = tmp_path / "whole.mask"
    command("pack", "best", whole, "--results", folder)
    (tmp_path / "foreign").write_bytes(b"\x80\x04" + bytes(100))
    (tmp_path / "cut").write_bytes(whole.read_bytes()[:-1])
    with (tmp_path / "large").open("wb") as file:
        file.truncate(1 << 33)
    names = {name: tmp_path / name for name in ("new", "missing", "foreign", "cut", "large")}
    capsys.readouterr()
    assert command(*(argument.format(folder=folder, **names) for argument in arguments)) == status
    assert message in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


def test_reading_a_file_imports_nothing_that_could_run_it(tmp_path, folder):
    """Neither pickle's machine nor eval is behind the reader: a subprocess with both disabled reads the file."""
    file = tmp_path / "best.mask"
    command("pack", "best", file, "--results", folder)
    program = (
        "import builtins, pickle, sys\n"
        "from supermask.packed import unpack\n"
        "def refuse(*_, **__): raise SystemExit('ran code')\n"
        "content = open(sys.argv[1], 'rb').read()\n"
        "pickle.loads = pickle.load = pickle.Unpickler = refuse\n"
        "builtins.eval = refuse\n"
        "import json; print(json.dumps(unpack(content)[0].seed))\n"
    )
    ended = subprocess.run([sys.executable, "-c", program, str(file)], capture_output=True, text=True, check=True)
    assert json.loads(ended.stdout) in (0, 1)


def test_what_a_file_of_a_mask_and_a_seed_cannot_hold_is_refused_by_name_and_never_the_best(
    experiment, folder, tmp_path, capsys
):
    own, others = tmp_path / "results", {"has the method signed": LearnedMask(method="signed")}
    others["is on binary weights"] = LearnedMask("binary", method="edge_popup")
    with Store(folder, for_reading=True) as store:
        id_ = id_of(experiment, EDGE_POPUP, 0)
        metrics, arrays = store.metrics(id_), store.arrays(id_)

    def add(learned, accuracy):
        described = results_of(experiment, learned, 0)[0].description
        with Store(own) as store:
            store.add(
                [Result(described, metrics | {"validation_accuracy": accuracy}, arrays, 1.0)], {"supermask": "test"}
            )

    for words, learned in others.items():
        add(learned, 0.999)
        for reader in ("pack", "export"):
            assert command(reader, id_of(experiment, learned, 0), tmp_path / "new.npz", "--results", own) == 2
            assert words in capsys.readouterr().err
    assert command("pack", "best", tmp_path / "new", "--results", own) == 2
    assert "has no such mask" in capsys.readouterr().err
    add(EDGE_POPUP, 0.2)
    assert command("pack", "best", tmp_path / "best.mask", "--results", own) == 0
    assert unpack((tmp_path / "best.mask").read_bytes())[0].weights == "signed_kaiming"


def test_a_folder_without_learned_masks_is_told_apart_from_a_wrong_name(tmp_path, capsys):
    with Store(tmp_path / "empty"):
        pass
    assert command("pack", "best", tmp_path / "new", "--results", tmp_path / "empty") == 2
    assert "empty, which has no such mask; supermask reproduce learned-supermasks makes some" in capsys.readouterr().err
