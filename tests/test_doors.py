"""What does not fit is refused at the door, by name; each of these once gave numbers that looked right, or a crash."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import linen as nn

from supermask import learned_masks, lottery, masks, networks
from supermask.compression.pruning import largest_of_layers
from supermask.datasets import Split
from supermask.evaluation import evaluated_on
from supermask.keys import Purpose, batch_order, derive_key
from supermask.learned_masks import LearnedMask, MaskJob, MaskTrainer
from supermask.lottery import Treatment, find_tickets
from supermask.masks import Rates
from supermask.nested_levels import evaluate_nested
from supermask.networks import (
    FeedForward,
    Network,
    initialise,
    kernels_of,
    outputs_of,
    parameter_count,
    shapes_of,
    with_kernels,
)
from supermask.neural_graphs.wirings import random_wiring
from supermask.population import place
from supermask.sparse_training import METHODS, Horizon
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import Job, Trainer, TrainingConfig

pytestmark = pytest.mark.usefixtures("unchecked")

KEY = derive_key(0, Purpose.INITIAL_WEIGHTS)
CONFIG = TrainingConfig(4, 1e-3)


class Block(nn.Module):
    """Two layers, one of them inside of the other."""

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(5, name="inner")(x)


class Nested(Network):
    """A network with a module inside of a module, as Flax users write them."""

    convolutional = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        return nn.Dense(10, name="output")(nn.relu(Block(name="block")(x.reshape(x.shape[0], -1))))


class Unnamed(Network):
    """A network whose weights are called something else than 'kernel'."""

    convolutional = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        x = x.reshape(x.shape[0], -1)
        return x @ self.param("w", nn.initializers.lecun_normal(), (x.shape[1], 10), jnp.float32)


class Own(Network):
    """A network of a user's own, of one level: this is served."""

    convolutional = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        hidden = nn.tanh(nn.Dense(8, name="first")(x.reshape(x.shape[0], -1)))
        return nn.Dense(10, name="output")(hidden)


class Reader(Network):
    """A network that is served but for what follows between its layers."""

    convolutional = False

    @nn.compact
    def __call__(self, x: Any) -> Any:
        hidden = nn.relu(nn.Dense(8, name="first")(x.reshape(x.shape[0], -1)))
        return nn.Dense(10, name="output")(self.between(hidden))

    def between(self, hidden: Any) -> Any:
        raise NotImplementedError


class BatchNormed(Reader):
    """Batch norm that nothing tells whether it is trained."""

    @nn.compact
    def between(self, hidden: Any) -> Any:
        return nn.BatchNorm(use_running_average=False, name="norm")(hidden)


class Counting(Reader):
    def between(self, hidden: Any) -> Any:
        calls = self.variable("cache", "calls", jnp.zeros, ())
        return hidden + calls.value


class Dropping(Reader):
    """Drops nothing unless it is told to: so it would be trained without dropout, and nobody the wiser."""

    @nn.compact
    def between(self, hidden: Any) -> Any:
        return nn.Dropout(0.5, deterministic=True, name="drop")(hidden)


class Dropping2(Reader):
    @nn.compact
    def between(self, hidden: Any) -> Any:
        return nn.Dropout(0.5, deterministic=False)(hidden)


class Noisy(Reader):
    def between(self, hidden: Any) -> Any:
        return hidden + jax.random.normal(self.make_rng("noise"), hidden.shape)


class Told(Reader):
    @nn.compact
    def __call__(self, x: Any, train: bool, *, rate: float) -> Any:
        return nn.Dense(10, name="output")(x.reshape(x.shape[0], -1))


class Listed(Reader):
    widths: Any = None

    def between(self, hidden: Any) -> Any:
        return hidden


class Weightless(Reader):
    def __call__(self, x: Any) -> Any:
        return x.reshape(x.shape[0], -1)[:, :10]


class Pair(Listed):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return (nn.Dense(10, name="output")(x.reshape(x.shape[0], -1)),) * 2


class Rounded(Listed):
    @nn.compact
    def __call__(self, x: Any) -> Any:
        return jnp.round(nn.Dense(10, name="output")(x.reshape(x.shape[0], -1))).astype(jnp.int32)


