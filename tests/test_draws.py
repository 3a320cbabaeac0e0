"""The weights of a seed in NumPy: those of JAX and Flax, to the bit.

Tests compile without XLA's optimisations, under which one draw in 25 is rounded otherwise, so weights are compared in
processes that have them, as users do.
"""

import json
import os
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask.draws import BLOCK, glorot_deviation, glorot_kernel, key_of, layer_key, random_bits, truncated_normal
from supermask.keys import Purpose, derive_key
from supermask.packed import MaskedNetwork, pack

WORDS = st.integers(0, 2**32 - 1)
SEEDS = st.integers(0, 2**31 - 1)


@given(
    SEEDS, st.lists(WORDS, max_size=3), st.sampled_from([(1,), (2, 3), (7,), (16, 2), (2 * BLOCK + 3,)]), st.booleans()
)
def test_keys_and_bits_are_those_of_jax(seed, folds, shape, partitionable):
    key = jax.random.key(seed, impl="threefry2x32")
    for number in folds:
        key = jax.random.fold_in(key, np.uint32(number))
    with jax.threefry_partitionable(partitionable):
        expected = np.asarray(jax.random.bits(key, shape)).ravel()
    own, size = key_of(seed, folds), int(np.prod(shape))
    assert [int(word) for word in own] == jax.random.key_data(key).tolist()
    np.testing.assert_array_equal(random_bits(own, 0, size, size, partitionable), expected)
    np.testing.assert_array_equal(random_bits(own, 1, size, size, partitionable), expected[1:])


@given(SEEDS, st.sampled_from(["hidden1", "conv12", "output"]))
def test_a_layers_key_is_that_of_flax(seed, layer):
    from flax.core.scope import LazyRng

    key = LazyRng.create(derive_key(seed, Purpose.INITIAL_WEIGHTS), layer, 1).as_jax_rng()
    assert [int(word) for word in layer_key(seed, layer)] == jax.random.key_data(key).tolist()


def test_draws_lie_within_two_deviations():
    words = np.array([0, 2**31, 2**32 - 1], np.uint32)
    below, middle, above = truncated_normal(words)
    assert -2 < below < -1.99999
    assert abs(middle) < 1e-6
    assert 1.99999 < above < 2


@given(SEEDS, st.integers(1, 9), st.integers(1, 9))
def test_a_kernel_does_not_depend_on_the_blocks_that_it_is_drawn_in(seed, rows, columns):
    import supermask.draws as draws

    before, shape = draws.BLOCK, (rows, columns)
    whole = glorot_kernel(key_of(seed), shape, glorot_deviation(shape))
    try:
        draws.BLOCK = 7
        parts = glorot_kernel(key_of(seed), shape, glorot_deviation(shape))
    finally:
        draws.BLOCK = before
    assert whole.tobytes() == parts.tobytes()


def python(code: str, *arguments: str) -> str:
    """What a fresh process prints that compiles with all of XLA's optimisations."""
    environment = {**os.environ, "XLA_FLAGS": "", "JAX_PLATFORMS": "cpu"}
    command = [sys.executable, "-W", "error", "-c", code, *arguments]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300, env=environment)
    assert done.returncode == 0, done.stderr
    return done.stdout


EVERY_DRAW = """
import jax, jax.numpy as jnp, numpy as np
from jax import lax
from supermask.draws import BLOCK, truncated_normal

@jax.jit
def drawn(bits):  # as jax.random.truncated_normal computes it
    uniform = lax.bitcast_convert_type((bits >> 9) | np.uint32(0x3F800000), jnp.float32) - 1
    low, high = (lax.erf(np.float32(x) / np.sqrt(2).astype(np.float32)) for x in (-2, 2))
    values = np.sqrt(2).astype(np.float32) * lax.erf_inv(lax.max(low, uniform * (high - low) + low))
    return jnp.clip(values, jnp.nextafter(np.float32(-2), np.float32(0)), jnp.nextafter(np.float32(2), np.float32(0)))

size = 1 << 20
for start in range(0, 1 << 23, size):
    words = np.arange(start, start + size, dtype=np.uint32) << np.uint32(9)
    expected = np.asarray(drawn(words))
    for at in range(0, size, BLOCK):
        assert truncated_normal(words[at : at + BLOCK]).tobytes() == expected[at : at + BLOCK].tobytes()
"""

