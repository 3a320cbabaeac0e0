"""Whatever is typed or read, only documented errors come out: one line and an exit status."""

import gzip
import io
import tempfile
from contextlib import redirect_stderr, redirect_stdout, suppress
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from supermask import datasets
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.running.cluster.source import parse_source
from supermask.analysis.running.units import parse_shard
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.studies.rates import parse_rates
from supermask.analysis.system.errors import UsageError
from supermask.compression.file import CompressedError, decompress
from supermask.datasets import DataError
from supermask.figures.catalogue import CATALOGUE
from supermask.packed import PackedError, unpack

# What an argument of a process can be: any text without NUL that the file system's encoding can say.
TEXT = st.text(st.characters(exclude_characters="\0", exclude_categories=["Cs"]), max_size=20)
NUMBERS = st.sampled_from(
    ["0", "1", "-1", "3", "1e9", "nan", "inf", "-inf", "0x10", "99999999999999999999", "1_0", "٣"]
)
WORDS = st.sampled_from(
    [
        *("quick", "short", "paper", "fc", "conv2", "lenet5", "digits", "mnist5k", "random", "large_final", "rewind"),
        *("local", "1/2", "3/2", "tcp://x:1", "dense=0.2", "dense=nan", "output=1", "criterion=random", *CATALOGUE),
    ]
)
VALUES = TEXT | NUMBERS | WORDS
OPTIONS = st.sampled_from(
    [
        *("--protocol", "--network", "--seeds", "--rounds", "--epochs", "--mask-epochs", "--sparse-epochs", "--rates"),
        *("--criteria", "--show", "--dataset", "--data-dir", "--shard", "--cluster", "--dry-run", "--devices"),
        *("--plugin", "--where", "--csv", "--merge", "--verify", "--sample", "--port", "--output", "--", "-", "--help"),
    ]
)
COMMANDS = [
    "reproduce",
    "report",
    "results",
    "figures",
    "check-plugin",
    "pack",
    "unpack",
    "evaluate",
    "infer",
    "explore",
    "bench",
]


@pytest.fixture(scope="module")
def harmless():
    """The command in an empty folder, without what would train, serve or write elsewhere."""
    with pytest.MonkeyPatch.context() as patch, tempfile.TemporaryDirectory() as folder:
        patch.chdir(folder)
        patch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
        patch.setattr("supermask.analysis.command.reproduce.reproduce", lambda request, dry_run: OK)
        patch.setattr("supermask.analysis.command.reproduce.report", lambda *arguments: OK)
        patch.setattr("supermask.analysis.command.reproduce.list_figures", lambda *arguments: OK)
        patch.setattr("supermask.analysis.explorer.explore.explore", lambda request: OK)
        patch.setattr("supermask.analysis.command.bench.run.bench", lambda *arguments: OK)
        yield Path(folder)


@settings(max_examples=400)
@given(st.sampled_from(COMMANDS) | TEXT, st.lists(OPTIONS | VALUES, max_size=7))
def test_whatever_is_typed(harmless, command, arguments):
    said = io.StringIO()
    with redirect_stderr(said), redirect_stdout(io.StringIO()):
        try:
            status = run_command([command, *arguments], CATALOGUE)
        except SystemExit as ended:  # help and version
            status = ended.code
    assert status in (OK, FAILED, MISUSED, None)
    if status in (FAILED, MISUSED):
        assert said.getvalue().startswith("supermask: error: ")


@given(st.floats(), st.integers(), st.floats(), st.dictionaries(st.sampled_from(["conv", "dense", "x"]), st.floats()))
def test_whatever_a_protocol_is_changed_to(epochs, seeds, mask_epochs, rates):
    try:
        changed = protocol("quick", "fc", Changes(None, seeds, None, epochs, rates, mask_epochs))
    except UsageError:
        return
    assert 0 <= changed.epochs <= 1e6
    assert 1 <= changed.seeds <= 10_000
    assert all(0 <= getattr(changed.rates, kind) < 1 for kind in ("conv", "dense", "output"))


@given(TEXT)
def test_whatever_stands_for_a_shard_rates_or_a_cluster(harmless, text):
    for parse in (parse_shard, parse_rates, parse_source):
        with suppress(UsageError):
            parse(text)


CLUSTER = st.recursive(
    st.booleans() | st.integers(-5, 5) | TEXT.map(lambda text: text.replace("\\", "").replace('"', "")),
    lambda inner: st.lists(inner, max_size=2),
    max_leaves=3,
)


@given(
    st.dictionaries(st.sampled_from(["kind", "workers", "devices", "x"]), CLUSTER, max_size=3)
    | st.just({"kind": "slurm", "workers": 2}),
    st.dictionaries(st.sampled_from(["cores", "memory", "queue", "name", "image", "address"]), CLUSTER, max_size=3),
)
def test_whatever_a_cluster_file_says(harmless, top, options):
    lines = [f"{name} = {toml(value)}" for name, value in top.items()]
    lines += ["[options]", *(f"{name} = {toml(value)}" for name, value in options.items())]
    path = harmless / "cluster.toml"
    path.write_text("\n".join(lines))
    try:
        source = parse_source(str(path))
    except UsageError:
        return
    assert source.kind in ("local", "scheduler", "slurm", "kubernetes")


def toml(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, list):
        return f"[{', '.join(map(toml, value))}]"
    return str(value) if isinstance(value, int) else f'"{value}"'


IDX_NAMES = ("train-images-idx3-ubyte", "train-labels-idx1-ubyte", "t10k-images-idx3-ubyte", "t10k-labels-idx1-ubyte")
HEADERS = st.sampled_from(
    [b"", b"\0\0\x08\x03", b"\0\0\x08\x01", b"\0\0\x08\x03\0\0\xea\x60\0\0\0\x1c\0\0\0\x1c", b"\xff" * 20, b"\x1f\x8b"]
)


@given(st.lists(st.tuples(HEADERS, st.binary(max_size=60), st.booleans()), min_size=4, max_size=4))
def test_whatever_lies_where_idx_files_should(harmless, contents):
    folder = harmless / "mnist"
    folder.mkdir(exist_ok=True)
    for name, (header, rest, zipped) in zip(IDX_NAMES, contents, strict=True):
        for each in (folder / name, folder / f"{name}.gz"):
            each.unlink(missing_ok=True)
        (folder / (f"{name}.gz" if zipped else name)).write_bytes(
            gzip.compress(header + rest) if zipped else header + rest
        )
    with pytest.raises(DataError):
        datasets.load("mnist", data_dir=folder, download=False)


@given(st.sampled_from(["cifar-10-binary.tar.gz", "cifar-10-binary.tar.xz"]), st.binary(max_size=200), st.booleans())
def test_whatever_lies_where_an_archive_should(tmp_path_factory, name, content, zipped):
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / name).write_bytes(gzip.compress(content) if zipped else content)
        with pytest.raises(DataError):
            datasets.load("cifar10", data_dir=Path(folder), download=False)


@given(st.binary(max_size=300), st.sampled_from([b"", b"SMASK", b"\x89SMASK\r\n", b"SDEEP"]))
def test_whatever_is_unpacked(content, magic):
    with pytest.raises(PackedError):
        unpack(magic + content)
    with pytest.raises(CompressedError):
        decompress(magic + content)