NOT_SERVED = [
    (Rounded(), r"network puts out int32; allowed: logits of floating-point numbers"),
    (
        BatchNormed(),
        r"network BatchNormed has variables 'batch_stats' \(in norm\), and nothing tells it whether it is trained",
    ),
    (Counting(), r"network Counting has variables 'cache' \(in calls\), and nothing tells it whether it is trained"),
    (Dropping(), r"network Dropping has dropout \(in drop\), and nothing tells it .*; allowed: an argument `training`"),
    (Dropping2(), r"network Dropping2 has dropout \(in Dropout_0\), and nothing tells it whether it is trained"),
    (Noisy(), r"network Noisy draws random numbers when it is applied; allowed: networks whose logits depend"),
    (Told(), r"network Told is called with rate beside images; allowed: images alone"),
    (
        Listed(np.ones(2)),
        r"network Listed has a ndarray as its field 'widths', which cannot be hashed; allowed: ",
    ),
    (Weightless(), r"network Weightless has no parameters; allowed: one or more"),
    (nn.Dense(10), r"network is a Dense; allowed: an instance of supermask.networks.Network"),
    (Own, r"network is a .*; allowed: an instance of supermask.networks.Network"),
    (Pair(), r"network puts out a tuple for an image; allowed: logits"),
]


@pytest.mark.parametrize(("network", "message"), NOT_SERVED, ids=lambda value: "" if isinstance(value, str) else None)
def test_a_network_with_more_than_parameters_is_refused_wherever_networks_come_in(network, message, digits):
    """Batch norm once ended in Flax's own ScopeCollectionNotFound, and dropout that drops nothing in a number."""
    placement = place(1000, networks=1)
    doors = [
        lambda: outputs_of(network, (8, 8, 1)),
        lambda: Trainer(network, digits, CONFIG, placement),
        lambda: MaskTrainer(network, digits, CONFIG, placement),
        lambda: SparseTrainer(network, digits, CONFIG, placement, METHODS["set"], optax.sgd(0.1)),
        lambda: evaluated_on(network, placement, digits.test),
    ]
    if not isinstance(network, Noisy | Pair | Rounded):  # whose logits alone are refused
        doors += [
            lambda: initialise(network, KEY, (8, 8, 1)),
            lambda: shapes_of(network, (8, 8, 1)),
            lambda: parameter_count(network, (8, 8, 1)),
            lambda: lottery.initial_of(network, 0, (8, 8, 1)),
        ]
    if isinstance(network, BatchNormed | Counting | Dropping2 | Noisy | Told):
        params = {
            "first": {"kernel": np.ones((64, 8)), "bias": np.ones(8)},
            "output": {"kernel": np.ones((8, 10)), "bias": np.ones(10)},
        }
        doors.append(lambda: networks.logits(network, params, jnp.zeros((1, 8, 8, 1))))
    for door in doors:
        with pytest.raises(ValueError, match=message):
            door()


@pytest.fixture(scope="module")
def nested_params():
    raw = Nested().init(KEY, jnp.zeros((1, 8, 8, 1)))["params"]
    return {"block": {"inner": dict(raw["block"]["inner"])}, "output": dict(raw["output"])}


DEEPER = r"parameters have more levels at block/inner; allowed: one level of layers"


def test_nested_parameters_are_refused_wherever_they_come_in(nested_params, digits):
    placement = place(1000, networks=1)
    doors = [
        lambda: kernels_of(nested_params),
        lambda: with_kernels(nested_params, {}),
        lambda: largest_of_layers(nested_params, 0.5, 0),
        lambda: learned_masks.start_logits(MaskJob(nested_params, LearnedMask(), 0)),
        *(
            lambda make=entry.make: make(optax.sgd(0.1), Horizon(900, 100), None).init(KEY, nested_params, {"block": 1})
            for entry in METHODS.values()
        ),
    ]
    for door in doors:
        with pytest.raises(ValueError, match=DEEPER):
            door()
    trainer = Trainer(FeedForward(hidden=(5,)), digits, CONFIG, placement)
    for door in (lambda: trainer.train([Job(nested_params, {}, 0)]), lambda: trainer.gradients(nested_params)):
        with pytest.raises(ValueError, match=DEEPER):
            door()


