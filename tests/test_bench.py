"""The benchmark: it measures what it says, its peer does the same work, and it says what it was measured with."""

import json
import os
import subprocess
import sys
from importlib.util import find_spec

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from supermask.analysis.command.bench import comparisons, density
from supermask.analysis.command.bench import run as bench_run
from supermask.analysis.command.bench.comparisons import Comparison
from supermask.analysis.command.bench.peers import Peers
from supermask.analysis.command.bench.run import WORK, Row, bench, show
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.screen import Screen
from supermask.networks import NETWORKS, initialise, logits, parameter_count

needs_torch = pytest.mark.skipif(find_spec("torch") is None, reason="needs PyTorch: pip install 'supermask[bench]'")


@pytest.mark.thorough
def test_the_command_prints_and_writes_what_it_measured(tmp_path):
    command = [sys.executable, "-c", "from supermask.figures.command import main; main()", "bench", "fc", "masks"]
    options = ["--pairs", "2", "--steps", "10", "--json", str(tmp_path / "bench.json")]
    shown = subprocess.run(
        [*command, *options], env=os.environ | {"COLUMNS": "200"}, capture_output=True, text=True, check=True
    ).stdout
    measured = json.loads((tmp_path / "bench.json").read_text())
    assert [row["name"] for row in measured["rows"]] == [
        "fc: training",
        "fc: training and validation",
        "fc: its matrix products alone",
        "fc: Adam's update alone",
        "fc: learning a mask, sgd",
        "fc: learning a mask, adam",
    ]
    for row in measured["rows"]:
        assert row["name"] in shown
        assert len(row["ours"]) == 2
        assert min(row["ours"]) > 0
    for fact in ("machine", "versions", "supermask --help", "most memory held", "fc: bound", "fc: validation"):
        assert f"{fact}: {measured['facts'][fact]}" in shown


@pytest.mark.parametrize("columns", [80, 120])
def test_tables_fit_the_screen_and_cut_no_word(columns, monkeypatch, capsys):
    monkeypatch.setenv("COLUMNS", str(columns))
    names = ("fc: untrained masks, ranking and evaluation", density.DENSE.format(0.005), "conv6: training")
    times = dict.fromkeys(("eager", "best", "bfloat16", "sparse_csr"), (380.25, 91.5, 1390.75))
    rows = [Row(name, comparisons.MASKED_NETWORK, (181.125, 160.625, 188.375), times) for name in names]
    show(Screen(), rows, 5)
    lines = capsys.readouterr().out.splitlines()
    assert max(map(len, lines)) <= columns
    shown = {word for line in lines for word in line.replace("│", " ").replace("┃", " ").split()}
    assert {word for name in names for word in name.split()} <= shown
    assert {"bfloat16", "sparse_csr", "(160.625–188.375)", "(0.57–7.38)", "medians", "multiple"} <= shown


def test_times_are_of_one_unit_and_ratios_of_one_turn():
    each = Comparison("one", "ms", lambda: None, 4, {}, peer_units=10, peer_units_each=True)
    together = Comparison("all", "ms", lambda: None, 4, {}, peer_units=10)
    assert each.peer_time(2.0, 2) == 100
    assert together.peer_time(2.0, 2) == 200
    assert Row("one", "ms", (1.0, 2.0), {"best": (3.0, 2.0)}).ratios("best") == [3, 1]


def test_a_version_that_is_hopeless_is_measured_once(monkeypatch):
    seconds = {"eager": 4.0, "best": 1.0, "bfloat16": 5.5}
    asked = []

    class Peer:
        processes = 1

        def __init__(self, work, mode, cores):
            self.mode = mode

        def __enter__(self):
            return self

        def __exit__(self, *error):
            pass

        def run(self):
            asked.append(self.mode)
            return seconds[self.mode]

    monkeypatch.setattr(bench_run, "Peers", Peer)
    monkeypatch.setattr(bench_run, "available", lambda: True)
    work = Comparison("one", "ms", lambda: None, 1, {"kind": "any"}, peer_units=1, modes=tuple(seconds))
    (row,) = bench_run._measured([work], 3, lambda turn: None)
    assert {mode: asked.count(mode) for mode in seconds} == {"eager": 3, "best": 3, "bfloat16": 1}
    assert [len(row.ratios(mode)) for mode in seconds] == [3, 3, 1]


@pytest.mark.parametrize("ending", [KeyboardInterrupt, UsageError])
def test_what_was_measured_before_an_interruption_is_printed_and_written(ending, tmp_path, monkeypatch, capsys):
    def ours():
        raise ending("stopped")

    quick, stopped = (Comparison(name, "ms", each, 1) for name, each in (("first", lambda: None), ("second", ours)))
    monkeypatch.setattr(bench_run, "WORK", {"both": lambda steps, folder: [[quick], [stopped]]})
    with pytest.raises(ending, match="stopped"):
        bench([], 2, None, tmp_path / "bench.json")
    assert "first" in capsys.readouterr().out
    (row,) = json.loads((tmp_path / "bench.json").read_text())["rows"]
    assert (row["name"], len(row["ours"])) == ("first", 2)


