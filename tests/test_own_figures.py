"""Figures of a user's own data: the same results whatever files they come in, and true words about them."""

import csv
import struct
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.compression.file import compress
from supermask.compression.quantisation import quantise
from supermask.datasets import load
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import network_of
from supermask.params import kernels_of


def split(count: int) -> tuple[np.ndarray, np.ndarray]:
    """Non-square images of three classes, which differ in how bright they are."""
    labels = np.arange(count) % 3
    images = np.random.default_rng(count).integers(0, 60, (count, 4, 9)) + 80 * labels[:, None, None]
    return images.astype(np.uint8), labels


TRAIN, TEST = split(240), split(60)


def as_npz(folder: Path) -> Path:
    folder.mkdir()
    np.savez(folder / "shades.npz", x_train=TRAIN[0], y_train=TRAIN[1], x_test=TEST[0], y_test=TEST[1])
    return folder / "shades.npz"


def as_images(folder: Path) -> Path:
    for name, (images, labels) in (("train", TRAIN), ("test", TEST)):
        for number, (image, label) in enumerate(zip(images, labels, strict=True)):
            path = folder / "shades" / name / "abc"[label] / f"{number:03}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(image).save(path)
    return folder / "shades"


def as_idx(folder: Path) -> Path:
    (folder / "shades").mkdir(parents=True)
    for name, (images, labels) in (("train", TRAIN), ("t10k", TEST)):
        for kind, array in (("images-idx3", images), ("labels-idx1", labels.astype(np.uint8))):
            header = bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape)
            (folder / "shades" / f"{name}-{kind}-ubyte").write_bytes(header + array.tobytes())
    return folder / "shades"


WAYS = {"npz": as_npz, "images": as_images, "idx": as_idx}
SMALL = ("--seeds", "2", "--rounds", "2", "--epochs", "4")
FIGURE = ("supermasks-at-init", "--criteria", "large_final", "random")


def command(*arguments: object) -> int:
    return run_command([str(argument) for argument in arguments], CATALOGUE)


@pytest.fixture(scope="module", autouse=True)
def devices_as_they_are():
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
        yield


@pytest.fixture(scope="module")
def reproduced(tmp_path_factory):
    """A figure of each way's files: their paths, and the results folders."""
    folder = tmp_path_factory.mktemp("own")
    found = {}
    for way, write in WAYS.items():
        path, results = write(folder / way), folder / f"{way}-results"
        assert command("reproduce", *FIGURE, *SMALL, "--dataset", path, "--results", results) == OK
        found[way] = path, results
    return found


def pictures(results: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in (results / "figures").iterdir()}


def test_every_way_in_gives_the_same_figures_to_the_byte(reproduced) -> None:
    first = pictures(reproduced["npz"][1])
    digest = load(str(reproduced["npz"][0])).digest
    assert all(f"-fc-shades-{digest[:8]}-quick-" in name for name in first)
    assert {name.rpartition(".")[2] for name in first} == {"csv", "svg", "png"}
    for _, results in reproduced.values():
        assert pictures(results) == first


def test_every_way_in_gives_the_same_ids_and_bits(reproduced, tmp_path) -> None:
    tables = {}
    for way, (_, results) in reproduced.items():
        assert command("results", "--results", results, "--csv", tmp_path / f"{way}.csv") == OK
        assert command("results", "--results", results, "--verify") == OK
        table = pd.read_csv(tmp_path / f"{way}.csv")
        tables[way] = table[["id", "kind", "dataset", "data_digest", "network", "seed", "metric", "value"]]
    assert set(tables["npz"]["dataset"]) == {load(str(reproduced["npz"][0])).name}
    assert len(tables["npz"]) > 20
    for table in tables.values():
        pd.testing.assert_frame_equal(table, tables["npz"])


def test_a_figure_draws_the_chance_of_its_classes_and_names_the_data(reproduced, capsys) -> None:
    _, results = reproduced["npz"]
    (svg,) = (results / "figures").glob("*.svg")
    text = svg.read_text()
    assert "chance (33.3%)" in text
    assert "10%" not in text
    assert "FC on shades-" in text
    (table,) = (results / "figures").glob("*.csv")
    with table.open() as file:
        assert {row["classes"] for row in csv.DictReader(file)} == {"3"}
    before = pictures(results)
    assert command("redraw", table) == OK
    assert pictures(results) == before
    assert "the same as before" in capsys.readouterr().out


def test_a_report_says_how_to_train_it_again(reproduced, tmp_path, capsys) -> None:
    path, results = reproduced["images"]
    output = tmp_path / "report.html"
    arguments = (*FIGURE, *SMALL, "--dataset", path, "--results", results, "--output", output)
    assert command("report", *arguments) == OK
    assert "fc on shades-" in output.read_text()
    given = "--seeds", "2", "--dataset", path
    assert command("report", "criteria-plane", *given, "--results", results, "--output", output) == OK
    said = " ".join(capsys.readouterr().out.split())
    assert f"run supermask reproduce criteria-plane --seeds 2 --dataset {path}" in said


def test_a_dry_run_prices_own_data(reproduced, tmp_path, capsys) -> None:
    path, results = reproduced["idx"]
    given = "--dataset", path, "--results", results
    assert command("reproduce", *FIGURE, *SMALL, *given, "--dry-run") == OK
    assert "everything is stored" in capsys.readouterr().out
    assert command("figures", *given) == OK
    assert "for fc on shades-" in capsys.readouterr().out


