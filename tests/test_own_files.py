"""Files of a user's own data: every way in gives one data set; damaged, foreign and hostile files are refused."""

import gzip
import io
import os
import re
import struct
import tracemalloc
import zipfile
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from supermask.datasets import DataError, Dataset, from_arrays, load
from supermask.datasets.arrays import held_out
from supermask.datasets.unpacking import MOST_BYTES

COUNT = 45


def make(count: int, seed: int, channels: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Non-square images of three classes, in turn."""
    images = np.random.default_rng(seed).integers(0, 256, (count, 6, 9, channels), np.uint8)
    return images, np.arange(count) % 3


TRAIN, TEST = make(COUNT, 0), make(12, 1)


def write_npz(path: Path, **arrays: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    whole = {"x_train": TRAIN[0][..., 0], "y_train": TRAIN[1], "x_test": TEST[0][..., 0], "y_test": TEST[1]} | arrays
    np.savez(path, **{name: array for name, array in whole.items() if array is not None})
    return path


def idx_bytes(array: np.ndarray, kind: int = 8) -> bytes:
    return bytes((0, 0, kind, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def write_idx(folder: Path, prefix: str = "", test: str = "t10k", first: int = 0) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name, (images, labels) in (("train", TRAIN), (test, TEST)):
        pixels, classes = idx_bytes(images[..., 0]), idx_bytes((labels + first).astype(np.uint8))
        (folder / f"{prefix}{name}-images-idx3-ubyte.gz").write_bytes(gzip.compress(pixels, 1))
        (folder / f"{prefix}{name}-labels-idx1-ubyte").write_bytes(classes)
    return folder


def write_images(folder: Path, images: np.ndarray, labels: np.ndarray, ending: str = "png") -> Path:
    for number, (image, label) in enumerate(zip(images, labels, strict=True)):
        (folder / "abc"[label]).mkdir(parents=True, exist_ok=True)
        pixels = image[..., 0] if image.shape[-1] == 1 else image
        Image.fromarray(pixels).save(folder / "abc"[label] / f"{number:03}.{ending}")
    return folder


def write_folder(folder: Path) -> Path:
    write_images(folder / "train", *TRAIN)
    write_images(folder / "test", *TEST)
    return folder


WAYS: dict[str, Callable[[Path], Path]] = {
    "npz": lambda folder: write_npz(folder / "three.npz"),
    "compressed npz": lambda folder: compressed(folder / "three.npz"),
    "MedMNIST's npz": lambda folder: write_med(folder / "three.npz"),
    "IDX": lambda folder: write_idx(folder / "three"),
    "EMNIST's letters": lambda folder: write_idx(folder / "three", "emnist-letters-", "test", first=1),
    "folder": lambda folder: write_folder(folder / "three"),
}


def compressed(path: Path) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    np.savez_compressed(path, x_train=TRAIN[0], y_train=TRAIN[1], x_test=TEST[0], y_test=TEST[1], classes=3)
    return path


def write_med(path: Path) -> Path:
    """The names of MedMNIST's files, whose labels are columns; without validation data here."""
    path.parent.mkdir(parents=True, exist_ok=True)
    labels = {"train_labels": TRAIN[1][:, None].astype(np.uint8), "test_labels": TEST[1][:, None].astype(np.uint8)}
    np.savez(path, train_images=TRAIN[0], test_images=TEST[0], **labels)
    return path


def same(first: Dataset, second: Dataset) -> None:
    assert (first.digest, first.name, first.classes, first.maximum) == (
        second.digest,
        second.name,
        second.classes,
        second.maximum,
    )


@pytest.mark.parametrize("way", WAYS)
def test_every_way_in_gives_the_same_data_set(way: str, tmp_path: Path) -> None:
    data = load(str(WAYS[way](tmp_path / "there")))
    same(data, load(str(WAYS["npz"](tmp_path / "plain"))))
    assert data.name.startswith("three-")
    assert data.image_shape == (6, 9, 1)
    np.testing.assert_array_equal(data.test.images, TEST[0])
    assert "images of 6×9×1, bytes" in data.source
    assert ("labels from 1 on are read as classes from 0 on" in data.source) == way.startswith("EMNIST")


def test_classes_have_the_names_that_files_give_them(tmp_path: Path) -> None:
    """An array of texts, or the folders' names; two data sets that differ in these alone have one digest."""
    names = ("T-shirt", "trousers", "ankle boot")
    named = load(str(write_npz(tmp_path / "three.npz", class_names=np.array(names))))
    assert named.class_names == names
    plain = load(str(WAYS["npz"](tmp_path / "plain")))
    assert plain.class_names == ()
    same(named, plain)
    assert load(str(write_folder(tmp_path / "folder"))).class_names == ("a", "b", "c")
    assert from_arrays(TRAIN, TEST, class_names=names).class_names == names
    (tmp_path / "folder" / "train" / "b").rename(tmp_path / "folder" / "train" / "b\n")
    (tmp_path / "folder" / "test" / "b").rename(tmp_path / "folder" / "test" / "b\n")
    assert load(str(tmp_path / "folder")).class_names == (), "a name that cannot be shown is none"


@given(st.lists(st.text(max_size=50), max_size=5))
def test_names_of_classes_are_short_printable_text_one_for_each(names: list[str]) -> None:
    good = not names or (len(names) == 3 and all(n.strip() and n.isprintable() and len(n) <= 40 for n in names))
    if good:
        assert from_arrays(TRAIN, TEST, class_names=names).class_names == tuple(names)
    else:
        with pytest.raises(ValueError, match="class_names"):
            from_arrays(TRAIN, TEST, class_names=names)


def test_validation_data_that_are_given_are_taken(tmp_path: Path) -> None:
    images, labels = make(9, 2)
    plain = load(str(write_npz(tmp_path / "a.npz", x_validation=images, y_validation=labels)))
    np.testing.assert_array_equal(plain.validation.images, images)
    assert len(plain.train) == COUNT
    folder = write_folder(tmp_path / "a")
    write_images(folder / "val", images, labels)
    same(plain, load(str(folder)))


def test_names_are_safe_wherever_they_come_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for stem, name in (("my data (2)!", "my-data-2"), ("mnist", "mnist"), ("ü", "own"), ("x" * 90, "x" * 40)):
        data = load(str(write_npz(tmp_path / f"{stem}.npz")))
        assert data.name == f"{name}-{data.digest[:8]}"
    monkeypatch.chdir(write_folder(tmp_path / "here"))
    assert load(".").name.startswith("here-")
    monkeypatch.chdir(tmp_path)
    assert load("here").name.startswith("here-"), "a name that is there is a path"


def test_published_names_are_never_paths(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    write_folder(tmp_path / "digits")
    assert load("digits").title
    assert load("./digits").name.startswith("digits-")


# --- .npz files ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"y_train": None}, "found no array y_train"),
        ({"x_test": None, "y_test": None}, "found no array x_test"),
        ({"x_valid": TRAIN[0]}, "found an array 'x_valid'"),
        ({"x_validation": TRAIN[0]}, "found no array y_validation"),
        ({"train_images": TRAIN[0]}, "found both x_train and train_images"),
        ({"classes": np.array([3])}, r"classes of int64 and shape \(1,\)"),
        ({"class_names": np.array(["a", "b"])}, "class_names are 2; allowed: none, or one for each of 3 classes"),
        ({"class_names": np.array(["a", "b", "c" * 41])}, "class_names has 'c+'; allowed: printable text of 1 to 40"),
        ({"class_names": np.array(["a", "b", "c\n"])}, r"class_names has 'c\\n'; allowed: printable text"),
        ({"class_names": np.arange(3)}, r"class_names of int64 and shape \(3,\), not a list of texts"),
        ({"class_names": np.array([["a", "b", "c"]])}, r"class_names of <U1 and shape \(1, 3\), not a list of texts"),
        ({"class_names": np.array(["a"] * 300_000)}, "class_names of up to 1048576 bytes"),
        ({"class_names": np.full(3, 2**31, np.uint32).view("<U1")}, "class_names that are no text"),
        ({"classes": 2}, "y_train is int64 .*, and a value of 2; allowed: 0 to 1"),
        ({"x_train": TRAIN[0] / 255}, r"x_train is float64 of shape \(45, 6, 9, 1\); allowed: uint8 or float32"),
        ({"x_train": np.full((COUNT, 6, 9), np.inf, np.float32)}, "x_train is float32 .*; allowed: finite"),
        ({"y_test": TEST[1].astype(str)}, "expected array y_test of numbers; found <U.*, which is never read"),
        ({"y_test": TEST[1].astype([("a", int)])}, "expected array y_test of numbers; found .*, which is never read"),
        ({"y_test": TEST[1][:-1]}, r"y_test is int64 of shape \(11,\); allowed: integers, one for each of the 12"),
    ],
)
def test_arrays_that_are_no_data_are_refused_by_file_and_name(arrays, message, tmp_path: Path) -> None:
    path = write_npz(tmp_path / "own.npz", **arrays)
    with pytest.raises(DataError, match=message) as caught:
        load(str(path))
    assert str(caught.value).startswith(f"{path}: ")
    assert "\n" not in str(caught.value)