KERNELS = """
import json, sys, numpy as np
from supermask.draws import glorot_deviation, glorot_kernel, layer_key
from supermask.lottery import initial_of
from supermask.networks import NETWORKS

for name, shape, seed in json.loads(sys.argv[1]):
    for layer, leaves in initial_of(NETWORKS[name], seed, tuple(shape)).items():
        kernel = np.asarray(leaves["kernel"])
        own = glorot_kernel(layer_key(seed, layer), kernel.shape, glorot_deviation(kernel.shape))
        assert own.tobytes() == kernel.tobytes(), (name, shape, seed, layer)
"""


@pytest.mark.thorough
def test_every_draw_that_there_can_be_is_that_of_jax():
    """A normal draw takes 23 bits of a word: all of them are tried."""
    python(EVERY_DRAW)


def test_weights_are_those_of_jax_and_flax():
    python(KERNELS, json.dumps([["fc", [8, 8, 1], 2**31 - 1]]))


@pytest.mark.thorough
def test_weights_of_every_network_are_those_of_jax_and_flax():
    shapes = ([8, 8, 1], [28, 28, 1], [32, 32, 3])
    networks = [(name, shape) for name in ("fc", "conv2", "conv4", "conv6") for shape in shapes]
    networks += [("lenet5", shape) for shape in shapes[1:]]
    python(KERNELS, json.dumps([[name, shape, seed] for seed, (name, shape) in enumerate(networks)]))


READ = """
import sys
for name in ("jax", "jaxlib", "flax", "optax"):
    sys.modules[name] = None
import hashlib
from pathlib import Path
from supermask.packed import unpack
network, params = unpack(Path(sys.argv[1]).read_bytes())
for layer in sorted(params):
    print(hashlib.sha256(params[layer]["kernel"].tobytes() + network.masks[layer].tobytes()).hexdigest())
assert sys.modules["jax"] is None
"""

PACKED = """
import hashlib, sys
import numpy as np
from pathlib import Path
from supermask.lottery import initial_of
from supermask.networks import NETWORKS
from supermask.packed import MaskedNetwork, pack
from supermask.params import kernels_of
from supermask.untrained_networks import masked_kernels, untrained_kernels

kernels = kernels_of(initial_of(NETWORKS["fc"], 5, (8, 8, 1)))
masks = {layer: np.asarray(kernel) > 0.02 for layer, kernel in kernels.items()}
Path(sys.argv[1]).write_bytes(pack(MaskedNetwork("fc", "digits", 5, "signed_constant", True, masks)))
kernels = masked_kernels(untrained_kernels(kernels, "signed_constant"), masks, True)
for layer in sorted(kernels):
    print(hashlib.sha256(np.asarray(kernels[layer]).tobytes() + masks[layer].tobytes()).hexdigest())
"""


def test_a_file_packed_by_jax_is_read_where_there_is_none(tmp_path):
    """Masks and weights, to the bit, by a reader that has NumPy and no JAX."""
    file = str(tmp_path / "network.mask")
    assert python(PACKED, file).split() == python(READ, file).split()


def test_a_files_header_says_what_its_weights_follow_from(tmp_path):
    """Somebody who has only the documentation finds generator, keys, distribution and shapes."""
    masks = {layer: np.ones(shape, bool) for layer, shape in (("hidden1", (64, 300)), ("hidden2", (300, 100)))}
    content = pack(MaskedNetwork("fc", "digits", 5, "initial", False, masks | {"output": np.ones((100, 10), bool)}))
    header = json.loads(content[14 : 14 + int.from_bytes(content[10:14], "little")])
    assert header["generator"] == {
        "name": "threefry-2x32", "partitionable": True, "folds": [0, 0], "path": "sha1(layer, 1)"
    }  # fmt: skip
    assert header["distribution"]["between"] == [-2, 2]
    first, *_ = header["distribution"]["deviations"]
    assert first == pytest.approx(np.sqrt(2 / 364) / 0.87962566, rel=1e-6)
    assert [entry[:2] for entry in header["layers"]] == [
        ["hidden1", [64, 300]], ["hidden2", [300, 100]], ["output", [100, 10]]
    ]  # fmt: skip
    assert Path(__file__).parent.parent.joinpath("docs/supermasks.md").read_text().count("sha1(layer, 1)") == 1
