"""Executes the notebooks and keeps them, with their outputs, in build/notebooks: `python notebooks/run.py [NAME ...]`.

A notebook is stored without outputs, so that a change shows as a change of its text; the site shows the executed ones.
"""

import sys
import time
from pathlib import Path

import nbformat
from nbclient import NotebookClient

HERE = Path(__file__).parent
EXECUTED = HERE.parent / "build" / "notebooks"
LONGEST = 180
"""Seconds that a notebook may take on two cores."""


def main(names: list[str]) -> int:
    """Execute the notebooks of these names, or all; return 1 if one took too long. A cell that fails ends it."""
    EXECUTED.mkdir(parents=True, exist_ok=True)
    late = 0
    for path in sorted(HERE.glob("*.ipynb")):
        if names and path.stem not in names:
            continue
        notebook = nbformat.read(path, 4)
        began = time.monotonic()
        NotebookClient(notebook, timeout=LONGEST, resources={"metadata": {"path": str(EXECUTED)}}).execute()
        seconds = time.monotonic() - began
        nbformat.write(notebook, EXECUTED / path.name)
        print(f"{path.stem}: {seconds:.0f} s", flush=True)
        late += seconds > LONGEST
    return 1 if late else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
