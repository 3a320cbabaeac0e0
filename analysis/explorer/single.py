"""The site as one HTML file, which also works as an e-mail attachment, from disk, or in a sandboxed frame.

The page's modules become functions in one classic script, because a page opened from disk may not import modules. The
bundle is embedded in base64. Workers start from the same text. The file's content security policy allows only this
script and this style, by their digests, and no requests.
"""

import json
import re
from base64 import b64encode
from collections.abc import Mapping
from hashlib import sha256
from pathlib import Path, PurePosixPath

from supermask.analysis.explorer.site import BUNDLE, POLICY
from supermask.analysis.system.errors import FileError, UsageError, in_a_folder, reason
from supermask.writing import write_whole

MARK = 'id="supermask-inside"'
"""Marks an exported page, so that only an earlier export is ever overwritten."""

_IMPORT = re.compile(r"^import (?:\{([^}]*)\}|\* as (\w+)) from \"([^\"]+)\";\n", re.MULTILINE)
_EXPORT = re.compile(r"^export ((?:async )?(?:function|class|const) (\w+))", re.MULTILINE)


def single_page(site: Mapping[str, bytes]) -> bytes:
    """Return the whole site as one HTML file."""
    html = site["index.html"].decode()
    style = site["style.css"].decode()
    program = _program({path: content.decode() for path, content in site.items() if path.endswith(".js")})
    icon = b64encode(site["icon.svg"]).decode()
    files = {
        path.removeprefix(f"{BUNDLE}/"): b64encode(c).decode() for path, c in site.items() if path.startswith(BUNDLE)
    }
    policy = (
        f"default-src 'none'; script-src '{_digest(program)}'; worker-src blob:; style-src '{_digest(style)}'; "
        "img-src data: blob:; base-uri 'none'; form-action 'none'"
    )
    data = json.dumps({"files": files}, separators=(",", ":"))
    for old, new in (
        (POLICY, policy),
        (
            '<link rel="icon" href="icon.svg" type="image/svg+xml">',
            f'<link rel="icon" href="data:image/svg+xml;base64,{icon}">',
        ),
        ('<link rel="stylesheet" href="style.css">', f"<style>{style}</style>"),
        ('<script type="module" src="main.js"></script>\n', ""),
        ("</body>", f'<script type="application/json" {MARK}>{data}</script>\n<script>{program}</script>\n</body>'),
    ):
        if html.count(old) != 1:
            raise ValueError(f"index.html holds {old!r} {html.count(old)} times; allowed: once")
        html = html.replace(old, new)
    return html.encode()


def check_page(path: Path) -> None:
    """Raise UsageError unless the page can be written there, as a new file or over an earlier export."""
    in_a_folder("export", path)
    if path.is_dir():
        raise UsageError(f"export {str(path)!r} is a folder; allowed: a new file, or an earlier export")
    if path.is_file() and MARK not in path.read_text(encoding="utf-8", errors="replace"):
        raise UsageError(f"export {str(path)!r} is another file; allowed: a new file, or an earlier export")


def write_page(site: Mapping[str, bytes], path: Path) -> int:
    """Write the page and return its size in bytes.

    Raises UsageError if another file has that name, FileError if it cannot be written.
    """
    check_page(path)
    content = single_page(site)
    try:
        write_whole(path, content)
    except OSError as error:
        raise FileError(f"export {str(path)!r} cannot be written: {reason(error)}") from None
    return len(content)


def _program(modules: Mapping[str, str]) -> str:
    """Combine all modules into one script. Each becomes a function that runs at first use and returns its exports."""
    parts = [
        "'use strict';",
        "if (typeof document !== 'undefined') globalThis.supermaskInside = {",
        "  ...JSON.parse(document.getElementById('supermask-inside').textContent),",
        "  program: document.currentScript.textContent,",
        "};",
        "const supermaskModules = {};",
        "const supermaskUsed = {};",
        "const supermaskUse = (name) => (supermaskUsed[name] ??= supermaskModules[name]());",
    ]
    for path, text in sorted(modules.items()):
        parts.append(f"supermaskModules[{json.dumps(path)}] = () => {{\n{_module(path, text)}\n}};")
    parts.append("supermaskUse(globalThis.supermaskEntry ?? 'main.js');\n")
    program = "\n".join(parts)
    if "</script" in program.lower():
        raise ValueError("a module of the page holds '</script', which would end the script; allowed: any other text")
    return program


def _module(path: str, text: str) -> str:
    """Rewrite a module as a function body: imports become calls of other modules, exports the returned object."""

    def taken(found: re.Match[str]) -> str:
        names, whole, source = found.groups()
        target = _resolved(PurePosixPath(path).parent, source)
        what = whole or "{ " + re.sub(r"(\w+) as (\w+)", r"\1: \2", " ".join(names.split())) + " }"
        return f"const {what} = supermaskUse({json.dumps(target)});\n"

    exported = [name for _, name in _EXPORT.findall(text)]
    body = _EXPORT.sub(r"\1", _IMPORT.sub(taken, text))
    left = re.search(
        r"^(?:import|export)\b.*|\bimport\.meta\b|\bimport\(", re.sub(r"/\*.*?\*/", "", body, flags=re.S), re.M
    )
    if left is not None:
        raise ValueError(
            f"{path} holds {left[0]!r}; allowed: imports of names, and exports of functions, classes, consts"
        )
    return f"{body}\nreturn {{ {', '.join(exported)} }};"


def _resolved(folder: PurePosixPath, source: str) -> str:
    parts: list[str] = []
    for part in (folder / source).parts:
        if part == "..":
            parts.pop()
        elif part != ".":
            parts.append(part)
    return "/".join(parts)


def _digest(text: str) -> str:
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
