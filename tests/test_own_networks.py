"""Networks of a user's own from a file: every way in, their identity, and what the command says of them."""

import csv
import json
import pickle
import re
from pathlib import Path

import jax.numpy as jnp
import pytest

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED
from supermask.analysis.kinds.sparse_training import _counts
from supermask.analysis.running.cluster.sending import SentNetwork
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment
from supermask.analysis.studies.network_files import load_network
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.figures.catalogue import CATALOGUE
from supermask.lottery import initial_of
from supermask.networks import kernels_of, logits, shapes_of
from supermask.sparse_training.runs import SparseRun

PAGE = (Path(__file__).parent.parent / "docs" / "networks.md").read_text(encoding="utf-8")
OWN = re.search(r"```python\n(# own.py\n.*?)```", PAGE, re.DOTALL)[1]
SHAPE = (8, 8, 1)
WAYS = """
import equinox as eqx
import jax
import jax.numpy as jnp
from flax import linen as nn
from flax import nnx
from supermask.networks import FeedForward


class OfNNX(nnx.Module):
    def __init__(self, rngs):
        self.output = nnx.Linear(64, 10, rngs=rngs)

    def __call__(self, x):
        return self.output(x.reshape(len(x), -1))


class OfEquinox(eqx.Module):
    output: eqx.nn.Linear

    def __init__(self, key):
        self.output = eqx.nn.Linear(64, 10, key=key)

    def __call__(self, x):
        return self.output(x.ravel())


class OfLinen(nn.Module):
    classes: int = 3

    @nn.compact
    def __call__(self, x):
        return nn.Dense(self.classes, name="output")(x.reshape(len(x), -1))


def of_rngs(rngs):
    return OfNNX(rngs)


def of_key(key):
    return OfEquinox(key)


def of_classes(classes):
    return OfLinen(classes=classes)


linen, network = OfLinen(), FeedForward(hidden=())
pair = (
    lambda key, images: {"output": {"w": jax.random.normal(key, (images[0].size, 10))}},
    lambda params, images: images.reshape(len(images), -1) @ params["output"]["w"],
)
number, no_network = 3, nn.relu
"""


@pytest.fixture(scope="module")
def ways(tmp_path_factory):
    path = tmp_path_factory.mktemp("own") / "ways.py"
    path.write_text(WAYS, encoding="utf-8")
    return path


@pytest.mark.parametrize(
    "name", ["OfNNX", "OfEquinox", "OfLinen", "of_rngs", "of_key", "of_classes", "linen", "network", "pair"]
)
def test_every_way_in_gives_a_network_for_the_datas_classes(name, ways):
    own = load_network(f"{ways}:{name}")
    network = own.network(10)
    params = initial_of(network, 0, SHAPE)
    assert {layer: kernel.shape for layer, kernel in kernels_of(params).items()} == {"output": (64, 10)}
    assert logits(network, params, jnp.ones((3, *SHAPE))).shape == (3, 10)
    assert re.fullmatch(rf"{name}@[0-9a-f]{{12}}", own.name)


def test_what_is_no_network_is_refused(ways, tmp_path):
    broken = tmp_path / "broken.py"
    broken.write_text("1 / 0", encoding="utf-8")
    for text, message in (
        (f"{ways}:number", r"network .*ways.py:number is a int; allowed: a supermask.networks.Network, a Flax Linen"),
        (f"{ways}:no_network", r"is a .*; allowed: "),
        (f"{ways}:Missing", r"network .*ways.py has no Missing; it defines .*OfNNX"),
        (f"{broken}:x", r"network .*broken.py raised ZeroDivisionError"),
        (f"{tmp_path}/none.py:x", "network .*none.py cannot be read"),
    ):
        with pytest.raises(UsageError, match=message):
            load_network(text).network(10)


