"""Damaged results files: every record that can still be read and checked is kept, and none that is not what was stored.

The attack on a larger scale: `pytest -n 0 -m long tests/test_recovery.py -s`; SEED=n takes other damage.
"""

import json
import os
import random
import re
import shutil
import sqlite3
import tempfile
import time
from contextlib import closing
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from test_faults import MADE_WITH, description_of, fill, holds, metrics_of

from supermask.analysis.command.verify import verify
from supermask.analysis.store.identity import identity
from supermask.analysis.store.recovery import recover
from supermask.analysis.store.store import Result, Store
from supermask.analysis.system.errors import StoreError

PAGE = 4096
FINITE = st.floats(allow_nan=False, allow_infinity=False)


def result(number: int) -> Result:
    """Records of different lengths: some lie on one page, others have overflow pages."""
    words = "ü×" * (1, 40, 80, 150, 400, 2000)[number * 7 % 11 % 6]
    seconds = float(number % 4) if number % 2 else number / 7  # SQLite stores whole numbers in another way
    return Result(description_of(number) | {"words": words}, metrics_of(number) | {"n": number}, None, seconds)


NUMBERS = range(220)
EXPECTED = {identity(result(number).description): result(number).metrics for number in NUMBERS}


@pytest.fixture(scope="module")
def filled(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("filled") / "results"
    with Store(folder) as store:
        for some in (NUMBERS[at : at + 20] for at in range(0, len(NUMBERS), 20)):
            store.add([result(number) for number in some], MADE_WITH | {"batch": some[0]})
    return folder


@pytest.fixture(scope="module")
def content(filled) -> bytes:
    return (filled / "results.sqlite").read_bytes()


def pages_of(folder: Path, tree: str) -> tuple[int, list[int]]:
    """Number of the root page of a table or index, and those of all its pages, from SQLite itself."""
    connection = sqlite3.connect(folder / "results.sqlite")
    (root,) = connection.execute("SELECT rootpage FROM sqlite_master WHERE name = ?", (tree,)).fetchone()
    numbers = connection.execute("SELECT pageno FROM dbstat WHERE name = ?", (tree,)).fetchall()
    connection.close()
    return root, [number for (number,) in numbers]


def kept(content: bytes, scratch: Path) -> dict[str, dict[str, float]]:
    """Metrics by id of what verifying a database of this content keeps; twice, for once must be enough."""
    folder = scratch / "results"
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    (folder / "results.sqlite").write_bytes(content)
    verify(folder)
    assert not verify(folder).damages, "once is enough"
    with Store(folder) as store:
        return {each.id: each.metrics for each in store.everything()}


@settings(max_examples=50)
@given(
    st.dictionaries(st.text(), st.text(max_size=3000) | st.integers() | FINITE, min_size=1),
    FINITE,
    st.floats(0, 1e9),
)
@example({"n": 1}, 1.0, 300.0)  # SQLite stores whole seconds as integers of 1, 2, 3, 4, 6 or 8 bytes
@example({"n": 1}, 1.0, 70_000.0)
@example({"n": 1}, 1.0, 2.0**24)
@example({"n": 1}, 1.0, 2.0**40)
@example({"n": 1}, 1.0, 2.0**52)
def test_what_sqlite_reads_is_what_is_recovered(scratch, description, metric, seconds):
    folder = scratch / "results"
    shutil.rmtree(folder, ignore_errors=True)
    with Store(folder) as store:
        store.add([Result(description, {"m": metric}, None, seconds), result(1), result(2)], MADE_WITH)
        found = recover((folder / "results.sqlite").read_bytes())
        assert found.records == tuple(store.records())
        assert (found.unchecked, found.contradicted, found.lost) == ((), (), 0)


@pytest.fixture(scope="module")
def scratch(tmp_path_factory):
    """A folder in memory, where there is one."""
    memory = Path("/dev/shm")  # noqa: S108
    if not memory.is_dir():
        yield tmp_path_factory.mktemp("scratch")
        return
    with tempfile.TemporaryDirectory(dir=memory) as folder:
        yield Path(folder)


def test_the_end_that_is_cut_off_costs_what_lay_there(content, tmp_path):
    found = kept(content[:-PAGE], tmp_path)
    assert len(found) >= len(NUMBERS) - 8
    assert found.items() <= EXPECTED.items()


@pytest.mark.parametrize("tree", ["results", "digests", "digests_by_sha256", "provenance"])
def test_the_root_of_a_tree_costs_nothing_but_what_lay_on_it(filled, content, tmp_path, tree):
    """SQLite reads nothing of a tree without its root."""
    root, _ = pages_of(filled, tree)
    damaged = content[: (root - 1) * PAGE] + bytes(PAGE) + content[root * PAGE :]
    found = kept(damaged, tmp_path)
    assert found.items() <= EXPECTED.items()
    assert len(found) >= len(NUMBERS) - (8 if tree == "results" else 0)


def test_the_header_costs_nothing(content, tmp_path):
    for damaged in (bytes(100) + content[100:], b"x" * PAGE + content[PAGE:]):
        assert kept(damaged, tmp_path) == EXPECTED


def test_all_digests_of_the_table_may_go_for_the_index_has_them_too(filled, content, tmp_path):
    damaged = bytearray(content)
    for number in pages_of(filled, "digests")[1]:
        damaged[(number - 1) * PAGE : number * PAGE] = bytes(PAGE)
    assert kept(bytes(damaged), tmp_path) == EXPECTED


def test_what_can_no_longer_be_checked_is_set_aside_and_said(filled, content, tmp_path):
    """One record without either of its digests: its numbers might be others, and nobody could tell."""
    damaged = bytearray(content)
    id_ = next(iter(EXPECTED))
    for match in list(re.finditer(id_.encode(), content)):
        if content[match.end() : match.end() + 1] != b"{":
            damaged[match.start() : match.end()] = b"?" * 32
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.sqlite").write_bytes(damaged)
    (damage,) = verify(tmp_path / "results").damages
    assert "219 records of it were intact and kept; 1 could be read but no longer checked" in damage.how
    assert id_ in (tmp_path / "results" / "damaged" / "unchecked.json").read_text()


def altered(content: bytes, start: int) -> bytes:
    """With another hex digit there."""
    return content[:start] + (b"0" if content[start : start + 1] != b"0" else b"1") + content[start + 1 :]


def copies_of_the_digest(content: bytes, id_: str) -> list[int]:
    """Where both copies of a record's digest begin: behind the id in the table, before it in the index."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    (sha256,) = connection.execute("SELECT sha256 FROM digests WHERE id = ?", (id_,)).fetchone()
    connection.close()
    return [content.index((id_ + sha256).encode()) + len(id_), content.index((sha256 + id_).encode())]


@pytest.mark.parametrize("copy", [0, 1])
def test_either_copy_of_the_digest_of_how_results_were_made_is_enough(filled, content, copy):
    start = copies_of_the_digest(content, "provenance 1")[copy]
    with Store(filled) as store:
        assert set(recover(altered(content, start + 7)).records) == set(store.records())


def test_a_record_with_both_digests_altered_is_written_down_and_not_called_unreadable(content, tmp_path):
    id_ = next(iter(EXPECTED))
    damaged = content
    for number, start in enumerate(copies_of_the_digest(content, id_)):
        damaged = altered(damaged, start + 7 + number)  # else SQLite finds nothing wrong, and the record alone goes
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.sqlite").write_bytes(damaged)
    (damage,) = verify(tmp_path / "results").damages
    assert "219 records of it were intact and kept; 1 could be read but have another digest" in damage.how
    (row,) = json.loads((tmp_path / "results" / "damaged" / "contradicted.json").read_text())
    assert row["id"] == id_
    assert json.loads(row["metrics"]) == EXPECTED[id_]


def test_a_digest_that_survives_counts_whatever_became_of_the_id_beside_it(content, tmp_path):
    """One copy of the digest and the other copy's id altered: the record is kept, and none is called unreadable."""
    id_ = next(iter(EXPECTED))
    table, index = copies_of_the_digest(content, id_)
    damaged = altered(altered(content, table - 32 + 9), index)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.sqlite").write_bytes(damaged)
    (damage,) = verify(tmp_path / "results").damages
    assert damage.how.endswith("220 records of it were intact and kept")
    assert not verify(tmp_path / "results").damages


@pytest.mark.parametrize("copy", [0, 1])
@pytest.mark.parametrize("what", ["id", "digest"])
def test_a_lost_record_counts_once_whichever_copy_of_its_digest_was_altered(content, copy, what):
    id_ = next(each for each in TRACES)
    where = copies_of_the_digest(content, id_)[copy] + (7 if what == "digest" else (-32, 64)[copy])
    found = recover(altered(content, where).replace(TRACES[id_][0], b"?" * len(TRACES[id_][0])))
    assert (len(found.records), found.unchecked, found.contradicted, found.lost) == (219, (), (), 1)


def test_a_damaged_record_with_arrays_is_written_down_beside_them(tmp_path):
    """Nothing is thrown away."""
    fill(tmp_path / "results")
    with Store(tmp_path / "results") as store:
        id_ = next(each.id for each in store.everything() if each.arrays_sha256)
    with closing(sqlite3.connect(tmp_path / "results" / "results.sqlite")) as connection, connection:
        connection.execute("UPDATE digests SET sha256 = ? WHERE id = ?", ("0" * 64, id_))
    (damage,) = verify(tmp_path / "results").damages
    assert damage.what == f"record {id_}"
    assert damage.moved_to == tmp_path / "results" / "damaged" / f"{id_}.safetensors"
    assert json.loads((tmp_path / "results" / "damaged" / f"record-{id_}.json").read_text())["id"] == id_


@pytest.mark.parametrize("character", [0, 16, 31])
def test_a_damaged_id_of_a_record_is_set_aside_at_once(content, scratch, character):
    """Its digest stays under the id that was, and belongs to no record then."""
    places = [match.start() for match in re.finditer(rb"[0-9a-f]{32}(?=\{)", content)]
    assert places
    for place in places[:: max(1, len(places) // 12)]:
        assert len(kept(altered(content, place + character), scratch)) >= len(NUMBERS) - 1


@pytest.mark.parametrize("times", [1, 300])
def test_long_numbers_in_a_forged_file_cost_nothing(content, scratch, times):
    """Of 64 bits: no number of provenance is longer, and reading thousands of digits takes Python for ever."""
    damaged = content[:100] + b"\xff" * 8 + content[108:]
    forged = b"provenance " + b"1" * 4301 + b"a" * 64 + b"b" * 64 + b"provenance " + b"1" * 4301
    began = time.process_time()
    assert len(kept(damaged + times * forged, scratch)) == len(NUMBERS)
    assert time.process_time() - began < 30


def test_a_number_that_was_changed_is_not_kept(content, tmp_path):
    number = 100
    text = f'"n": {number}, "test_accuracy"'.encode()
    assert content.count(text) == 1
    found = kept(content.replace(text, b'"n": 101, "test_accuracy"')[:-1], tmp_path)
    assert identity(result(number).description) not in found
    assert len(found) >= len(NUMBERS) - 9


def test_how_many_could_not_be_read_is_said(filled, content, tmp_path):
    root, pages = pages_of(filled, "results")
    damaged = bytearray(content)
    for number in [page for page in pages if page != root][:10]:
        damaged[(number - 1) * PAGE : number * PAGE] = np.random.default_rng(number).bytes(PAGE)
    (tmp_path / "results").mkdir()
    (tmp_path / "results" / "results.sqlite").write_bytes(damaged)
    (damage,) = verify(tmp_path / "results").damages
    intact, lost = map(int, re.search(r"(\d+) records of it were intact and kept; (\d+) could", damage.how).groups())
    assert intact + lost == len(NUMBERS)
    assert 0 < lost < 60


def test_verifying_that_is_killed_in_the_middle_loses_nothing(content, tmp_path, monkeypatch):
    """The new file takes the place of the old one in a single step, and what is damaged has been kept by then."""
    folder = tmp_path / "results"
    folder.mkdir()
    (folder / "results.sqlite").write_bytes(content[:-PAGE])

    class KilledError(Exception):
        pass

    def killed(*arguments) -> None:
        raise KilledError

    with monkeypatch.context() as patch:
        patch.setattr(Path, "replace", killed)
        with pytest.raises(KilledError):
            verify(folder)
    assert (folder / "results.sqlite").read_bytes() == content[:-PAGE]
    verify(folder)
    with Store(folder) as store:
        assert len(list(store.everything())) >= len(NUMBERS) - 8
    assert {path.read_bytes() for path in (folder / "damaged").glob("results*.sqlite")} == {content[:-PAGE]}


def attack(content: bytes, chance: np.random.Generator) -> bytes:
    """Damage of a kind that disks and people do: zeros, noise, single bits, torn and swapped pages, a lost end."""
    damaged, pages = bytearray(content), len(content) // PAGE
    for _ in range(chance.choice([1, 1, 2, 5, 20])):
        start = int(chance.integers(pages)) * PAGE
        other = int(chance.integers(pages)) * PAGE
        size = int(chance.choice([512, 512 * chance.integers(1, 8), PAGE]))
        match str(chance.choice(["zeros", "noise", "bit", "swap", "copy", "shift"])):
            case "zeros":
                damaged[start : start + size] = bytes(size)
            case "noise":
                damaged[start : start + size] = chance.bytes(size)
            case "bit":
                damaged[start + int(chance.integers(PAGE))] ^= 1 << int(chance.integers(8))
            case "swap":
                damaged[start : start + PAGE], damaged[other : other + PAGE] = (
                    damaged[other : other + PAGE],
                    damaged[start : start + PAGE],
                )
            case "copy":
                damaged[start : start + size] = damaged[other : other + size]
            case "shift":
                damaged[start : start + PAGE] = damaged[start + 1 : start + PAGE] + b"\0"
    if chance.random() < 0.2:
        del damaged[int(chance.integers(len(damaged))) :]
    return bytes(damaged)


def pages_attacked(content: bytes, scratch: Path, seed: int, times: int) -> str:
    """Attacks `times` times and returns the figures. Fails where a record is kept that is not what was stored."""
    chance = np.random.default_rng(seed)
    all_kept = untouched = kept_of_untouched = refused = 0
    for _ in range(times):
        damaged = attack(content, chance)
        try:
            found = kept(damaged, scratch)
        except StoreError as error:
            if not re.search("has format|another program", str(error)):
                raise
            refused += 1
            continue
        assert found.items() <= EXPECTED.items(), "nothing else is kept than what was stored"
        readable = {each.id for each in recover(damaged).records}
        assert readable == found.keys()
        # A record lies untouched where its own bytes and a digest's are there: found without any reading of pages.
        whole = {
            id_ for id_, (row, *digests) in TRACES.items() if row in damaged and any(d in damaged for d in digests)
        }
        assert whole <= found.keys()
        all_kept += len(found)
        untouched += len(whole)
        kept_of_untouched += len(whole & found.keys())
    return (
        f"seed {seed}: {times} files damaged, {refused} refused and left alone; of {len(NUMBERS) * (times - refused)} "
        f"records {all_kept} kept, {untouched} untouched, all of these kept; 0 kept that were not what was stored"
    )


TRACES: dict[str, tuple[bytes, ...]] = {}


@pytest.fixture(scope="module", autouse=True)
def traces(content):
    """The bytes by which a record that fits its page, and its digests, are known in the file."""
    connection = sqlite3.connect(":memory:")
    connection.deserialize(content)
    rows = connection.execute(
        "SELECT r.id, r.id || description || metrics, d.sha256 FROM results r JOIN digests d USING (id)"
    )
    for id_, row, sha256 in rows:
        if len(row) < 800:
            TRACES[id_] = (row.encode(), (id_ + sha256).encode(), (sha256 + id_).encode())
    connection.close()
    assert len(TRACES) > 50


def test_damaged_pages_cost_no_more_than_what_lay_on_them(content, scratch):
    pages_attacked(content, scratch, seed=1, times=15)


@pytest.mark.long
@pytest.mark.parametrize("seed", [int(os.environ.get("SEED", "2")), int(os.environ.get("SEED", "2")) + 1])
def test_thousands_of_damaged_pages_cost_no_more_than_what_lay_on_them(content, scratch, seed):
    print("\n" + pages_attacked(content, scratch, seed, times=1500))


def test_pages_in_the_places_of_others_are_noticed_at_reading(filled, content, tmp_path):
    """SQLite reads such a file without a word, and fewer records, or none: all are there, or the file is refused."""
    trees = {tree: pages_of(filled, tree) for tree in ("results", "digests", "digests_by_sha256")}
    whole = [page for _, pages in trees.values() for page in pages]
    roots = [root for root, _ in trees.values()]
    chance = random.Random(5)  # noqa: S311
    pairs = [(root, page) for root in roots for page in whole if page != root]
    pairs = chance.sample(pairs, 60) + [tuple(chance.sample(whole, 2)) for _ in range(60)]
    refused: list[str] = []
    for number, (first, second) in enumerate(pairs):
        own, other = (slice((page - 1) * PAGE, page * PAGE) for page in (first, second))
        damaged = bytearray(content)
        damaged[own], damaged[other] = content[other], content[other if number % 3 else own]
        (tmp_path / "results.sqlite").write_bytes(damaged)
        try:
            with Store(tmp_path, for_reading=True) as store:
                found = {each.id: each.metrics for each in store.everything()}
        except StoreError as error:
            refused.append(str(error))
        else:
            assert found == EXPECTED, (first, second)
    assert len(refused) > len(pairs) / 2
    assert all("--verify" in why for why in refused)


def test_records_that_cannot_be_found_are_said_and_searched_for(content, tmp_path):
    path = tmp_path / "results.sqlite"
    path.write_bytes(content)
    with closing(sqlite3.connect(path)) as database, database:
        database.execute("DELETE FROM results WHERE id IN (SELECT id FROM results LIMIT 3)")
    for for_reading in (True, False):
        with pytest.raises(StoreError, match=r"3 records of it cannot be found; .*--verify"):
            Store(tmp_path, for_reading=for_reading)
    (damage,) = verify(tmp_path).damages
    assert damage.how.startswith("3 records of it cannot be found; ")
    assert not verify(tmp_path).damages
    with Store(tmp_path) as store:
        found = {each.id: each.metrics for each in store.everything()}
    assert found.items() <= EXPECTED.items()
    assert len(found) >= len(EXPECTED) - 3


def test_a_damaged_folder_with_arrays_is_whole_again_after_training(tmp_path):
    fill(tmp_path / "results")
    path = tmp_path / "results" / "results.sqlite"
    path.write_bytes(path.read_bytes()[: -3 * PAGE])
    verify(tmp_path / "results")
    fill(tmp_path / "results")  # stands for training again
    holds(tmp_path / "results")