class Trap:
    """What runs code if it is ever unpickled."""

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, ("touch SPRUNG",)


def test_pickles_are_never_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    path = write_npz(tmp_path / "own.npz", y_test=np.array([Trap()] * 12, object))
    with pytest.raises(DataError, match="expected array y_test of numbers; found object, which is never read"):
        load(str(path))
    assert not (tmp_path / "SPRUNG").exists()


def refused(path: Path) -> str | None:
    """The error's text, or None where a file was read; any other exception is the test's failure."""
    try:
        load(str(path))
    except DataError as error:
        return str(error)
    return None


@given(st.data())
def test_damage_to_an_npz_file_is_refused_or_harmless(tmp_path_factory: pytest.TempPathFactory, data) -> None:
    folder = tmp_path_factory.mktemp("npz")
    content = bytearray(WAYS["compressed npz"](folder).read_bytes())
    digest = load(str(folder / "three.npz")).digest
    if data.draw(st.booleans()):
        del content[data.draw(st.integers(0, len(content) - 1)) :]
    else:
        content[data.draw(st.integers(0, len(content) - 1))] ^= 1 << data.draw(st.integers(0, 7))
    (folder / "three.npz").write_bytes(content)
    if refused(folder / "three.npz") is None:
        assert load(str(folder / "three.npz")).digest == digest


