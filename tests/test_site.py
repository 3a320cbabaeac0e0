"""The documentation site: every public name is documented and in the reference, every page in the navigation.

`mkdocs build`, which .ci/run runs, holds its links, and that pages load nothing from elsewhere.
"""

import importlib
import inspect
import json
import re
import shlex
import tomllib
from pathlib import Path

import numpy as np
import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

import supermask as sm
from supermask.analysis.command.arguments import parser_of
from supermask.analysis.studies.protocols import protocol
from supermask.figures.catalogue import CATALOGUE

ROOT = Path(__file__).parent.parent
HOOKS = (ROOT / "docs" / "site_hooks.py").read_text(encoding="utf-8")
MODULES = re.findall(r'"([\w.]+)"', HOOKS.split("MODULES = (")[1].split(")")[0])


def public(module: str):
    """A module's own public functions and classes, and the classes' public methods."""
    loaded = importlib.import_module(f"supermask.{module}")
    for name, value in vars(loaded).items():
        if name.startswith("_") or not (inspect.isfunction(value) or inspect.isclass(value)):
            continue
        if value.__module__.startswith(loaded.__name__):
            yield f"{module}.{name}", value
            methods = vars(value).items() if inspect.isclass(value) else ()
            yield from ((f"{module}.{name}.{at}", method) for at, method in methods if inspect.isfunction(method))


@pytest.mark.parametrize("name", sm.__all__)
def test_a_public_name_is_documented(name):
    value = getattr(sm, name)
    assert inspect.getdoc(value), name
    assert len(inspect.getdoc(value).splitlines()[0]) > 10


@pytest.mark.parametrize("module", MODULES)
def test_a_module_of_the_reference_is_documented(module):
    found = {name: value for name, value in public(module) if "._" not in name}
    assert found
    assert [name for name, value in found.items() if not inspect.getdoc(value)] == []


def test_the_reference_has_every_public_name():
    """It is generated from the table that `import supermask` loads names by."""
    assert sorted(name for names in sm._NAMES.values() for name in names.split()) == sm.__all__
    assert "supermask._NAMES.items()" in HOOKS


def test_the_navigation_and_every_link_lead_to_pages():
    """Pages that mkdocs.yml does not place are put into the guide by docs/site_hooks.py."""
    navigation = set(re.findall(r"[:-] ([\w-]+\.md)", (ROOT / "mkdocs.yml").read_text(encoding="utf-8")))
    generated = {"index.md", "changes.md", "reference.md", "notebooks.md"}
    pages = {path.name for path in (ROOT / "docs").glob("*.md")}
    assert generated <= navigation
    assert {
        name for name in navigation if not (ROOT / "notebooks" / name).with_suffix(".ipynb").exists()
    } <= pages | generated
    for page in (*pages, "../README.md", "../CHANGELOG.md"):
        text = re.sub(r"```.*?```", "", (ROOT / "docs" / page).read_text(encoding="utf-8"), flags=re.S)
        for link in re.findall(r"\]\((?!http)([^)#]+)(?:#[^)]*)?\)", text):
            there = ((ROOT / "docs" / page).parent / link).exists()
            assert there or Path(link).name in generated, f"{page} links to {link}"


def test_notebooks_are_stored_without_outputs():
    notebooks = sorted((ROOT / "notebooks").glob("*.ipynb"))
    assert len(notebooks) == 3
    for path in notebooks:
        for cell in json.loads(path.read_text(encoding="utf-8"))["cells"]:
            assert not cell.get("outputs")
            assert cell.get("execution_count") is None


def commands_of(page: str) -> list[list[str]]:
    """The commands of a page's shell blocks, without comments; one a list of words."""
    blocks = re.findall(r"```sh\n(.*?)```", (ROOT / page).read_text(encoding="utf-8"), flags=re.S)
    lines = [line for block in blocks for part in block.splitlines() for line in part.split("&&")]
    return [words for line in lines if (words := shlex.split(line, comments=True))]


@pytest.mark.parametrize("words", [w for w in commands_of("README.md") if w[0] == "supermask"], ids=" ".join)
def test_a_command_of_the_readme_is_one(words):
    """Its options, figures, networks and protocols are those that there are; what long ones do, other tests run."""
    options = parser_of(CATALOGUE).parse_args(words[1:])
    assert [name for name in getattr(options, "figures", []) if name not in CATALOGUE] == []
    if (given := getattr(options, "protocol", None)) is not None:
        protocol(given, getattr(options, "network", "fc"))


def test_ci_embeds_the_explorer_and_the_notebooks_in_the_site_that_it_builds():
    """In this order: the site has what was made before it. Without the explorer, its page has a picture of it."""
    script = (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    made = "python notebooks/run.py", "supermask explore --export build/explorer ", "mkdocs build"
    places = [script.index(words) for words in made]
    assert places == sorted(places)
    assert 'EXPLORER = ROOT / "build" / "explorer"' in HOOKS
    assert "![" in re.findall(r"!\[[^]]*\]\(explorer\.png\)", (ROOT / "docs" / "explorer.md").read_text())[0]


def test_the_packages_of_results_and_of_the_site_are_pinned_with_digests():
    """All that the extras name, at one version a Python, each with the digests of its files."""
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    text = (ROOT / "constraints.txt").read_text(encoding="utf-8")
    pinned = re.findall(r"^([a-z0-9-]+)==([\w.]+)(?: ; ([^\\]+))? \\\n    --hash=sha256:[0-9a-f]{64}", text, re.M)
    assert len(pinned) == len(re.findall(r"^[a-z]", text, re.M))
    named = [
        each for extra in ("command", "networks", "data", "compression", "graphs", "docs") for each in extras[extra]
    ]
    wanted = {canonicalize_name(Requirement(each).name) for each in named} - {"supermask"}
    assert wanted <= {name for name, _, _ in pinned}
    twice = [name for name, _, marker in pinned if not marker and sum(name == other for other, _, _ in pinned) > 1]
    assert twice == []


def test_the_readme_installs_what_its_commands_need():
    installs = [words[2] for words in commands_of("README.md") if words[:2] == ["pip", "install"]]
    extras = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["optional-dependencies"]
    assert installs == [".[all]", ".[test]"]
    assert {"supermask[command,cluster]"} == set(extras["all"])


def test_the_page_on_the_mask_format_shows_a_file_as_it_is_written(tmp_path):
    """Header and bits of its example, by a file that is written now."""
    page = (ROOT / "docs" / "mask-format.md").read_text(encoding="utf-8")
    header_text, bits = re.findall(r"    header   (.*?)\n    bytes    (.*?)\n", page, flags=re.S)[0]
    masks = {"w": np.array([[True] * 5, [False] * 5])}
    sm.save_masks(tmp_path / "masks", {"w": np.ones((2, 5), np.float32)}, masks)
    content = (tmp_path / "masks").read_bytes()
    length = int.from_bytes(content[:8], "little")
    assert json.loads(content[8 : 8 + length]) == json.loads(header_text)
    assert [f"{byte:08b}" for byte in content[8 + length :]] == bits.split()
