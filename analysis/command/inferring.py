"""The command `infer`: times a compressed network on single images and one core, as it is and as a dense one."""

import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pandas as pd
from threadpoolctl import threadpool_limits

from supermask import datasets
from supermask.analysis.system.errors import StoreError, UsageError, at_least, choose
from supermask.analysis.system.files import FileKind, check_output, read_at_most, replacing
from supermask.analysis.system.screen import Screen, print_table
from supermask.analysis.system.words import count
from supermask.compression.file import CompressedError, decompress
from supermask.compression.inference import ENGINES, InferenceEngine
from supermask.compression.quantisation import Quantised

MAXIMUM_FILE = 1 << 24
"""Bytes; dense LeNet-5 as float32 has a tenth of that."""

TIMES_CSV = FileKind.starting("a table of times", b"image,engine,")

COLUMNS = ("engine", "µs an image", "as fast as dense", "multiplications", "bytes of weights")

EIE = (
    "For context, never as ours: the chip EIE, in 45 nm, was published as 13 times as fast as a GPU on the dense "
    "network's products, at a 3,400th of its energy (Han et al. 2016, arXiv 1602.01528, abstract; simulated)."
)


def infer(path: Path, dataset: str, data_dir: Path | None, images: int, repeats: int, csv: Path | None) -> None:
    """Print the cost of an image with every engine: median time, multiplications and bytes of weights.

    Raises UsageError for an argument that is not allowed, StoreError for a damaged file, DataError where there are no
    data.
    """
    if not datasets.is_path(dataset):
        choose("dataset", dataset, datasets.DATASETS)
    at_least("images", images, 1)
    at_least("repeats", repeats, 1)
    if csv is not None:
        check_output("csv", csv, TIMES_CSV)
    network, quantised = _read(path)
    data = datasets.load(dataset, data_dir=data_dir, progress=False)
    pixels, inputs = int(np.prod(data.image_shape)), len(quantised.codes[min(quantised.codes)])
    if pixels != inputs:
        raise UsageError(f"dataset is {dataset!r}, with {pixels} pixels an image; {path} reads {inputs}")
    outputs = len(quantised.biases["output"])
    if data.classes != outputs:
        raise UsageError(f"dataset is {dataset!r}, with {data.classes} classes; {path} tells {outputs} apart")
    if images > len(data.test):
        raise UsageError(f"images is {images}; allowed: 1 to {len(data.test)}, the test images of {data.name}")
    chosen = (data.test.images[:images] / data.maximum).astype(np.float32)
    console = Screen()
    with one_core():
        runners = [InferenceEngine(quantised, engine) for engine in ENGINES]
        right = _agreed(runners, chosen, data.test.labels[:images])
        with console.status(f"{count(images, 'image')}, {count(repeats, 'time')} each"):
            table = measured(runners, chosen, repeats)
    title = f"{path.name}: {network}, {path.stat().st_size:,} bytes; {count(images, 'image')} of {data.name}"
    print_table(console, title, COLUMNS, _rows(table))
    console.print(f"accuracy on these images: {100 * right:.1f}%, by every engine; one core, one image at a time")
    console.print(EIE)
    if csv is not None:
        with replacing(csv) as part:
            table.to_csv(part, index=False)


@contextmanager
def one_core() -> Iterator[None]:
    """Restrict this process to one core, if the system allows that, and to one thread for matrix products."""
    chosen = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else set()
    with threadpool_limits(limits=1):
        if chosen:
            os.sched_setaffinity(0, {max(chosen)})
        try:
            yield
        finally:
            if chosen:
                os.sched_setaffinity(0, chosen)


def measured(runners: Sequence[InferenceEngine], images: np.ndarray, repeats: int) -> pd.DataFrame:
    """Return one row per (image, engine): median seconds, multiplications, bytes of weights read. Engines alternate."""
    rows = []
    for at, image in enumerate(images):
        for runner in runners:
            rows.append({"image": at, "engine": runner.engine} | asdict(runner.cost(image, repeats)))
    return pd.DataFrame(rows)


def _agreed(runners: Sequence[InferenceEngine], images: np.ndarray, labels: np.ndarray) -> float:
    """Return the accuracy of all engines. Raises AssertionError if one computes something else."""
    outputs = [np.stack([runner.logits(image) for image in images]) for runner in runners]
    for runner, own in zip(runners, outputs, strict=True):
        if not np.allclose(own, outputs[0], rtol=1e-4, atol=1e-4):
            raise AssertionError(f"engine {runner.engine} does not compute what {runners[0].engine} does")
    return float(np.mean(outputs[0].argmax(axis=1) == labels))


def _rows(table: pd.DataFrame) -> list[tuple[str, ...]]:
    dense = table[table["engine"] == "dense"].set_index("image")["seconds"]
    rows: list[tuple[str, ...]] = []
    for engine, own in table.groupby("engine", sort=False):
        times = dense / own.set_index("image")["seconds"]
        rows.append(
            (
                str(engine),
                f"{1e6 * own['seconds'].median():.1f}",
                f"{times.median():.2f}× ({times.min():.2f}–{times.max():.2f})",
                f"{own['products'].mean():,.0f}",
                f"{own['bytes_read'].mean():,.0f}",
            )
        )
    return rows


def _read(path: Path) -> tuple[str, Quantised]:
    content = read_at_most(path, MAXIMUM_FILE)
    try:
        network, quantised = decompress(content)
    except CompressedError as error:
        raise StoreError(f"{path}: {error}") from None
    if any(np.ndim(codes) != 2 for codes in quantised.codes.values()):
        raise UsageError(
            f"file {path} is of {network}, with convolutions; allowed: networks of dense layers, such as fc"
        )
    numbers = (*quantised.codebooks.values(), *quantised.biases.values())
    if not all(np.isfinite(np.asarray(each)).all() for each in numbers):
        raise UsageError(f"file {path} has weights or biases that are no finite numbers: its training diverged")
    return network, quantised
