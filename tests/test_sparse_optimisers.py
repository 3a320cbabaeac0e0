"""Sparse training as optax optimisers: the bits of the toolkit's own trainer, any pytree, any optimiser."""

import os
import subprocess
import sys
from functools import partial

import equinox as eqx
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from flax import nnx
from jax.sharding import NamedSharding, PartitionSpec

import supermask as sm
from supermask import networks, trees
from supermask.evaluation import cross_entropy, scaled
from supermask.keys import Purpose, batch_order, derive_key
from supermask.population import Placement
from supermask.sparse_training import METHODS, layer_counts, start
from supermask.sparse_training.trainer import SparseJob, SparseTrainer
from supermask.training import TrainingConfig

STEPS, EPOCH, DENSITY = 60, 19, 0.3
CONFIG = TrainingConfig(STEPS, 3e-3, evaluate_every=STEPS)
OPTIMISER = optax.chain(optax.add_decayed_weights(1e-3), optax.sgd(0.1, momentum=0.9))
OF_PAIRS = optax.GradientTransformation(
    lambda params: jax.tree.map(lambda leaf: jnp.zeros((leaf.size, leaf.size)), params),
    lambda grads, state, params=None: (grads, state),
)
"""An optimiser with a number for every pair of weights of a leaf, which says nothing about a single weight."""
PUBLIC = {
    "static": sm.static,
    "set": sm.set_training,
    "rigl": sm.rigl,
    "deep_r": sm.deep_r,
    "dsr": sm.dsr,
    "sparse_momentum": partial(sm.sparse_momentum, every=EPOCH),
    "dnw": sm.dnw,
    "magnitude_pruning": sm.magnitude_pruning,
}
KEY = jax.random.key(3)
EXACT = "--xla_backend_optimization_level=0"
"""Flags under which XLA rounds every operation by itself."""


def same_bits(first, second) -> bool:
    pairs = zip(jax.tree.leaves(first), jax.tree.leaves(second), strict=True)
    return all(np.asarray(a).tobytes() == np.asarray(b).tobytes() for a, b in pairs)


def masks_by_layer(state, params) -> dict:
    return {layer: leaves["kernel"] for layer, leaves in sm.masks_of(state, params).items()}


@pytest.fixture(scope="module")
def gradient(small_network, digits):
    """Of the loss on a training's batch, by the number of steps taken."""
    order = batch_order(0, len(digits.train), 60, 0, STEPS)

    @jax.jit
    def of_batch(params, images, labels):
        loss = lambda p: cross_entropy(small_network, p, scaled(images, digits.maximum), labels)  # noqa: E731
        return jax.grad(loss)(params)

    images, labels = jnp.asarray(digits.train.images), jnp.asarray(digits.train.labels)
    return lambda params, step: of_batch(params, images[order[step]], labels[order[step]])


@pytest.mark.slow
def test_every_method_takes_the_toolkits_steps_to_the_bit_where_rounding_is_the_same():
    """The next test in a process of its own, whose XLA rounds an operation alike whatever stands beside it."""
    asked = ["-n", "0", "-p", "no:cacheprovider", "-k", "steps_of_the_toolkits_own_trainer", __file__]
    environment = os.environ | {"XLA_FLAGS": EXACT}
    ended = subprocess.run(
        [sys.executable, "-m", "pytest", *asked], env=environment, capture_output=True, text=True, timeout=600
    )
    assert ended.returncode == 0, ended.stdout
    assert f"{len(METHODS)} passed" in ended.stdout


@pytest.mark.skipif(
    os.environ["XLA_FLAGS"] != EXACT,
    reason="by default XLA rounds learning rate × gradient + weight once or twice: the slow test before it sets flags",
)
@pytest.mark.parametrize("name", METHODS)
def test_every_method_takes_the_steps_of_the_toolkits_own_trainer_to_the_bit(name, small_network, digits, gradient):
    """Beside the trainer's own method at every step, and beside what the trainer has at the end."""
    params = networks.initialise(small_network, derive_key(0, Purpose.INITIAL_WEIGHTS), (8, 8, 1))
    shapes = {layer: kernel.shape for layer, kernel in networks.kernels_of(params).items()}
    counts = layer_counts(shapes, DENSITY, METHODS[name].distribution)
    placement, key = Placement(tuple(jax.devices()), 2), derive_key(0, Purpose.SPARSE_STRUCTURE)
    trainer = SparseTrainer(small_network, digits, CONFIG, placement, METHODS[name], OPTIMISER)
    assert len(digits.train) // 60 == EPOCH
    method, update = trainer.method, jax.jit(trainer.method.update)
    optimiser = PUBLIC[name](OPTIMISER, density=DENSITY, steps=STEPS, key=key)
    mine, own = jax.jit(optimiser.init)(params), jax.jit(method.init)(key, params, counts)
    live, walked = sm.apply_masks(params, sm.masks_of(mine, params)), start(own, params)
    take_step, changed = jax.jit(optimiser.update), 0
    for step in range(STEPS):
        assert same_bits((live, masks_by_layer(mine, params)), (walked, own.masks)), step
        updates, mine = take_step(gradient(live, step), mine, live)
        live = optax.apply_updates(live, updates)
        before = own.masks
        walked, own, _ = update(own, gradient(walked, step), walked)
        changed += not same_bits(before, own.masks)
    assert (changed > 0) == (name != "static")
    if name not in ("rigl", "dnw"):  # that the trainer takes a method's steps is not a question of the method
        return
    trained, structure = trainer.train([SparseJob(params, counts, 0)])[0]
    assert same_bits(live, trained.params)
    assert same_bits(masks_by_layer(mine, params), structure.last)


