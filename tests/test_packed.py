"""A network as a mask and a seed: the same bits come back, and nothing that was touched is taken for good."""

import hashlib
import json
import math
import tracemalloc
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from supermask import envelope, mask_coding, packed, packed_first
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED
from supermask.datasets import DATASETS
from supermask.draws import WEIGHTS
from supermask.figures.catalogue import CATALOGUE
from supermask.lottery import initial_of
from supermask.mask_coding import decode, encode
from supermask.networks import NETWORKS, kernels_of, logits
from supermask.packed import MaskedNetwork, PackedError, pack, sizes_of, unpack
from supermask.untrained_networks import masked_kernels, untrained_kernels

NETWORK, DATASET = "fc", "digits"
GENERATOR = {"name": "threefry-2x32", "partitionable": True, "folds": [0, 0], "path": "sha1(layer, 1)"}
DISTRIBUTION = {"name": "truncated normal", "between": [-2, 2], "deviations": [0.1, 0.1, 0.1]}
ONE_LAYER = {"distribution": DISTRIBUTION | {"deviations": [0.1]}, "constants": {"hidden1": 0.1}}


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
    assert replace(network, masks={}, constants={}) == replace(original, masks={})
    before = packed.rebuild(replace(original, constants=network.constants))
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
    header = 1100
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
        ({"version": 3}, "format 3; this version of supermask reads 1, 2"),
        ({"network": ["fc"]}, r"network is \['fc'\]; allowed: printable text"),
        ({"dataset": ...}, "dataset is None; allowed: printable text"),
        ({"dataset": "\ud800"}, r"dataset is '\\ud800'; allowed: printable text"),
        ({"jax": "0\x1b[31m"}, "jax is .*; allowed: printable text"),
        ({"layers": [["\ud800", [2, 2], "bits", 1]]}, "allowed: a coding"),
        ({"weights": "trained"}, "weights is 'trained'"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
        ({"seed": 2**40}, "seed is 1099511627776"),
        ({"rescaled": 1}, "rescaled is 1"),
        (
            {"layers": [["a", [64, 300], "bits", 10**12]]},
            "deviations are .*; allowed: a positive number for each",
        ),
        ({"layers": [["a", [64, 300], "pickle", 1]]}, "allowed: a coding"),
        ({"layers": [["a", [64, 300], "bits", -1]]}, "allowed: a coding"),
        ({"layers": [["a", [64, 0], "bits", 1]]}, "allowed: a coding"),
        ({"layers": [["a", [64], "bits", 1]]}, "allowed: a coding"),
        ({"layers": [["b", [2, 2], "bits", 1], ["a", [2, 2], "bits", 1]]}, "not ordered by their names"),
        ({"layers": [["a", [2**20, 2**20], "bits", 1]]}, "1,099,511,627,776 weights; allowed: 33,554,432"),
        ({"layers": []}, "not ordered"),
        ({"layers": 7}, "allowed: a coding"),
        ({"generator": {"name": "philox"}}, "generator is {'name': 'philox'}; known here"),
        ({"generator": GENERATOR | {"partitionable": 1}}, "allowed as partitionable: true or false"),
        ({"generator": GENERATOR | {"folds": [2**32]}}, "allowed as folds"),
        ({"generator": GENERATOR | {"folds": [1, 0]}}, "are not those that were packed"),
        ({"generator": GENERATOR | {"partitionable": False}}, "are not those that were packed"),
        ({"distribution": {"name": "normal"}}, "distribution is {'name': 'normal'}; known here"),
        ({"distribution": DISTRIBUTION | {"deviations": [0.1, 0.1]}}, "deviations are"),
        ({"distribution": DISTRIBUTION | {"deviations": [0.1, -0.1, 0.1]}}, "deviations are"),
        ({"distribution": DISTRIBUTION | {"deviations": [0.1, math.nan, 0.1]}}, "deviations are"),
        ({"constants": {"hidden1": 1.0}}, "constants are"),
        ({"constants": {"hidden1": 1.0, "hidden2": 1.0, "output": 1.0}}, "are not those that were packed"),
        ({"constants": ...}, "constants are None"),
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


@pytest.mark.parametrize("shape", [[1, 1 << 25], [1 << 25, 1], [1 << 13, 1 << 12], [2, 1 << 24], [2] * 8])
def test_a_small_file_that_says_it_is_large_is_refused_and_takes_little(content, monkeypatch, shape):
    """A row may be longer than the decoder's numbers, and a few bytes may stand for the most weights there are."""
    monkeypatch.setattr(packed, "glorot_kernel", lambda key, shape, *_: np.broadcast_to(np.float32(0), shape))
    changes = ONE_LAYER | {"layers": [["hidden1", shape, "rows", 0]]}
    tracemalloc.start()
    try:
        with pytest.raises(PackedError, match=r"not those that were packed|coded row has .* weights; allowed"):
            unpack(forged(content, blocks=b"", **changes))
        assert tracemalloc.get_traced_memory()[1] < 700_000_000
    finally:
        tracemalloc.stop()


@pytest.mark.parametrize("rows", [1, 3, 100])
def test_a_mask_that_is_decoded_in_parts_is_the_same(monkeypatch, rows):
    mask = np.random.default_rng(0).random((7, 5, 11)) < 0.1
    coding, block = encode(mask)
    monkeypatch.setattr(mask_coding, "TOGETHER", 11 * rows)
    assert coding == "rows"
    np.testing.assert_array_equal(decode(coding, block, mask.shape), mask)


def test_a_row_too_long_for_range_coding_is_stored_as_bits():
    mask = np.zeros((1, mask_coding.LONGEST_ROW + 1), bool)
    assert encode(mask)[0] == "bits"
    assert encode(mask[:, 1:])[0] == "rows"


def test_what_could_not_be_unpacked_is_not_packed(monkeypatch):
    with pytest.raises(PackedError, match=r"dataset is '.x1b'; allowed: printable text"):
        pack(a_network(dataset="\x1b", image_shape=(8, 8, 1)))
    with pytest.raises(PackedError, match=r"the header has .* bytes; allowed: 4,096"):
        pack(a_network(dataset="x" * 5000, image_shape=(8, 8, 1)))
    monkeypatch.setattr(packed, "MOST_WEIGHTS", 50_199)
    with pytest.raises(PackedError, match="the network has 50,200 weights; allowed: 50,199"):
        pack(a_network())


def test_weights_of_another_rounding_are_refused(content):
    """The digest has the last word, and the error says who packed the file."""
    with pytest.raises(PackedError, match=r"are not those that were packed, by JAX 0\.0\.1"):
        unpack(forged(content, jax="0.0.1", kernels_sha256="0" * 64))


def first_version(network: MaskedNetwork) -> bytes:
    """A file as it was written before there was a version 2: it has no shapes, and its weights are those of JAX."""
    blocks = [encode(network.masks[layer]) for layer in sorted(network.masks)]
    initial = kernels_of(initial_of(NETWORKS[network.network], network.seed, DATASETS[network.dataset].image_shape))
    kernels = masked_kernels(untrained_kernels(initial, network.weights), network.masks, network.rescaled)
    header = {
        **{name: getattr(network, name) for name in ("network", "dataset", "seed", "weights", "rescaled")},
        "layers": [[coding, len(block)] for coding, block in blocks],
        "jax": jax.__version__,
        "kernels_sha256": packed.digest_of(kernels),
    }
    return replace(packed.ENVELOPE, version=1).seal(header, b"".join(block for _, block in blocks))


@pytest.mark.parametrize("weights", WEIGHTS)
def test_files_of_version_1_are_read(weights):
    original = a_network(weights=weights)
    network, params = unpack(first_version(original))
    assert replace(network, masks={}) == replace(original, masks={})
    initial = kernels_of(initial_of(NETWORKS["fc"], original.seed, (8, 8, 1)))
    kernels = masked_kernels(untrained_kernels(initial, weights), original.masks, rescaled=True)
    for layer, mask in original.masks.items():
        np.testing.assert_array_equal(network.masks[layer], mask)
        assert np.asarray(kernels[layer]).tobytes() == params[layer]["kernel"].tobytes()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"network": "fd"}, "network is 'fd'; known here: fc"),
        ({"network": "conv6"}, "its layers are not those of its network"),
        ({"dataset": "cifar10"}, "the file is inconsistent"),
        ({"network": "lenet5", "dataset": "digits"}, "network lenet5 does not fit digits: x has shape"),
        ({"dataset": "moon"}, "dataset is 'moon'; known here"),
        ({"layers": [["bits", 10**12]] * 3}, "its layers are not those of its network"),
        ({"layers": [["pickle", 1]] * 3}, "allowed: a coding"),
        ({"seed": 4}, "are not those that were packed"),
    ],
)
def test_a_forged_header_of_version_1_is_refused(changes, message):
    with pytest.raises(PackedError, match=message):
        unpack(forged(first_version(a_network()), version=1, **changes))