def npy(header: str, content: bytes = b"", version: int = 1, length: int | None = None) -> bytes:
    text = header.encode()
    size = len(text) if length is None else length
    return b"\x93NUMPY" + bytes((version, 0)) + struct.pack("<H" if version == 1 else "<I", size) + text + content


def zipped(path: Path, member: bytes, name: str = "x_train.npy", times: int = 1) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for _ in range(times):
            archive.writestr(name, member)
    return path


HUGE = "{'descr': '|u1', 'fortran_order': False, 'shape': (%s,), }"


@pytest.mark.parametrize(
    ("member", "message"),
    [
        pytest.param(npy(HUGE % (1 << 40)), "of up to 4294967296 bytes; found uint8 of shape", id="huge"),
        pytest.param(npy(HUGE % MOST_BYTES), "4294967296 bytes; found 0 bytes", id="not there"),
        pytest.param(npy(HUGE % 5, b"1234"), "5 bytes; found 4 bytes", id="short"),
        pytest.param(npy(HUGE % 5, b"123456"), "5 bytes; found 6 bytes", id="long"),
        pytest.param(npy(HUGE % -1), "of shape", id="negative"),
        pytest.param(npy(HUGE % 5, version=2, length=1 << 31), "damaged or foreign", id="header of two gigabytes"),
        pytest.param(npy("(" * 9000), "damaged or foreign", id="nested"),
        pytest.param(npy(HUGE % ("9" * 5000)), "damaged or foreign|of up to", id="number of 5000 digits"),
        pytest.param(npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }", b"x"), "never read", id="objects"),
        pytest.param(npy("{'descr': '|u1'}"), "damaged or foreign", id="half a header"),
        pytest.param(b"GIF89a", "damaged or foreign", id="picture"),
        pytest.param(b"", "damaged or foreign", id="nothing"),
        pytest.param(npy(HUGE % (1 << 30), bytes(1 << 20)), "damaged|found 1048576 bytes", id="bomb"),
    ],
)
def test_hostile_arrays_cost_nothing(member: bytes, message: str, tmp_path: Path) -> None:
    path = zipped(tmp_path / "own.npz", member)
    tracemalloc.start()
    try:
        assert (error := refused(path)) is not None
        assert tracemalloc.get_traced_memory()[1] < 8_000_000
    finally:
        tracemalloc.stop()
    assert len(error) < 500
    assert re.search(message, error), error


def test_sizes_that_the_archive_claims_are_not_believed(tmp_path: Path) -> None:
    """A few bytes that claim to inflate to gigabytes; a directory longer than its file."""
    path = zipped(tmp_path / "own.npz", npy(HUGE % 5, b"12345"))
    content = path.read_bytes()
    at = content.rindex(b"PK\1\2")
    path.write_bytes(content[: at + 24] + struct.pack("<I", 1 << 31) + content[at + 28 :])
    assert "claimed of" in str(refused(path))
    end = content.rindex(b"PK\5\6")
    path.write_bytes(content[: end + 12] + struct.pack("<I", 1 << 31) + content[end + 16 :])
    assert "damaged or foreign" in str(refused(path))


