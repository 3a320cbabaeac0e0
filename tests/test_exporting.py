"""Tickets and supermasks for other libraries: the same logits by their rules, errors before anything is written."""

import re
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file
from scipy.signal import correlate

import supermask as sm
from supermask.actions import KEPT_ACTIONS
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.exporting import Exported, maps_of
from supermask.analysis.kinds.plan import results_of
from supermask.analysis.running import runner
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.exporting import laid_out
from supermask.figures.catalogue import CATALOGUE
from supermask.lottery import Treatment, initial_of
from supermask.networks import FeedForward, logits
from supermask.packed import MaskedNetwork, pack, rebuild

PAGE = Path(__file__).parent.parent / "docs" / "export.md"
NETWORK = FeedForward(conv_pairs=(3, 4), hidden=(6,), classes=5)
SHAPE = (8, 8, 2)
DENSE = ("hidden1", "hidden2", "output")


@pytest.fixture(scope="module")
def params():
    draw = np.random.default_rng(0)
    initial = initial_of(NETWORK, 0, SHAPE)
    return jax.tree.map(lambda leaf: np.asarray(leaf) + draw.normal(size=leaf.shape).astype(np.float32), initial)


def by_torchs_rules(arrays, images):
    """Reads maps (images, channels, height, width) as torch.nn's Conv2d, MaxPool2d, Flatten and Linear would."""
    maps = images.transpose(0, 3, 1, 2)
    for layer in ("conv1", "conv2", "conv3", "conv4"):
        weight, bias = arrays[f"{layer}.weight"], arrays[f"{layer}.bias"]
        outputs = [
            sum(correlate(image[i], kernel[i], mode="same") for i in range(len(image)))
            for image in maps
            for kernel in weight
        ]
        maps = np.stack(outputs).reshape(len(maps), len(weight), *maps.shape[2:]) + bias[None, :, None, None]
        maps = np.maximum(maps, 0)
        if layer in ("conv2", "conv4"):
            size = maps.shape[-1] // 2
            maps = maps.reshape(*maps.shape[:2], size, 2, size, 2).max(axis=(3, 5))
    hidden = np.maximum(maps.reshape(len(maps), -1) @ arrays["hidden1.weight"].T + arrays["hidden1.bias"], 0)
    return hidden @ arrays["output.weight"].T + arrays["output.bias"]


def test_pytorchs_layout_gives_the_same_logits_by_pytorchs_rules(params, tmp_path):
    """Kernels are transposed, and the first dense layer reads maps with their channels first."""
    images = np.random.default_rng(1).random((3, *SHAPE)).astype(np.float32)
    sm.export(tmp_path / "net.npz", params, layout="torch", maps={"hidden1": (2, 2, 4)})
    arrays = dict(np.load(tmp_path / "net.npz"))
    expected = np.asarray(logits(NETWORK, jax.tree.map(jnp.asarray, params), jnp.asarray(images)))
    np.testing.assert_allclose(by_torchs_rules(arrays, images), expected, rtol=1e-4, atol=1e-4)
    plain = laid_out(params, layout="torch")  # without maps: the rows of another order
    assert not np.allclose(by_torchs_rules(plain, images), expected, atol=1e-2)


@pytest.mark.parametrize("suffix", [".npz", ".safetensors"])
@pytest.mark.parametrize("layout", ["flax", "keras"])
def test_flaxs_and_keras_arrays_are_as_they_are_with_their_masks(params, layout, suffix, tmp_path):
    masks = sm.prune(jax.random.key(0), params, params, sm.large_final, fraction=0.5)
    file = tmp_path / f"net{suffix}"
    sm.export(file, params, masks, layout=layout)
    arrays = dict(np.load(file)) if suffix == ".npz" else load_file(file)
    assert len(arrays) == 2 * len(params) + len(params)
    for layer, leaves in params.items():
        np.testing.assert_array_equal(arrays[f"{layer}.kernel"], leaves["kernel"])
        np.testing.assert_array_equal(arrays[f"mask.{layer}.kernel"], np.asarray(masks[layer]["kernel"]))


def test_masks_are_laid_out_as_their_weights(params):
    masks = sm.prune(jax.random.key(0), params, params, sm.large_final, fraction=0.5)
    arrays = laid_out(sm.apply_masks(params, masks), masks, "torch", {"hidden1": (2, 2, 4)})
    for layer in params:
        np.testing.assert_array_equal(arrays[f"{layer}.weight"] != 0, arrays[f"mask.{layer}.weight"])


