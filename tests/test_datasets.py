"""Data sets: content is verified, damage is refused, downloads arrive whole or not at all."""

import dataclasses
import gzip
import hashlib
import io
import lzma
import os
import shutil
import struct
import subprocess
import sys
import tarfile
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pooch
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from supermask import datasets
from supermask.datasets import DATASETS, DataError, DatasetInfo, Split, dataset_digest, load
from supermask.datasets.download import Archive, fetch
from supermask.datasets.embedded import EmbeddedSource, stratify
from supermask.datasets.files import cache_folder
from supermask.datasets.idx import IdxFile, IdxSource
from supermask.datasets.records import RecordSource, records_digest

FULL = os.environ.get("SUPERMASK_DATA")
NOWHERE = ("http://127.0.0.1:9/a/", "http://127.0.0.1:9/b/")  # the discard port: nobody listens


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A cache of the test's own, and no folders or proxies from the environment."""
    folder = tmp_path / "user-cache"
    monkeypatch.setattr("supermask.datasets.files.cache_folder", lambda: folder)
    monkeypatch.delenv("SUPERMASK_DATA", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    return folder


# --- A tiny data set of IDX files -------------------------------------------------------------------------


def idx_bytes(array: np.ndarray) -> bytes:
    return bytes((0, 0, 8, array.ndim)) + struct.pack(f">{array.ndim}I", *array.shape) + array.tobytes()


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def packed(data: bytes) -> bytes:
    return gzip.compress(data, mtime=0)


@dataclasses.dataclass(frozen=True)
class Tiny:
    """A data set of a few images: its source, and its files as published."""

    source: IdxSource
    contents: dict[str, bytes]  # gzip archives by name

    def write(self, folder: Path) -> Path:
        folder.mkdir(parents=True, exist_ok=True)
        for name, data in self.contents.items():
            (folder / name).write_bytes(data)
        return folder

    def with_mirrors(self, *mirrors: str) -> "Tiny":
        return dataclasses.replace(self, source=dataclasses.replace(self.source, mirrors=mirrors))


def tiny_set(title: str, seed: int) -> Tiny:
    generator = np.random.default_rng(seed)
    contents, files = {}, []
    for part, name, count in (("training", "train", 12), ("test", "t10k", 5)):
        for kind, extension, shape in (("images", "idx3", (count, 4, 3)), ("labels", "idx1", (count,))):
            data = idx_bytes(generator.integers(0, 10, shape, np.uint8))
            archive = packed(data)
            published = f"{name}-{kind}-{extension}-ubyte.gz"
            contents[published] = archive
            files.append(
                IdxFile(
                    f"{title} {part} {kind}", shape, sha256(data), Archive(published, len(archive), sha256(archive))
                )
            )
    train_images, train_labels, test_images, test_labels = files
    return Tiny(IdxSource(title, train_images, train_labels, test_images, test_labels, NOWHERE), contents)


TINY = tiny_set("Tiny", 0)
OTHER = tiny_set("Other", 1)
TRAIN_IMAGES = "train-images-idx3-ubyte.gz"


@pytest.fixture
def published(monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Lets `load` know a tiny set, as "tiny"."""

    def install(source: IdxSource | RecordSource, sizes: tuple[int, int, int] = (9, 3, 5)) -> None:
        monkeypatch.setattr(datasets, "DATASETS", {"tiny": DatasetInfo("tiny", sizes, source)})

    return install


# --- The public interface ---------------------------------------------------------------------------------


def test_import_is_light() -> None:
    code = "import sys, supermask.datasets; print(*sorted({'jax', 'pooch', 'sklearn', 'mlxtend'} & set(sys.modules)))"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.split() == []


def test_published() -> None:
    assert list(DATASETS) == ["digits", "mnist5k", "mnist", "fashion-mnist", "cifar10"]
    assert [name for name, info in DATASETS.items() if info.embedded] == ["digits", "mnist5k"]
    for name, info in DATASETS.items():
        assert info.name == name
        assert info.title
        assert info.classes == 10
        assert info.maximum == (16 if name == "digits" else 255)
        if not isinstance(info.source, EmbeddedSource):
            assert all(mirror.startswith("https://") and mirror.endswith("/") for mirror in info.source.mirrors)
    assert DATASETS["cifar10"].image_shape == (32, 32, 3)
    assert DATASETS["fashion-mnist"].image_shape == (28, 28, 1)
    with pytest.raises(TypeError):
        DATASETS["mine"] = DATASETS["mnist"]  # type: ignore[index]


@pytest.mark.parametrize(("name", "nearest"), [("minst", "mnist"), ("Digits", "digits"), ("cifar-10", "cifar10")])
def test_unknown_name(name: str, nearest: str) -> None:
    with pytest.raises(DataError) as caught:
        load(name)
    message = str(caught.value)
    assert "\n" not in message
    assert all(choice in message for choice in DATASETS)
    assert message.endswith(f"did you mean {nearest}?")


def test_unknown_name_unlike_any() -> None:
    with pytest.raises(DataError, match=r"expected a path or one of digits, mnist5k, mnist, fashion-mnist, cifar10$"):
        load("xyz")


def test_cache_folder() -> None:
    assert cache_folder().parts[-1] == "data"
    assert "supermask" in cache_folder().parts


def test_full_set_is_split(tmp_path: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    data = load("tiny", data_dir=TINY.write(tmp_path / "mine"))
    images = np.frombuffer(gzip.decompress(TINY.contents[TRAIN_IMAGES]), np.uint8, offset=16).reshape(12, 4, 3, 1)
    np.testing.assert_array_equal(np.concatenate([data.train.images, data.validation.images]), images)
    assert [len(split) for split in (data.train, data.validation, data.test)] == [9, 3, 5]
    assert data.train.labels.dtype == np.int32
    assert data.image_shape == (4, 3, 1)
    assert data.digest == dataset_digest(data.train, data.validation, data.test, maximum=255)
    assert data.source == f"files in {tmp_path / 'mine'}"
    with pytest.raises(ValueError, match="read-only"):
        data.train.images[0] = 0


# --- Embedded sets ----------------------------------------------------------------------------------------

DIGESTS = {
    "digits": "475ec2b664a5636fa57b1f9eaacbebe8348e81da21e5669311cec78cf50ce4af",
    "mnist5k": "7d64f62952d5d81c356bba979ebe556c1eb6eb0ba4d85f997e75781e62ab5f9b",
    "mnist": "dd2c5647b50f49d7844ac935d0c5f3f2280c37948161e6b82416a058fe51731b",
}


@pytest.mark.parametrize("name", ["digits", "mnist5k"])
def test_embedded(name: str, tmp_path: Path) -> None:
    data = load(name, data_dir=tmp_path / "no such folder", download=False)
    info = DATASETS[name]
    source = info.source
    assert isinstance(source, EmbeddedSource)
    assert tuple(len(split) for split in (data.train, data.validation, data.test)) == info.sizes
    assert data.image_shape == info.image_shape
    assert data.digest == DIGESTS[name]
    assert data.source.endswith(", embedded")
    assert data.train.images.max() == data.maximum
    assert set(np.bincount(data.validation.labels)) == {source.validation}
    assert set(np.bincount(data.test.labels)) == {source.test}
    seen = [image.tobytes() for split in (data.train, data.validation, data.test) for image in split.images]
    assert len(set(seen)) == sum(info.sizes)  # no image is in two splits, or twice in one
    for split in (data.train, data.validation, data.test):
        for batch in (split.labels[:100], split.labels[-100:]):
            assert len(set(batch.tolist())) == data.classes  # mixed from end to end


def test_digits_are_those_that_scikit_learn_reads() -> None:
    from sklearn.datasets import load_digits

    data, theirs = load("digits"), load_digits()
    ours = {
        (image.tobytes(), int(label))
        for split in (data.train, data.validation, data.test)
        for image, label in zip(split.images, split.labels, strict=True)
    }
    images = theirs.images.astype(np.uint8)
    assert ours == {(image.tobytes(), int(label)) for image, label in zip(images, theirs.target, strict=True)}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sha256": "0" * 64}, "other content in scikit-learn"),
        ({"image_shape": (8, 9, 1)}, "other content in scikit-learn"),
        ({"file": "sklearn/datasets/data/none.csv.gz"}, "no readable table"),
        ({"file": "sklearn/datasets/__init__.py"}, "no readable table"),
        ({"package": "no-such-package-here"}, "not installed"),
    ],
)
def test_changed_package_is_refused(change: dict[str, object], message: str) -> None:
    source = DATASETS["digits"].source
    assert isinstance(source, EmbeddedSource)
    with pytest.raises(DataError, match=message):
        dataclasses.replace(source, **change).read()  # type: ignore[arg-type]


@given(
    hnp.arrays(np.uint8, st.integers(0, 60), elements=st.integers(0, 4)),
    st.integers(0, 4),
    st.integers(0, 4),
)
@settings(deadline=None)
def test_stratify(labels: np.ndarray, validation: int, test: int) -> None:
    images = np.arange(4 * len(labels), dtype=np.uint16).view(np.uint8).reshape(len(labels), 2, 4, 1)
    parts = stratify(images, labels, validation=validation, test=test)
    together = sorted((i.tobytes(), int(n)) for part in parts for i, n in zip(part.images, part.labels, strict=True))
    assert together == sorted((i.tobytes(), int(n)) for i, n in zip(images, labels, strict=True))
    counts = np.bincount(labels, minlength=5)
    np.testing.assert_array_equal(np.bincount(parts[2].labels, minlength=5), np.minimum(counts, test))
    np.testing.assert_array_equal(np.bincount(parts[1].labels, minlength=5), np.clip(counts - test, 0, validation))


# --- The digest -------------------------------------------------------------------------------------------


def small_split(seed: int, count: int = 4) -> Split:
    generator = np.random.default_rng(seed)
    return Split(
        generator.integers(0, 17, (count, 2, 3, 1), np.uint8), generator.integers(0, 10, count).astype(np.int32)
    )


def test_digest_is_that_of_its_description() -> None:
    train, validation, test = small_split(0), small_split(1, 2), small_split(2, 0)
    expected = b"pixels 0..16\n"
    for name, split, count in (("train", train, 4), ("validation", validation, 2), ("test", test, 0)):
        expected += f"{name} images {count} 2 3 1\n".encode() + bytes(split.images.ravel().tolist())
        expected += f"{name} labels {count}\n".encode() + struct.pack(f"<{count}i", *split.labels)
    assert dataset_digest(train, validation, test, maximum=16) == sha256(expected)


def test_digest_is_the_same_for_any_memory_layout() -> None:
    split = small_split(0)
    odd = Split(np.asfortranarray(split.images), np.repeat(split.labels, 2)[::2])
    assert dataset_digest(odd, split, split, maximum=16) == dataset_digest(split, split, split, maximum=16)


def test_digest_tells_every_change() -> None:
    train, validation, test = small_split(0), small_split(1), small_split(2)
    pixel, label = train.images.copy(), train.labels.copy()
    pixel[3, 1, 2, 0] ^= 1
    label[2] += 1
    variants = [
        (train, validation, test, 16),
        (train, validation, test, 255),
        (validation, train, test, 16),
        (train, test, validation, 16),
        (Split(pixel, train.labels), validation, test, 16),
        (Split(train.images, label), validation, test, 16),
        (Split(train.images[::-1], train.labels[::-1]), validation, test, 16),
        (Split(train.images[:3], train.labels[:3]), validation, test, 16),
        (Split(train.images.reshape(4, 3, 2, 1), train.labels), validation, test, 16),
    ]
    digests = {dataset_digest(*splits, maximum=maximum) for *splits, maximum in variants}
    assert len(digests) == len(variants)


# --- IDX files --------------------------------------------------------------------------------------------


@given(
    array=hnp.arrays(np.uint8, hnp.array_shapes(min_dims=1, max_dims=3, min_side=0, max_side=5)),
    zipped=st.booleans(),
    dotted=st.booleans(),
)
@settings(deadline=None)
def test_idx_files_are_read(
    array: np.ndarray, zipped: bool, dotted: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("idx")
    data = idx_bytes(array)
    file = IdxFile("Tiny images", array.shape, sha256(data), Archive("a-idx3-ubyte.gz", 1, ""))
    path = folder / (("a.idx3-ubyte" if dotted else "a-idx3-ubyte") + (".gz" if zipped else ""))
    path.write_bytes(packed(data) if zipped else data)
    assert file.find(folder) == path
    np.testing.assert_array_equal(file.read(path), array)


IMAGES = TINY.source.train_images
GOOD = gzip.decompress(TINY.contents[TRAIN_IMAGES])


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "no IDX file: it begins with bytes none", id="empty"),
        pytest.param(b"\0\0\x08", "no IDX file", id="three bytes"),
        pytest.param(b"\x89PNG\r\n\x1a\n", "no IDX file: it begins with bytes 89 50 4e 47", id="picture"),
        pytest.param(b"\0\0\x08\0", r"shape \(\)", id="no dimensions"),
        pytest.param(GOOD[:10], "no IDX file", id="half a header"),
        pytest.param(GOOD[:2] + b"\x0d" + GOOD[3:], "elements of type 0x0d", id="floats"),
        pytest.param(GOOD[:-1], "159 bytes", id="short"),
        pytest.param(GOOD + b"\0", "more bytes", id="long"),
        pytest.param(GOOD[:-1] + b"\xff", "other content, of SHA-256", id="changed pixel"),
        pytest.param(gzip.decompress(TINY.contents["t10k-images-idx3-ubyte.gz"]), "shape 5 x 4 x 3", id="test set"),
        pytest.param(gzip.decompress(TINY.contents["train-labels-idx1-ubyte.gz"]), "shape 12$", id="labels"),
        pytest.param(gzip.decompress(OTHER.contents[TRAIN_IMAGES]), "Other training images", id="other set"),
        pytest.param(bytes((0, 0, 8, 255)) + bytes(2000), "no IDX file", id="255 dimensions"),
    ],
)
@pytest.mark.parametrize("zipped", [True, False])
def test_wrong_idx_file_is_refused(data: bytes, found: str, zipped: bool, tmp_path: Path) -> None:
    path = tmp_path / ("images.gz" if zipped else "images")
    path.write_bytes(packed(data) if zipped else data)
    with pytest.raises(DataError, match=found) as caught:
        IMAGES.read(path, OTHER.source.files)
    assert str(path) in str(caught.value)
    assert "expected Tiny training images, IDX bytes of shape 12 x 4 x 3" in str(caught.value)


def accepted(read: Callable[[], np.ndarray]) -> np.ndarray | None:
    """What `read` returns, or None where it refuses; any other exception is the test's failure."""
    try:
        return read()
    except DataError:
        return None


def test_no_truncated_gzip_is_accepted(tmp_path: Path) -> None:
    archive = TINY.contents[TRAIN_IMAGES]
    path = tmp_path / TRAIN_IMAGES
    for length in range(len(archive)):
        path.write_bytes(archive[:length])
        assert accepted(lambda: IMAGES.read(path)) is None, length


def test_flipped_bits_are_refused_or_harmless(tmp_path: Path) -> None:
    archive = TINY.contents[TRAIN_IMAGES]
    path = tmp_path / TRAIN_IMAGES
    good = np.frombuffer(GOOD, np.uint8, offset=16).reshape(12, 4, 3)
    harmless = set()
    for bit in range(8 * len(archive)):
        damaged = bytearray(archive)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        array = accepted(lambda: IMAGES.read(path))
        if array is not None:
            np.testing.assert_array_equal(array, good)
            harmless.add(bit // 8)
    assert harmless <= set(range(3, 10))  # flags, time and system in the gzip header


def test_bomb_is_not_inflated(tmp_path: Path) -> None:
    import tracemalloc

    path = tmp_path / TRAIN_IMAGES
    path.write_bytes(packed(GOOD + bytes(50_000_000)))
    tracemalloc.start()
    try:
        with pytest.raises(DataError, match="more bytes"):
            IMAGES.read(path)
        assert tracemalloc.get_traced_memory()[1] < 5_000_000
    finally:
        tracemalloc.stop()


# --- Where files are looked for ---------------------------------------------------------------------------


def test_order_of_places(
    tmp_path: Path, cache: Path, published: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    published(TINY.source)
    given, environment = tmp_path / "given", tmp_path / "environment"
    given.mkdir()
    environment.mkdir()
    monkeypatch.setenv("SUPERMASK_DATA", str(environment))
    # From the last place to look in to the first: each new one wins.
    for place in (cache / "tiny", environment, environment / "tiny", given, given / "tiny"):
        TINY.write(place)
        assert load("tiny", data_dir=given, download=False).source == f"files in {place}"
    assert load("tiny", download=False).source == f"files in {environment / 'tiny'}"


@pytest.mark.parametrize("place", ["mine", "mine/tiny"])
def test_damage_is_not_passed_over(place: str, tmp_path: Path, cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    TINY.write(cache / "tiny")
    folder = TINY.write(tmp_path / place)
    (folder / TRAIN_IMAGES).write_bytes(b"gone")
    with pytest.raises(DataError, match="damaged or unreadable"):
        load("tiny", data_dir=tmp_path / "mine")


def test_other_sets_files_are_named(tmp_path: Path, published: Callable[..., None]) -> None:
    published(dataclasses.replace(TINY.source, lookalikes=OTHER.source.files))
    with pytest.raises(DataError, match=r"expected Tiny training images.*; found Other training images"):
        load("tiny", data_dir=OTHER.write(tmp_path / "mine"))


def test_half_a_set_is_refused(tmp_path: Path, cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    TINY.write(cache / "tiny")
    folder = TINY.write(tmp_path / "mine")
    (folder / TRAIN_IMAGES).unlink()
    with pytest.raises(DataError, match=f"a part of Tiny only; {TRAIN_IMAGES} not found"):
        load("tiny", data_dir=folder)


@pytest.mark.parametrize("variable", [True, False])
def test_folder_must_exist(
    variable: bool, tmp_path: Path, published: Callable[..., None], monkeypatch: pytest.MonkeyPatch
) -> None:
    published(TINY.source)
    folder = tmp_path / "mistyped"
    if variable:
        monkeypatch.setenv("SUPERMASK_DATA", str(folder))
    with pytest.raises(DataError, match="SUPERMASK_DATA says" if variable else "data_dir says"):
        load("tiny", data_dir=None if variable else folder)


def test_not_found(tmp_path: Path, cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    with pytest.raises(DataError, match="no download was allowed") as caught:
        load("tiny", data_dir=tmp_path, download=False)
    message = str(caught.value)
    assert all(name in message for name in TINY.contents)
    assert f"Looked in {tmp_path / 'tiny'}, {tmp_path}, {cache / 'tiny'}" in message
    assert "mnist5k and digits need no files" in message
    assert not cache.exists()


def test_damaged_cache_says_what_to_do(cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    (TINY.write(cache / "tiny") / TRAIN_IMAGES).write_bytes(b"")
    with pytest.raises(DataError, match="Delete that file to have it downloaded anew"):
        load("tiny")


# --- Downloads --------------------------------------------------------------------------------------------


@dataclasses.dataclass
class Web:
    """A server on this machine: what it has, and what it was asked for."""

    address: str
    pages: dict[str, bytes] = dataclasses.field(default_factory=dict)
    requests: list[str] = dataclasses.field(default_factory=list)


@pytest.fixture
def web() -> Iterator[Web]:
    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            page = shown.pages.get(self.path)
            shown.requests.append(self.path)
            self.send_response(404 if page is None else 200)
            self.send_header("Content-Length", str(len(page or b"")))
            self.end_headers()
            self.wfile.write(page or b"")

        def log_message(self, *arguments: object) -> None:
            pass

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        shown = Web(f"http://127.0.0.1:{server.server_port}")
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield shown
        server.shutdown()
        thread.join()


def test_download(
    web: Web,
    cache: Path,
    published: Callable[..., None],
    capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    log: list[object] = []
    monkeypatch.setattr(pooch.get_logger(), "handle", log.append)
    tiny = TINY.with_mirrors(f"{web.address}/down/", f"{web.address}/good/")
    published(tiny.source)
    web.pages = {f"/good/{name}": data for name, data in tiny.contents.items()}
    data = load("tiny")
    assert data.source == f"files in {cache / 'tiny'}"
    assert {path.name: path.read_bytes() for path in (cache / "tiny").iterdir()} == tiny.contents
    assert len(web.requests) == 8  # each file from the first mirror, in vain, then from the second
    assert load("tiny").digest == data.digest
    assert len(web.requests) == 8
    assert capfd.readouterr() == ("", "")
    assert log == []


def test_only_missing_files_are_downloaded(web: Web, cache: Path, published: Callable[..., None]) -> None:
    tiny = TINY.with_mirrors(f"{web.address}/")
    published(tiny.source)
    (tiny.write(cache / "tiny") / TRAIN_IMAGES).unlink()
    web.pages = {f"/{name}": data for name, data in tiny.contents.items()}
    load("tiny")
    assert web.requests == [f"/{TRAIN_IMAGES}"]


@pytest.mark.parametrize(
    ("page", "reason"),
    [
        (TINY.contents[TRAIN_IMAGES][:-1], "does not match the known hash"),
        (OTHER.contents[TRAIN_IMAGES], "does not match the known hash"),
        (b"<html>Please log in</html>", "does not match the known hash"),
        (TINY.contents[TRAIN_IMAGES] + bytes(200_000), "sent more than the .* bytes"),
    ],
    ids=["short", "other", "page", "long"],
)
def test_damaged_download_leaves_nothing(page: bytes, reason: str, web: Web, tmp_path: Path) -> None:
    web.pages[f"/{TRAIN_IMAGES}"] = page
    with pytest.raises(DataError, match=reason) as caught:
        fetch(IMAGES.archive, [f"{web.address}/"], tmp_path / "cache")
    assert f"{web.address}/{TRAIN_IMAGES}: " in str(caught.value)
    assert list((tmp_path / "cache").iterdir()) == []


def test_progress(web: Web, tmp_path: Path, capfd: pytest.CaptureFixture[str]) -> None:
    data = np.random.default_rng(0).bytes(1_000_000)
    web.pages["/big.bin"] = data
    path = fetch(Archive("big.bin", len(data), sha256(data)), [f"{web.address}/"], tmp_path, progress=True)
    assert path.read_bytes() == data
    lines = capfd.readouterr().err.splitlines()
    assert lines[-1] == "big.bin: 100% of 1.0 MB"
    assert len(lines) == len(set(lines)) == 10


def test_no_network(cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    with pytest.raises(DataError) as caught:
        load("tiny")
    message = str(caught.value)
    assert message.startswith(f"Tiny: {', '.join(TINY.contents)} cannot be downloaded, no mirror delivered it:")
    for mirror in NOWHERE:
        assert f"  {mirror}{TRAIN_IMAGES}: " in message
    assert "refused" in message
    assert f"put {', '.join(TINY.contents)} into {cache / 'tiny'}" in message
    assert "SUPERMASK_DATA" in message
    assert "mnist5k and digits need no files" in message


def test_no_place_for_downloads(cache: Path, published: Callable[..., None]) -> None:
    published(TINY.source)
    cache.write_text("a file where the cache should be")
    with pytest.raises(DataError, match="there is no place for it"):
        load("tiny")


# --- Files of records -------------------------------------------------------------------------------------

FOLDER = "tiny-bin"
RECORDS = np.random.default_rng(2).integers(0, 10, (9, 13), np.uint8)  # 9 records of 2 x 2 pixels in 3 colours
RECORD_SOURCE = RecordSource(
    "TinyColours",
    folder=FOLDER,
    train_files=("one.bin", "two.bin"),
    test_files=("test.bin",),
    per_file=3,
    image_shape=(2, 2, 3),
    train_sha256=records_digest(RECORDS[:6]),
    test_sha256=records_digest(RECORDS[6:]),
    archive=Archive("tiny-binary.tar.gz", 1, "0" * 64),
    mirrors=NOWHERE,
    remark="Not the pickles.",
)


def record_files(records: np.ndarray = RECORDS) -> dict[str, bytes]:
    names = ("one.bin", "two.bin", "test.bin")
    return {f"{FOLDER}/{name}": records[3 * n : 3 * n + 3].tobytes() for n, name in enumerate(names)}


def tar_bytes(files: dict[str, bytes], *extra: tarfile.TarInfo) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w") as tar:
        for member in extra:
            tar.addfile(member)
        for name, data in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(data)
            tar.addfile(member, io.BytesIO(data))
    return stream.getvalue()


def write_records(folder: Path, form: str, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    if form == "folder":
        (folder / FOLDER).mkdir(exist_ok=True)
        for name, data in files.items():
            (folder / name).write_bytes(data)
        return folder / FOLDER
    path = folder / f"tiny-binary.tar.{form}"
    path.write_bytes(packed(tar_bytes(files)) if form == "gz" else lzma.compress(tar_bytes(files)))
    return path


def read_records(path: Path, cache: Path) -> np.ndarray:
    """All images that are read, in one array."""
    train, test = RECORD_SOURCE.read([path], cache)
    return np.concatenate([train.images, test.images])


FORMS = pytest.mark.parametrize("form", ["gz", "xz", "folder"])


@FORMS
def test_records_are_read(form: str, tmp_path: Path, cache: Path, published: Callable[..., None]) -> None:
    published(RECORD_SOURCE, (4, 2, 3))
    write_records(tmp_path / "mine", form, record_files() | {f"{FOLDER}/readme.html": b"read me"})
    before = sorted((tmp_path / "mine").rglob("*"))
    data = load("tiny", data_dir=tmp_path / "mine")
    splits = (data.train, data.validation, data.test)
    assert [len(split) for split in splits] == [4, 2, 3]
    assert data.image_shape == (2, 2, 3)
    np.testing.assert_array_equal(np.concatenate([split.labels for split in splits]), RECORDS[:, 0])
    for number, image in enumerate(np.concatenate([split.images for split in splits])):
        for channel in range(3):
            plane = RECORDS[number, 1 + 4 * channel : 5 + 4 * channel]
            np.testing.assert_array_equal(image[..., channel].ravel(), plane)
    assert data.train.images.flags.c_contiguous
    assert not data.train.images.flags.writeable
    assert sorted((tmp_path / "mine").rglob("*")) == before
    assert cache.exists() == (form == "xz")


@given(train=st.permutations(range(6)), test=st.permutations(range(6, 9)), form=st.sampled_from(["gz", "xz", "folder"]))
@settings(deadline=None, max_examples=40)
def test_records_count_in_any_order(
    train: list[int], test: list[int], form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("records")
    shuffled = RECORDS[train + test]
    images = read_records(write_records(folder, form, record_files(shuffled)), folder / "cache")
    np.testing.assert_array_equal(images, shuffled[:, 1:].reshape(-1, 3, 2, 2).transpose(0, 2, 3, 1))


@given(
    record=st.integers(0, 8),
    place=st.integers(0, 12),
    change=st.integers(1, 255),
    form=st.sampled_from(["gz", "xz", "folder"]),
)
@settings(deadline=None, max_examples=40)
def test_any_changed_pixel_or_label_is_refused(
    record: int, place: int, change: int, form: str, tmp_path_factory: pytest.TempPathFactory
) -> None:
    folder = tmp_path_factory.mktemp("records")
    changed = RECORDS.copy()
    changed[record, place] ^= change
    path = write_records(folder, form, record_files(changed))
    part = "training" if record < 6 else "test"
    with pytest.raises(DataError, match=f"the . {part} records of TinyColours.*found other records"):
        read_records(path, folder / "cache")
    assert not (folder / "cache").exists()


def test_test_records_are_not_training_records(tmp_path: Path) -> None:
    path = write_records(tmp_path, "gz", record_files(np.roll(RECORDS, 3, axis=0)))
    with pytest.raises(DataError, match="found other records"):
        read_records(path, tmp_path)


@FORMS
def test_missing_file_is_refused(form: str, tmp_path: Path) -> None:
    files = record_files()
    del files[f"{FOLDER}/two.bin"]
    with pytest.raises(DataError, match=r"two\.bin"):
        read_records(write_records(tmp_path, form, files), tmp_path)


@FORMS
@pytest.mark.parametrize("length", [0, 38, 40, 100])
def test_wrong_length_is_refused(length: int, form: str, tmp_path: Path) -> None:
    files = record_files() | {f"{FOLDER}/two.bin": bytes(length)}
    with pytest.raises(DataError, match=r"39 bytes"):
        read_records(write_records(tmp_path, form, files), tmp_path)


def archive_with(member: tarfile.TarInfo) -> bytes:
    return packed(tar_bytes(record_files(), member))


def tar_member(kind: bytes, size: int) -> tarfile.TarInfo:
    """A member that stands where a file of records belongs."""
    member = tarfile.TarInfo(f"{FOLDER}/one.bin")
    member.type, member.size, member.linkname = kind, size, "/etc/passwd"
    return member


@pytest.mark.parametrize(
    ("data", "found"),
    [
        pytest.param(b"", "empty file", id="empty"),
        pytest.param(b"not gzip", "damaged or foreign file", id="text"),
        pytest.param(packed(b"not tar" * 200), "damaged or foreign file", id="no tar"),
        pytest.param(packed(tar_bytes({"cifar/data_batch_1": b"\x80\x04"})), "no member", id="other archive"),
        pytest.param(
            packed(tar_bytes({f"../{name}": data for name, data in record_files().items()})), "no member", id="outside"
        ),
        pytest.param(archive_with(tar_member(tarfile.SYMTYPE, 39)), "which is not a file", id="link"),
        pytest.param(archive_with(tar_member(tarfile.DIRTYPE, 0)), "of 0 bytes", id="folder"),
        pytest.param(
            packed(tar_bytes({f"{FOLDER}/junk": bytes(3_000_000)} | record_files())),
            "more than .* bytes when unpacked",
            id="bomb in front",
        ),
        pytest.param(
            packed(tar_bytes(record_files()) + bytes(3_000_000)), "more than .* bytes when unpacked", id="bomb behind"
        ),
    ],
)
def test_wrong_archive_is_refused(data: bytes, found: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny-binary.tar.gz"
    path.write_bytes(data)
    with pytest.raises(DataError, match=found) as caught:
        read_records(path, tmp_path)
    assert str(caught.value).startswith(f"{path}: expected the TinyColours archive")


@pytest.mark.parametrize(
    ("size", "found"),
    [(8**11 - 1, r"one\.bin of 8589934591 bytes"), (10**12, "a header with a number of bytes 80 00")],
)
def test_claimed_size_is_not_allocated(size: int, found: str, tmp_path: Path) -> None:
    path = tmp_path / "tiny-binary.tar.gz"
    path.write_bytes(packed(tar_member(tarfile.REGTYPE, size).tobuf(tarfile.GNU_FORMAT)))
    with pytest.raises(DataError, match=found):
        read_records(path, tmp_path)


@pytest.mark.parametrize("form", ["gz", "xz"])
def test_no_truncated_archive_is_accepted(form: str, tmp_path: Path) -> None:
    path = write_records(tmp_path, form, record_files())
    data = path.read_bytes()
    for length in range(len(data)):
        path.write_bytes(data[:length])
        assert accepted(lambda: read_records(path, tmp_path / "cache")) is None, length


@pytest.mark.parametrize("form", ["gz", "xz"])
def test_damaged_archive_is_refused_or_harmless(form: str, tmp_path: Path) -> None:
    path = write_records(tmp_path, form, record_files())
    data = path.read_bytes()
    good = read_records(path, tmp_path)
    for position in range(len(data)):
        for mask in (0x01, 0x80, 0xFF):
            damaged = bytearray(data)
            damaged[position] ^= mask
            path.write_bytes(damaged)
            images = accepted(lambda: read_records(path, tmp_path / "cache"))
            if images is not None:
                assert form == "gz"
                np.testing.assert_array_equal(images, good)


@given(junk=st.binary(max_size=600), place=st.integers(0, 1023), patch=st.binary(min_size=1, max_size=20))
@settings(deadline=None, max_examples=60)
def test_broken_tar_is_refused_or_harmless(
    junk: bytes, place: int, patch: bytes, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Past gzip's checksum: the tar headers themselves are overwritten."""
    path = tmp_path_factory.mktemp("tar") / "tiny-binary.tar.gz"
    tar = bytearray(tar_bytes(record_files()))
    tar[place : place + len(patch)] = patch
    good = RECORDS[:, 1:].reshape(-1, 3, 2, 2).transpose(0, 2, 3, 1)
    for data in (bytes(tar), junk + bytes(tar), bytes(tar) + junk):
        path.write_bytes(packed(data))
        images = accepted(lambda: read_records(path, path.parent))
        if images is not None:
            np.testing.assert_array_equal(images, good)


def test_unpacked_copy_serves_the_next_load(tmp_path: Path, cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = write_records(tmp_path, "xz", record_files())
    images = read_records(path, cache)
    (copy,) = (cache / "unpacked").iterdir()
    assert copy.read_bytes() == RECORDS.tobytes()

    def fail(*arguments: object) -> None:
        raise AssertionError("the archive was unpacked again")

    with monkeypatch.context() as patched:
        patched.setattr(RecordSource, "_read_archive", fail)
        np.testing.assert_array_equal(read_records(path, cache), images)
    # Another order is another archive, with a copy of its own.
    shuffled = RECORDS[[2, 1, 0, 5, 4, 3, 8, 7, 6]]
    write_records(tmp_path, "xz", record_files(shuffled))
    assert not np.array_equal(read_records(path, cache), images)
    assert len(list((cache / "unpacked").iterdir())) == 2


@pytest.mark.parametrize("damage", [b"", b"\0" * RECORDS.size, RECORDS.tobytes()[:-1]], ids=["empty", "zeros", "short"])
def test_damaged_copy_is_replaced(damage: bytes, tmp_path: Path, cache: Path) -> None:
    path = write_records(tmp_path, "xz", record_files())
    images = read_records(path, cache)
    (copy,) = (cache / "unpacked").iterdir()
    copy.write_bytes(damage)
    np.testing.assert_array_equal(read_records(path, cache), images)
    assert copy.read_bytes() == RECORDS.tobytes()


@pytest.mark.parametrize("obstacle", ["cache", "cache/unpacked"])
def test_cache_that_cannot_be_written_is_no_matter(obstacle: str, tmp_path: Path) -> None:
    (tmp_path / obstacle).parent.mkdir(exist_ok=True)
    (tmp_path / obstacle).write_text("in the way")
    path = write_records(tmp_path / "mine", "xz", record_files())
    assert len(read_records(path, tmp_path / "cache")) == 9


def test_pickles_are_not_read(tmp_path: Path, published: Callable[..., None]) -> None:
    source = DATASETS["cifar10"].source
    assert isinstance(source, RecordSource)
    published(source)
    (tmp_path / "cifar-10-python.tar.gz").write_bytes(b"pickles")
    with pytest.raises(DataError, match=r"cifar-10-python\.tar\.gz: it holds pickles"):
        load("tiny", data_dir=tmp_path, download=False)


# --- The full sets, where they are ------------------------------------------------------------------------


def need_full(name: str) -> Path:
    source = DATASETS[name].source
    assert not isinstance(source, EmbeddedSource)
    folder = Path(FULL or "")
    if not FULL or all(None in source.find(place) for place in (folder / name, folder)):
        pytest.skip(f"needs full {source.title}: set SUPERMASK_DATA to a folder that has it")
    return folder


@pytest.mark.parametrize("name", ["mnist", "fashion-mnist"])
def test_full_mnist(name: str) -> None:
    data = load(name, data_dir=need_full(name), download=False)
    assert tuple(len(split) for split in (data.train, data.validation, data.test)) == DATASETS[name].sizes
    assert data.image_shape == (28, 28, 1)
    assert data.train.images.max() == data.maximum
    assert data.digest == DIGESTS.get(name, data.digest)


def test_full_mnist_is_not_fashion_mnist(tmp_path: Path) -> None:
    mnist, source = need_full("mnist"), DATASETS["mnist"].source
    assert isinstance(source, IdxSource)
    place = mnist / "mnist" if None in source.find(mnist) else mnist
    (tmp_path / "fashion-mnist").symlink_to(place, target_is_directory=True)
    with pytest.raises(DataError, match=r"expected Fashion-MNIST training images.*; found MNIST training images"):
        load("fashion-mnist", data_dir=tmp_path)


def test_mnist5k_is_in_full_mnist() -> None:
    full, small = load("mnist", data_dir=need_full("mnist"), download=False), load("mnist5k")
    theirs = {(i.tobytes(), int(n)) for i, n in zip(full.train.images, full.train.labels, strict=True)}
    for split in (small.train, small.validation, small.test):
        assert all((i.tobytes(), int(n)) in theirs for i, n in zip(split.images, split.labels, strict=True))


@pytest.mark.slow
def test_full_cifar10(cache: Path) -> None:
    folder = need_full("cifar10")
    data = load("cifar10", data_dir=folder, download=False)
    again = load("cifar10", data_dir=folder, download=False)  # from the unpacked copy, if it is a .tar.xz
    assert data.digest == again.digest
    assert tuple(len(split) for split in (data.train, data.validation, data.test)) == DATASETS["cifar10"].sizes
    training = np.concatenate([data.train.images, data.validation.images])
    # The mean colour that everybody subtracts tells that channels and pixels are where they belong.
    np.testing.assert_allclose(training.mean((0, 1, 2)) / 255, [0.49139968, 0.48215841, 0.44653091], atol=1e-8)
    np.testing.assert_array_equal(np.bincount(data.test.labels), 1_000)
    shutil.rmtree(cache, ignore_errors=True)  # pytest would keep these 184 MB