def test_a_file_is_read_under_settings_by_which_jax_draws_otherwise(content):
    """The reader draws by itself; to pack is refused, because JAX's weights are others."""
    network, params = unpack(content)
    with jax.threefry_partitionable(False):
        again, same = unpack(content)
        with pytest.raises(ValueError, match="jax_threefry_partitionable is False"):
            pack(a_network())
    for layer, leaves in params.items():
        np.testing.assert_array_equal(again.masks[layer], network.masks[layer])
        assert same[layer]["kernel"].tobytes() == leaves["kernel"].tobytes()


def test_a_mask_of_other_weights_is_not_packed(monkeypatch):
    """A later JAX whose seeds stand for other weights would pack masks that were found on those."""
    drawn = packed_first.untrained_by_jax
    monkeypatch.setattr(packed_first, "untrained_by_jax", lambda network: drawn(replace(network, seed=4)))
    with pytest.raises(PackedError, match=r"draws other weights from seed 3 than the file would stand for, in layer"):
        pack(a_network(weights="initial"))


def test_a_foreign_file_is_refused():
    with pytest.raises(PackedError, match="begins with b'PK"):
        unpack(b"PK\x03\x04" + bytes(200))


def test_nothing_is_drawn_before_the_header_is_believed(content, monkeypatch):
    """A file that claims a big network but has not its bytes costs nothing."""
    monkeypatch.setattr(packed, "glorot_kernel", lambda *_: pytest.fail("drawn"))
    with pytest.raises(PackedError):
        unpack(forged(content, layers=[["hidden1", [2**12, 2**12], "bits", 2**21]], **ONE_LAYER))


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"network": "vgg"}, "the file's network is 'vgg'; known here: fc"),
        ({"dataset": "moon"}, "the file's dataset is 'moon'; known here: "),
        ({"network": "lenet5"}, "network lenet5 does not fit digits: x has shape"),
        ({"network": "conv2"}, "the file's layers are not those of conv2 for digits"),
    ],
)
def test_a_network_that_is_not_known_here_is_rebuilt_but_not_evaluated(content, changes, words, tmp_path, capsys):
    """Its file has all that its weights follow from; how it reads images it does not have."""
    file = tmp_path / "network.mask"
    file.write_bytes(forged(content, **changes))
    assert run_command(["evaluate", str(file)], CATALOGUE) == FAILED
    assert words in capsys.readouterr().err
    assert run_command(["unpack", str(file), str(tmp_path / "params.safetensors")], CATALOGUE) == 0