def test_a_nested_network_is_served_and_its_inner_layers_are_pruned():
    """Once nothing in them was, without an error."""
    params = initialise(Nested(), KEY, (8, 8, 1))
    assert set(params) == set(kernels_of(params)) == {"block/inner", "output"}
    images = jax.random.uniform(jax.random.key(0), (3, 8, 8, 1))
    direct = Nested().apply(Nested().init(KEY, images), images)
    np.testing.assert_array_equal(networks.logits(Nested(), params, images), direct)
    with pytest.raises(ValueError, match="params lack block/inner/bias, block/inner/kernel; allowed: all leaves"):
        networks.logits(Nested(), {"output": params["output"]}, images)


def test_nested_masks_and_scores_are_refused():
    nested: Any = {"block": {"inner": jnp.ones((3, 3), bool)}}
    for door in (
        lambda: masks.full_masks(nested),
        lambda: masks.prune(KEY, nested, nested, {"block": 0.5}),
        lambda: masks.prune_globally(KEY, nested, nested, 0.5),
        lambda: masks.keep_best_of_layers(KEY, nested, nested, {"block": 1}),
        lambda: masks.rank_layers(KEY, nested, nested),
    ):
        with pytest.raises(ValueError, match=r"\['block'\] is a dict; allowed: an array a layer"):
            door()


def test_a_network_without_kernels_is_refused(digits):
    for door in (
        lambda: initialise(Unnamed(), KEY, (8, 8, 1)),
        lambda: shapes_of(Unnamed(), (8, 8, 1)),
        lambda: Trainer(Unnamed(), digits, CONFIG, place(1000, networks=1)),
    ):
        with pytest.raises(ValueError, match=r"network Unnamed has nothing to prune among w; allowed: one kernel"):
            door()
    with pytest.raises(ValueError, match=r"layers a, and none has a leaf 'kernel'"):
        kernels_of({"a": {"weights": np.ones((2, 2), np.float32)}})


def test_rates_of_a_layer_that_is_not_there_are_refused():
    """A misspelt layer was left dense without a word."""
    scores = {"hidden1": jnp.ones((4, 4)), "output": jnp.ones((4, 2))}
    with pytest.raises(ValueError, match=r"rates has layer 'hiden1'; allowed: hidden1, output"):
        masks.prune(KEY, scores, masks.full_masks(scores), {"hiden1": 0.5})


@pytest.mark.parametrize(
    ("mask", "message"),
    [
        ({"hidden9": np.ones((64, 5), bool)}, r"masks has layer 'hidden9'; allowed: hidden1, output"),
        ({"hidden1": np.ones((5, 64), bool)}, r"masks\['hidden1'\] has shape \(5, 64\); the layer's is \(64, 5\)"),
        ({"hidden1": np.ones((64, 5), np.float32)}, r"masks\['hidden1'\] is of float32; allowed: bool"),
    ],
)
def test_masks_that_do_not_fit_are_refused(digits, mask, message):
    trainer = Trainer(FeedForward(hidden=(5,)), digits, CONFIG, place(1000, networks=1))
    with pytest.raises(ValueError, match=message):
        trainer.train([Job(lottery.initial_params(trainer, 0), mask, 0)])


def test_sparse_counts_that_do_not_fit_are_refused(digits):
    trainer = SparseTrainer(
        FeedForward(hidden=(5,)), digits, CONFIG, place(1000, networks=1), METHODS["static"], optax.sgd(0.1)
    )
    params = networks.initialise(trainer.network, KEY, (8, 8, 1))
    for counts, message in (
        ({"hidden1": 10}, "counts leaves out layer 'output'"),
        ({"hidden1": 321, "output": 5}, r"counts\['hidden1'\] is 321; allowed: 0 to 320"),
        ({"hidden1": 10, "output": 5, "x": 1}, "counts has layer 'x'"),
    ):
        with pytest.raises(ValueError, match=message):
            trainer.train([SparseJob(params, counts, 0)])


# --- Labels, images and outputs ---------------------------------------------------------------------------