@pytest.mark.slow
def test_late_rounds_train_smaller_networks_on_masks_found_on_digits(tmp_path):
    late = comparisons.late_rounds(10, 2, 10, tmp_path)
    late.ours()
    assert late.units == 9 * 2 * 10
    with np.load(tmp_path / "masks.npz") as file:
        kept = [sum(int(file[f"{index}.{layer}"].sum()) for layer in late.peer["layers"]) for index in range(18)]
    assert kept[0] == kept[1] > kept[-1]
    assert kept[-1] / 266_200 == pytest.approx(0.8**24, abs=0.002)


@pytest.mark.slow
def test_figure_10s_masks_are_counted_as_the_paper_counts(tmp_path):
    figure = comparisons.masks_and_evaluation(2, tmp_path)
    figure.ours()
    assert figure.units == 13 * 2
    assert figure.peer["levels"][1] == {"hidden1": 188_160, "hidden2": 24_000, "output": 900}


def test_density_measures_both_engines_and_draws_them(tmp_path, monkeypatch):
    monkeypatch.setattr(density, "DENSITIES", (0.5, 0.01))
    work = density.densities(4, tmp_path)
    names = [density.OURS.format(0.5), density.DENSE.format(0.5), density.OURS.format(0.01), density.DENSE.format(0.01)]
    assert [each.name for each in work] == names
    assert [each.modes for each in work] == [density.MODES, ()] * 2
    for each in work:
        each.ours()
        assert each.units == 4 * 4
    with np.load(work[2].peer["masks"]) as file:
        assert sum(int(file[f"3.{layer}"].sum()) for layer in work[2].peer["layers"]) == 2352 + 300 + 10
    times = dict.fromkeys(names, (3.0, 1.0, 2.0))
    found = density.curves(times, {names[0]: {"sparse_csr": (9.0,)}})
    line = [(0.5, 2.0), (0.01, 2.0)]
    assert found == {"ours": line, "ours, dense": line, "PyTorch sparse_csr": [(0.5, 9.0)]}
    density.draw(found, tmp_path / "bench.svg")
    assert (tmp_path / "bench.svg").read_bytes().startswith(b"<?xml")


@needs_torch
@pytest.mark.filterwarnings("ignore:Sparse:UserWarning")  # PyTorch's, of its own sparse matrices
def test_sparse_layers_of_the_peer_compute_what_dense_ones_do():
    import torch

    from supermask.analysis.command.bench.torch_peer import SparseLinear

    torch.manual_seed(0)
    mask, x = torch.rand(7, 9) < 0.4, torch.randn(5, 9, requires_grad=True)
    layer, dense = SparseLinear(mask), torch.nn.Linear(9, 7)
    with torch.no_grad():
        dense.weight.zero_()
        dense.weight[mask] = layer.values
        dense.bias.copy_(layer.bias)
    (layer(x) ** 2).sum().backward()
    of_x, x.grad = x.grad, None
    (dense(x) ** 2).sum().backward()
    torch.testing.assert_close(of_x, x.grad)
    torch.testing.assert_close(layer.values.grad, dense.weight.grad[mask])


def test_a_peer_that_cannot_start_is_reported():
    with pytest.raises(UsageError, match="the PyTorch side of the comparison ended with status"):
        Peers({"kind": "no such work"}, "best", 1)


@needs_torch
@pytest.mark.parametrize("name", ["fc", "conv2", "late-rounds"])
def test_peers_do_the_work(name, tmp_path):
    ((first, *_), *_) = WORK[name](4, tmp_path)
    for mode in ("eager", "best", "bfloat16"):
        with Peers(first.peer, mode, 2) as peer:
            assert peer.run() > 0


@needs_torch
def test_the_peers_network_is_ours():
    import torch

    from supermask.analysis.command.bench.torch_peer import network

    params = initialise(NETWORKS["fc"], jax.random.key(0), (28, 28, 1))
    peer = network({"image": (28, 28, 1), "conv_pairs": [], "hidden": [300, 100]})
    dense = [module for module in peer if isinstance(module, torch.nn.Linear)]
    for module, layer in zip(dense, ("hidden1", "hidden2", "output"), strict=True):
        module.weight.data = torch.from_numpy(np.asarray(params[layer]["kernel"]).T.copy())
        module.bias.data = torch.from_numpy(np.asarray(params[layer]["bias"]).copy())
    images = np.random.default_rng(0).random((5, 28, 28, 1), np.float32)
    ours = np.asarray(logits(NETWORKS["fc"], params, jnp.asarray(images)))
    theirs = peer(torch.from_numpy(images.reshape(5, 1, 28, 28))).detach().numpy()
    np.testing.assert_allclose(ours, theirs, atol=1e-5)
    for name in ("conv2", "conv4", "conv6"):
        shape = (32, 32, 3)
        conv = network({"image": shape, "conv_pairs": NETWORKS[name].conv_pairs, "hidden": [256, 256]})
        sizes = sum(parameter.numel() for parameter in conv.parameters())
        ours_sizes = parameter_count(NETWORKS[name], shape)
        assert sizes == ours_sizes