# --- Masks and compressed networks as files ---------------------------------------------------------------------


@pytest.fixture(scope="module")
def learned(reproduced):
    """A mask that was learned on own data, in a store."""
    path, _ = reproduced["npz"]
    folder = path.parent / "masks"
    changes = Changes(dataset=str(path), seeds=1, mask_epochs=60)
    experiment = Experiment(protocol("quick", changes=changes), load(str(path)))
    with Store(folder) as store:
        runner.run(experiment, Study((LearnedMask(),)), store)
        metrics = store.metrics(results_of(experiment, LearnedMask(), 0)[0].id)
    return path, folder, metrics


def test_a_learned_mask_is_packed_and_judged_again_on_own_data(learned, reproduced, tmp_path, capsys) -> None:
    path, folder, metrics = learned
    file = tmp_path / "own.mask"
    assert command("pack", "best", file, "--results", folder) == OK
    assert command("unpack", file, tmp_path / "own.safetensors") == OK
    assert command("evaluate", file) == FAILED
    assert "or a path that --dataset gives" in capsys.readouterr().err
    assert command("evaluate", file, "--dataset", path) == OK
    said = capsys.readouterr().out
    assert f"test accuracy {100 * metrics['rounded_test_accuracy']:.2f}% on 60 images" in said
    assert command("evaluate", file, "--dataset", "digits") == MISUSED
    assert "images of 8×8×1 and 10 classes" in capsys.readouterr().err
    assert command("evaluate", file, "--dataset", reproduced["idx"][0]) == OK
    assert f"test accuracy {100 * metrics['rounded_test_accuracy']:.2f}% on 60 images" in capsys.readouterr().out


def test_a_compressed_network_reads_own_images(reproduced, tmp_path, capsys) -> None:
    params = initial_of(network_of("fc", 3), 0, (4, 9, 1))
    quantised = quantise(params, full_masks(kernels_of(params)), dict.fromkeys(params, 4))
    file = tmp_path / "own.deep"
    file.write_bytes(compress("fc", (4, 9, 1), quantised, dict.fromkeys(params, 4))[0])
    given = "--images", "5", "--repeats", "1"
    assert command("infer", file, "--dataset", reproduced["npz"][0], *given) == OK
    assert "5 images of shades-" in capsys.readouterr().out
    assert command("infer", file, "--dataset", "digits", *given) == MISUSED
    assert "64 pixels an image" in capsys.readouterr().err


# --- What cannot be made ----------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def flat(tmp_path_factory) -> Path:
    """Vectors of numbers in place of images."""
    path = tmp_path_factory.mktemp("flat") / "flat.npz"
    random, labels = np.random.default_rng(0), np.arange(90) % 2
    vectors = (random.normal(size=(90, 20)) + labels[:, None]).astype(np.float32)
    np.savez(path, x_train=vectors[:60], y_train=labels[:60], x_test=vectors[60:], y_test=labels[60:])
    return path


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["mask-criteria", "--network", "conv2"], "images of 1×20×1, too small for conv2; allowed: 2×2 pixels or more"),
        (["mask-criteria", "--network", "lenet5"], "too small for lenet5; allowed: 16×16 pixels or more"),
        (["neural-graphs"], "figure neural-graphs cannot be made of flat-"),
    ],
)
def test_what_a_network_cannot_read_is_one_line(arguments, words, flat, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("reproduce", *arguments, "--dataset", flat) == MISUSED
    said = capsys.readouterr().err
    assert words in said
    assert said.count("\n") == 1
    assert not list(tmp_path.iterdir())


def test_figures_that_own_data_do_not_suit_are_left_out_and_said(flat, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert command("figures", "--dataset", flat, "--sparse-epochs", "99") == OK
    said = " ".join(capsys.readouterr().out.split())
    assert "note: neural-graphs is left out: flat-" in said
    assert "note: wiring is left out: flat-" in said
    assert "mask-criteria" in said


@pytest.mark.thorough
def test_vectors_of_numbers_are_drawn_as_well(flat, tmp_path) -> None:
    arguments = "weight-movement", "--seeds", "1", "--rounds", "1", "--epochs", "2"
    assert command("reproduce", *arguments, "--dataset", flat, "--results", tmp_path) == OK
    assert len(list((tmp_path / "figures").glob("weight-movement-fc-flat-*"))) == 3
    assert command("results", "--results", tmp_path, "--verify") == OK


@pytest.mark.parametrize(
    ("dataset", "status", "words"),
    [
        ("mnits", MISUSED, "dataset 'mnits' is unknown (did you mean mnist?)"),
        ("none.npz", FAILED, "none.npz: expected a .npz or .txt file, or a folder"),
        ("spoilt.npz", FAILED, "spoilt.npz: expected a .npz file with arrays x_train"),
        (".", FAILED, "expected a folder of images for each of two classes or more"),
    ],
)
def test_wrong_files_are_one_line_before_anything_is_trained(
    dataset, status, words, tmp_path, monkeypatch, capsys
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "spoilt.npz").write_bytes(b"PK\3\4")
    for name in ("reproduce", "figures", "report"):
        assert command(name, "criteria-plane", "--dataset", dataset) == status
        said = capsys.readouterr().err
        assert words in said
        assert said.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["spoilt.npz"]