def test_results_are_named_by_the_networks_code(tmp_path, digits):
    """A changed file has results of its own, and the protocol's changes are told for it as for any network."""
    path, found = tmp_path / "own.py", []
    for text in (OWN, OWN.replace("range(2)", "range(3)")):
        path.write_text(text, encoding="utf-8")
        own = load_network(f"{path}:Tiny")
        chosen = protocol("quick", own.name, Changes(dataset="digits", epochs=2), own.digest)
        assert chosen.label == "quick (changed: dataset, epochs)"
        found.append(Experiment(chosen, digits, own_network=own.network(10)).describe("training", 0))
    assert [each["network_digest"][:12] for each in found] == [each["network"].partition("@")[2] for each in found]
    assert found[0]["network_digest"] != found[1]["network_digest"]
    assert "network_digest" not in Experiment(protocol("quick"), digits).describe("training", 0)


def test_a_networks_layers_are_shown(capsys):
    assert run_command(["networks", "resnet20"], CATALOGUE) == 0
    said = capsys.readouterr().out
    assert re.search(r"block1/conv1 +3×3×16×16 +conv +20% +2,304 +2,359,296", said)
    assert re.search(r"block4/shortcut +1×1×16×32 +dense: kept +512 +131,072", said)
    assert re.search(r"all +272,474 +40,813,184", said)
    assert run_command(["networks", "lstm"], CATALOGUE) == 0
    said = capsys.readouterr().out
    assert re.search(r"lstm1/recurrent +128×512 +recurrent +20% +65,536 +1,835,008", said)
    assert re.search(r"output +128×10 +output +10% +1,290 +1,280", said)
    assert re.search(r"all others +kept +512 +0", said)
    assert run_command(["networks"], CATALOGUE) == 0
    assert re.search(r"char-lstm +Character LSTM +text ", capsys.readouterr().out)


def test_a_network_of_ones_own_is_checked(tmp_path, capsys):
    path = tmp_path / "own.py"
    path.write_text(OWN, encoding="utf-8")
    assert run_command(["check-network", f"{path}:Tiny"], CATALOGUE) == 0
    said = capsys.readouterr().out
    assert re.search(r"block2/conv2 +3×3×8×8 +conv +20% ", said)
    first, last = map(float, re.search(r"10 steps on digits: validation loss (\S+), then (\S+);", said).groups())
    assert last < first
    assert run_command(["check-network", "fc"], CATALOGUE) == 2
    assert "network is 'fc'; allowed: FILE.py:NAME" in capsys.readouterr().err


@pytest.mark.slow
def test_the_lottery_ticket_curve_of_the_pages_network_is_drawn(tmp_path, capsys):
    path, results = tmp_path / "own.py", tmp_path / "results"
    path.write_text(OWN, encoding="utf-8")
    assert len(OWN.splitlines()) <= 30
    asked = ["--network", f"{path}:Tiny", "--dataset", "digits", "--seeds", "1", "--rounds", "2", "--epochs", "4"]
    asked += ["--batch-size", "30"]
    command = ["reproduce", "lottery-tickets", *asked, "--show", "winning ticket", "--results", str(results)]
    assert run_command(command, CATALOGUE) == 0
    (table,) = (results / "figures").glob("lottery-tickets-Tiny-*.csv")
    rounds = list(csv.DictReader(table.read_text(encoding="utf-8").splitlines()))
    assert [row["round"] for row in rounds] == ["0", "1", "2"]
    assert float(rounds[0]["test_accuracy"]) > 0.4
    sent = tmp_path / "sent"
    assert run_command([*command[:-1], str(sent), "--cluster", "local"], CATALOGUE) == 0, capsys.readouterr().err
    here, there = metrics_by_id(results), metrics_by_id(sent)
    assert here.keys() == there.keys(), "workers get the file, and describe its network alike"
    for name, metrics in here.items():  # Flax's own convolutions round otherwise on another number of threads
        assert there[name] == pytest.approx(metrics, rel=1e-3, abs=0.01)


def metrics_by_id(folder: Path) -> dict[str, dict[str, float]]:
    with Store(folder, for_reading=True) as store:
        return {each.id: json.loads(each.metrics_text) for each in store.everything()}


def test_a_network_that_is_sent_is_that_of_its_digest(ways, tmp_path):
    own = load_network(f"{ways}:linen")
    sent = pickle.loads(pickle.dumps(SentNetwork(own.path.name, own.called, own.content)))  # noqa: S301
    received = sent.received(tmp_path, own.digest)
    assert received.name == own.name
    shapes = [{n: k.shape for n, k in kernels_of(shapes_of(o.network(3), SHAPE)).items()} for o in (received, own)]
    assert shapes == [{"output": (64, 3)}] * 2
    with pytest.raises(RuntimeError, match=r"network ways.py:linen is made of other modules here than at the client"):
        sent.received(tmp_path, "0" * 64)


