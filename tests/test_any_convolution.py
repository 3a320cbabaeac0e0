"""Convolutions of any shape: those written out for CPU against XLA's own, with gradients."""

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.any_convolution import convolve


def both(x, kernel, **shape):
    """Values and gradients, written out and native."""
    found = []
    for method in ("written out", "native"):
        y, pull = jax.vjp(partial(convolve, method=method, **shape), x, kernel)
        weigh = jnp.asarray(np.random.default_rng(1).normal(size=y.shape), jnp.float32)
        found.append((y, *pull(weigh)))
    return found


def draw(x_shape, kernel_shape, seed=0):
    random = np.random.default_rng(seed)
    return tuple(jnp.asarray(random.normal(size=shape), jnp.float32) for shape in (x_shape, kernel_shape))


def assert_alike(ours, native):
    for own, other in zip(ours, native, strict=True):
        assert own.shape == other.shape
        np.testing.assert_allclose(own, other, atol=2e-5 * float(jnp.abs(other).max()) + 1e-6)


NAMED = {
    "1×1": ((3, 5, 4, 6), (1, 1, 6, 4), {}),
    "1×1, stride 2": ((3, 5, 4, 6), (1, 1, 6, 4), {"stride": 2}),
    "3×3, Winograd's": ((13, 8, 8, 16), (3, 3, 16, 16), {"padding": 1}),
    "3×3, few channels": ((5, 7, 8, 3), (3, 3, 3, 5), {"padding": 1}),
    "3×3, stride 2": ((5, 7, 8, 4), (3, 3, 4, 6), {"padding": 1, "stride": 2}),
    "depthwise": ((5, 7, 8, 6), (3, 3, 1, 6), {"padding": 1, "groups": 6}),
    "depthwise, two features a channel, stride 2": ((5, 7, 8, 3), (3, 3, 1, 6), {"stride": 2, "groups": 3}),
    "groups": ((5, 7, 8, 6), (3, 2, 2, 9), {"padding": 1, "groups": 3}),
    "7×7, stride 3": ((2, 15, 16, 3), (7, 7, 3, 4), {"padding": 3, "stride": 3}),
}


@pytest.mark.parametrize("name", NAMED)
def test_values_and_gradients_are_xlas_own(name):
    x_shape, kernel_shape, shape = NAMED[name]
    assert_alike(*both(*draw(x_shape, kernel_shape), **shape))


@pytest.mark.thorough
@given(
    batch=st.integers(1, 9),
    sides=st.tuples(st.integers(3, 9), st.integers(3, 9)),
    kernel=st.tuples(st.integers(1, 4), st.integers(1, 4)),
    stride=st.integers(1, 3),
    padding=st.integers(1, 2),
    groups=st.sampled_from([1, 2, 4]),
    each=st.integers(1, 2),
)
def test_any_shape_at_all(batch, sides, kernel, stride, padding, groups, each):
    x, weights = draw((batch, *sides, 4), (*kernel, 4 // groups, 4 * each))
    assert_alike(*both(x, weights, stride=stride, padding=padding, groups=groups))


def test_a_batch_of_several_chunks_is_as_each_image_alone():
    x, kernel = draw((70, 16, 16, 8), (3, 3, 8, 4))
    assert 3 * 16 * 16 * 9 * 8 < 1 << 18 < 70 * 16 * 16 * 9 * 8, "several chunks"
    together = convolve(x, kernel, padding=1)
    alone = jnp.concatenate([convolve(x[at : at + 1], kernel, padding=1) for at in (0, 37, 69)])
    np.testing.assert_allclose(together[jnp.array([0, 37, 69])], alone, atol=1e-5)


def test_shapes_that_do_not_fit_are_refused():
    x, kernel = draw((2, 6, 6, 4), (3, 3, 4, 5))
    for arguments, message in (
        ({"groups": 2}, r"kernel has shape \(3, 3, 4, 5\) for 4 channels in 2 groups"),
        ({"stride": 0}, "stride is 0; allowed: 1 or more"),
        ({"padding": -1}, "padding is -1; allowed: 0 or more"),
    ):
        with pytest.raises(ValueError, match=message):
            convolve(x, kernel, **arguments)
    with pytest.raises(ValueError, match=r"x has shape \(2, 2, 6, 4\); allowed: .*3×3 or larger"):
        convolve(x[:, :2], kernel)