@pytest.mark.parametrize("label", [-1, 10, 255])
@pytest.mark.parametrize("part", ["train", "validation", "test"])
def test_labels_outside_the_classes_are_refused(digits, part, label):
    split = getattr(digits, part)
    labels = split.labels.copy()
    labels[3] = label
    with pytest.raises(ValueError, match=rf"digits, {part} has label {label}; allowed: 0 to 9"):
        replace(digits, **{part: Split(split.images, labels)})


def test_images_that_are_no_images_are_refused(digits):
    train = digits.train
    with pytest.raises(ValueError, match=r"images is float64 of shape .*; allowed: uint8"):
        Split(train.images.astype(np.float64), train.labels)
    with pytest.raises(ValueError, match=r"labels is int32 of shape \(2,\); allowed: int32, one for each"):
        Split(train.images, train.labels[:2])
    with pytest.raises(ValueError, match=r"digits, test has images of shape \(8, 4, 1\); allowed: \(8, 8, 1\)"):
        replace(digits, test=Split(digits.test.images[:, :, :4], digits.test.labels))
    with pytest.raises(ValueError, match=r"digits, train has a pixel of 16; allowed: 0 to 15"):
        replace(digits, maximum=15)
    with pytest.raises(ValueError, match=r"digits, validation has no images"):
        replace(digits, validation=Split(train.images[:0], train.labels[:0]))
    with pytest.raises(ValueError, match="classes is 0"):
        replace(digits, classes=0)


def test_a_network_of_fewer_outputs_than_classes_is_refused(digits):
    placement, few = place(1000, networks=1), FeedForward(hidden=(5,), classes=7)
    for make in (
        lambda: Trainer(few, digits, CONFIG, placement),
        lambda: MaskTrainer(few, digits, CONFIG, placement),
        lambda: SparseTrainer(few, digits, CONFIG, placement, METHODS["set"], optax.sgd(0.1)),
    ):
        with pytest.raises(ValueError, match="network has 7 outputs; digits has 10 classes"):
            make()
    assert outputs_of(few, (8, 8, 1)) == 7


def test_evaluation_on_labels_that_the_network_has_no_outputs_for_is_refused(trainer, digits):
    """A label beyond the outputs read other memory: a loss of 3.5e31, or a segmentation fault."""
    params = lottery.initial_params(trainer, 0)
    strange = Split(digits.test.images, np.full_like(digits.test.labels, 12))
    with pytest.raises(ValueError, match="split has label 12; allowed: 0 to 9"):
        trainer.evaluate([params], strange)
    ranks = {n: np.arange(k.size, dtype=np.int32).reshape(k.shape) for n, k in kernels_of(params).items()}
    levels = [dict.fromkeys(ranks, 5)]
    with pytest.raises(ValueError, match="split has label 12; allowed: 0 to 9"):
        evaluate_nested(trainer.network, params, ranks, levels, strange, 16, 1)
    with pytest.raises(ValueError, match=r"levels\['output'\] is -1; allowed: 0 to "):
        trainer.evaluate_levels(params, ranks, [levels[0] | {"output": -1}])
    with pytest.raises(ValueError, match=r"ranks has layer 'x'"):
        trainer.evaluate_levels(params, ranks | {"x": ranks["output"]}, levels)


def test_images_that_are_blank_all_over_can_be_evaluated(trainer):
    blank = Split(np.zeros((1, 8, 8, 1), np.uint8), np.zeros(1, np.int32))
    params = lottery.initial_params(trainer, 0)
    (scores,) = trainer.evaluate([params], blank)
    assert float(scores.loss) == pytest.approx(np.log(10), rel=1e-5), "all biases are 0"
    ranks = {n: np.arange(k.size, dtype=np.int32).reshape(k.shape) for n, k in kernels_of(params).items()}
    ((loss, _),) = evaluate_nested(trainer.network, params, ranks, [dict.fromkeys(ranks, 5)], blank, 16, 1)
    assert loss == pytest.approx(np.log(10), rel=1e-5)