def test_normalisations_and_bfloat16_have_names_and_types_that_others_know():
    tree = {"norm": {"scale": jnp.ones(3, jnp.bfloat16), "bias": jnp.zeros(3), "mean": jnp.zeros(3)}, "none": None}
    arrays = laid_out(tree, layout="torch")
    assert sorted(arrays) == ["norm.bias", "norm.running_mean", "norm.weight"]
    assert arrays["norm.weight"].dtype == np.float32


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"path": "net.pt"}, r"path is '.*net\.pt'; allowed: a name that ends in \.npz or \.safetensors"),
        ({"layout": "caffe"}, "layout is 'caffe'; allowed: flax, keras, torch"),
        ({"maps": {"hidden9": (2, 2, 4)}}, "maps gives 'hidden9' .* no dense kernel"),
        ({"maps": {"hidden1": (3, 2, 4)}}, r"maps gives 'hidden1' .* shape \(16, 6\)"),
        ({"params": {"a": {"kernel": np.ones((2, 2)), "w": np.ones(2)}}, "maps": None}, "two arrays .* 'a.weight'"),
        ({"maps": {"hidden1": (4, 4)}}, r"maps of shape \(4, 4\); allowed: \(height, width, channels\)"),
        ({"about": {"seed": 1}, "path": "net.safetensors"}, "about has 'seed': 1; allowed: texts by names"),
        ({"about": {"layout": "flax"}, "path": "net.safetensors"}, "about has 'layout'"),
        ({"params": {"a": {"kernel": "x"}}, "maps": None}, "params has a str at a/kernel"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_exported_is_said_and_nothing_is_written(params, changes, message, tmp_path):
    given = {"params": params, "layout": "torch", "maps": {"hidden1": (2, 2, 4)}, "path": "net.npz"} | changes
    path = tmp_path / given.pop("path")
    with pytest.raises(ValueError, match=message):
        sm.export(path, **given)
    assert list(tmp_path.iterdir()) == []


def command(*arguments) -> int:
    return run_command([str(argument) for argument in arguments], CATALOGUE)


@pytest.fixture(scope="module")
def packed_file(tmp_path_factory):
    shapes = {"hidden1": (64, 300), "hidden2": (300, 100), "output": (100, 10)}
    draw = np.random.default_rng(0)
    network = MaskedNetwork("fc", "digits", 3, "initial", False, {n: draw.random(s) < 0.5 for n, s in shapes.items()})
    file = tmp_path_factory.mktemp("packed") / "net.mask"
    file.write_bytes(pack(network))
    return file, network


def test_a_packed_file_is_exported(packed_file, tmp_path, capsys):
    file, network = packed_file
    assert command("export", file, tmp_path / "net.safetensors", "--layout", "torch") == 0
    assert "fc for digits, seed 3, untrained, under its mask" in capsys.readouterr().out
    arrays = load_file(tmp_path / "net.safetensors")
    with safe_open(tmp_path / "net.safetensors", "np") as opened:
        assert opened.metadata()["layout"] == "torch"
    for layer, leaves in rebuild(network).items():
        np.testing.assert_array_equal(arrays[f"{layer}.weight"], leaves["kernel"].T)
        np.testing.assert_array_equal(arrays[f"mask.{layer}.weight"], network.masks[layer].T)


@pytest.fixture(scope="module")
def tickets(digits, tmp_path_factory):
    """A store with one seed's rounds: rewound, and with signed constants."""
    folder = tmp_path_factory.mktemp("tickets")
    changes = Changes(dataset="digits", epochs=1, rounds=1, seeds=1)
    experiment = Experiment(protocol("quick", changes=changes), digits)
    treatments = (Treatment(), Treatment(kept=KEPT_ACTIONS["constant_same_sign"]))
    with Store(folder) as store:
        runner.run(experiment, Study(treatments), store)
    return folder, [results_of(experiment, treatment, 0)[0].id for treatment in treatments]


def test_a_ticket_is_exported_trained_and_as_it_was_before(tickets, tmp_path):
    folder, (rewound, constant) = tickets
    for weights in ("final", "initial"):
        assert command("export", rewound, tmp_path / f"{weights}.npz", "--weights", weights, "--results", folder) == 0
    final, initial = (dict(np.load(tmp_path / f"{weights}.npz")) for weights in ("final", "initial"))
    for layer in ("hidden1", "hidden2", "output"):
        mask = final[f"mask.{layer}.kernel"]
        np.testing.assert_array_equal(mask, initial[f"mask.{layer}.kernel"])
        assert 0 < mask.mean() < 1
        assert not final[f"{layer}.kernel"][~mask].any()
        assert not initial[f"{layer}.kernel"][~mask].any()
        assert (final[f"{layer}.kernel"][mask] != initial[f"{layer}.kernel"][mask]).any()
        assert final[f"{layer}.bias"].any()
    assert command("export", constant[:20], tmp_path / "constant.npz", "--results", folder) == 0


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["{mask}", "net.pt"], "output is 'net.pt'; allowed: a name that ends in .npz or .safetensors"),
        (["{mask}", "net.npz", "--layout", "caffe"], "layout 'caffe' is unknown"),
        (["{mask}", "net.npz", "--weights", "best"], "weights 'best' is unknown"),
        (["{mask}", "{mask}.npz"], "is there and is not an .npz file"),
        (["{mask}", "a/net.npz"], "cannot be written: a is not a folder"),
        (["zz", "net.npz", "--results", "{folder}"], "run 'zz' is not a round of pruning or a learned mask of"),
        (["{constant}", "net.npz", "--weights", "initial", "--results", "{folder}"], "kept is constant_same_sign"),
        (["zz", "net.npz", "--results", "none"], "is not a results folder"),
    ],
)
def test_misuse_is_one_line_and_writes_nothing(arguments, words, packed_file, tickets, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.mask").write_bytes(packed_file[0].read_bytes())
    (tmp_path / "x.mask.npz").write_bytes(b"something else")
    names = {"mask": "x.mask", "folder": tickets[0], "constant": tickets[1][1]}
    assert command("export", *(argument.format(**names) for argument in arguments)) == 2
    said = capsys.readouterr().err
    assert words in said
    assert said.startswith("supermask: error: ")
    assert sorted(path.name for path in tmp_path.iterdir()) == ["x.mask", "x.mask.npz"]


def test_the_first_dense_layer_of_a_convolutional_network_reads_maps(params):
    network = Exported("conv4", "own", params, None, "", (8, 8, 1))
    assert maps_of(network) == {"hidden1": (2, 2, 4)}
    assert maps_of(network._replace(image_shape=(16, 4, 1))) == {"hidden1": (4, 1, 4)}, "not all images are square"
    assert maps_of(network._replace(network="fc", params={"hidden1": {}})) == {}
    with pytest.raises(UsageError, match="source is of own, whose images' shape is not known"):
        maps_of(network._replace(image_shape=None))


def test_the_pages_example_runs(tmp_path, monkeypatch):
    """The one that needs no PyTorch."""
    _, example = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    monkeypatch.chdir(tmp_path)
    exec(compile(example, "example", "exec"), {})  # noqa: S102
    arrays = np.load("mine.npz")
    assert arrays["head.weight"].shape == (10, 256)
    assert arrays["mask.conv1.weight"].shape == (4, 1, 3, 3)


def test_pytorch_reads_a_ticket_as_the_page_shows_and_trains_on(tickets, digits, tmp_path, monkeypatch):
    """Its first example: the same logits as Flax's, and pruned weights stay where they were."""
    torch = pytest.importorskip("torch")
    folder, (rewound, _) = tickets
    monkeypatch.chdir(tmp_path)
    for layout, name in (("torch", "ticket.npz"), ("flax", "flax.npz")):
        assert command("export", rewound, name, "--layout", layout, "--results", folder) == 0
    example, _ = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
    space: dict[str, object] = {}
    exec(compile(example, "example", "exec"), space)  # noqa: S102
    model, masks = space["model"], space["masks"]
    arrays = {name: array for name, array in np.load("flax.npz").items() if not name.startswith("mask.")}
    params = {layer: {leaf: arrays[f"{layer}.{leaf}"] for leaf in ("kernel", "bias")} for layer in DENSE}
    images = digits.test.images.astype(np.float32) / digits.maximum
    expected = logits(FeedForward(), params, jnp.asarray(images))
    labels = torch.from_numpy(digits.test.labels.astype(np.int64))
    np.testing.assert_allclose(model(torch.from_numpy(images)).detach().numpy(), expected, rtol=1e-4, atol=1e-4)
    optimiser = torch.optim.SGD(model.parameters(), lr=0.1)
    losses = []
    for _ in range(5):
        optimiser.zero_grad()
        loss = torch.nn.functional.cross_entropy(model(torch.from_numpy(images)), labels)
        loss.backward()
        optimiser.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0]
    for layer in DENSE:
        weight, mask = getattr(model, layer).weight.detach(), masks[f"{layer}.weight"]
        assert not weight[~mask].any()
        assert (weight[mask] != 0).all()
