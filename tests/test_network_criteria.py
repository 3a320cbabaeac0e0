"""Criteria that ask for a key, for the gradient at any point and for the whole network: one object, at every door."""

import pickle

import jax
import jax.numpy as jnp
import numpy as np
import pandas as pd
import pytest

import supermask as sm
from supermask.analysis.command.cli import run_command
from supermask.analysis.drawing import notebook as nb
from supermask.evaluation import cross_entropy
from supermask.figures.catalogue import CATALOGUE
from supermask.keys import Purpose, derive_key
from supermask.lottery import find_tickets
from supermask.masks import Rates, full_masks, keep_best_of_layers, kept_counts
from supermask.members import MemberError
from supermask.named_members import with_parameters
from supermask.networks import FeedForward, initialise, kernels_of, layer_kinds, logits, pruned
from supermask.plugins import criterion
from supermask.population import place
from supermask.training import Trainer, TrainingConfig

KEY = jax.random.key(5)
PARAMS = {
    name: {"w": jax.random.normal(jax.random.fold_in(KEY, n), shape) / shape[0] ** 0.5, "b": jnp.full(shape[1], 0.1)}
    for n, (name, shape) in enumerate({"first": (20, 30), "second": (30, 10)}.items())
}
FINAL = jax.tree.map(lambda leaf: leaf + 0.3 * jnp.cos(7 * leaf), PARAMS)
X = jax.random.normal(jax.random.key(6), (40, 20))
Y = jax.random.normal(jax.random.key(7), (40, 10))


def network(params, x):
    hidden = jax.nn.relu(x @ params["first"]["w"] + params["first"]["b"][None])
    return hidden @ params["second"]["w"] + params["second"]["b"][None]


def loss(params):
    return jnp.mean((network(params, X) - Y) ** 2)


def outputs(params):
    return network(params, jnp.ones((1, 20)))


def prune(chosen, fraction=0.7, **changes):
    asked = {"loss": loss, "outputs": outputs, "ranking": "global"}
    return sm.prune(KEY, PARAMS, FINAL, chosen, fraction=fraction, **asked | changes)


@pytest.mark.parametrize(
    ("chosen", "score"),
    [(sm.grasp, sm.grasp_scores(loss)), (sm.synflow, sm.synflow_scores(outputs)), (sm.snip, sm.snip_scores(loss))],
)
def test_a_criterion_of_the_network_prunes_what_pruning_at_initialisation_does(chosen, score):
    expected = sm.prune_at_initialisation(KEY, PARAMS, score, density=0.3)
    assert sm.agreement(prune(chosen), expected).jaccard == 1
    again = jax.jit(lambda: prune(chosen))()
    assert sm.agreement(again, expected).jaccard == 1


@pytest.mark.parametrize(
    ("family", "score"),
    [(sm.iterative_snip, sm.snip_scores(loss)), (sm.iterative_synflow, sm.synflow_scores(outputs))],
)
def test_steps_within_a_criterion_are_those_of_pruning_at_initialisation(family, score):
    """And one ranking serves every level: its masks nest."""
    chosen = family(steps=20, density=0.05)
    expected = sm.prune_at_initialisation(KEY, PARAMS, score, density=0.05, steps=20)
    found = prune(chosen, 0.95)
    assert sm.agreement(found, expected).jaccard == 1
    assert sm.agreement(prune(family(steps=1, density=0.05), 0.95), expected).jaccard < 1
    wider = prune(chosen, 0.5)
    assert sm.agreement(found, wider).overlap == 1
    later = prune(chosen, 0.5, masks=wider)
    assert sum(int(mask.sum()) for mask in jax.tree.leaves(later)) == 900 - 450 - 225


def test_a_criterion_may_ask_for_the_gradient_anywhere_and_sees_all_parameters():
    """Halfway from start to end, biases included, and pruned weights at 0 where it says so."""
    first = prune(sm.random)

    def halfway(network):
        middle = jax.tree.map(lambda a, b: (a + b) / 2, network.initial, network.final)
        slope = network.gradient(network.masked(middle))
        return jax.tree.map(lambda w, g: abs(w * g), middle, slope)

    found = prune(halfway, 0.5, masks=first)
    middle = sm.apply_masks(jax.tree.map(lambda a, b: (a + b) / 2, PARAMS, FINAL), first)
    scores = jax.tree.map(lambda w, g: abs(w * g), middle, jax.grad(loss)(middle))
    kept, lost = [], []
    for layer in PARAMS:
        own, alive = found[layer]["w"], first[layer]["w"]
        kept.append(scores[layer]["w"][own])
        lost.append(scores[layer]["w"][alive & ~own])
    assert float(jnp.concatenate(kept).min()) > float(jnp.concatenate(lost).max())


def noisy(w_final, key):
    return abs(w_final) + 0.3 * jax.random.normal(key, w_final.shape)


