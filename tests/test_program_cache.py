"""The cache of compiled programs: what a kill left half written is removed, and whole entries are read once."""

import os
import random
import subprocess
import sys
import zlib
from pathlib import Path

import pytest

from supermask.analysis.system import program_cache
from supermask.analysis.system.program_cache import remove_torn

ENTRY = zlib.compress(random.Random(0).randbytes(20_000))  # noqa: S311
TORN = [b"", ENTRY[:1], ENTRY[:9000], ENTRY[:-1], bytes(len(ENTRY)), ENTRY[:9000] + bytes(11_000)]


def entry(cache: Path, name: str, content: bytes) -> Path:
    path = cache / f"{name}-cache"
    path.write_bytes(content)
    return path


@pytest.mark.parametrize("torn", TORN, ids=range(len(TORN)))
def test_torn_entries_go_and_whole_ones_stay(tmp_path, torn):
    whole, other = entry(tmp_path, "whole", ENTRY), entry(tmp_path, "zstandard", b"\x28\xb5\x2f\xfd and more")
    note = tmp_path / "a note of the user's"
    note.write_text("torn")
    gone = entry(tmp_path, "torn", torn)
    assert remove_torn(tmp_path) == 1
    assert not gone.exists()
    assert whole.read_bytes() == ENTRY
    assert other.exists()
    assert note.exists()
    assert remove_torn(tmp_path) == 0


def test_an_entry_is_read_once(tmp_path, monkeypatch):
    read = []
    monkeypatch.setattr(program_cache, "_is_whole", lambda content: read.append(content) or True)
    old = entry(tmp_path, "old", ENTRY)
    os.utime(old, (1e9, 1e9))
    entry(tmp_path, "new", ENTRY)
    remove_torn(tmp_path)
    assert len(read) == 2
    remove_torn(tmp_path)
    assert len(read) == 3, "what is as old as the last check, or nearly, may have been written after it"
    os.utime(entry(tmp_path, "later", ENTRY), (3e9, 3e9))
    remove_torn(tmp_path)
    assert len(read) == 5
    remove_torn(tmp_path)
    assert len(read) == 6


def test_a_cache_that_cannot_be_read_or_written_is_left(tmp_path):
    assert remove_torn(tmp_path / "none") == 0
    (tmp_path / "a folder-cache").mkdir()
    (tmp_path / "checked").mkdir()
    assert remove_torn(tmp_path) == 0


PROGRAM = """
from supermask.analysis.system.platform import set_up_jax
set_up_jax(1)
import jax
print(float(jax.jit(lambda x: (x * 3 + 1).sum())(jax.numpy.arange(7.0))))
"""


@pytest.mark.slow
def test_a_torn_program_is_compiled_again_without_a_word(tmp_path):
    environment = {name: value for name, value in os.environ.items() if name != "JAX_COMPILATION_CACHE_DIR"}
    environment |= {"HOME": str(tmp_path), "XDG_CACHE_HOME": str(tmp_path / "cache")}

    def run() -> subprocess.CompletedProcess[str]:
        command = [sys.executable, "-c", PROGRAM]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=environment)

    run()
    entries = sorted((tmp_path / "cache").rglob("*-cache"))
    assert entries
    before = {path: path.read_bytes() for path in entries}
    for path in entries:
        path.write_bytes(before[path][: len(before[path]) // 2])
    again = run()
    assert (again.stdout, again.stderr) == ("70.0\n", "")
    for path in entries:
        assert zlib.decompress(path.read_bytes()), "it is whole again"
