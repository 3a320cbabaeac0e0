"""The site: the files of page and bundle by name, and writing them to a folder."""

import mimetypes
from collections.abc import Mapping
from importlib.resources import files
from importlib.resources.abc import Traversable
from pathlib import Path

from supermask.analysis.system.errors import FileError, UsageError, in_a_folder, reason
from supermask.writing import write_whole

BUNDLE = "bundle"
POLICY = (
    "default-src 'none'; script-src 'self'; worker-src 'self'; style-src 'self'; img-src 'self' data: blob:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'"
)
"""The page's content security policy: it loads only files of its own site. index.html contains it too."""

_TYPES = {
    ".html": "text/html; charset=utf-8",
    ".js": "text/javascript",
    ".css": "text/css",
    ".json": "application/json",
}


def site_files(bundle: Mapping[str, bytes]) -> dict[str, bytes]:
    """Return every file of the site by its path (with '/'): the page, and the bundle under bundle/."""
    page = dict(_files_of(files("supermask.analysis.explorer") / "page"))
    return page | {f"{BUNDLE}/{name}": content for name, content in bundle.items()}


def content_type(path: str) -> str:
    """Return the media type of a file."""
    ending = Path(path).suffix
    return _TYPES.get(ending) or mimetypes.types_map.get(ending, "application/octet-stream")


def check_target(folder: Path) -> None:
    """Raise UsageError unless a site can be written there: a new or empty folder, or an earlier export."""
    in_a_folder("export", folder)
    if folder.exists() and not folder.is_dir():
        raise UsageError(f"export {str(folder)!r} is a file; allowed: a new or empty folder, or an earlier export")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / BUNDLE / "bundle.json").is_file():
        raise UsageError(f"export {str(folder)!r} holds other files; allowed: a new or empty folder, an earlier export")


def write_site(site: Mapping[str, bytes], folder: Path) -> int:
    """Write the site's files and return their total size in bytes. Removes the seeds of an earlier export.

    Raises UsageError if the folder holds other files, FileError if it cannot be written.
    """
    check_target(folder)
    try:
        for old in (folder / BUNDLE).glob("seed-*.bin"):
            old.unlink()
        for path, content in site.items():
            target = folder / path
            target.parent.mkdir(parents=True, exist_ok=True)
            write_whole(target, content)
    except OSError as error:
        raise FileError(f"export {str(folder)!r} cannot be written: {reason(error)}") from None
    return sum(map(len, site.values()))


def _files_of(folder: Traversable, prefix: str = "") -> list[tuple[str, bytes]]:
    found: list[tuple[str, bytes]] = []
    for entry in sorted(folder.iterdir(), key=lambda entry: entry.name):
        path = prefix + entry.name
        found += _files_of(entry, path + "/") if entry.is_dir() else [(path, entry.read_bytes())]
    return found