DEPTHWISE = """
from flax import linen as nn
from supermask.zoo.mobilenet import MobileNet

class Reader(nn.Module):
    classes: int = 10

    @nn.compact
    def __call__(self, x):
        y = nn.RNN(nn.LSTMCell(4), name="cell")(x[..., 0])
        return nn.Dense(self.classes, name="output")(y[:, -1])

Pruned = MobileNet(width=0.1, dense_depthwise=False)
"""


def test_recurrent_and_depthwise_layers_of_any_network_are_found_in_its_program(tmp_path, capsys):
    path = tmp_path / "kinds.py"
    path.write_text(DEPTHWISE, encoding="utf-8")
    kinds = load_network(f"{path}:Reader").network(10).layer_kinds(SHAPE)
    assert {kind for layer, kind in kinds.items() if layer != "output"} == {"recurrent"}
    assert len(kinds) == 8 + 1
    kinds = load_network(f"{path}:Pruned").network(10).layer_kinds(SHAPE)
    assert {layer.rpartition("/")[2]: kind for layer, kind in kinds.items()} == {
        **{"depthwise": "depthwise", "pointwise": "conv", "output": "output"}
    }
    own = ["figures", "mask-criteria", "--dataset", "digits", "--network"]
    assert run_command([*own, f"{path}:Reader", "--rates", "recurrent=0.1"], CATALOGUE) == 0
    assert run_command([*own, f"{path}:Reader", "--rates", "depthwise=0.1"], CATALOGUE) == 2
    assert re.search(
        r"rates has depthwise, and Reader@\w+ has no depthwise ones that are pruned; allowed: dense, output, recurrent",
        capsys.readouterr().err,
    )


def test_the_first_layer_that_stays_dense_is_the_first_of_the_program(digits):
    """By name, a block would come before the stem."""
    chosen = protocol("quick", "resnet20", Changes(dataset="digits"))
    experiment = Experiment(chosen, digits)
    kernels = kernels_of(shapes_of(experiment.network, SHAPE))
    counts = _counts(experiment, kernels, SparseRun("static", 0.1, "first_dense"))
    assert counts["stem"] == kernels["stem"].size
    assert counts["block1/conv1"] < 0.2 * kernels["block1/conv1"].size
    assert sum(counts.values()) == sum(kernel.size for kernel in kernels.values()) // 10


FEW = """
from flax import linen as nn


class ThreeOutputs(nn.Module):
    @nn.compact
    def __call__(self, x):
        return nn.Dense(3, name="output")(x.reshape(len(x), -1))
"""


def test_data_of_more_classes_than_a_network_has_outputs_are_refused_before_anything_is_trained(tmp_path, capsys):
    (tmp_path / "few.py").write_text(FEW)
    asked = ["reproduce", "mask-criteria", "--network", f"{tmp_path / 'few.py'}:ThreeOutputs", "--dataset", "digits"]
    assert run_command([*asked, "--results", str(tmp_path / "results")], CATALOGUE) == MISUSED
    assert re.search(
        r"ThreeOutputs@\w+ has 3 outputs; allowed: 10 or more, one for each class", capsys.readouterr().err
    )
    assert run_command(["check-network", f"{tmp_path / 'few.py'}:ThreeOutputs"], CATALOGUE) == MISUSED
    assert "has 3 outputs; allowed: 10 or more" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


WITH_A_NUMBER = """
import jax


def init(key, images):
    return {"w": jax.random.normal(key, (images[0].size, 10)) / 8, "c": 2.0}


def apply(params, images):
    return images.reshape(len(images), -1) @ params["w"] * params["c"]


pair = init, apply
"""


def test_a_number_of_pythons_is_a_parameter(tmp_path, capsys):
    (tmp_path / "own.py").write_text(WITH_A_NUMBER)
    assert run_command(["check-network", f"{tmp_path / 'own.py'}:pair"], CATALOGUE) == 0
    assert "10 steps on digits" in capsys.readouterr().out
