"""Makes the pages of the documentation site that are not in docs/: MkDocs calls these functions while it builds.

README is the home page, CHANGELOG the page on changes, notebooks/ the notebooks, and the reference is generated from
the names of `import supermask`. The pages in docs/ are written to be read in the repository; links that lead out of
docs/ are turned to where things lie on the site.
"""

import base64
import json
import re
from pathlib import Path
from typing import Any

from mkdocs.exceptions import PluginError
from mkdocs.structure.files import File, Files

import supermask

ROOT = Path(__file__).parent.parent
EXPLORER = ROOT / "build" / "explorer"
"""Made by `supermask explore --export build/explorer`, as CI does; it trains for a minute. Else a picture is shown."""

EXECUTED = ROOT / "build" / "notebooks"
"""Notebooks with their outputs, as notebooks/run.py leaves them."""

SECTIONS = {
    "pruning": "Prune, restart, freeze",
    "ticket_rounds": "The lottery loop",
    "treatments": "Treatments",
    "at_initialisation": "Prune before training",
    "criteria": "Criteria",
    "network_criteria": "Criteria of the whole network",
    "network_facts": "What criteria of the network may ask",
    "actions": "Actions",
    "mask_files": "Masks as files",
    "exporting": "Export",
    "recipe": "Recipes: how the toolkit's trainers train",
    "augmentation": "Augmentation",
    "mask_learning": "Learned masks",
    "sign_flips": "Sign flips during a training",
    "tails": "Tails of distributions",
    "sparse_training.optimisers": "Sparse training as optimisers",
    "sparse_training.as_optimiser": "State of sparse training",
}
"""Titles of the modules that `import supermask as sm` takes names from; other modules go by their own names."""

MODULES = (
    "lottery",
    "training",
    "networks",
    "masks",
    "counts",
    "overlaps",
    "learned_masks",
    "population",
    "datasets",
    "packed",
    "analysis.drawing.notebook",
    "analysis.drawing.tickets",
)
"""Modules of the trainers and for notebooks, whose public names follow those of `sm`."""

_LOADED = re.compile(r"<(?:script|link|img|iframe|source)\b[^>]*?(?:src|href)=\"(https?:)?//[^\"]*\"")


def on_config(config: Any) -> None:
    """Puts pages that mkdocs.yml does not place at the end of the guide, so that none is without a way to it."""
    placed = json.dumps(config["nav"])
    (guide,) = (section["Guide"] for section in config["nav"] if "Guide" in section)
    guide += [path.name for path in sorted((ROOT / "docs").glob("*.md")) if f'"{path.name}"' not in placed]


def on_files(files: Files, config: Any) -> Files:
    """Adds generated pages, pictures, and the explorer if it was exported."""
    for name, text in {
        "index.md": _of_root("README.md"),
        "changes.md": _of_root("CHANGELOG.md"),
        "reference.md": _reference(),
        "notebooks.md": _notebook_list(),
    }.items():
        files.append(File.generated(config, name, content=text))
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        text, pictures = _notebook(path)
        files.append(File.generated(config, f"notebooks/{path.stem}.md", content=text))
        for name, content in pictures.items():
            files.append(File.generated(config, f"notebooks/{name}", content=content))
    static = [ROOT / "CITATION.cff", ROOT / "constraints.txt", ROOT / "LICENSE"]
    static += sorted((ROOT / "figures" / "gallery").glob("*.png"))
    if EXPLORER.is_dir():
        static += [path for path in sorted(EXPLORER.rglob("*")) if path.is_file()]
    for path in static:
        inside = path.relative_to(EXPLORER.parent if path.is_relative_to(EXPLORER) else ROOT)
        files.append(File.generated(config, inside.as_posix(), abs_src_path=str(path)))
    return files


def on_page_markdown(markdown: str, page: Any, **_: Any) -> str:
    """Turns links out of docs/ to the site's places; puts the explorer in its page."""
    markdown = markdown.replace("[figures/gallery](../figures/gallery)", "`figures/gallery`")
    markdown = markdown.replace("](../figures/", "](figures/").replace("](../CHANGELOG.md)", "](changes.md)")
    if page.file.src_uri == "explorer.md" and EXPLORER.is_dir():
        frame = '<iframe src="explorer/index.html" title="The explorer" class="explorer"></iframe>'
        markdown = re.sub(r"!\[[^]]*\]\(explorer\.png\)", frame, markdown, count=1)
    return markdown


def on_post_build(config: Any) -> None:
    """Refuses a site whose pages load anything from elsewhere: it is to be read without a network."""
    for page in Path(config["site_dir"]).rglob("*.html"):
        if found := _LOADED.search(page.read_text(encoding="utf-8")):
            raise PluginError(f"{page} loads from elsewhere: {found[0]}")


def _of_root(name: str) -> str:
    """Return a page of the repository's root; its links into docs/ lead to pages beside it."""
    text = (
        (ROOT / name).read_text(encoding="utf-8").replace("](docs/", "](").replace("](CHANGELOG.md)", "](changes.md)")
    )
    return re.sub(r"\]\((notebooks/[\w-]+)\.ipynb\)", r"](\1.md)", text)


def _reference() -> str:
    parts = [
        "# API reference\n\nNames of `import supermask as sm`, by what they are for, then the modules of the trainers. "
        "Arrays' shapes are in the annotations, in jaxtyping's notation.\n"
    ]
    places = list(SECTIONS)
    order = {module: places.index(module) if module in places else len(places) for module in supermask._NAMES}
    for module, names in sorted(supermask._NAMES.items(), key=lambda item: order[item[0]]):
        parts.append(f"## {SECTIONS.get(module, module)}\n")
        parts += [f"::: supermask.{module}.{name}\n" for name in names.split()]
    for module in MODULES:
        kind = "Class" if module.rpartition(".")[2].istitle() else "Module"
        parts.append(f"## {kind} {module}\n\n::: supermask.{module}\n    options:\n      show_root_heading: false\n")
    return "\n".join(parts)


def _notebook_list() -> str:
    lines = [
        "# Notebooks\n",
        "Each runs on the embedded 8×8 digits in under three minutes on two cores.\n",
    ]
    for path in sorted((ROOT / "notebooks").glob("*.ipynb")):
        first = "".join(json.loads(path.read_text(encoding="utf-8"))["cells"][0]["source"]).splitlines()
        lines.append(f"- [{first[0].removeprefix('# ')}](notebooks/{path.stem}.md): {first[2]}")
    return "\n".join(lines) + "\n"


def _notebook(path: Path) -> tuple[str, dict[str, bytes]]:
    """Return a notebook as Markdown, with the texts and pictures of its outputs if it was executed."""
    executed = EXECUTED / path.name
    notebook = json.loads((executed if executed.is_file() else path).read_text(encoding="utf-8"))
    parts, pictures = [], {}
    for cell in notebook["cells"]:
        source = "".join(cell["source"])
        if cell["cell_type"] == "markdown":
            parts.append(re.sub(r"\]\(([\w-]+)\.ipynb\)", r"](\1.md)", source).replace("](../docs/", "](../"))
            continue
        parts.append(f"```python\n{source}\n```")
        for output in cell["outputs"]:
            data = output.get("data", {})
            if "image/png" in data:
                name = f"{path.stem}-{len(pictures)}.png"
                pictures[name] = base64.b64decode("".join(data["image/png"]))
                parts.append(f"![Output of the cell above]({name})")
            elif text := "".join(output.get("text", data.get("text/plain", ""))).rstrip():
                parts.append(f"```text\n{text}\n```")
    return "\n\n".join(parts) + "\n", pictures
