"""Where workers come from: this machine, a scheduler that runs already, or what a file describes.

A file is TOML; what it may say is listed here, and nothing in it is run:

    kind = "slurm"              # or "kubernetes", "local", "scheduler"
    workers = 16                # how many are asked for
    devices = 1                 # CPU devices of a worker
    [options]                   # of the kind: see OPTIONS
    cores = 1
    memory = "4 GB"
"""

import re
import tomllib
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from analysis.errors import UsageError, at_least, choose
from analysis.platform import cores

if TYPE_CHECKING:
    from distributed import Client

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
"""What a file may say of each kind: names of dask-jobqueue's SLURMCluster and dask-kubernetes's KubeCluster."""

SECONDS_TO_COME = 600.0
"""How long the first worker may take to come: jobs wait in queues."""

LOOPBACK = "127.0.0.1:0"
"""Where a scheduler shows what it does: to this machine alone, on a free port."""

_HARMLESS = re.compile(r"[\w ./:,=@+%-]*")
"""What a text may consist of: some of them end up in a job's script."""


@dataclass(frozen=True)
class Source:
    """Where workers come from. `workers` 0 stands for one a core on this machine, and for all there are elsewhere."""

    kind: str
    workers: int = 0
    devices: int = 1
    options: Mapping[str, Any] = field(default_factory=dict)


def parse_source(text: str) -> Source:
    """From what follows --cluster: 'local', an address such as tcp://10.0.0.1:8786, or a file.

    Raises UsageError where it is none of these, or the file says what it may not.
    """
    if text == "local":
        return Source("local")
    if re.fullmatch(r"(tcp|tls|ws|wss)://\S+|[\w.-]+:\d{1,5}", text):
        return Source("scheduler", options={"address": text})
    path = Path(text)
    try:
        content = tomllib.loads(path.read_text())
    except OSError as error:
        raise UsageError(
            f"cluster {text!r} is neither local nor an address like tcp://10.0.0.1:8786, and as a file it cannot be "
            f"read: {error.strerror}"
        ) from None
    except ValueError as error:
        raise UsageError(f"cluster file {path} is not TOML: {error}") from None
    return _from_file(path, content)


def _from_file(path: Path, content: Mapping[str, Any]) -> Source:
    where = f"cluster file {path}: "
    for name in content:
        choose(f"{where}entry", name, ("kind", "workers", "devices", "options"))
    kind = choose(f"{where}kind", str(content.get("kind", "")), OPTIONS)
    numbers = {name: content.get(name, default) for name, default in (("workers", 0), ("devices", 1))}
    for name, number in numbers.items():
        _check_type(f"{where}{name}", number, int)
        at_least(f"{where}{name}", number, 1 if name == "devices" or name in content else 0)
    options = content.get("options", {})
    _check_type(f"{where}options", options, dict)
    for name, value in options.items():
        choose(f"{where}option of {kind}", name, OPTIONS[kind])
        _check_type(f"{where}{name}", value, OPTIONS[kind][name])
        _check_harmless(f"{where}{name}", value)
    for name in {"scheduler": ["address"], "slurm": ["cores", "memory"], "kubernetes": ["name", "image"]}.get(kind, []):
        if name not in options:
            raise UsageError(f"{where}{name} is missing under [options]; a cluster of kind {kind} needs it")
    return Source(kind, **numbers, options=options)


def _check_type(argument: str, value: object, wanted: type) -> None:
    if not isinstance(value, wanted) or isinstance(value, bool):
        names = {int: "a whole number", str: "a text", list: "a list of texts", dict: "a table"}
        raise UsageError(f"{argument} is {value!r}; it should be {names[wanted]}")


def _check_harmless(argument: str, value: object) -> None:
    if isinstance(value, Mapping):
        for key, each in value.items():
            _check_harmless(f"{argument}.{key}", key)
            _check_harmless(f"{argument}.{key}", each)
    elif isinstance(value, list):
        for each in value:
            _check_harmless(argument, each)
    elif not _HARMLESS.fullmatch(str(value)):
        raise UsageError(f"{argument} is {value!r}; allowed: letters, digits, spaces and ./:,=@+%-")


@contextmanager
def connected(source: Source, timeout: float = 30.0) -> Iterator["Client"]:
    """A client with at least one worker; what was started for it is stopped at the end.

    Raises UsageError where a package is missing, the scheduler does not answer, or no worker comes.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise UsageError("cluster needs the package distributed: pip install 'supermask[cluster]'") from None
    # Three deaths of a worker end a task, not four; what moves between processes is not looked at for dashboards; and
    # weights may go along with a task, whatever their size.
    settings = {
        "distributed.scheduler.allowed-failures": 2,
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.admin.large-graph-warning-threshold": "1 TB",
    }
    with dask.config.set(settings):
        cluster = _cluster(source)
        try:
            with Client(cluster, timeout=timeout, set_as_default=False, security=_security(source)) as client:
                client.wait_for_workers(
                    max(source.workers, 1) if source.kind == "local" else 1, timeout=SECONDS_TO_COME
                )
                yield client
        except TimeoutError as error:
            raise UsageError(f"cluster does not answer, or no worker came: {error}") from None
        except OSError as error:
            raise UsageError(f"cluster cannot be reached: {' '.join(str(error).split())}") from None
        finally:
            if hasattr(cluster, "close"):
                cluster.close()


def _cluster(source: Source) -> Any:
    """What a `distributed.Client` connects to."""
    options = dict(source.options)
    if source.kind == "scheduler":
        return options["address"]
    if source.kind == "local":
        from distributed import LocalCluster

        return LocalCluster(
            n_workers=source.workers or cores(),
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            dashboard_address=LOOPBACK,
        )
    if source.kind == "slurm":
        cluster = slurm(options)
        cluster.scale(source.workers or 1)
        return cluster
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError:
        raise UsageError("kind kubernetes needs the package dask-kubernetes: pip install dask-kubernetes") from None
    return KubeCluster(n_workers=source.workers or 1, **options)


def _security(source: Source) -> Any:
    """The certificates that a scheduler asks for, if the file names any."""
    from distributed import Security

    named = {name: value for name, value in source.options.items() if name.startswith("tls_")}
    return Security(require_encryption=True, **named) if source.kind == "scheduler" and named else None


def slurm(options: Mapping[str, Any]) -> Any:
    """dask-jobqueue's cluster of those options; no job is sent yet. Raises UsageError without that package."""
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise UsageError("kind slurm needs the package dask-jobqueue: pip install dask-jobqueue") from None
    # One thread a process: a worker does one task at a time, on the devices that it has.
    return SLURMCluster(
        **{"processes": options["cores"], "scheduler_options": {"dashboard_address": LOOPBACK}, **options}
    )
