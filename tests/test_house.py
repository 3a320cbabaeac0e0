"""The rooms of the house: arrows between them run one way, and none is too full (docs/architecture.md)."""

import ast
import re
from graphlib import TopologicalSorter
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = ("supermask", "analysis", "figures")
ROOMS = ("system", "store", "studies", "kinds", "running", "drawing", "explorer", "command")
"""Those of `analysis/`, from the ground up: a room imports from those before it alone."""
LINES = 350
"""What a module may have: more is no longer held in the head."""


def modules() -> dict[str, Path]:
    """Every module's file, by its dotted name."""
    found = {}
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            within = path.relative_to(ROOT).with_suffix("").parts
            parts = within if package == "supermask" else ("supermask", *within)  # as they are installed
            found[".".join(parts[:-1] if parts[-1] == "__init__" else parts)] = path
    return found


MODULES = modules()


def imported(name: str) -> set[str]:
    """The modules of this house that a module imports, anywhere: inside functions and for types alone as well."""
    path = MODULES[name]
    package = name if path.stem == "__init__" else name.rpartition(".")[0]
    found: set[str] = set()
    nodes: list[ast.AST] = [ast.parse(path.read_text(encoding="utf-8"))]
    while nodes:
        node = nodes.pop()
        nodes += ast.iter_child_nodes(node)
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            parts = package.split(".")
            start = ".".join(parts[: len(parts) - node.level + 1]) if node.level else ""
            source = ".".join(filter(None, (start, node.module)))
            members = {f"{source}.{alias.name}" for alias in node.names}
            found |= members if members <= MODULES.keys() else members | {source}
    return (found & MODULES.keys()) - {name}


def test_every_room_is_named_here_and_there_are_few():
    entries = {path.name for path in (ROOT / "analysis").iterdir()} - {"__pycache__"}
    assert entries == {"__init__.py", "py.typed", *ROOMS}
    assert len(entries) <= 10


@pytest.mark.parametrize("room", ROOMS)
def test_a_room_imports_from_those_below_it_alone(room):
    allowed = ROOMS[: ROOMS.index(room) + 1]
    for name in MODULES:
        if name.startswith(f"supermask.analysis.{room}."):
            rooms = {other.split(".")[2] for other in imported(name) if other.startswith("supermask.analysis.")}
            assert rooms <= set(allowed), f"{name} imports from {sorted(rooms - set(allowed))}"


def floor(name: str) -> int:
    """0 for the science, 1 for the analysis, 2 for the figures."""
    return next((at for at, part in enumerate(PACKAGES) if at and name.startswith(f"supermask.{part}")), 0)


def test_the_science_knows_nothing_of_what_is_built_on_it():
    for name in MODULES:
        assert max(map(floor, imported(name)), default=0) <= floor(name), name


@pytest.mark.parametrize("name", [name for name in MODULES if floor(name) == 0])
def test_the_science_speaks_of_no_command_line(name):
    """Its errors reach users of the library as well, to whom an option says nothing."""
    texts = {
        node.value
        for node in ast.walk(ast.parse(MODULES[name].read_text(encoding="utf-8")))
        if isinstance(node, ast.Constant) and isinstance(node.value, str)
    }
    assert not [text for text in texts if re.search(r"(^|[\s'\"`(=])--[a-z]", text)]


def test_no_import_goes_in_a_circle():
    """Raises graphlib.CycleError, which names the circle."""
    graph = {name: imported(name) for name in MODULES}
    assert len(list(TopologicalSorter(graph).static_order())) == len(MODULES)


@pytest.mark.parametrize("name", MODULES)
def test_a_module_can_be_held_in_the_head(name):
    assert len(MODULES[name].read_text(encoding="utf-8").splitlines()) <= LINES


def test_a_script_of_the_explorers_page_can_be_held_in_the_head():
    scripts = {path.name: path.read_text(encoding="utf-8") for path in (ROOT / "analysis" / "explorer").rglob("*.js")}
    assert len(scripts) > 30
    assert not {name for name, text in scripts.items() if len(text.splitlines()) > LINES}


def test_the_tests_that_the_page_on_reliability_names_are_there():
    """A claim whose test was renamed or taken out is a claim that nothing holds."""
    tests = Path(__file__).parent
    there = set(re.findall(r"^def (test_\w+)\(", "\n".join(path.read_text() for path in tests.glob("test_*.py")), re.M))
    page = (tests.parent / "docs" / "reliability.md").read_text(encoding="utf-8")
    named = set(re.findall(r"`(test_\w+)`", page))
    assert len(named) > 50
    assert named - there == set()
