"""A network as a mask and a seed: the same bits come back, and nothing that was touched is taken for good."""

import hashlib
import json
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask import envelope, networks, packed
from supermask.lottery import initial_of
from supermask.networks import NETWORKS, kernels_of, logits
from supermask.packed import MaskedNetwork, PackedError, pack, sizes_of, unpack
from supermask.untrained_networks import WEIGHTS

NETWORK, DATASET = "fc", "digits"


def masks_of(seed: int, share: float = 0.5, network: str = NETWORK, empty_rows: int = 0):
    kernels = kernels_of(initial_of(NETWORKS[network], 0, (8, 8, 1)))
    random = np.random.default_rng(seed)
    masks = {layer: random.random(kernel.shape) < share for layer, kernel in kernels.items()}
    masks["hidden1"][:empty_rows] = False
    return masks


def a_network(**changes) -> MaskedNetwork:
    return replace(
        MaskedNetwork(NETWORK, DATASET, 3, "signed_constant", True, masks_of(0, 0.45, empty_rows=12)), **changes
    )


@pytest.fixture(scope="module")
def content() -> bytes:
    return pack(a_network())


@pytest.mark.parametrize("weights", WEIGHTS)
@pytest.mark.parametrize("rescaled", [True, False])
def test_the_network_comes_back_bit_for_bit(digits, weights, rescaled):
    original = a_network(weights=weights, rescaled=rescaled)
    network, params = unpack(pack(original))
    before = packed.rebuild(original)
    assert replace(network, masks={}) == replace(original, masks={})
    for layer, mask in original.masks.items():
        np.testing.assert_array_equal(network.masks[layer], mask)
        assert np.asarray(params[layer]["kernel"]).tobytes() == np.asarray(before[layer]["kernel"]).tobytes()
        assert not np.asarray(params[layer]["kernel"])[~mask].any()
        assert not np.asarray(params[layer]["bias"]).any()
    images = jnp.asarray(digits.test.images[:50], jnp.float32) / digits.maximum
    first, second = (logits(NETWORKS[NETWORK], p, images) for p in (before, params))
    assert np.asarray(first).tobytes() == np.asarray(second).tobytes()


@given(st.integers(0, 2**31 - 1), st.sampled_from([0.0, 0.003, 0.1, 0.5, 0.97, 1.0]), st.integers(0, 64))
def test_masks_of_every_density_come_back_near_their_information(seed, share, empty_rows):
    network = a_network(masks=masks_of(seed, share, empty_rows=empty_rows))
    content = pack(network)
    back, _ = unpack(content)
    for layer, mask in network.masks.items():
        np.testing.assert_array_equal(back.masks[layer], mask)
    sizes = sizes_of(network, content)
    assert sizes.packed == len(content)
    header = 500
    assert sizes.packed <= min(sizes.information * 1.01, sizes.bits) + header
    assert sizes.float32 == 4 * sum(mask.size for mask in network.masks.values())


def test_every_byte_flipped_is_noticed(content):
    """Digest before anything else: whatever is altered, nothing is decoded."""
    for place in range(len(content)):
        altered = bytearray(content)
        altered[place] ^= 1 << (place % 8)
        with pytest.raises(PackedError, match=r"truncated or altered|not a packed network"):
            unpack(bytes(altered))


def test_every_truncation_is_noticed(content):
    for length in [*range(200), *range(200, len(content), 97)]:
        with pytest.raises(PackedError, match=r"too short|truncated or altered"):
            unpack(content[:length])
    with pytest.raises(PackedError, match="truncated or altered"):
        unpack(content + b"\0")


def forged(content: bytes, version: int = packed.ENVELOPE.version, blocks: bytes | None = None, **changes) -> bytes:
    """A file with another header whose digest is right: what only someone who means it would make."""
    length = envelope.FIXED.unpack_from(content)[2]
    end = envelope.FIXED.size + length
    header = json.loads(content[envelope.FIXED.size : end]) | changes
    text = json.dumps({name: value for name, value in header.items() if value is not ...}).encode()
    body = envelope.FIXED.pack(packed.ENVELOPE.magic, version, len(text)) + text
    body += content[end : -envelope.DIGEST] if blocks is None else blocks
    return body + hashlib.sha256(body).digest()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"version": 2}, "format 2; this version of supermask reads 1"),
        ({"network": "fd"}, "network is 'fd'; known here: fc"),
        ({"network": ["fc"]}, r"network is \['fc'\]; known here"),
        ({"network": "conv6"}, "its layers are not those of its network"),
        ({"dataset": "cifar10"}, "the file is inconsistent"),
        ({"network": "lenet5", "dataset": "digits"}, "network lenet5 does not fit digits: x has shape"),
        ({"dataset": ...}, "dataset is None; known here"),
        ({"weights": "trained"}, "weights is 'trained'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"seed": 2**40}, "seed is 1099511627776"),
        ({"rescaled": 1}, "rescaled is 1"),
        ({"layers": [["bits", 10**12]] * 3}, "its layers are not those of its network"),
        ({"layers": [["pickle", 1]] * 3}, "not pairs of a coding"),
        ({"layers": [["bits", -1]] * 3}, "not pairs of a coding"),
        ({"layers": 7}, "not pairs of a coding"),
        ({"filler": "x" * 5000}, "allowed: 4096"),
        ({"seed": 4}, "are not those that were packed"),
        ({"rescaled": False}, "are not those that were packed"),
    ],
)
def test_a_forged_header_is_refused(content, changes, message):
    with pytest.raises(PackedError, match=message):
        unpack(forged(content, **changes))


@given(st.data())
def test_forged_blocks_are_refused(content, data):
    """Words that no encoder writes end in the documented error, never in a crash or in a mask of another shape."""
    length = envelope.FIXED.unpack_from(content)[2]
    blocks = bytearray(content[envelope.FIXED.size + length : -envelope.DIGEST])
    for place in data.draw(st.sets(st.integers(0, len(blocks) - 1), min_size=1, max_size=3)):
        blocks[place] ^= data.draw(st.integers(1, 255))
    try:
        network, _ = unpack(forged(content, blocks=bytes(blocks)))
    except PackedError:
        return
    for layer, mask in a_network().masks.items():  # the last word has bits that no symbol needs
        np.testing.assert_array_equal(network.masks[layer], mask)


def test_another_version_of_jax_is_said(content):
    """The stream of random numbers may differ: the file says what it was packed with."""
    with pytest.raises(PackedError, match=rf"by JAX {jax.__version__} are not those that were packed, by JAX 0\.0\.1"):
        unpack(forged(content, jax="0.0.1", kernels_sha256="0" * 64))


def test_a_foreign_file_is_refused():
    with pytest.raises(PackedError, match="begins with b'PK"):
        unpack(b"PK\x03\x04" + bytes(200))


def test_nothing_is_drawn_before_the_header_is_believed(content, monkeypatch):
    """A file that claims a big network but has not its bytes costs nothing."""
    monkeypatch.setattr(packed, "initial_of", lambda *_: pytest.fail("drawn"))
    with pytest.raises(PackedError):
        unpack(forged(content, network="conv4"))
    assert networks.parameter_count(NETWORKS["conv4"], (8, 8, 1)) > 200_000