def nested(dtype=jnp.float32):
    """A convolution, a normalisation, a list of dense layers, and a leaf that no optimiser is to see."""
    keys = iter(jax.random.split(jax.random.key(1), 5))
    draw = lambda *shape: jax.random.normal(next(keys), shape, dtype)  # noqa: E731
    return {
        "block": {"conv": {"kernel": draw(3, 3, 2, 8)}, "norm": {"scale": jnp.ones(8, dtype)}, "unused": None},
        "dense": [{"w": draw(32, 16), "b": jnp.zeros(16, dtype)}, {"w": draw(16, 4), "b": jnp.zeros(4, dtype)}],
    }


def train(optimiser, params, target, steps=20):
    """Parameters and state after steps towards a target, at which dead weights have a gradient as well."""
    loss = lambda p: sum(jnp.sum((a - b) ** 2) for a, b in zip(*map(jax.tree.leaves, (p, target)), strict=True))  # noqa: E731

    def step(carried, _):
        params, state = carried
        updates, state = optimiser.update(jax.grad(loss)(params), state, params)
        return (optax.apply_updates(params, updates), state), None

    state = optimiser.init(params)
    begun = sm.apply_masks(params, sm.masks_of(state, params)), state
    return jax.lax.scan(step, begun, None, length=steps)[0]


def live_and_dead(params, masks):
    """How many weights are live, and the sum of the magnitudes of the dead."""
    leaves, own = trees.masked_leaves(params, masks)
    live = sum(int(mask.sum()) for mask in own.values())
    return live, sum(float(jnp.sum(jnp.abs(jnp.where(mask, 0, leaves.all[path])))) for path, mask in own.items())


TARGET = jax.tree.map(lambda leaf: 2 * jnp.roll(leaf, 1), nested())
TOTAL = (3 * 3 * 2 * 8 + 32 * 16 + 16 * 4) // 5
OPTAX = {
    "adafactor": optax.adafactor(1e-2, min_dim_size_to_factor=4),
    "muon": optax.contrib.muon(1e-2),
    "a part each": optax.multi_transform(
        {"first": optax.adamw(1e-2), "rest": optax.sgd(0.1, momentum=0.9)},
        lambda params: {n: jax.tree.map(lambda _, n=n: "first" if n == "block" else "rest", params[n]) for n in params},
    ),
}


@pytest.mark.parametrize("optimiser", OPTAX.values(), ids=OPTAX)
def test_any_pytree_and_any_optimiser_will_do(optimiser):
    params = nested()
    sparse = sm.rigl(optimiser, density=0.2, steps=40, key=KEY, every=2)
    trained, state = jax.jit(partial(train, sparse))(params, TARGET)
    first, last = sm.masks_of(sparse.init(params), params), sm.masks_of(state, params)
    assert live_and_dead(trained, last) == (TOTAL, 0)
    assert sm.agreement(first, last).overlap < 0.95
    assert jax.tree.structure(trained) == jax.tree.structure(params)


@pytest.mark.thorough
def test_vmap_gives_every_network_masks_of_its_own():
    def both(key, params):
        return train(sm.rigl(optax.sgd(0.05, momentum=0.9), density=0.2, steps=40, key=key, every=2), params, TARGET)

    keys = jax.random.split(KEY, 2)
    stacked = jax.tree.map(lambda leaf: jnp.stack([leaf, leaf]), nested())
    together, _ = jax.jit(jax.vmap(both))(keys, stacked)
    alone, _ = jax.jit(both)(keys[1], nested())
    for one, other in zip(jax.tree.leaves(together), jax.tree.leaves(alone), strict=True):
        np.testing.assert_allclose(one[1], other, rtol=1e-5, atol=1e-6)
    assert not same_bits(*(jax.tree.map(lambda leaf, i=i: leaf[i], together) for i in (0, 1)))


