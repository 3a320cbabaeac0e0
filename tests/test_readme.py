"""Every command of README is run as it is written there: what would take long, on small data or for fewer steps.

`MORE` says for each command what is added to it, and nothing is left out. A new command needs a line there.
"""

import csv
import shutil
from pathlib import Path

import pytest
from test_site import commands_of

from supermask.analysis.command.cli import run_command
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
SMALL = "--dataset digits --seeds 1"
"""The smallest real data, and one seed; a number of epochs is given where a figure trains."""
BRIEF = "--dataset digits --rounds 1 --epochs 0.2"
SHORT = f"{BRIEF} --seeds 1"

MORE = {
    "reproduce criteria-plane mask-criteria supermasks-at-init": SHORT,
    "reproduce": f"{SMALL} --dry-run",  # each figure is made in tests/test_figures.py; all of them, in CI's own time
    "reproduce --dry-run": SMALL,
    "reproduce --cluster local": f"mask-criteria --criteria random {BRIEF} --seeds 2",
    "reproduce --protocol paper --shard 3/8": f"mask-criteria {BRIEF} --seeds 8",  # a paper's whole part takes hours
    "results --verify": "",
    "reproduce mask-criteria --protocol short --data-dir ~/data": SHORT,  # full data are not there when tests run
    "reproduce supermasks-at-init --protocol paper": SHORT,
    "reproduce mask-criteria --criteria large_final random snip": SHORT,
    "reproduce sparse-training": f"{SMALL} --sparse-epochs 0.2 --show SET RigL",
    "reproduce deep-compression": f"{SMALL} --sparse-epochs 0.5",
    "reproduce dsd --network lstm": f"{SMALL} --sparse-epochs 0.2",
    "reproduce edge-swaps": f"{SMALL} --sparse-epochs 0.2",
    "reproduce neural-graphs wiring shared-weight": f"{SMALL} --graph-epochs 0.1 --sparse-epochs 0.1",
    "reproduce sanity connectivity rewinding transfer sign-flips": f"{SMALL} --rounds 1 --epochs 4",  # for step 50
    "reproduce signed-supermasks": f"{SMALL} --mask-epochs 1 --show edge-popup",
    "reproduce permutations": f"{SMALL} --task-epochs 0.2 --rounds 1 --epochs 0.2",
    "report --protocol short --data-dir ~/data": SMALL,
    "pack best digits.mask": "",
    "export digits.mask digits.npz --layout torch": "",
    "evaluate digits.mask": "",
    "infer results/compressed/ID.deep": "--dataset digits",
    "results --csv all.csv": "",
    "redraw figures/gallery/*.csv": "",
    "redraw FIGURE.csv --format pdf --width column": "",
    "figures": SMALL,
    "bench": "fc --pairs 1 --steps 20",
    "explore": "--export site --dataset digits --rounds 1 --epochs 0.2",  # test_explorer_server.py serves it
}
"""What is added to each command, by its words after `supermask`, in the order of the page."""


LONG = ("reproduce neural-graphs wiring shared-weight", "reproduce permutations")
"""Those that take more than half a minute, on which no other command depends: run before a release."""


def test_every_command_of_the_page_is_here_in_its_order():
    commands = [" ".join(words[1:]) for words in commands_of("README.md") if words[0] == "supermask"]
    assert commands == list(MORE)
    others = [words for words in commands_of("README.md") if words[0] != "supermask"]
    assert others == [["pip", "install", ".[all]"], ["pip", "install", ".[test]"], ["pytest"]], "CI runs these"


@pytest.fixture(scope="module")
def place(tmp_path_factory):
    """An empty folder to work in, which is also home, with two of the gallery's tables and their pictures."""
    folder = tmp_path_factory.mktemp("readme")
    (folder / "figures" / "gallery").mkdir(parents=True)
    (folder / "data").mkdir()
    for name in ("mask-criteria-fc-mnist-short", "dsd-fc-mnist-short"):
        for path in (ROOT / "figures" / "gallery").glob(f"{name}.*"):
            shutil.copy(path, folder / "figures" / "gallery")
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(folder)
        patch.setenv("HOME", str(folder))
        yield folder


def words_of(command: str, folder: Path) -> list[str]:
    """The words as a shell would pass them, with a file in place of what the page leaves to the reader."""
    found: list[str] = []
    for word in command.split():
        if "*" in word:
            found += sorted(str(path.relative_to(folder)) for path in folder.glob(word))
        elif word == "FIGURE.csv":
            found.append(str(next((folder / "results" / "figures").glob("mask-criteria*.csv"))))
        elif "ID.deep" in word:
            found.append(str(next((folder / "results" / "compressed").glob("*.deep"))))
        else:
            found.append(word)
    return found


@pytest.mark.slow
@pytest.mark.parametrize(
    "command", [pytest.param(each, marks=pytest.mark.thorough) if each in LONG else each for each in MORE]
)
def test_a_command_of_the_page_runs(command, place, capsys):
    """In the page's order and in one folder, since some read what others have stored."""
    if command == "pack best digits.mask":  # the page's reader has run the figure of learned masks by then
        learned = f"reproduce learned-supermasks {SMALL} --mask-epochs 1 --rounds 1"
        assert run_command(learned.split(), CATALOGUE) == 0, capsys.readouterr().out
    words = words_of(f"{command} {MORE[command]}", place)
    assert run_command(words, CATALOGUE) == 0, capsys.readouterr()
    assert capsys.readouterr().out or command == "results --csv all.csv"
    for word in words:
        if word.endswith((".mask", ".npz")) and command != "evaluate digits.mask":
            assert (place / word).stat().st_size
    if command == "results --csv all.csv":
        with (place / "all.csv").open(encoding="utf-8") as file:
            assert {row["kind"] for row in csv.DictReader(file)} >= {"training", "untrained", "dsd", "sparse_training"}
    if command == "explore":
        assert (place / "site" / "index.html").exists()
    if "--format pdf" in command:
        assert list((place / "results" / "figures").glob("*.pdf"))
