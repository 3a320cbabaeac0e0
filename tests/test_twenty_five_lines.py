"""The first day: a stranger's script in each module system, of 25 lines, and masks read with NumPy alone."""

import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import supermask as sm

PAGE = Path(__file__).parent.parent / "docs" / "twenty-five-lines.md"
*SCRIPTS, READER = re.findall(r"```python\n(.*?)```", PAGE.read_text(encoding="utf-8"), flags=re.S)
SYSTEMS = ("nnx", "linen", "equinox", "haiku")


@pytest.mark.parametrize(
    "number", [0, *(pytest.param(other, marks=pytest.mark.slow) for other in range(1, len(SYSTEMS)))], ids=SYSTEMS
)
def test_a_script_prunes_rewinds_retrains_and_saves_what_numpy_alone_reads(number, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    script = SCRIPTS[number]
    assert len([line for line in script.splitlines() if line.strip()]) <= 25
    space: dict[str, object] = {}
    exec(compile(script, SYSTEMS[number], "exec"), space)  # noqa: S102
    masks = sm.read_masks("masks.safetensors")
    assert len(masks) == 3
    for mask in masks.values():
        kept = mask.size
        for _ in range(3):
            kept -= kept // 5
        assert mask.sum() == kept
    read = READER + "np.savez('read.npz', **masks)\nimport sys; assert 'jax' not in sys.modules"
    assert subprocess.run([sys.executable, "-c", read], timeout=60).returncode == 0
    with np.load("read.npz") as arrays:
        assert set(arrays) == set(masks)
        for path, mask in masks.items():
            np.testing.assert_array_equal(arrays[path], mask)
