"""Data of a user's own, as arrays: nothing is lost, the validation split never changes, mistakes are named."""

import hashlib
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from supermask.analysis.kinds.schema import fault_of_description
from supermask.analysis.studies.experiment import Experiment, dense_kernels
from supermask.analysis.studies.protocols import protocol
from supermask.compression.file import CompressedError, compress, decompress
from supermask.compression.quantisation import expand, quantise
from supermask.datasets import DataError, Dataset, Split, dataset_digest, from_arrays, load
from supermask.datasets.arrays import held_out
from supermask.live_weights.engine import Engine
from supermask.live_weights.optimisers import Adam
from supermask.lottery import initial_of
from supermask.masks import full_masks
from supermask.networks import NETWORKS, FeedForward, network_of, outputs_of
from supermask.packed import ENVELOPE, MaskedNetwork, PackedError, pack, unpack
from supermask.params import kernels_of
from supermask.population import place
from supermask.training import Job, Trainer, TrainingConfig

SHAPES = st.sampled_from([(7,), (3, 5), (4, 2, 3)])
TYPES = st.sampled_from([np.uint8, np.float32])


@st.composite
def labelled(draw, shape: tuple[int, ...], dtype: type, least: int):
    """Images of which some are alike, and labels of three classes, each of them there."""
    labels = np.array([0, 1, 2] * 2 + draw(st.lists(st.integers(0, 2), min_size=least, max_size=40)))
    elements = st.integers(0, 255) if dtype is np.uint8 else st.floats(-9, 9, width=32)
    images = draw(hnp.arrays(dtype, (len(labels), *shape), elements=elements, fill=st.just(1)))
    images.flat[0], images.flat[-1] = 0, 2  # not constant
    return images, labels.astype(draw(st.sampled_from([np.uint8, np.int64, ">i2"])))


@st.composite
def pairs(draw):
    """Training and test data of one shape and type."""
    shape, dtype = draw(SHAPES), draw(TYPES)
    return draw(labelled(shape, dtype, 0)), draw(labelled(shape, dtype, 0))


def examples(images: np.ndarray, labels: np.ndarray) -> list[tuple[bytes, int]]:
    return [(image.tobytes(), int(label)) for image, label in zip(images, labels, strict=True)]


@given(pairs())
def test_every_image_given_is_in_one_split_in_its_order(given_pairs) -> None:
    (images, labels), test = given_pairs
    data = from_arrays((images, labels), test)
    held = held_out(images.reshape(len(images), 1, -1, 1), labels.astype(np.int32), "validation", 10)
    assert examples(data.train.images, data.train.labels) == examples(images[~held], labels[~held])
    assert examples(data.validation.images, data.validation.labels) == examples(images[held], labels[held])
    assert examples(data.test.images, data.test.labels) == examples(*test)
    height, width, channels = {1: (1, *images.shape[1:], 1), 2: (*images.shape[1:], 1), 3: images.shape[1:]}[
        images.ndim - 1
    ]
    assert data.image_shape == (height, width, channels)
    assert (data.classes, data.dtype) == (3, images.dtype)
    assert data.maximum == (255 if images.dtype == np.uint8 else 1)