def test_a_network_of_ones_own_is_computed_by_its_own_code(digits):
    """Shortcuts of FeedForward, for levels and dead units, would compute a subclass as if it were one."""

    class Shifted(FeedForward):
        @nn.compact
        def __call__(self, x: Any) -> Any:
            x = x.reshape(x.shape[0], -1) - 0.5
            return nn.Dense(10, name="output")(nn.tanh(nn.Dense(5, name="hidden1")(x)))

    trainer = Trainer(Shifted(hidden=(5,)), digits, CONFIG, place(1000, networks=1))
    params = lottery.initial_params(trainer, 0)
    kernels = kernels_of(params)
    ranks = {n: np.arange(k.size, dtype=np.int32).reshape(k.shape) for n, k in kernels.items()}
    (scores,) = trainer.evaluate_levels(params, ranks, [{n: r.size for n, r in ranks.items()}])
    images = digits.test.images.reshape(len(digits.test), -1) / np.float32(16) - np.float32(0.5)
    logits = np.tanh(images @ np.asarray(kernels["hidden1"])) @ np.asarray(kernels["output"])
    assert float(scores.accuracy) == pytest.approx((logits.argmax(1) == digits.test.labels).mean(), abs=1e-6)
    (whole,) = trainer.evaluate([params])
    assert float(whole.accuracy) == float(scores.accuracy)


def test_a_network_of_ones_own_of_one_level_is_pruned(digits):
    trainer = Trainer(Own(), digits, TrainingConfig(30, 3e-3), place(1000, networks=1))
    *_, last = find_tickets(trainer, Rates(dense=0.5, output=0.5), [Treatment()], [0], 2)
    for layer, mask in last.start.masks.items():
        assert int(mask.sum()) == mask.size // 4
        assert np.count_nonzero(last.trained.params[layer]["kernel"]) <= mask.size // 4


# --- Seeds ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", [-1, 2**31, 2**32, 2**32 + 5, 2**64])
def test_seeds_that_would_be_another_ones_are_refused_everywhere(trainer, seed):
    params = lottery.initial_params(trainer, 0)
    for door in (
        lambda: derive_key(seed, Purpose.TIES),
        lambda: batch_order(seed, 10, 5, 0, 1),
        lambda: next(find_tickets(trainer, Rates(), [], [seed], 0)),
        lambda: lottery.initial_of(trainer.network, seed, (8, 8, 1)),
        lambda: trainer.train([Job(params, {}, seed)]),
        lambda: random_wiring(SimpleNamespace(possible_edges=9, edges=3), "uniform", seed),
        lambda: largest_of_layers(params, 0.5, seed),
    ):
        with pytest.raises(ValueError, match=rf"seed is {seed}; allowed: 0 to 2,147,483,647"):
            door()


def test_the_largest_seed_is_one_of_its_own():
    words = {np.asarray(jax.random.key_data(derive_key(s, Purpose.TIES))).tobytes() for s in (0, 1, 2**31 - 1)}
    assert len(words) == 3
    for seed in (0.5, True, "1"):
        with pytest.raises(ValueError, match=r"seed is .*; allowed: whole numbers"):
            derive_key(seed, Purpose.TIES)  # type: ignore[arg-type]


@pytest.mark.parametrize("number", [-1, 1.5, True, "2"])
def test_numbers_of_rounds_and_steps_are_whole(number, digits):
    """Rounds of -1 were none, without a word."""
    allowed = rf" is {number!r}; allowed: [01] or more, a whole number"
    trainer = Trainer(FeedForward(hidden=(5,)), digits, CONFIG, place(1000, networks=1))
    with pytest.raises(ValueError, match="rounds" + allowed):
        next(find_tickets(trainer, Rates(), [], [0], number))
    with pytest.raises(ValueError, match="steps" + allowed):
        TrainingConfig(number, 1e-3)
    with pytest.raises(ValueError, match="evaluate_every" + allowed):
        replace(CONFIG, evaluate_every=number)


def test_images_without_pixels_are_refused():
    with pytest.raises(
        ValueError, match=r"images is of shape \(3, 0, 8, 1\); allowed: one pixel and one channel or more"
    ):
        Split(np.zeros((3, 0, 8, 1), np.uint8), np.zeros(3, np.int32))
