"""The convolution layer: every method against float64, and the same wherever JAX lets a layer stand."""

import re
from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jax import lax
from jax.sharding import Mesh
from jax.sharding import PartitionSpec as P

from supermask.convolution import choose_method, conv_relu

METHODS = ("native", "direct", "winograd")
SHAPES = [  # (batch, height, width, channels, features), pool: few, because every one is compiled
    ((1, 1, 1, 1, 1), False),
    ((5, 3, 12, 4, 2), True),
    ((13, 8, 8, 2, 3), False),  # Winograd's chunks are of 7 images here, and one is padding
    ((13, 8, 8, 2, 3), True),
]
DEVICES = 2
SMALL = (2 * DEVICES, 6, 4, 2, 3)

# Without LLVM's optimisations, which take most of the time that a compilation takes.
quick_jit = partial(jax.jit, compiler_options={"xla_backend_optimization_level": "0"})
each_method = pytest.mark.parametrize("method", METHODS)


@pytest.fixture(autouse=True, scope="module")
def no_silent_promotion():
    with jax.numpy_dtype_promotion("strict"):
        yield


def draw(size, pool, seed=0, population=()):
    """x, kernel, bias and an output gradient, or a population of them."""
    batch, height, width, channels, features = size
    rng = np.random.default_rng(seed)
    shapes = (
        (batch, height, width, channels),
        (3, 3, channels, features),
        (features,),
        (batch, height // (1 + pool), width // (1 + pool), features),
    )
    return tuple(jnp.asarray(rng.normal(size=(*population, *shape)), jnp.float32) for shape in shapes)


def values(x, kernel, bias, dy, *, pool, method):
    """y, dx, dkernel and dbias, not compiled."""
    y, pull = jax.vjp(partial(conv_relu, pool=pool, method=method), x, kernel, bias)
    return y, *pull(dy)


compiled = quick_jit(values, static_argnames=("pool", "method"))


def reference(x, kernel, bias, dy, *, pool):
    """The same in float64, by definition; of tied maxima the first gets the gradient."""
    x, kernel, bias, dy = (np.asarray(a, np.float64) for a in (x, kernel, bias, dy))
    _, height, width, _ = x.shape
    framed = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    shifts = {(i, j): (slice(None), slice(i, i + height), slice(j, j + width)) for i in range(3) for j in range(3)}
    z = bias + sum(framed[at] @ kernel[ij] for ij, at in shifts.items())
    if pool:
        y, dz = np.zeros_like(dy), np.zeros_like(z)
        for n, h, w, k in np.ndindex(dy.shape):
            window = z[n, 2 * h : 2 * h + 2, 2 * w : 2 * w + 2, k]
            i, j = np.unravel_index(window.argmax(), (2, 2))
            y[n, h, w, k] = max(window[i, j], 0)
            dz[n, 2 * h + i, 2 * w + j, k] = dy[n, h, w, k] * (window[i, j] > 0)
    else:
        y, dz = np.maximum(z, 0), dy * (z > 0)
    dframed, dkernel = np.zeros_like(framed), np.zeros_like(kernel)
    for ij, at in shifts.items():
        dframed[at] += dz @ kernel[ij].T
        dkernel[ij] = np.einsum("nhwc,nhwk->ck", framed[at], dz)
    return y, dframed[:, 1:-1, 1:-1], dkernel, dz.sum((0, 1, 2))


def assert_close(ours, theirs, bound=1e-5):
    for a, b in zip(ours, theirs, strict=True):
        assert a.shape == b.shape
        assert np.linalg.norm(np.asarray(a) - b) <= bound * np.linalg.norm(b)


@each_method
@settings(max_examples=12)
@given(st.sampled_from(SHAPES), st.integers(0, 99))
def test_values_and_gradients(method, shape, seed):
    size, pool = shape
    arrays = draw(size, pool, seed)
    assert_close(compiled(*arrays, pool=pool, method=method), reference(*arrays, pool=pool))


def test_what_auto_chooses_on_cpu_agrees():
    size = (13, 8, 8, 64, 32)
    assert choose_method(size[:4], size[4], jnp.dtype("float32"), "cpu") == "winograd"
    arrays = draw(size, pool=True)
    assert_close(compiled(*arrays, pool=True, method="auto"), reference(*arrays, pool=True))


@pytest.mark.parametrize("method", ["native", "direct"])  # exact for integers, of which many are tied or 0
@pytest.mark.parametrize("pool", [False, True])
def test_ties_and_zeros(method, pool):
    arrays = tuple(jnp.round(a) for a in draw((4, 6, 6, 1, 2), pool))
    for ours, exact in zip(compiled(*arrays, pool=pool, method=method), reference(*arrays, pool=pool), strict=True):
        np.testing.assert_array_equal(ours, exact)


@each_method
def test_all_tied(method):
    x, kernel, _, dy = draw(SMALL, pool=True)
    for bias, passes in ((1.0, 1.0), (0.0, 0.0), (-1.0, 0.0)):
        constant = np.full(3, bias, np.float32)
        y, dx, _, dbias = compiled(np.zeros_like(x), kernel, constant, dy, pool=True, method=method)
        np.testing.assert_array_equal(y, np.full(dy.shape, max(bias, 0)))
        first = np.zeros(SMALL[:3] + SMALL[4:], np.float32)
        first[:, ::2, ::2] = dy * passes
        turned = np.ascontiguousarray(kernel[::-1, ::-1].swapaxes(2, 3))
        expected = lax.conv_general_dilated(first, turned, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        assert_close((dx, dbias), (expected, first.sum((0, 1, 2))))


@each_method
def test_not_compiled_is_the_same(method):
    arrays = draw(SMALL, pool=True)
    assert_close(values(*arrays, pool=True, method=method), compiled(*arrays, pool=True, method=method), 1e-6)


@each_method
def test_same_inputs_same_bits(method):
    arrays = draw(SMALL, pool=True)
    first, second = (compiled(*arrays, pool=True, method=method) for _ in range(2))
    jax.tree.map(np.testing.assert_array_equal, first, second)


@each_method
def test_vmap_is_a_loop(method):
    arrays = draw(SMALL, pool=True, population=(3,))
    together = quick_jit(jax.vmap(partial(values, pool=True, method=method)))(*arrays)
    for index in range(3):
        alone = compiled(*(a[index] for a in arrays), pool=True, method=method)
        assert_close([a[index] for a in together], alone)


@each_method
def test_the_same_in_every_loop(method):
    arrays = draw(SMALL, pool=True, population=(2,))
    run = partial(values, pool=True, method=method)
    alone = [compiled(*(a[index] for a in arrays), pool=True, method=method) for index in range(2)]
    empty = jax.tree.map(lambda *a: jnp.zeros_like(jnp.stack(a)), *alone)

    def write(index, results):
        new = run(*(lax.dynamic_index_in_dim(a, index, keepdims=False) for a in arrays))
        return jax.tree.map(lambda to, a: lax.dynamic_update_index_in_dim(to, a, index, 0), results, new)

    @quick_jit
    def loops(arrays, count):  # a map is a scan, and a count that isn't known makes a while_loop
        return lax.map(lambda a: run(*a), arrays), lax.fori_loop(0, count, write, empty)

    for results in loops(arrays, 2):
        for index in range(2):
            assert_close([a[index] for a in results], alone[index])


@pytest.mark.skipif(jax.default_backend() != "cpu", reason="of XLA's CPU backend")
def test_direct_convolutions_stay_canonical_in_a_loop():
    """Others take hundreds of times as long there."""
    x, kernel, bias, dy = draw((4, 8, 8, 16, 16), pool=True)

    def step(_, arrays):
        y, dx, dkernel, dbias = values(*arrays, dy, pool=True, method="direct")
        return arrays[0] + dx, arrays[1] + dkernel, arrays[2] + dbias + y.sum()

    loop = quick_jit(lambda *arrays: lax.fori_loop(0, 3, step, arrays))
    layouts = re.findall(r"dim_labels=([^,\s]+)", loop.lower(x, kernel, bias).compile().as_text())
    assert len(layouts) == 3
    assert set(layouts) == {"b01f_01io->b01f"}


def sharded(function, in_specs, out_specs):
    mesh = Mesh(np.array(jax.devices("cpu")[:DEVICES]), ("devices",))
    return quick_jit(jax.shard_map(function, mesh=mesh, in_specs=in_specs, out_specs=out_specs))


@each_method
def test_a_network_on_each_of_two_devices(method):
    """As populations train: networks differ between devices, images are the same."""
    x, kernel, bias, dy = draw(SMALL, pool=True, population=(DEVICES,))

    def on_device(x, *own):
        y, _, dkernel, dbias = values(x, *(a[0] for a in own), pool=True, method=method)
        return y[None], dkernel[None], dbias[None]

    networks = P("devices")
    both = sharded(on_device, (P(), networks, networks, networks), networks)(x[0], kernel, bias, dy)
    for index in range(DEVICES):
        y, _, dkernel, dbias = compiled(x[0], kernel[index], bias[index], dy[index], pool=True, method=method)
        assert_close([np.asarray(a)[index] for a in both], (y, dkernel, dbias))


@each_method
def test_a_batch_split_over_two_devices(method):
    arrays = draw(SMALL, pool=True)
    images = P("devices")
    run = partial(values, pool=True, method=method)
    split = sharded(run, (images, P(), P(), images), (images, images, P(), P()))(*arrays)
    assert_close([np.asarray(a) for a in split], compiled(*arrays, pool=True, method=method))


@pytest.mark.parametrize(
    ("size", "platform", "expected"),
    [
        ((60, 32, 32, 3, 64), "cpu", "direct"),
        ((60, 32, 32, 64, 64), "cpu", "winograd"),
        ((60, 16, 16, 64, 128), "cpu", "winograd"),
        ((60, 8, 8, 256, 256), "cpu", "winograd"),
        ((60, 14, 14, 64, 64), "cpu", "winograd"),  # of 28×28 after pooling
        ((60, 2, 2, 64, 64), "cpu", "direct"),
        ((1, 8, 8, 64, 64), "cpu", "direct"),
        ((60, 32, 32, 64, 64), "gpu", "native"),
        ((60, 32, 32, 3, 64), "tpu", "native"),
    ],
)
def test_choice(size, platform, expected):
    assert choose_method(size[:4], size[4], jnp.dtype("float32"), platform) == expected


def test_half_precision_is_never_winograds():
    assert choose_method((60, 32, 32, 64), 64, jnp.dtype("bfloat16"), "cpu") == "direct"
    x, kernel, bias, _ = (jnp.asarray(a, jnp.bfloat16) for a in draw(SMALL, pool=False))
    assert conv_relu(x, kernel, bias, pool=False).dtype == jnp.bfloat16
    with pytest.raises(ValueError, match=r"method is 'winograd' for bfloat16; allowed for it: 'auto', 'native'"):
        conv_relu(x, kernel, bias, pool=False, method="winograd")


def test_what_does_not_fit_is_refused():
    x, kernel, bias, _ = draw(SMALL, pool=False)
    with pytest.raises(ValueError, match=r"x has shape \(4, 1, 4, 2\); allowed with pool: .* 2 or more"):
        conv_relu(x[:, :1], kernel, bias, pool=True)
    with pytest.raises(
        ValueError, match=r"x has shape \(0, 6, 4, 2\) for 3 features; allowed: 1 or more of everything"
    ):
        conv_relu(x[:0], kernel, bias, pool=True)
    unchecked = conv_relu.__wrapped__ if hasattr(conv_relu, "__wrapped__") else conv_relu
    for arguments, message in [
        ((x[0], kernel, bias), r"x has shape \(6, 4, 2\); allowed: \(batch, height, width, channels\)"),
        ((x, kernel[:2], bias), r"kernel has shape \(2, 3, 2, 3\); allowed for this x: \(3, 3, 2, features\)"),
        ((x, kernel[:, :, :1], bias), r"kernel has shape \(3, 3, 1, 3\); allowed for this x: \(3, 3, 2, features\)"),
        ((x, kernel, bias[:2]), r"bias has shape \(2,\); allowed for this kernel: \(3,\)"),
    ]:
        with pytest.raises(ValueError, match=message):
            unchecked(*arguments, pool=False)
    with pytest.raises(ValueError, match=r"method is 'fft'; allowed: 'auto', 'native', 'direct', 'winograd'"):
        unchecked(x, kernel, bias, pool=False, method="fft")
