"""Sources of workers: this machine, a running scheduler, or a cluster described by a file.

A file is TOML with the fields listed here. None of its values can become a command or an unlisted option:

    kind = "slurm"              # or "kubernetes", "local", "scheduler"
    workers = 16                # number of workers requested
    devices = 1                 # CPU devices of a worker
    wait = 600                  # seconds to wait for the first worker, and for lost ones to come back
    [options]                   # of the kind: see OPTIONS
    cores = 1
    memory = "4 GB"
"""

import os
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from supermask.analysis.system.errors import UsageError, at_least, choose
from supermask.analysis.system.files import read_text

OPTIONS: Mapping[str, Mapping[str, type]] = {
    "local": {},
    "scheduler": {"address": str, "tls_ca_file": str, "tls_client_cert": str, "tls_client_key": str},
    "slurm": {
        "cores": int,
        "processes": int,
        "memory": str,
        "queue": str,
        "account": str,
        "walltime": str,
        "interface": str,
        "python": str,
        "local_directory": str,
        "log_directory": str,
        "job_extra_directives": list,
    },
    "kubernetes": {"name": str, "namespace": str, "image": str, "env": dict, "resources": dict},
}
"""Allowed options of each kind, as in dask-jobqueue's SLURMCluster and dask-kubernetes's KubeCluster."""

WAIT = 600
"""Seconds to wait for the first worker, or for lost workers and schedulers to return."""

_HARMLESS = (r"[\w ./:,=@+%-]*", "letters, digits, spaces and ./:,=@+%-")
_NAME = (r"\w[\w.,:@+-]*", "letters, digits and .,:@+-, with a letter or digit first")
_PATH = (r"[\w./][\w ./:,=@+%-]*", "letters, digits, spaces and ./:,=@+%-, and no - first")
_WORD = (r"[\w./][\w./:,=@+%-]*", "letters, digits and ./:,=@+%-, and no - first")
_FORMS: Mapping[str, tuple[str, str]] = {
    "queue": _NAME,
    "account": _NAME,
    "interface": _NAME,
    "walltime": (r"\d[\d:-]*", "a time such as 04:00:00 or 2-00:00:00"),
    "memory": (r"\d+(\.\d+)? ?[kKMGTP]?i?B", "a size such as 8 GB"),
    "python": _PATH,
    "local_directory": _PATH,
    "log_directory": _WORD,
    "job_extra_directives": (
        r"(?!--wrap)(-[A-Za-z]( ?[\w./:,=@+%-]+)?|--[a-z][a-z-]*([= ][\w./:,=@+%-]+)?)",
        "one option of sbatch such as --gres=gpu:1, but --wrap",
    ),
}
"""Allowed values of text options, as a pattern and in words, since most of them end up in a job script."""

_ADDRESS = re.compile(r"((?P<scheme>tcp|tls|ws|wss)://)?(?P<host>\[[0-9A-Fa-f:.]+\]|[\w.-]+):(?P<port>\d{1,5})")


@dataclass(frozen=True)
class Source:
    """A source of workers. `workers` 0 means one per core on this machine, and all available workers elsewhere.

    wait: seconds after which the client gives up a cluster without workers or scheduler.
    """

    kind: str
    workers: int = 0
    devices: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)
    wait: int = WAIT


def parse_source(text: str) -> Source:
    """Parse the value of --cluster: 'local', an address such as tcp://10.0.0.1:8786, or a file.

    Raises UsageError if it is none of these, or if the file has a value that is not allowed.
    """
    if text == "local":
        return Source("local")
    if "://" in text or _ADDRESS.fullmatch(text):
        _check_address("cluster", text, {})
        return Source("scheduler", options={"address": text})
    path = Path(text)
    if not path.exists():
        raise UsageError(f"cluster {text!r} is neither local nor an address like tcp://10.0.0.1:8786 nor a file")
    try:
        content = tomllib.loads(read_text(path, 1 << 20, "cluster file"))
    except ValueError as error:
        if isinstance(error, UsageError):
            raise
        raise UsageError(f"cluster file {path} is not TOML: {error}") from None
    return _from_file(path, content)


def _from_file(path: Path, content: Mapping[str, Any]) -> Source:
    where = f"cluster file {path}: "
    for name in content:
        choose(f"{where}entry", name, ("kind", "workers", "devices", "wait", "options"))
    kind = choose(f"{where}kind", str(content.get("kind", "")), OPTIONS)
    numbers = {name: content.get(name, default) for name, default in (("workers", 0), ("devices", 1), ("wait", WAIT))}
    for name, number in numbers.items():
        if name in content:
            _check_type(f"{where}{name}", number, int)
    options = content.get("options", {})
    _check_type(f"{where}options", options, dict)
    for name, value in options.items():
        choose(f"{where}option of {kind}", name, OPTIONS[kind])
        _check_type(f"{where}{name}", value, OPTIONS[kind][name])
        _check_form(f"{where}{name}", value, *_FORMS.get(name, _HARMLESS))
    for name in {"scheduler": ["address"], "slurm": ["cores", "memory"], "kubernetes": ["name", "image"]}.get(kind, []):
        if name not in options:
            raise UsageError(f"{where}{name} is missing under [options]; a cluster of kind {kind} needs it")
    if kind == "scheduler":
        _check_address(f"{where}address", options["address"], options)
    return Source(kind, **numbers, options=options)


def _check_address(argument: str, address: str, options: Mapping[str, str]) -> None:
    found = _ADDRESS.fullmatch(address)
    if found is None or not 1 <= int(found["port"]) <= 65535:
        raise UsageError(f"{argument} is {address!r}; it should read like tcp://10.0.0.1:8786, with a port up to 65535")
    certificates = {name: path for name, path in options.items() if name.startswith("tls_")}
    if found["scheme"] in ("tls", "wss") and not certificates:
        raise UsageError(
            f"{argument} is {address!r}, which needs certificates: name them in a file, as tls_ca_file, "
            "tls_client_cert and tls_client_key under [options]"
        )
    for name, path in certificates.items():
        if not os.access(path, os.R_OK) or not Path(path).is_file():
            raise UsageError(f"{argument}: {name} is {path!r}, which cannot be read as a file")


def _check_type(argument: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted) or isinstance(value, bool):
        names = {int: "a whole number", str: "a text", list: "a list of texts", dict: "a table"}
        raise UsageError(f"{argument} is {value!r}; it should be {names[wanted]}")
    if isinstance(value, int):
        at_least(argument, value, 1)
    for each in value if isinstance(value, list) else ():
        _check_type(argument, each, str)


def _check_form(argument: str, value: object, pattern: str, words: str) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_form(f"{argument}.{key}", key, pattern, words)
            _check_form(f"{argument}.{key}", each, pattern, words)
    elif isinstance(value, list):
        for each in value:
            _check_form(argument, each, pattern, words)
    elif not re.fullmatch(pattern, str(value)):
        raise UsageError(f"{argument} is {value!r}; allowed: {words}")
