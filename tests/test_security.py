"""Nothing that runs code from data: held against the syntax of every module; the rest is tested where it is done.

Archives and downloads: tests/test_datasets.py. The explorer's server: tests/test_explorer.py. Cluster files:
tests/test_cluster.py. Packed and compressed files: tests/test_packed.py, tests/test_compression.py, tests/test_fuzz.py.
"""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(path for folder in ("supermask", "analysis", "figures") for path in (ROOT / folder).rglob("*.py"))

FORBIDDEN_MODULES = {
    "pickle",
    "cPickle",
    "_pickle",
    "marshal",
    "shelve",
    "dill",
    "cloudpickle",
    "joblib",
    "yaml",
    "code",
}
FORBIDDEN_CALLS = {"eval", "exec", "compile", "__import__"}
FORBIDDEN_ATTRIBUTES = {
    "allow_pickle": "np.load of a pickle",
    "read_pickle": "pandas' pickles",
    "extractall": "archives unpacked to where they say",
    "system": "a shell",
    "popen": "a shell",
    "mktemp": "a name that another may take first",
    "_create_unverified_context": "https without certificates",
}
RUNS_A_USERS_FILE = Path("analysis/studies/plugin_files.py")
NEEDS_DASK = Path("analysis/running/cluster")


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def imported(path: Path) -> set[str]:
    names: set[str] = set()
    for node in nodes(path):
        if isinstance(node, ast.Import):
            names |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module:
            names.add(node.module.split(".")[0])
    return names


def offences(path: Path) -> list[str]:
    found = [f"imports {name}" for name in imported(path) & FORBIDDEN_MODULES]
    for node in nodes(path):
        if isinstance(node, ast.Call):
            name = node.func.id if isinstance(node.func, ast.Name) else ""
            attribute = node.func.attr if isinstance(node.func, ast.Attribute) else ""
            if attribute == "system" and ast.unparse(node.func) != "os.system":
                continue
            found += [f"line {node.lineno}: {name}()"] if name in FORBIDDEN_CALLS else []
            found += (
                [f"line {node.lineno}: {FORBIDDEN_ATTRIBUTES[attribute]}"] if attribute in FORBIDDEN_ATTRIBUTES else []
            )
            for keyword in node.keywords:
                truth = not (isinstance(keyword.value, ast.Constant) and keyword.value.value is False)
                if keyword.arg in ("allow_pickle", "shell") and truth:
                    found.append(f"line {node.lineno}: {keyword.arg}")
    return found


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_no_module_runs_code_from_data(path):
    assert not offences(path)


@pytest.mark.parametrize(
    "text",
    [
        "import pickle",
        "from marshal import loads",
        "eval('1')",
        "np.load(f, allow_pickle=True)",
        "subprocess.run(x, shell=True)",
        "tar.extractall(folder)",
        "import os; os.system('ls')",
        "pd.read_pickle(f)",
    ],
)
def test_an_offence_would_be_found(tmp_path, text):
    path = tmp_path / "module.py"
    path.write_text(text)
    assert offences(path)


def test_a_users_code_is_run_in_one_place():
    runs = {path.relative_to(ROOT) for path in MODULES if "spec_from_file_location" in path.read_text()}
    assert runs == {RUNS_A_USERS_FILE}
    assert "it is run" in (ROOT / "analysis" / "command" / "arguments.py").read_text(), "--plugin says so in its help"


def test_dask_which_pickles_between_its_own_processes_is_asked_for_by_clusters_alone():
    users = {path.relative_to(ROOT).parent for path in MODULES if imported(path) & {"dask", "distributed"}}
    assert users == {NEEDS_DASK}


def test_what_is_downloaded_is_downloaded_over_https():
    for path in (ROOT / "supermask").rglob("*.py"):
        for node in nodes(path):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                assert not node.value.startswith(("http://", "ftp://")), f"{path}: {node.value}"
