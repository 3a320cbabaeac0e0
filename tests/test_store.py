"""The results folder: whole results or none, nothing lost, nothing damaged taken for good."""

import math
import os
import sqlite3
import subprocess
import sys
from contextlib import closing
from pathlib import Path
from types import SimpleNamespace

import jax
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import supermask
from supermask.analysis.kinds.rounds import decode_round, decode_round_zero, encode
from supermask.analysis.store.identity import identity
from supermask.analysis.store.provenance import PACKAGES, provenance
from supermask.analysis.store.store import Result, Store
from supermask.analysis.system.errors import StoreError, UsageError
from supermask.evaluation import Scores
from supermask.lottery import RoundRecord
from supermask.named_members import BUILT_IN
from supermask.restarts import Start, Treatment
from supermask.training import Trained

MADE_WITH = {"supermask": "test"}


def result(number: int = 0, accuracy: float = 0.5) -> Result:
    arrays = {"w": np.arange(number + 1, dtype=np.float32)}
    return Result({"number": number}, {"test_accuracy": accuracy}, arrays, 1.0)


def test_what_is_stored_comes_back(results_folder):
    with Store(results_folder) as store:
        store.add([result(3, 0.25), result(4, math.nan)], MADE_WITH)
    with Store(results_folder) as store:
        first, second, third = (identity({"number": n}) for n in (3, 4, 5))
        assert store.known([first, second, third]) == {first, second}
        assert store.metrics(first) == {"test_accuracy": 0.25}
        assert math.isnan(store.metrics(second)["test_accuracy"]), "a diverged training is a result"
        np.testing.assert_array_equal(store.arrays(first)["w"], np.arange(4))
        assert store.provenance([first]) == [MADE_WITH]
        with pytest.raises(StoreError, match="is not in"):
            store.metrics(third)


def test_more_ids_than_a_query_takes(results_folder):
    with Store(results_folder) as store:
        store.add([Result({"n": n}, {}, None, 0.0) for n in range(1300)], MADE_WITH)
        ids = {identity({"n": n}) for n in range(1300)}
        assert store.known([*ids, "another"]) == ids


def test_a_result_that_is_there_is_left_as_it_is(results_folder):
    with Store(results_folder) as store:
        store.add([result(1, 0.5)], MADE_WITH)
        store.add([result(1, 0.9)], {"supermask": "later"})
        assert store.metrics(identity({"number": 1})) == {"test_accuracy": 0.5}