@pytest.mark.filterwarnings("ignore:Duplicate name")
def test_two_arrays_of_one_name_are_refused(tmp_path: Path) -> None:
    assert "two arrays x_train" in str(refused(zipped(tmp_path / "own.npz", npy(HUGE % 1, b"1"), times=2)))


def test_what_is_no_file_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "own.npz")
    assert "not a regular file" in str(refused(tmp_path / "own.npz"))
    os.mkfifo(tmp_path / "own")
    assert "not a folder" in str(refused(tmp_path / "own"))
    folder = write_idx(tmp_path / "idx")
    (folder / "train-labels-idx1-ubyte").unlink()
    os.mkfifo(folder / "train-labels-idx1-ubyte")
    assert "not a regular file" in refused_in(folder)
    folder = write_folder(tmp_path / "images")
    os.mkfifo(folder / "train" / "a" / "pipe.png")
    assert "not a regular file" in refused_in(folder)
    (tmp_path / "device.npz").symlink_to("/dev/zero")
    assert "not a regular file" in str(refused(tmp_path / "device.npz"))


def refused_in(folder: Path) -> str:
    with pytest.raises(DataError, match=str(folder)) as caught:
        load(str(folder))
    return str(caught.value)


# --- IDX files ----------------------------------------------------------------------------------------------


def changed(folder: Path, name: str, content: bytes | None) -> str:
    """The error after a file was replaced, or taken away."""
    for ending in ("", ".gz"):
        (folder / f"{name}{ending}").unlink(missing_ok=True)
    if content is not None:
        (folder / name).write_bytes(content)
    return refused_in(folder)


IDX_IMAGES, IDX_LABELS = "train-images-idx3-ubyte", "train-labels-idx1-ubyte"


@pytest.mark.parametrize(
    ("name", "content", "words"),
    [
        (IDX_LABELS, None, "found none of train labels"),
        (IDX_IMAGES, b"", "no IDX file: it begins with bytes none"),
        (IDX_IMAGES, b"\x89PNG\r\n", "no IDX file: it begins with bytes 89 50 4e 47"),
        (IDX_IMAGES, bytes((0, 0, 8, 3, 0, 0)), "found one that ends in its header"),
        (IDX_IMAGES, bytes((0, 0, 7, 3)) + bytes(12), "no IDX file"),
        (IDX_IMAGES, idx_bytes(TRAIN[1].astype(np.uint8)), "of 2 or 3 or 4 dimensions; found 1 dimensions"),
        (
            IDX_IMAGES,
            idx_bytes(TRAIN[0])[:-1],
            r"images, uint8 of shape \(45, 6, 9, 1\), 2430 bytes .*; found 2429 bytes",
        ),
        (IDX_IMAGES, idx_bytes(TRAIN[0]) + b"\0", "found more bytes"),
        (IDX_IMAGES, bytes((0, 0, 8, 3)) + b"\xff" * 12, "images in an IDX file of up to 4294967296 bytes"),
        (IDX_LABELS, idx_bytes(TRAIN[0]), "of 1 dimensions; found 4 dimensions"),
        (IDX_LABELS, idx_bytes(TRAIN[1].astype(">f4"), 13), "train-labels-idx1-ubyte is float32 .*; allowed: integers"),
        (IDX_LABELS, idx_bytes((TRAIN[1] + 2).astype(np.uint8)), "none of its values is 0"),
        (
            IDX_LABELS,
            idx_bytes((TRAIN[1] + 1).astype(np.uint8)),
            "labels from 1 on, as of training images; found a label 0",
        ),
        ("test-labels-idx1-ubyte", b"", "found two of a kind, t10k-labels-idx1-ubyte and test-labels-idx1-ubyte"),
    ],
)
def test_idx_files_that_do_not_fit_are_refused(name: str, content: bytes | None, words: str, tmp_path: Path) -> None:
    error = changed(write_idx(tmp_path / "own"), name, content)
    assert re.search(words, error), error


def test_files_of_several_sets_are_refused(tmp_path: Path) -> None:
    write_idx(tmp_path / "own", "emnist-letters-", "test")
    assert "two of a kind" in refused_in(write_idx(tmp_path / "own", "emnist-digits-", "test"))
    for path in (tmp_path / "own").glob("*digits-train*"):
        path.unlink()
    for path in (tmp_path / "own").glob("*letters-test*"):
        path.unlink()
    assert "those of several" in refused_in(tmp_path / "own")


