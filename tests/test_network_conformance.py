"""One test over every criterion, action, method and kind of network: counts, what is rewound, and what is stored."""

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from test_adapters import LinenResNet

from supermask.actions import KEPT_ACTIONS, PRUNED_ACTIONS
from supermask.adapters import of_linen
from supermask.analysis.command.exporting import mask_tree
from supermask.analysis.kinds.rounds import decode_round, decode_round_zero, encode
from supermask.counts import Rates
from supermask.criteria import CRITERIA
from supermask.evaluation import UNSEEN, Examples
from supermask.exporting import laid_out
from supermask.keys import Purpose, derive_key
from supermask.lottery import RoundRecord, initial_of
from supermask.masks import full_masks
from supermask.network_criteria import NETWORK_CRITERIA
from supermask.networks import kernels_of, statistics_of
from supermask.restarts import End, Origin, Pruning, Start, restart
from supermask.sparse_training import METHODS, Horizon
from supermask.training import Trained
from supermask.treatments import Treatment
from supermask.whole_network import mean_gradient, network_scores
from supermask.zoo.mobilenet import MobileNet
from supermask.zoo.recurrent import LSTM
from supermask.zoo.resnet import ResNet
from supermask.zoo.vgg import VGG
from supermask.zoo.wide_resnet import WideResNet

SHAPE = (8, 8, 1)
RATES = Rates(conv=0.3, dense=0.3, output=0.2, depthwise=0.1, recurrent=0.4)
TENTHS = {"conv": 3, "dense": 3, "output": 2, "depthwise": 1, "recurrent": 4}
NETWORKS = {
    "resnet": ResNet(stages=((4, 1), (8, 1))),
    "vgg": VGG(stages=((4, 1), (6, 1))),
    "wide": WideResNet(depth=10, width=1),
    "mobilenet": MobileNet(width=0.1, dense_depthwise=False),
    "lstm": LSTM(hidden=(12, 8)),
    "linen": of_linen(LinenResNet()),
}


ACTIONS = [
    *((kept, PRUNED_ACTIONS["zero"]) for kept in KEPT_ACTIONS.values()),
    *((KEPT_ACTIONS["rewind"], frozen) for frozen in PRUNED_ACTIONS.values()),
]


TRIED = ("linen", "lstm")
EVERY = [name if name in TRIED else pytest.param(name, marks=pytest.mark.thorough) for name in NETWORKS]
"""Two of them are tried in CI; the others with `-m thorough`."""


@pytest.fixture(scope="module", params=EVERY)
def pruned(request, digits):
    """A network, its seed's origin, and the end of a round: other weights, and other running statistics."""
    network = NETWORKS[request.param]
    initial = initial_of(network, 0, SHAPE)
    trained = jax.tree.map(lambda leaf: leaf * 1.25 + 0.01, initial)
    examples = Examples(jnp.asarray(digits.train.images[:40]), jnp.asarray(digits.train.labels[:40]))
    gradient = mean_gradient(network, digits.maximum)(initial, examples)
    ask = network_scores(network, SHAPE, digits.maximum)
    scores = lambda criterion, *given: ask(criterion, *given, examples)  # noqa: E731
    origin = Origin(0, initial, initial, kernels_of(trained), gradient, trained)
    return network, origin, End(full_masks(kernels_of(trained)), kernels_of(trained), {}, trained), scores


def started(pruned, treatment):
    network, origin, end, scores = pruned
    start = restart(Pruning(network, SHAPE, RATES, scores), treatment, origin, 1, end)
    kinds = network.layer_kinds(SHAPE)
    for layer, mask in start.masks.items():
        assert int(np.sum(mask)) == mask.size - mask.size * TENTHS[kinds[layer]] // 10, layer
    assert start.masks.keys() == kernels_of(origin.initial).keys()
    return start


@pytest.mark.slow
@pytest.mark.parametrize("criterion", [*CRITERIA.values(), *NETWORK_CRITERIA.values()], ids=lambda each: each.name)
def test_every_criterion_prunes_every_network_by_exact_counts(pruned, criterion):
    start = started(pruned, Treatment(criterion))
    initial = pruned[1].initial
    for layer, kernel in kernels_of(initial).items():
        np.testing.assert_array_equal(start.params[layer]["kernel"], np.where(start.masks[layer], kernel, 0))
    for layer, names in statistics_of(pruned[0], SHAPE).items():
        for name in names:
            np.testing.assert_array_equal(start.params[layer][name], initial[layer][name])


@pytest.mark.slow
@pytest.mark.parametrize(("kept", "frozen"), ACTIONS, ids=lambda each: each.name)
def test_every_action_restarts_every_network_and_its_round_is_stored_whole(pruned, kept, frozen):
    """A round's record has all leaves: biases, scales and running statistics, to the bit."""
    start = started(pruned, Treatment(kept=kept, pruned=frozen))
    initial = jax.tree.map(np.asarray, pruned[1].initial)
    masks = {layer: np.asarray(mask) for layer, mask in start.masks.items()}
    final = jax.tree.map(lambda leaf: np.asarray(leaf) + np.float32(0.5), start.params)
    for layer, kernel in kernels_of(final).items():
        kernel[~masks[layer]] = np.asarray(start.params[layer]["kernel"])[~masks[layer]]
    record = record_of(Treatment(kept=kept, pruned=frozen), 1, Start(masks, start.params), final)
    end = decode_round(encode(record, initial), kernels_of(initial))
    assert_same(end.params, final)
    for layer, mask in masks.items():
        np.testing.assert_array_equal(end.masks[layer], mask)
    arrays = laid_out(final, mask_tree(final, masks), "torch")
    assert sum(name.startswith("mask.") for name in arrays) == len(masks)
    assert len(arrays) == len(masks) + len(jax.tree.leaves(final))


def test_round_zero_is_stored_whole(pruned):
    initial, trained = (jax.tree.map(np.asarray, own) for own in (pruned[1].initial, pruned[1].ended))
    record = record_of(None, 0, Start(full_masks(kernels_of(initial)), initial), trained)
    for found, own in zip(decode_round_zero(encode(record, initial)), (initial, trained), strict=True):
        assert_same(found, own)


@pytest.mark.slow
@pytest.mark.parametrize("method", METHODS)
def test_every_sparse_method_begins_and_steps_with_exact_counts(pruned, method):
    params = pruned[1].initial
    counts = {layer: kernel.size // 2 for layer, kernel in kernels_of(params).items()}
    own = METHODS[method].make(optax.sgd(0.1), Horizon(400, 40), None)
    state = own.init(derive_key(0, Purpose.SPARSE_STRUCTURE), params, counts)
    grads = jax.tree.map(jnp.ones_like, params)
    state_after = own.advance(state, grads, params)[1]
    for each in (state, state_after):
        live = {layer: int(np.sum(mask)) for layer, mask in each.masks.items()}
        assert live.keys() == counts.keys()
        if method != "magnitude_pruning":
            assert live == counts


def record_of(treatment, round_, start, final):
    curve = np.zeros(2, np.float32)
    trained = Trained(final, 0, UNSEEN, UNSEEN, UNSEEN, UNSEEN, curve.astype(np.int32), curve, curve)
    return RoundRecord(treatment, 0, round_, start, trained)


def assert_same(found, own):
    assert {layer: set(leaves) for layer, leaves in found.items()} == {n: set(leaves) for n, leaves in own.items()}
    for layer, leaves in own.items():
        for name, leaf in leaves.items():
            np.testing.assert_array_equal(found[layer][name], leaf)