@pytest.mark.parametrize("name", ["rigl", "deep_r", "dnw", "sparse_momentum"])
def test_bfloat16_stays_bfloat16(name):
    params, target = nested(jnp.bfloat16), jax.tree.map(lambda leaf: leaf.astype(jnp.bfloat16), TARGET)
    change = {} if name in ("dnw", "deep_r") else {"every": 5}
    sparse = getattr(sm, name)(optax.sgd(0.05, momentum=0.9), density=0.2, steps=40, key=KEY, **change)
    trained, state = jax.jit(partial(train, sparse))(params, target)
    assert {leaf.dtype for leaf in jax.tree.leaves(trained)} == {jnp.dtype(jnp.bfloat16)}
    assert live_and_dead(trained, sm.masks_of(state, params)) == (TOTAL, 0)


@pytest.mark.parametrize("name", PUBLIC)
def test_double_precision_stays_double_precision(name):
    change = {"every": 5} if name == "sparse_momentum" else {}
    with jax.enable_x64(True):
        double = jax.tree.map(lambda leaf: jnp.asarray(leaf, jnp.float64), (nested(), TARGET))
        sparse = getattr(sm, "set_training" if name == "set" else name)(
            optax.sgd(0.05, momentum=0.9), density=0.2, steps=12, key=KEY, **change
        )
        trained, state = jax.jit(partial(train, sparse))(*double)
        assert {leaf.dtype for leaf in jax.tree.leaves(trained)} == {jnp.dtype(jnp.float64)}
        assert live_and_dead(trained, sm.masks_of(state, double[0])) == (TOTAL, 0)


@pytest.mark.parametrize("name", PUBLIC)
def test_strict_promotion_of_types_changes_nothing(name):
    change = {"every": 5} if name == "sparse_momentum" else {}

    def trained():
        sparse = getattr(sm, "set_training" if name == "set" else name)(
            optax.sgd(0.05, momentum=0.9), density=0.2, steps=12, key=KEY, **change
        )
        return jax.jit(partial(train, sparse))(nested(), TARGET)[0]

    usual = trained()
    with jax.numpy_dtype_promotion("strict"):
        assert same_bits(trained(), usual)


@pytest.mark.thorough
def test_sharded_parameters_are_trained_as_whole_ones():
    mesh = jax.make_mesh((2,), ("x",), axis_types=(jax.sharding.AxisType.Auto,))
    sparse = sm.rigl(optax.adam(1e-2), density=0.2, steps=40, key=KEY, every=2)
    axes = {4: PartitionSpec(None, None, None, "x"), 2: PartitionSpec("x")}
    placed = lambda leaf: jax.device_put(leaf, NamedSharding(mesh, axes.get(leaf.ndim, PartitionSpec())))  # noqa: E731
    run = jax.jit(partial(train, sparse))
    whole, split = run(nested(), TARGET), run(jax.tree.map(placed, nested()), jax.tree.map(placed, TARGET))
    assert same_bits(*(sm.masks_of(state, nested()) for _, state in (whole, split)))
    for one, other in zip(jax.tree.leaves(whole[0]), jax.tree.leaves(split[0]), strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-5, atol=1e-6)