def test_a_criterion_draws_from_the_key_each_layer_by_itself():
    first, second = prune(noisy), prune(noisy)
    assert sm.agreement(first, second).jaccard == 1
    other = sm.prune(jax.random.key(9), PARAMS, FINAL, noisy, fraction=0.7, ranking="global")
    assert 0 < sm.agreement(first, other).jaccard < 1
    draws = []
    prune(lambda w_final, key: draws.append(jax.random.uniform(key)) or w_final)
    assert len({float(each) for each in draws}) == 2
    ties = {float(jax.random.uniform(jax.random.fold_in(KEY, n))) for n in range(2)} | {float(jax.random.uniform(KEY))}
    assert not ties & {float(each) for each in draws}, "ties are broken by other draws"


@pytest.mark.usefixtures("unchecked")
@pytest.mark.parametrize(
    ("chosen", "changes", "words"),
    [
        (sm.grasp, {"loss": None}, "asks for loss, which is None; allowed: a function"),
        (sm.synflow, {"outputs": None}, "asks for outputs, which is None"),
        (sm.snip, {"loss": None}, "criterion snip needs gradient"),
        (lambda network: network.initial["first"], {}, "criterion function: pytrees differ"),
        (lambda network: {**PARAMS, "first": {"w": 1, "b": 1}}, {}, "score of first/w has shape None; the weights' is"),
        (lambda network, w_final: w_final, {}, "asks for network and for w_final; allowed: network alone"),
    ],
)
def test_what_cannot_be_asked_is_refused_by_name(chosen, changes, words):
    with pytest.raises(ValueError, match=words):
        prune(chosen, **changes)


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sm.iterative_snip(2.5), "steps is 2.5; allowed: whole numbers from 1 on"),
        (lambda: sm.iterative_snip(0), "steps is 0; allowed: 1 or more"),
        (lambda: sm.iterative_snip(float("inf")), "steps is inf; allowed: whole numbers from 1 on"),
        (lambda: sm.iterative_synflow(10, density=1), "density is 1; allowed: 0 < density < 1"),
        (lambda: with_parameters("iterative_snip(density=0.1)"), r"lacks steps; allowed: .*iterative_snip\(steps=.*\["),
    ],
)
def test_steps_that_cannot_be_are_refused(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_a_text_stands_for_the_same_criterion_and_travels():
    assert with_parameters("iterative_snip(steps=100)") == sm.iterative_snip(100) != sm.iterative_synflow(100)
    chosen = with_parameters("iterative_synflow(steps=10, density=0.05)")
    assert chosen.name == "iterative_synflow_10_0.05"
    assert pickle.loads(pickle.dumps(chosen)) == chosen  # noqa: S301
    assert sm.treatment(sm.grasp).criterion.source == ""


def test_the_toolkits_rounds_ask_of_its_networks_what_the_library_asks(trainer):
    """By hand: the scores of SynFlow at the initial weights, and exact counts, layer by layer."""
    seen = []

    @criterion("x", version="1")
    def looks(network):
        """Looks at what it is given."""
        jax.debug.callback(lambda *given: seen.append(given), network.final, network.masks, network.key)
        return jax.tree.map(abs, network.final)

    chosen, looking = sm.treatment(sm.synflow), sm.treatment(looks)
    rates = Rates(dense=0.4, output=0.2)
    records = {(r.treatment, r.round): r for r in find_tickets(trainer, rates, [chosen, looking], [0], 2)}
    jax.effects_barrier()
    initial = records[None, 0].start.params
    kernels, ones = kernels_of(initial), jnp.ones((1, 8, 8, 1))
    masks = full_masks(kernels)
    counts = kept_counts({n: k.size for n, k in kernels.items()}, rates.by_layer(layer_kinds(kernels)), 2)
    for round_ in (1, 2):
        scores = sm.synflow_scores(lambda p: logits(trainer.network, p, ones))(pruned(initial, masks))
        ties = derive_key(0, Purpose.TIES, round_)
        masks = keep_best_of_layers(ties, kernels_of(scores), masks, counts[round_])
        found = records[chosen, round_].start.masks
        for layer, mask in masks.items():
            np.testing.assert_array_equal(found[layer], mask)
    (first, *_), (second, own_masks, key) = seen
    for given, ended in ((first, records[None, 0]), (second, records[looking, 1])):
        for one, other in zip(jax.tree.leaves(given), jax.tree.leaves(ended.trained.params), strict=True):
            np.testing.assert_array_equal(one, other)
    np.testing.assert_array_equal(own_masks["output"]["kernel"], records[looking, 1].start.masks["output"])
    assert jax.random.key_data(key).tolist() == jax.random.key_data(derive_key(0, Purpose.CRITERION, 2)).tolist()


@pytest.mark.parametrize(
    "net",
    [FeedForward(hidden=(40, 20)), pytest.param(FeedForward(conv_pairs=(4,), hidden=(20,)), marks=pytest.mark.slow)],
)
def test_the_loss_that_is_asked_is_the_mean_over_the_training_split(digits, net):
    """In chunks; through convolutions with backward rules of their own as well: GraSP goes backward twice."""
    trainer = Trainer(net, digits, TrainingConfig(1, 1e-3), place(4000, networks=1))
    params = initialise(net, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    masks, key = full_masks(kernels_of(params)), derive_key(0, Purpose.CRITERION)
    images, labels = jnp.asarray(digits.train.images, jnp.float32) / 16, jnp.asarray(digits.train.labels)
    whole = lambda p: cross_entropy(net, p, images, labels)  # noqa: E731
    expected = jax.jit(sm.grasp_scores(whole))(params)
    found = trainer.scores(sm.treatment(sm.grasp).criterion, params, params, masks, key)
    assert found.keys() == masks.keys()
    for layer, scores in found.items():
        own = np.asarray(expected[layer]["kernel"])
        np.testing.assert_allclose(scores, own, rtol=1e-3, atol=1e-4 * np.abs(own).max())


PLUGIN = """
import jax
import supermask as sm
from supermask.plugins import criterion

patient = sm.iterative_synflow(steps=3)

@criterion("|wf| + noise")
def noisy(w_final, key):
    "Magnitudes, blurred."
    return abs(w_final) + 0.01 * jax.random.normal(key, w_final.shape)

@criterion("|g(wf)·wf|")
def last_gradient(network):
    "What the loss would feel at the end."
    slope = network.gradient(network.masked(network.final))
    return jax.tree.map(lambda w, g: abs(w * g), network.final, slope)
"""


@pytest.mark.thorough
def test_the_command_takes_them_by_name_with_parameters_and_from_a_file(tmp_path, monkeypatch, capsys):
    """In figures of rounds and of untrained networks; criteria-plane, which cannot show them, says so."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.py").write_text(PLUGIN)
    assert run_command(["check-plugin", "mine.py"], CATALOGUE) == 0, capsys.readouterr().out
    asked = ["grasp", "synflow", "iterative_snip(steps=3)", "noisy", "last_gradient", "iterative_synflow_3", "random"]
    names = ["grasp", "synflow", "iterative_snip_3", *asked[3:]]
    small = ["--dataset", "digits", "--epochs", "2", "--rounds", "2", "--seeds", "1", "--plugin", "mine.py"]
    figures = ["mask-criteria", "supermasks-at-init"]
    assert run_command(["reproduce", *figures, *small, "--criteria", *asked], CATALOGUE) == 0, capsys.readouterr()
    for figure in figures:
        (file,) = (tmp_path / "results" / "figures").glob(f"{figure}*.csv")
        table = pd.read_csv(file)
        assert set(table["criterion"]) - {"unpruned"} == set(names)
        assert not table["test_accuracy"].isna().any()
    capsys.readouterr()
    assert run_command(["reproduce", "criteria-plane", "--criteria", "synflow"], CATALOGUE) == 2
    assert "criteria has synflow, which goes by the whole network: criteria-plane cannot" in capsys.readouterr().err


def test_a_file_whose_criterion_returns_no_scores_is_told_before_anything_is_trained(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "bad.py").write_text(PLUGIN.replace("abs(w * g), network.final", "w.sum(), network.final"))
    small = ["--dataset", "digits", "--epochs", "1", "--rounds", "1", "--seeds", "1", "--plugin", "bad.py"]
    assert run_command(["reproduce", "mask-criteria", *small], CATALOGUE) == 1
    assert "criterion last_gradient: score of hidden1/kernel has shape ()" in capsys.readouterr().err
    assert not (tmp_path / "results").exists()


@pytest.mark.thorough
def test_a_notebook_and_rounds_of_ones_own_take_them(tmp_path):
    treatments = [sm.treatment(sm.grasp), sm.treatment(sm.iterative_snip(2)), sm.treatment(noisy)]
    plan = nb.describe(treatments, tmp_path / "study", dataset="digits", seeds=1, rounds=1, epochs=1)
    nb.run(plan)
    assert set(nb.table(plan)["criterion"]) == {"unpruned", "grasp", "iterative_snip_2", "noisy"}

    def train(params, masks, seed):
        return params, {"loss": 1.0}

    found = sm.lottery_rounds(
        train,
        lambda seed: PARAMS,
        [*treatments, sm.treatment(sm.snip)],
        rounds=1,
        folder=tmp_path / "tickets",
        fraction=0.5,
        loss=lambda params, seed: loss(params),
    )
    masks = found.load(found.results[1], PARAMS)[1]
    expected = sm.prune(derive_key(0, Purpose.TIES, 1), PARAMS, PARAMS, sm.grasp, fraction=0.5, loss=loss)
    assert sm.agreement(masks, expected).jaccard == 1
    with pytest.raises(ValueError, match="asks for loss, which is None"):
        sm.lottery_rounds(train, lambda seed: PARAMS, treatments[:1], rounds=1, folder=tmp_path / "none")


def test_a_criterion_of_the_network_that_scores_nan_is_refused(trainer):
    @criterion("nan", version="1")
    def undefined(network):
        """Nothing."""
        return jax.tree.map(lambda w: w * jnp.nan, network.final)

    with pytest.raises(MemberError, match="criterion undefined scores NaN for"):
        list(find_tickets(trainer, Rates(), [sm.treatment(undefined)], [0], 1))
