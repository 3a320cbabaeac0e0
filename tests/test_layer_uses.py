"""What is read off a network's program: products by layer, and which layers recur or are depthwise."""

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from supermask.any_convolution import convolve
from supermask.flops import uses_of_layers

SQUARE = {"own": {"kernel": jnp.ones((4, 4))}, "output": {"kernel": jnp.ones((4, 3))}}
X = jax.ShapeDtypeStruct((6, 4), jnp.float32)


def once_each(params, x):
    return lax.map(lambda row: row @ params["own"]["kernel"], x) @ params["output"]["kernel"]


def in_chunks(params, x):
    """A loop that counts its turns and carries its result, but feeds none of it to a product."""

    def chunk(index, y):
        part = lax.dynamic_slice_in_dim(x, 2 * index, 2) @ params["own"]["kernel"]
        return lax.dynamic_update_slice_in_dim(y, part, 2 * index, 0)

    return lax.fori_loop(0, 3, chunk, jnp.zeros((6, 4))) @ params["output"]["kernel"]


def again_and_again(params, x):
    step = lambda state, row: (jnp.tanh(row + state @ params["own"]["kernel"]), None)  # noqa: E731
    return lax.scan(step, jnp.zeros(4), x)[0] @ params["output"]["kernel"]


def with_its_input(params, x):
    """The product with the input is in the loop: it belongs to the recurrence, though it is of no state."""
    own = params["own"]["kernel"]

    def step(state, row):
        return jnp.tanh(row @ params["input"]["kernel"] + state @ own), None

    return lax.scan(step, jnp.zeros(4), x)[0] @ params["output"]["kernel"]


def row_by_row_inside(params, x):
    """A loop of loops: the inner one has nothing of its own turns, and much of the outer's."""

    def step(state, row):
        return lax.map(lambda each: each @ params["own"]["kernel"], state + row[None, :]), None

    return lax.scan(step, jnp.zeros((2, 4)), x)[0] @ params["output"]["kernel"]


@pytest.mark.parametrize(
    ("function", "recurrent", "products"),
    [
        (once_each, set(), 6 * 16),
        (in_chunks, set(), 6 * 16),
        (again_and_again, {"own"}, 6 * 16),
        (with_its_input, {"own", "input"}, 6 * 16),
        (row_by_row_inside, {"own"}, 6 * 2 * 16),
    ],
)
def test_a_layer_recurs_where_turns_of_a_loop_feed_its_same_weights(function, recurrent, products):
    uses = uses_of_layers(function, SQUARE | {"input": SQUARE["own"]}, X)
    assert uses.recurrent == recurrent
    assert uses.checked_products()["own"] == products
    assert not uses.depthwise


def test_layers_of_a_stack_that_a_loop_goes_through_do_not_recur():
    stack = {"stack": {"kernel": jnp.ones((5, 4, 4))}}
    uses = uses_of_layers(lambda p, x: lax.scan(lambda h, w: (h @ w, None), x, p["stack"]["kernel"])[0], stack, X)
    assert uses.recurrent == set()
    assert uses.checked_products() == {"stack": 5 * 6 * 16}


def test_a_loop_of_unknown_length_has_kinds_but_no_number_of_products():
    def until_small(params, x):
        return lax.while_loop(lambda y: jnp.sum(y) > 1, lambda y: y @ params["own"]["kernel"] / 9, x)

    uses = uses_of_layers(until_small, SQUARE, X)
    with pytest.raises(ValueError, match="products in a loop of unknown length; allowed: a number of turns known"):
        uses.checked_products()


@pytest.mark.parametrize("method", ["native", "written out"])
@pytest.mark.parametrize(("groups", "depthwise"), [(6, True), (3, False), (1, False)])
def test_a_convolution_of_each_channel_by_itself_is_depthwise(groups, depthwise, method):
    params = {"conv": {"kernel": jnp.ones((3, 3, 6 // groups, 12))}}
    image = jax.ShapeDtypeStruct((1, 5, 5, 6), jnp.float32)
    uses = uses_of_layers(
        lambda p, x: convolve(x, p["conv"]["kernel"], padding=1, groups=groups, method=method), params, image
    )
    assert uses.depthwise == ({"conv"} if depthwise else set())


def test_a_convolution_of_one_channel_is_not():
    params = {"conv": {"kernel": jnp.ones((3, 3, 1, 12))}}
    image = jax.ShapeDtypeStruct((1, 5, 5, 1), jnp.float32)
    assert uses_of_layers(lambda p, x: convolve(x, p["conv"]["kernel"]), params, image).depthwise == set()