def test_nnx_and_equinox_train_by_it_too():
    model = nnx.Linear(32, 16, rngs=nnx.Rngs(0))
    sparse = sm.rigl(optax.adam(1e-2), density=0.2, steps=40, key=KEY, every=2)
    optimiser = nnx.Optimizer(model, sparse, wrt=nnx.Param)
    params = nnx.state(model, nnx.Param)
    nnx.update(model, sm.apply_masks(params, sm.masks_of(optimiser.opt_state, params)))

    @nnx.jit
    def step(model, optimiser, x):
        optimiser.update(model, nnx.grad(lambda model: jnp.sum((model(x) - 1) ** 2))(model))

    for each in jax.random.normal(KEY, (4, 8, 32)):
        step(model, optimiser, each)
    params = nnx.state(model, nnx.Param)
    masks = sm.masks_of(optimiser.opt_state, params)
    assert live_and_dead(params, masks) == (32 * 16 // 5, 0)
    assert sm.summary(params, masks).weights_remaining == pytest.approx(0.2, abs=0.002)
    other = eqx.filter(eqx.nn.MLP(32, 4, 16, 1, key=KEY), eqx.is_inexact_array)
    _, state = jax.jit(partial(train, sparse))(other, jax.tree.map(jnp.ones_like, other))
    assert sm.masks_of(state, other).layers[0].weight.shape == (16, 32)


def test_parts_of_a_network_may_have_methods_of_their_own():
    """Their masks are put together, and what neither prunes has None."""
    common = {"density": 0.5, "steps": 100, "key": KEY}
    parts = {"a": sm.rigl(optax.sgd(0.1), **common), "b": sm.dnw(optax.sgd(0.1), **common), "c": optax.sgd(0.1)}
    where = {"block": "a", "dense": ["b", "c"]}
    both = optax.chain(optax.clip(1.0), optax.multi_transform(parts, where))
    masks = sm.masks_of(both.init(nested()), nested())
    assert sm.summary(nested(), masks).weights_remaining == 0.5
    kinds = [
        mask is None for mask in (masks["block"]["conv"]["kernel"], masks["dense"][0]["w"], masks["dense"][1]["w"])
    ]
    assert kinds == [False, False, True]


def test_weights_that_were_not_masked_at_the_start_are_after_the_first_step():
    inner = optax.chain(optax.adamw(1e-2, weight_decay=0.1), optax.contrib.reduce_on_plateau())
    sparse = sm.static(inner, density=0.2, steps=40, key=KEY)
    state = sparse.init(nested())
    updates, state = jax.jit(sparse.update)(TARGET, state, nested(), value=1.0)  # what the inner optimiser asks for
    assert live_and_dead(optax.apply_updates(nested(), updates), sm.masks_of(state, nested())) == (TOTAL, 0)


def step_once(sparse):
    sparse.update(TARGET, sparse.init(nested()), nested())


@pytest.mark.parametrize(
    ("make", "words"),
    [
        (lambda: sm.rigl(optax.sgd(0.1), density=0.2, steps=1, key=KEY), "steps are 1; the method never changes"),
        (lambda: sm.rigl(optax.sgd(0.1), density=0.2, steps=0, key=KEY), "steps is 0; allowed: 1 or more"),
        (lambda: sm.set_training(optax.sgd(0.1), density=0.2, steps=99, key=KEY, fraction=2), "fraction is 2; allowed"),
        (lambda: sm.sparse_momentum(optax.sgd(0.1), density=0.2, steps=99, key=KEY, every=0), "every is 0; allowed: 1"),
        (
            lambda: sm.magnitude_pruning(optax.sgd(0.1), density=0.2, steps=60, key=KEY, every=40, until=0.5),
            "every is 40, and until 0.5 of 60 steps is step 30; allowed: 1 to 30",
        ),
        (lambda: sm.dnw(optax.sgd(0.1), density=0.2, steps=9, key=0), r"key is 0; allowed: jax.random.key\(seed\)"),
        (lambda: sm.dnw(optax.sgd(0.1), density=0.2, steps=9, key=jax.random.key(0, impl="rbg")), "key is of rbg"),
        (lambda: sm.dnw(optax.sgd(0.1), density=2, steps=9, key=KEY).init(nested()), "density is 2"),
        (lambda: sm.dnw(optax.sgd(0.1), density=1e-4, steps=9, key=KEY).init(nested()), "layers without a weight"),
        (lambda: sm.dnw(optax.sgd(0.1), density=0.2, steps=9, key=KEY).init({"b": jnp.ones(3)}), "nothing to prune"),
        (
            lambda: sm.rigl(
                optax.chain(optax.clip(1.0), sm.static(optax.sgd(0.1), density=0.5, steps=99, key=KEY)),
                **{"density": 0.2, "steps": 99, "key": KEY},
            ).init(nested()),
            "optimiser has masks of its own; allowed: one without",
        ),
        (
            lambda: step_once(sm.rigl(optax.flatten(optax.adam(0.1)), density=0.2, steps=99, key=KEY)),
            "optimiser keeps state of shape",
        ),
        (
            lambda: step_once(sm.rigl(OF_PAIRS, density=0.2, steps=99, key=KEY)),
            "optimiser keeps state of shape",
        ),
        (lambda: sm.masks_of(optax.adam(0.1).init(nested()), nested()), "optimiser_state has no masks"),
    ],
)
@pytest.mark.usefixtures("unchecked")
def test_what_cannot_be_is_refused_by_name(make, words):
    with pytest.raises(ValueError, match=words):
        make()


def test_an_update_without_parameters_is_refused():
    sparse = sm.static(optax.sgd(0.1), density=0.2, steps=9, key=KEY)
    with pytest.raises(ValueError, match="params are missing"):
        sparse.update(TARGET, sparse.init(nested()))