def test_numbers_of_idx_files_are_big_endian(tmp_path: Path) -> None:
    folder = write_idx(tmp_path / "own")
    for name, (images, _) in (("train", TRAIN), ("t10k", TEST)):
        (folder / f"{name}-images-idx3-ubyte.gz").unlink()
        content = idx_bytes((images[..., 0] / 4).astype(">f4"), 13)
        (folder / f"{name}-images-idx3-ubyte").write_bytes(content)
    data = load(str(folder))
    np.testing.assert_array_equal(data.test.images, TEST[0].astype(np.float32) / 4)


# --- Folders of images --------------------------------------------------------------------------------------


def test_a_folder_of_classes_alone_is_split_by_rule(tmp_path: Path) -> None:
    images, labels = TRAIN
    data = load(str(write_images(tmp_path / "own", images, labels)))
    held = held_out(images, labels.astype(np.int32), "test", 5)
    np.testing.assert_array_equal(data.test.images, images[held])
    assert np.bincount(data.test.labels).tolist() == [3, 3, 3]
    assert np.bincount(data.validation.labels).tolist() == [1, 1, 1]
    seen = {image.tobytes() for split in (data.train, data.validation, data.test) for image in split.images}
    assert len(seen) == COUNT


def test_colours_are_read_and_lossless_formats_agree(tmp_path: Path) -> None:
    images, labels = make(30, 5, channels=3)
    found = [load(str(write_images(tmp_path / end / "own", images, labels, end))) for end in ("png", "bmp", "ppm")]
    assert found[0].image_shape == (6, 9, 3)
    assert len({data.digest for data in found}) == 1
    assert load(str(write_images(tmp_path / "jpg" / "own", images, labels, "jpg"))).image_shape == (6, 9, 3)


GREY = Image.fromarray(TRAIN[0][0][..., 0])


@pytest.mark.parametrize(
    ("spoil", "words"),
    [
        (lambda a: GREY.resize((9, 7)).save(a / "z.png"), "expected 6×9×1 pixels, as .*000.png has; found 7×9×1"),
        (lambda a: GREY.convert("RGB").save(a / "z.png"), "expected 6×9×1 pixels, .*; found 6×9×3"),
        (lambda a: GREY.convert("RGBA").save(a / "z.png"), "found one of Pillow's mode RGBA"),
        (lambda a: GREY.convert("I;16").save(a / "z.png"), "found one of Pillow's mode I;16"),
        (lambda a: GREY.save(a / "z.png", transparency=3), "mode L with transparency"),
        (lambda a: (a / "z.png").write_bytes(b"no image"), "a damaged or foreign file"),
        (lambda a: (a / "z.png").write_bytes((a / "000.png").read_bytes()[:-20]), "a damaged or foreign file"),
        (lambda a: (a / "notes.txt").write_text("x"), "notes.txt: expected an image .*; found something else"),
        (lambda a: (a.parent / "z.png").write_bytes(b""), "found an image beside these folders"),
        (lambda a: (a.parent / "d").mkdir(), "d: expected one image or more of a class; found none"),
        (lambda a: (a.parent.parent / "extra").mkdir(), "found a folder 'extra' as well"),
        (lambda a: (a.parent.parent / "test" / "e").mkdir(), "expected the classes of train alone; found a class 'e'"),
        (lambda a: a.parent.rename(a.parent.parent / "other"), "found a folder 'other' as well"),
        (lambda a: GREY.save(a / "z.png", save_all=True, append_images=[GREY]), "several images in one file"),
        (lambda a: (a / "z.png").write_bytes(big_png()), "expected up to 16777216 pixels; found 5000×5000"),
    ],
)
def test_folders_that_are_no_data_are_refused_by_file(spoil, words: str, tmp_path: Path) -> None:
    folder = write_folder(tmp_path / "own")
    spoil(folder / "train" / "a")
    error = refused_in(folder)
    assert re.search(words, error), error
    assert "\n" not in error


def big_png() -> bytes:
    """The beginning of an image of 5,000 × 5,000 pixels."""
    file = io.BytesIO()
    GREY.save(file, "PNG")
    content = bytearray(file.getvalue())
    content[16:24] = struct.pack(">II", 5_000, 5_000)
    content[29:33] = struct.pack(">I", zlib.crc32(content[12:29]))
    return bytes(content)


def test_folders_without_classes_are_refused(tmp_path: Path) -> None:
    (tmp_path / "own" / ".hidden").mkdir(parents=True)
    assert "two classes or more; found 0 folders" in refused_in(tmp_path / "own")
    write_images(tmp_path / "own" / "train", *TRAIN)
    assert "found folders train" in refused_in(tmp_path / "own")
    for name in ("test", "validation"):
        write_images(tmp_path / "two" / name, *TEST)
    assert "found no folder train" in refused_in(tmp_path / "two")
