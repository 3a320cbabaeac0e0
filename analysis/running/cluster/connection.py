"""Connects to a Dask cluster, or starts one: on this machine, by SLURM or on Kubernetes."""

import logging
import shlex
import signal
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from multiprocessing import resource_tracker
from typing import TYPE_CHECKING, Any

from supermask.analysis.running.cluster.source import Source
from supermask.analysis.system.errors import UsageError
from supermask.analysis.system.platform import cores
from supermask.cores import xla_threads

if TYPE_CHECKING:
    from distributed import Client

    from supermask.analysis.running.cluster.watch import Watch

LOOPBACK = "127.0.0.1:0"
"""Address of a scheduler's dashboard: this machine only, on a free port."""


@dataclass(frozen=True)
class Connection:
    """A client, and the cluster that was started for it, if one was."""

    client: "Client"
    source: Source
    cluster: Any = None

    def watch(self, say: Callable[[str], None]) -> "Watch":
        """Return the watch over the cluster, which replaces lost workers if this process can."""
        from supermask.analysis.running.cluster.watch import Watch, look

        return Watch(lambda: look(self.client), say, self.revive, self._expected, self.source.wait)

    def revive(self) -> None:
        """Begin to replace workers that are permanently gone."""
        if self.source.kind == "local":
            self.cluster.loop.add_callback(_renew, self.cluster, self._expected)
        elif self.source.kind == "slurm":
            self.cluster.scale(self._expected or 1)

    @property
    def _expected(self) -> int:
        return self.source.workers or (cores() if self.source.kind == "local" else 0)


@contextmanager
def connected(source: Source, timeout: float = 30.0) -> Iterator[Connection]:
    """Open a connection, whose workers may still be starting. Everything started for it is stopped at the end.

    Raises UsageError if a package is missing, or if the scheduler does not answer within `timeout` seconds.
    """
    try:
        import dask
        from distributed import Client
    except ImportError:
        raise UsageError("cluster needs the package distributed: pip install 'supermask[cluster]'") from None
    # The client counts how often a worker dies at a task: Dask blames every task that the worker had before it. What
    # moves between processes is not looked at for dashboards; weights may go along with a task, whatever their size.
    settings = {
        "distributed.scheduler.allowed-failures": 1000,
        "distributed.admin.system-monitor.gil.enabled": False,
        "distributed.admin.large-graph-warning-threshold": "1 TB",
    }
    with dask.config.set(settings), _quiet(dask.config.get("logging.distributed", None)):
        cluster = _cluster(source)
        # By its address: a client that is given a cluster waits until its workers have started, and an interrupt would
        # break that off in the middle.
        address = cluster.scheduler_address if source.kind == "local" else cluster
        try:
            try:
                client = Client(address, timeout=timeout, set_as_default=False, security=_security(source))
            except TimeoutError as error:
                raise UsageError(f"cluster does not answer: {error}") from None
            except OSError as error:
                raise UsageError(f"cluster cannot be reached: {' '.join(str(error).split())}") from None
            client._timeout = source.wait  # for a scheduler that was there and is gone: the watch tells of it
            with client:
                connection = Connection(client, source, cluster)
                connection.revive()
                yield connection
        finally:
            if hasattr(cluster, "close"):
                cluster.close()


async def _renew(cluster: Any, workers: int) -> None:
    """Start a local cluster's missing workers: Dask waits forever for a nanny whose worker died while starting."""
    there = {worker.name for worker in cluster.scheduler.workers.values()}
    for name, nanny in list(cluster.workers.items()):
        if name not in there and (nanny.process is None or not nanny.process.is_alive()):
            del cluster.workers[name]
            with suppress(Exception):  # it may be closed, or have failed: it is to go
                await nanny.close()
    cluster.scale(workers)


@contextmanager
def _quiet(level: object) -> Iterator[None]:
    """Silence Dask's log, unless the user set its level, since the watch reports what matters."""
    loggers = [logging.getLogger(name) for name in ("distributed", "tornado", "asyncio")]
    before = [logger.level for logger in loggers]
    for logger in loggers if level is None else ():
        logger.setLevel(logging.CRITICAL)
    try:
        yield
    finally:
        for logger, its_level in zip(loggers, before, strict=True):
            logger.setLevel(its_level)


def _cluster(source: Source) -> Any:
    """Return the cluster or address for a `distributed.Client`."""
    options = dict(source.options)
    if source.kind == "scheduler":
        return options["address"]
    if source.kind == "local":
        return _local()
    if source.kind == "slurm":
        return slurm(options)
    try:
        from dask_kubernetes.operator import KubeCluster
    except ImportError:
        raise UsageError("kind kubernetes needs the package dask-kubernetes: pip install dask-kubernetes") from None
    return KubeCluster(n_workers=source.workers or 1, **options)


def _local() -> Any:
    """Return a cluster on this machine, still without workers."""
    from distributed import LocalCluster

    # A terminal sends Ctrl-C to all of its processes; what it means is this one's to say. Threads inherit what is
    # blocked, and so do the processes that they start. (Python's resource tracker, started here, would unblock it.)
    resource_tracker.ensure_running()
    before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        return LocalCluster(
            n_workers=0,
            threads_per_worker=1,
            processes=True,
            memory_limit=0,
            env={"NPROC": str(xla_threads())},  # the same last bits as in one process
            dashboard_address=LOOPBACK,
            silence_logs=logging.getLogger("distributed").level,
        )
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _security(source: Source) -> Any:
    """Return the certificates for a scheduler, if the file names any."""
    from distributed import Security

    named = {name: value for name, value in source.options.items() if name.startswith("tls_")}
    return Security(require_encryption=True, **named) if source.kind == "scheduler" and named else None


def slurm(options: Mapping[str, Any]) -> Any:
    """Return dask-jobqueue's cluster with those options; no job is sent yet. Raises UsageError without the package."""
    try:
        from dask_jobqueue.slurm import SLURMCluster
    except ImportError:
        raise UsageError("kind slurm needs the package dask-jobqueue: pip install dask-jobqueue") from None
    # Paths become words of a shell's command. One thread a process: a worker does one task at a time.
    words = {name: shlex.quote(options[name]) for name in ("python", "local_directory") if name in options}
    ours = {"processes": options["cores"], "scheduler_options": {"dashboard_address": LOOPBACK}}
    return SLURMCluster(**{**ours, **options, **words})