@given(st.data())
def test_a_damaged_arrays_file_is_refused_by_name(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("damaged")
    with Store(folder) as store:
        store.add([result(40)], MADE_WITH)
        (path,) = (folder / "arrays").rglob("*.safetensors")
        content = bytearray(path.read_bytes())
        place = data.draw(st.integers(0, len(content) - 1))
        if data.draw(st.booleans()):
            content[place] ^= data.draw(st.integers(1, 255))
        else:
            del content[place:]
        path.write_bytes(content)
        with pytest.raises(StoreError, match=r"\.safetensors is damaged: SHA-256 \w{64} expected"):
            store.arrays(identity({"number": 40}))
        path.unlink()
        with pytest.raises(StoreError, match="cannot be read"):
            store.arrays(identity({"number": 40}))


def test_a_damaged_record_is_refused_by_name(results_folder):
    with Store(results_folder) as store:
        store.add([result(1)], MADE_WITH)
    id_ = identity({"number": 1})
    with closing(sqlite3.connect(results_folder / "results.sqlite")) as database, database:
        database.execute("UPDATE results SET metrics = replace(metrics, '0.5', '0.9')")
    with Store(results_folder, for_reading=True) as store:
        for read in (store.metrics, store.arrays, store.get):
            with pytest.raises(StoreError, match=f"record {id_} in .* is damaged: not what was stored"):
                read(id_)


def test_a_foreign_file_is_refused(results_folder):
    results_folder.mkdir()
    (results_folder / "results.sqlite").write_bytes(b"not a database at all" * 100)
    with pytest.raises(StoreError, match="cannot be used as a results file"):
        Store(results_folder)


def test_a_later_format_is_refused_and_left_alone(results_folder):
    with Store(results_folder) as store:
        store.add([result()], MADE_WITH)
    with sqlite3.connect(results_folder / "results.sqlite") as database:
        database.execute("PRAGMA user_version = 99")
    database.close()
    with pytest.raises(StoreError, match="has format 99; this version of supermask reads 1"):
        Store(results_folder)


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(UsageError, match=r"results/arrays' is no folder: .*/file is something else"):
        Store(tmp_path / "file" / "results")


def test_two_processes_can_open_a_new_folder_at_once(results_folder):
    program = (
        "import sys; from pathlib import Path; from supermask.analysis.store.store import Store; "
        "Store(Path(sys.argv[1]))"
    )
    processes = [subprocess.Popen([sys.executable, "-c", program, str(results_folder)]) for _ in range(3)]
    assert [process.wait(60) for process in processes] == [0, 0, 0]


KILLED = """
import os, sys
from pathlib import Path
import supermask.analysis.store.store as module
from supermask.analysis.store.store import Store
sys.path.insert(0, {tests!r})
from test_store import MADE_WITH, result

calls, die_at = 0, int(sys.argv[2])
def fsync(descriptor, real=os.fsync):
    global calls
    calls += 1
    if calls == die_at:
        os.kill(os.getpid(), 9)
    real(descriptor)
module.os.fsync = fsync
with Store(Path(sys.argv[1])) as store:
    store.add([result(0), result(1)], MADE_WITH)
    store.add([result(2), result(3)], MADE_WITH)
"""


@pytest.mark.parametrize("die_at", [1, 2, 3, 5, 6, 7, 10])  # a population syncs two files and three folders
def test_a_kill_while_writing_leaves_whole_populations(results_folder, die_at):
    program = KILLED.format(tests=str(Path(__file__).parent))
    process = subprocess.run([sys.executable, "-c", program, str(results_folder), str(die_at)], timeout=60)
    assert process.returncode == -9
    with Store(results_folder) as store:
        ids = [identity({"number": n}) for n in range(4)]
        whole = ids[: 2 * ((die_at - 1) // 5)]
        assert store.known(ids) == set(whole)
        for id_ in whole:
            store.arrays(id_)
        store.add([result(n) for n in range(4)], MADE_WITH)
        assert store.known(ids) == set(ids)


def test_provenance_names_every_version():
    made_with = provenance()
    assert set(PACKAGES) | {"python", "supermask", "commit", "backend", "device"} <= set(made_with)
    assert made_with["devices"] == 2


def test_provenance_names_the_checkouts_commit_and_whether_files_differ_from_it(tmp_path, monkeypatch):
    package = tmp_path / "supermask" / "__init__.py"
    package.parent.mkdir()
    package.write_text("")
    monkeypatch.setattr(supermask, "__file__", str(package))
    own = {"GIT_AUTHOR_NAME": "a", "GIT_AUTHOR_EMAIL": "a@b", "GIT_COMMITTER_NAME": "a", "GIT_COMMITTER_EMAIL": "a@b"}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(tmp_path), *arguments]
        return subprocess.run(command, capture_output=True, text=True, check=True, env=os.environ | own).stdout.strip()

    assert provenance.__wrapped__()["commit"] is None, "no checkout"
    git("init", "--quiet")
    assert provenance.__wrapped__()["commit"] is None, "a checkout of nothing"
    git("add", ".")
    git("commit", "--quiet", "--message", "first")
    assert provenance.__wrapped__()["commit"] == git("rev-parse", "HEAD")
    package.write_text("changed = True")
    assert provenance.__wrapped__()["commit"] == git("rev-parse", "HEAD") + "+"


def test_provenance_names_the_first_device_and_how_many_there_are(monkeypatch):
    devices = [SimpleNamespace(platform=f"platform {n}", device_kind=f"kind {n}") for n in range(3)]
    monkeypatch.setattr(jax, "local_devices", lambda: devices)
    made_with = provenance.__wrapped__()
    assert [made_with[name] for name in ("backend", "device", "devices")] == ["platform 0", "kind 0", 3]


@pytest.mark.parametrize(
    ("said", "devices", "threads"),
    [(None, 1, 5), (None, 6, 6), ("3", 1, 3), ("3", 4, 4), ("many", 1, 5), ("", 2, 5), ("9" * 5000, 1, 5)],
)
def test_provenance_has_the_number_of_xlas_threads(said, devices, threads, monkeypatch):
    """On a CPU products are split over them, which changes the last bits. XLA has one for each device at least."""
    monkeypatch.setattr("supermask.cores.cores", lambda: 5)
    there = [SimpleNamespace(platform="cpu", device_kind="x")] * devices
    monkeypatch.setattr(jax, "local_devices", lambda: there)
    if said is None:
        monkeypatch.delenv("NPROC", raising=False)
    else:
        monkeypatch.setenv("NPROC", said)
    assert provenance.__wrapped__()["threads"] == threads
    there[0] = SimpleNamespace(platform="gpu", device_kind="x")
    assert "threads" not in provenance.__wrapped__()


def test_provenance_names_the_compilers_flags(monkeypatch):
    """They may change rounding, as another processor may: a folder that mixes them says so, result by result."""
    flags = "--xla_cpu_enable_fast_math=true"
    monkeypatch.setenv("XLA_FLAGS", "")
    without = provenance.__wrapped__()
    assert "xla_flags" not in without
    monkeypatch.setenv("XLA_FLAGS", flags)
    assert provenance.__wrapped__() == without | {"xla_flags": flags}


def test_an_identity_is_the_same_in_every_process():
    description = {"b": 0.1, "a": [1, {"z": None}], "ü": "×"}
    program = f"from supermask.analysis.store.identity import identity; print(identity({description!r}))"
    environment = os.environ | {"PYTHONHASHSEED": "7", "PYTHONIOENCODING": "utf8"}
    output = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=environment, check=True
    )
    assert output.stdout.strip() == identity(dict(reversed(description.items())))


ARRAYS = hnp.arrays(np.float32, (6, 4), elements=st.floats(width=32))
MASKS = hnp.arrays(bool, (6, 4))
FROZEN = st.sampled_from(["zero", "initial", "some of each", "neither"])


@given(ARRAYS, ARRAYS, MASKS, MASKS, FROZEN)
def test_a_rounds_weights_survive_storage_to_the_bit(initial, trained, mask, at_zero, frozen):
    values = {
        "zero": np.zeros_like(initial),
        "initial": initial,
        "some of each": np.where(at_zero, np.float32(0), initial),
        "neither": trained[::-1],
    }
    final = {"output": {"kernel": np.where(mask, trained, values[frozen]), "bias": trained[0]}}
    start = {"output": {"kernel": initial, "bias": np.zeros(4, np.float32)}}
    record = RoundRecord(Treatment(), 0, 1, Start({"output": mask}, final), outcome(final))
    masks, kernels, zeroed, params = decode_round(encode(record, start), {"output": initial})
    assert [params["output"][name].tobytes() for name in ("kernel", "bias")] == [
        final["output"][name].tobytes() for name in ("kernel", "bias")
    ]
    np.testing.assert_array_equal(masks["output"], mask)
    assert kernels["output"].tobytes() == final["output"]["kernel"].tobytes()
    assert not zeroed, "no action of this treatment asks for them"
    zero = RoundRecord(None, 0, 0, Start({"output": mask}, start), outcome(final))
    for stored, given_params in zip(decode_round_zero(encode(zero, start)), (start, final), strict=True):
        assert stored["output"]["kernel"].tobytes() == given_params["output"]["kernel"].tobytes()
        assert stored["output"]["bias"].tobytes() == given_params["output"]["bias"].tobytes()


@given(ARRAYS, MASKS, MASKS)
def test_where_a_round_started_weights_at_zero_survives_storage(initial, mask, at_zero):
    started = {"output": {"kernel": np.where(at_zero, np.float32(0), initial), "bias": np.zeros(4, np.float32)}}
    start = {"output": {"kernel": initial, "bias": np.zeros(4, np.float32)}}
    treatment = BUILT_IN.treatment(kept="rewind_or_zero")
    record = RoundRecord(treatment, 0, 1, Start({"output": mask}, started), outcome(started))
    zeroed = decode_round(encode(record, start), {"output": initial}).zeroed
    expected = mask & at_zero & (initial != 0)
    np.testing.assert_array_equal(zeroed.get("output", np.zeros_like(mask)), expected)
    assert ("output" in zeroed) == expected.any()


def outcome(params) -> Trained:
    scores = Scores(np.asarray(1.0, np.float32), np.asarray(0.5, np.float32))
    curve = np.zeros(2, np.float32)
    return Trained(params, 0, scores, scores, scores, scores, curve.astype(np.int32), curve, curve)


def test_pruned_rounds_take_little_room(results_folder):
    random = np.random.default_rng(0)
    initial, mask = random.normal(size=(784, 300)).astype(np.float32), random.random((784, 300)) < 0.01
    final = {"output": {"kernel": np.where(mask, initial, 0).astype(np.float32), "bias": np.zeros(300, np.float32)}}
    record = RoundRecord(Treatment(), 0, 1, Start({"output": mask}, final), outcome(final))
    stored = sum(array.nbytes for array in encode(record, {"output": {"kernel": initial}}).values())
    assert stored < initial.nbytes / 20