@given(pairs(), st.randoms(use_true_random=False))
def test_the_validation_split_is_a_tenth_of_each_class_whatever_the_order(given_pairs, random) -> None:
    (images, labels), test = given_pairs
    data = from_arrays((images, labels), test)
    counts = np.bincount(labels, minlength=3)
    np.testing.assert_array_equal(np.bincount(data.validation.labels, minlength=3), np.maximum(counts // 10, 1))
    order = random.sample(range(len(labels)), len(labels))
    other = from_arrays((images[order], labels[order]), test)
    assert Counter(examples(other.validation.images, other.validation.labels)) == Counter(
        examples(data.validation.images, data.validation.labels)
    )


@given(pairs())
def test_the_rule_of_the_validation_split_is_the_documented_one(given_pairs) -> None:
    """Written out again: per class, the lowest digests of purpose and pixels."""
    (images, labels), test = given_pairs
    expected = []
    for label in range(3):
        own = [image.astype(image.dtype.newbyteorder("<")).tobytes() for image in images[labels == label]]
        digests = sorted(own, key=lambda pixels: hashlib.sha256(b"supermask validation\n" + pixels).digest())
        expected += [(pixels, label) for pixels in digests[: max(len(own) // 10, 1)]]
    data = from_arrays((images, labels), test)
    assert Counter(expected) == Counter(examples(data.validation.images, data.validation.labels))


def grid(count: int = 60) -> tuple[np.ndarray, np.ndarray]:
    """Images that are all different, of three classes in turn."""
    images = np.arange(count * 6, dtype=np.int64).reshape(count, 2, 3) * 7 % 256
    return images.astype(np.uint8), np.arange(count) % 3


def test_names_digests_and_splits_stay() -> None:
    """Results are stored under them: a change here trains everything on users' own data anew."""
    data = from_arrays(grid(), grid(9), name="grid")
    held = held_out(grid()[0][..., None], grid()[1].astype(np.int32), "validation", 10)
    assert np.flatnonzero(held).tolist() == HELD
    assert data.digest == DIGEST
    assert data.name == f"grid-{DIGEST[:8]}"
    numbers = from_arrays((grid()[0].astype(np.float32), grid()[1]), (grid(9)[0].astype(np.float32), grid(9)[1]))
    assert numbers.digest == FLOAT_DIGEST
    assert numbers.source == "arrays; images of 2×3×1, float32 from 0 to 255"


HELD = [0, 4, 10, 35, 53, 54]
DIGEST = "c3ce150baf20330af3a91364a488b283fa636b26f2421a6685c29ce687fb574c"
FLOAT_DIGEST = "ea835449e43a694cb1d917831d77e84a40bfd65886fb9361ed96ce67b8891931"


def test_what_is_given_is_copied_and_kept_from_change() -> None:
    images, labels = grid()
    data = from_arrays((images, labels), grid(9))
    images[:], labels[:] = 0, 0
    assert dataset_digest(data.train, data.validation, data.test, maximum=255) == data.digest
    with pytest.raises(ValueError, match="read-only"):
        data.train.images[0] = 0
    assert images.flags.writeable


def test_memory_layout_byte_order_and_name_do_not_change_the_content() -> None:
    images, labels = (grid()[0] / 7).astype(np.float32), grid()[1]
    plain = from_arrays((images, labels), (images, labels))
    others = np.asfortranarray(images), images.astype(">f4"), np.repeat(images, 2, axis=0)[::2]
    for other in others:
        assert from_arrays((other, labels[:, None]), (other, labels.astype(np.uint8)), name="x").digest == plain.digest
    split = from_arrays(plain.train, plain.test, plain.validation)
    assert split.digest == plain.digest
    assert dataset_digest(plain.train, plain.validation, plain.test, maximum=255) == plain.digest  # which has none


def test_classes_may_be_told() -> None:
    images, labels = grid()
    assert from_arrays((images, labels), grid(9), classes=5).classes == 5
    assert from_arrays((images, labels % 2), (images, labels % 2), classes=2).classes == 2


IMAGES, LABELS = grid()


def bad(**changes: object) -> dict[str, object]:
    return {"train": (IMAGES, LABELS), "test": grid(9)} | changes


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            bad(train=(IMAGES.astype(float), LABELS)),
            r"^train images is float64 of shape \(60, 2, 3\); allowed: uint8 or",
        ),
        (bad(train=(IMAGES > 5, LABELS)), "train images is bool of shape"),
        (bad(train=(IMAGES[0, 0], LABELS)), r"train images is uint8 of shape \(3,\); allowed"),
        (bad(train=(IMAGES[:, None, None], LABELS)), r"train images is uint8 of shape \(60, 1, 1, 2, 3\); allowed"),
        (
            bad(train=(IMAGES[:0], LABELS[:0])),
            r"train images is uint8 of shape \(0, 2, 3\); allowed: one image or more",
        ),
        (
            bad(train=(IMAGES[:, :0], LABELS)),
            r"train images is uint8 of shape \(60, 0, 3\); allowed: one image or more",
        ),
        (
            bad(test=(0 * IMAGES + 7, LABELS)),
            "test images is uint8 .*, and each of its values is 7; allowed: .* constant",
        ),
        (
            bad(test=(IMAGES[:, :1], LABELS)),
            r"test images is uint8 of shape \(60, 1, 3\); allowed: images like those of",
        ),
        (bad(test=(IMAGES.astype(np.float32), LABELS)), "test images is float32 .* like those of train images, uint8"),
        (bad(train=(np.where(IMAGES == 14, np.nan, IMAGES).astype("f4"), LABELS)), r"nan at \(0, 0, 2\); .* finite"),
        (bad(train=(np.where(IMAGES == 14, -np.inf, IMAGES).astype("f4"), LABELS)), r"-inf at \(0, 0, 2\); .* finite"),
        (bad(train=(np.ma.masked_equal(IMAGES, 0), LABELS)), "train images is a masked array; allowed"),
        (
            bad(train=(IMAGES, LABELS[:-1])),
            r"train labels is int64 of shape \(59,\); allowed: integers, one for each of",
        ),
        (bad(train=(IMAGES, LABELS.astype(float))), r"train labels is float64 of shape \(60,\); allowed: integers"),
        (bad(train=(IMAGES, LABELS == 1)), "train labels is bool"),
        (bad(train=(IMAGES, np.eye(3)[LABELS].astype(int))), r"train labels is int64 of shape \(60, 3\); allowed"),
        (bad(train=(IMAGES, LABELS - 1)), "train labels is .*, and values from -1 to 1; allowed: 0 to"),
        (bad(train=(IMAGES, LABELS + 1)), "none of its values is 0; allowed: labels from 0 on without a gap, or a"),
        (bad(train=(IMAGES, 2**40 * LABELS)), "values from 0 to 2199023255552; allowed: 0 to 99999"),
        (bad(test=(IMAGES, LABELS + 1)), "labels go up to 3, but none of its values is 3"),
        (
            bad(test=(IMAGES, LABELS + 1), classes=3),
            "test labels is .*, and a value of 3; allowed: 0 to 2, for classes",
        ),
        (bad(train=(IMAGES, 0 * LABELS)), "each of its values is 0; allowed: labels of two classes or more"),
        (bad(train=IMAGES), "train is a ndarray; allowed: a pair"),
        (bad(train=(IMAGES[:3], LABELS[:3])), "no class has two images, .* allowed: validation data"),
        (bad(classes=1), "classes is 1; allowed: 2 to"),
        (bad(classes=3.0), r"classes is 3\.0; allowed: 2 to"),
        (bad(name="../etc"), r"name is '\.\./etc'; allowed: a letter or digit"),
        (bad(name=""), "name is ''; allowed"),
        (bad(train=([[1], [2, 3]], LABELS)), "train images is a list and no array"),
    ],
)
def test_what_is_no_data_is_refused_by_name(arguments, message, unchecked) -> None:
    with pytest.raises(ValueError, match=message) as caught:
        from_arrays(**arguments)
    assert "\n" not in str(caught.value)


def test_numbers_are_checked_wherever_a_data_set_is_made(unchecked) -> None:
    data = numbers()
    split = Split(np.full_like(data.test.images, np.nan), data.test.labels)
    with pytest.raises(ValueError, match="test has a pixel of NaN or infinity; allowed: finite"):
        replace(data, test=split)
    with pytest.raises(ValueError, match="maximum is 255 for images of float32, which are not scaled; allowed: 1"):
        replace(data, maximum=255)
    with pytest.raises(ValueError, match="validation has images of float32; allowed: uint8"):
        replace(data, train=from_arrays(grid(), grid(9)).train, maximum=255)


# --- What is made of them -----------------------------------------------------------------------------------


def numbers(shape: tuple[int, ...] = (5, 4)) -> Dataset:
    """Three classes that a network tells apart at once, with values of both signs."""
    random = np.random.default_rng(0)

    def split(count: int) -> tuple[np.ndarray, np.ndarray]:
        labels = np.arange(count) % 3
        images = random.normal(size=(count, *shape)) + (labels - 1).reshape(-1, *[1] * len(shape))
        return images.astype(np.float32), labels

    return from_arrays(split(240), split(60), name="numbers")


def test_numbers_are_read_as_they_are_and_never_on_live_weights() -> None:
    data, network = numbers(), FeedForward(hidden=(30,), classes=3)
    experiment = Experiment(protocol("quick"), data)
    assert dense_kernels(experiment) is None
    assert dense_kernels(Experiment(protocol("quick"), from_arrays(grid(), grid(9)))) is not None
    with pytest.raises(ValueError, match="data has images of float32; allowed: uint8"):
        Engine(network, data, 60, Adam(1e-3))
    trainer = Trainer(network, data, TrainingConfig(60, 1e-2), place(1000, networks=1))
    params = initial_of(network, 0, data.image_shape)
    masks = {
        name: mask & (np.arange(mask.shape[0]) % 10 == 0)[:, None]
        for name, mask in full_masks(kernels_of(params)).items()
    }
    assert trainer._live_masks(Job(params, masks, 0, last_step=10**6)) is None
    (trained,) = trainer.train([Job(params, full_masks(kernels_of(params)), 0)])
    assert trained.test_at_end.accuracy > 0.9


def test_a_network_has_an_output_for_each_class() -> None:
    data = numbers((32, 20))
    for name in NETWORKS:
        experiment = Experiment(protocol("quick", name), data)
        assert outputs_of(experiment.network, data.image_shape) == 3, name
    assert Experiment(protocol("quick"), load("digits")).network is NETWORKS["fc"]


def test_a_description_names_what_the_name_of_the_data_does_not_tell(digits) -> None:
    own = Experiment(protocol("quick"), numbers()).describe("training", 0)
    assert (own["image_shape"], own["classes"]) == ([5, 4, 1], 3)
    assert fault_of_description(own | {"round": 0}) is None
    for name, value in (
        ("classes", 0),
        ("classes", 10**9),
        ("image_shape", [5, 4]),
        ("image_shape", [2**20, 2**20, 1]),
    ):
        assert name in str(fault_of_description(own | {"round": 0, name: value}))
    assert not {"image_shape", "classes"} & set(Experiment(protocol("quick"), digits).describe("training", 0))


@pytest.mark.parametrize(("shape", "classes"), [((1, 300, 1), 3), ((8, 8, 1), 10)])
def test_a_compressed_network_knows_its_classes_and_shape(shape, classes) -> None:
    network = network_of("fc", classes)
    params = initial_of(network, 0, shape)
    quantised = quantise(params, full_masks(kernels_of(params)), dict.fromkeys(params, 3))
    content, _ = compress("fc", shape, quantised, dict.fromkeys(params, 4))
    name, again = decompress(content)
    assert name == "fc"
    for layer, leaves in expand(again).items():
        np.testing.assert_array_equal(leaves["kernel"], expand(quantised)[layer]["kernel"])
    assert (b'"classes"' in content) == (classes != 10)
    with pytest.raises(CompressedError, match="truncated or altered"):
        decompress(content.replace(b"image_shape", b"image_shapE"))


def test_a_packed_network_of_own_data_can_be_rebuilt() -> None:
    shape, network = (3, 7, 1), network_of("fc", 4)
    masks = {
        layer: np.random.default_rng(0).random(kernel.shape) < 0.5
        for layer, kernel in kernels_of(initial_of(network, 1, shape)).items()
    }
    own = MaskedNetwork("fc", "shades-01234567", 1, "initial", False, masks, image_shape=shape)
    found, params = unpack(pack(own))
    assert (found.dataset, found.image_shape) == ("shades-01234567", shape)
    header, blocks = ENVELOPE.open(pack(own))
    for wrong in ([0, 7, 1], [3, 7], [1 << 20, 1 << 20, 1], "3×7"):
        with pytest.raises(PackedError, match="the file's image_shape is"):
            unpack(ENVELOPE.seal(header | {"image_shape": wrong}, blocks))
    initial = kernels_of(initial_of(network, 1, shape))
    for layer, mask in masks.items():
        np.testing.assert_array_equal(found.masks[layer], mask)
        np.testing.assert_allclose(params[layer]["kernel"], np.where(mask, initial[layer], 0), rtol=1e-5, atol=1e-7)


def test_a_name_is_told_from_a_path() -> None:
    with pytest.raises(DataError, match=r"none\.npz: expected a \.npz or \.txt file, or a folder .*; found nothing$"):
        load("none.npz")
    with pytest.raises(DataError, match="unknown data set 'mnits'"):
        load("mnits")
