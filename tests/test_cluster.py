"""Dask workers: the same bits as in one process, whatever dies on the way; nothing run that a file says."""

import os
import shlex
import signal
import subprocess
from concurrent.futures import CancelledError, Future
from dataclasses import replace

import pytest
from distributed.comm.core import CommClosedError
from hypothesis import given
from hypothesis import strategies as st
from test_cli import COMMAND

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED, OK
from supermask.analysis.command.verify import verify
from supermask.analysis.kinds.plan import ids_needed, results_of
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.kinds.untrained import Untrained
from supermask.analysis.running import runner
from supermask.analysis.running.cluster.client import LOSSES, TRIES, Foreman, run_on
from supermask.analysis.running.cluster.connection import connected, slurm
from supermask.analysis.running.cluster.orders import cut
from supermask.analysis.running.cluster.sending import packed, unpacked
from supermask.analysis.running.cluster.source import Source, parse_source
from supermask.analysis.running.cluster.watch import Watch
from supermask.analysis.running.cluster.worker import NAME, Setting, Word, Workshop, capacity, inputs, receive
from supermask.analysis.running.interrupts import Stop
from supermask.analysis.store.identity import identity
from supermask.analysis.store.store import Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.studies.work import Done
from supermask.analysis.studies.workbench import KEPT, Workbench
from supermask.analysis.system.errors import UsageError
from supermask.compression.dsd import DSDRun
from supermask.cores import cores
from supermask.criteria import CRITERIA, Criterion
from supermask.datasets import Split, dataset_digest
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.plugins import criterion
from supermask.restarts import Treatment
from supermask.sparse_training.runs import SparseRun

CONSTANT = BUILT_IN.treatment("large_init", kept="constant")
SPARSE = (SparseRun("set", 0.2), SparseRun("static", 0.2, structure="set"))
STUDY = Study(
    (
        *(Treatment(), BUILT_IN.treatment("random"), CONSTANT, Treatment(rewind_step=10)),
        *(Untrained(CRITERIA["large_final"]), Untrained(CRITERIA["random"], "signed_constant")),
        *(LearnedMask(), *SPARSE, DSDRun(0.3)),
    )
)


@pytest.fixture(scope="module")
def experiment(digits, compiled_once):
    """On a data set that no worker has: it must be sent."""
    train = Split(digits.train.images[:600], digits.train.labels[:600])
    digest = dataset_digest(train, digits.validation, digits.test, maximum=digits.maximum)
    own = replace(digits, train=train, digest=digest)
    changes = Changes(dataset="digits", epochs=2, rounds=3, seeds=2, mask_epochs=1, sparse_epochs=1)
    return Experiment(protocol("quick", changes=changes), own)


def ids_of(experiment, study) -> frozenset[str]:
    return ids_needed(experiment, study)


def rows(folder) -> dict[str, tuple[str, str | None]]:
    with Store(folder) as store:
        return {each.id: (each.metrics_text, each.arrays_sha256) for each in store.everything()}


@pytest.fixture(scope="module")
def connection(compiled_once):
    """Two worker processes of one core each, on this machine."""
    with connected(Source("local", workers=2)) as connection:
        yield connection


SMALL = Study((BUILT_IN.treatment("random"), CONSTANT, Untrained(CRITERIA["random"])))


@pytest.fixture
def broken():
    """A treatment by a criterion that fails, and that workers know only where a plug-in brings it."""

    def fails(w_final):
        raise KeyError("broken")

    return Treatment(Criterion("broken", fails, "none", source="a test's"))


@pytest.mark.slow
def test_workers_give_the_same_bits_whatever_dies_on_the_way(connection, experiment, broken, tmp_path):
    """A worker is killed in the middle; one run fails wherever it is tried; all else is as in one process."""
    study = SMALL | Study((broken,))
    setting = Setting(experiment.protocol, experiment.data.digest, experiment.parameters, pinned=True)
    seen: list[Done] = []
    killed: list[int] = []

    def watch(done: Done) -> None:
        seen.append(done)
        if not killed and sum(each.results for each in seen) > 4:
            killed.append(next(iter(connection.client.run(os.getpid).values())))
            os.kill(killed[0], signal.SIGKILL)

    wanted = ids_of(experiment, study)
    with Store(tmp_path / "cluster") as store, Stop() as stop:
        eye = connection.watch(print)
        failures = run_on(connection.client, setting, experiment, study, store, wanted, watch, stop, eye)
    assert killed
    assert sum(failure.results for failure in failures) == 2 * 3, "three rounds of each seed"
    for failure in failures:
        assert "broken" in failure.what
        assert "broken is not known here" in failure.why
    assert TRIES == 3
    with Store(tmp_path / "straight") as store:
        runner.run(experiment, SMALL, store)
    assert rows(tmp_path / "cluster") == rows(tmp_path / "straight")
    assert sum(done.results for done in seen) == len(wanted) - 6
    assert not verify(tmp_path / "cluster").damages


class Machine:
    """Stands for a Dask worker, in this process."""

    name, address = "0", "here"

    def __init__(self, folder) -> None:
        self.local_directory = str(folder)
        self.told = 0.0

    def log_event(self, topic: str, word: tuple[float, str, str]) -> None:
        self.told += Word(*word).work


@pytest.mark.thorough
def test_tasks_hand_back_what_one_process_makes(experiment, tmp_path, monkeypatch):
    """Two workers that hand tasks to one another, after every population, without ever having what the other made."""
    monkeypatch.setattr("supermask.analysis.running.cluster.worker.set_up_jax", lambda devices: None)
    shops = []
    for name in ("first", "second"):
        (tmp_path / name).mkdir()
        shops.append(
            (
                Workshop(Setting(experiment.protocol, experiment.data.digest, experiment.parameters)),
                Machine(tmp_path / name),
            )
        )
        shops[-1][0].setup(shops[-1][1])
        assert shops[-1][0].capacity().networks == 2
    own = replace(experiment, chosen=(1,))
    study = Study((CONSTANT, Untrained(CRITERIA["random"], "signed_constant"), *SPARSE))
    with Store(tmp_path / "straight") as straight, Store(tmp_path / "handed") as store:
        runner.run(own, study, straight)
        tasks = list(cut(own, study, ids_of(own, study), 2, 2))
        turn = 0
        for task in sorted(tasks, key=lambda task: bool(inputs(own, task.study, task.wanted))):
            left = task.wanted
            while left:
                shop, machine = shops[turn % 2]
                asked = replace(task, wanted=left, seconds=0.0)
                outcome = shop.work(asked, {}, machine)
                if outcome.lacks_data:
                    assert turn < 2
                    other = replace(experiment.data, test=experiment.data.validation, digest="")
                    assert not shop.receive(other), "it is another data set"
                    assert shop.receive(experiment.data)
                    outcome = shop.work(asked, {}, machine)
                if outcome.lacks:
                    assert not outcome.results
                    given = {id_: store.arrays(id_) for id_ in outcome.lacks}
                    outcome = shop.work(asked, given, machine)
                store.add(outcome.results, outcome.made_with)
                made = {identity(result.description) for result in outcome.results}
                assert made
                assert made <= left
                left -= made
                turn += 1
    assert rows(tmp_path / "handed") == rows(tmp_path / "straight")


class Ended(Future):
    """Stands for Dask's future of a task that has ended, or is in the works for ever."""

    status = "pending"


class Clumsy:
    """Stands for a Dask client whose one worker is this process: every task meets the next mishap, if there is one.

    own: members that the worker knows beside the toolkit's, as those of a plug-in.

    A mishap is an error; or 'begun', which the worker tells before it dies; or 'astray', where nobody has the task.
    """

    status = "running"

    def __init__(self, folder, experiment, mishaps=(), own=()) -> None:
        self.setting = Setting(experiment.protocol, experiment.data.digest, experiment.parameters)
        self.shop, self.machine = Workshop(self.setting), Machine(folder)
        self.shop.setup(self.machine)
        self.shop.members = self.shop.members.plus(*own)
        self.mishaps = iter(mishaps)
        self.told = self.prepared = 0
        self.hear = None

    def subscribe_topic(self, topic, handler) -> None:
        assert topic == NAME
        self.hear = handler

    def unsubscribe_topic(self, topic) -> None: ...

    def register_plugin(self, plugin, name) -> None:
        self.prepared += 1
        assert plugin.idempotent == (self.prepared > 1), "workers that know keep what they have"

    def run(self, function, data=None, workers=()):
        if function is capacity:
            return {self.machine.address: self.shop.capacity()}
        assert function is receive
        self.told += 1
        if self.told == 1:
            raise CommClosedError("the worker that was to have it is gone")
        return {workers[0]: self.shop.receive(data)}

    def submit(self, function, task, runs, given, told_key, *, key, **how):
        assert key == told_key
        assert not task.study.runs, "its runs travel packed, beside it"
        future = Ended()
        future.key = key
        mishap = next(self.mishaps, None)
        if mishap == "astray":
            return future
        if mishap == "begun":
            self.hear((0.0, tuple(Word(0.0, key, self.machine.address))))
            mishap = CommClosedError("in the middle")
        future.status = "finished"
        try:
            if mishap:
                raise mishap
            whole = replace(task, study=unpacked(runs, self.shop.members))
            future.set_result(self.shop.work(whole, given, self.machine))
        except Exception as error:
            future.set_exception(error)
        return future


def seen_through(client, experiment, study, store):
    """All of a study as one task a group; returns what failed."""
    with Stop() as stop:
        watch = Watch(lambda: {client.machine.address: frozenset()}, print)
        foreman = Foreman(client, client.setting, experiment, store, lambda done: None, stop, watch)
        assert foreman.assemble(1)
        return foreman.see_through(list(cut(experiment, study, ids_of(experiment, study), 1, 100)))


@pytest.fixture
def one_seed(experiment, monkeypatch):
    monkeypatch.setattr("supermask.analysis.running.cluster.worker.set_up_jax", lambda devices: None)
    monkeypatch.setattr("supermask.analysis.running.cluster.client.LOOK_SECONDS", 0.0)
    monkeypatch.setattr("supermask.analysis.running.cluster.watch.ASTRAY_SECONDS", 0.1)
    return replace(experiment, chosen=(0,))


@pytest.mark.slow
def test_what_is_lost_with_a_worker_is_sent_again_and_is_not_the_tasks_fault(one_seed, tmp_path):
    mishaps = [CancelledError("lost connection"), CommClosedError("in the middle"), "astray"] * (LOSSES // 3 - 1)
    assert len(mishaps) > TRIES
    with Store(tmp_path / "lost") as store, Store(tmp_path / "straight") as straight:
        assert not seen_through(Clumsy(tmp_path, one_seed, mishaps), one_seed, SMALL, store)
        runner.run(one_seed, SMALL, straight)
    assert rows(tmp_path / "lost") == rows(tmp_path / "straight")
    with Store(tmp_path / "forever") as store:
        endless = (CancelledError("again") for _ in iter(int, 1))
        failures = seen_through(Clumsy(tmp_path, one_seed, endless), one_seed, SMALL, store)
        assert not list(store.everything())
    assert all("CancelledError: again" in failure.why or "starts from" in failure.why for failure in failures)
    assert sum(failure.results for failure in failures) == len(ids_of(one_seed, SMALL))


@pytest.mark.slow
def test_a_task_that_takes_its_workers_down_is_tried_three_times_and_then_each_run_alone(one_seed, tmp_path):
    study = Study((BUILT_IN.treatment("random"),))
    with Store(tmp_path / "twice") as store:
        assert not seen_through(Clumsy(tmp_path, one_seed, ["begun"] * (TRIES - 1)), one_seed, study, store)
    with Store(tmp_path / "for ever") as store:
        deadly = Clumsy(tmp_path, one_seed, ("begun" for _ in iter(int, 1)))
        failures = seen_through(deadly, one_seed, study, store)
    assert sum(failure.results for failure in failures) == len(ids_of(one_seed, study))
    assert any("CommClosedError: in the middle" in failure.why for failure in failures)


@pytest.mark.slow
def test_a_run_that_cannot_be_done_does_not_cost_those_of_its_task_their_results(one_seed, broken, tmp_path):
    study = SMALL | Study((broken,))
    assert max(len(task.study.of(Treatment)) for task in cut(one_seed, study, ids_of(one_seed, study), 1, 100)) == 3
    with Store(tmp_path / "one fails") as store, Store(tmp_path / "straight") as straight:
        (failure,) = seen_through(Clumsy(tmp_path, one_seed, own=[broken.criterion]), one_seed, study, store)
        runner.run(one_seed, SMALL, straight)
    assert (failure.results, failure.why) == (3, "KeyError: 'broken'")
    assert rows(tmp_path / "one fails") == rows(tmp_path / "straight")


def test_workers_of_another_version_are_refused(connection, experiment, tmp_path):
    setting = Setting(experiment.protocol, experiment.data.digest, experiment.parameters, version="0.0")
    client, watch = connection.client, connection.watch(print)
    wanted = ids_of(experiment, SMALL)
    with Store(tmp_path) as store, Stop() as stop, pytest.raises(UsageError, match=r"the client has 0\.0"):
        run_on(client, setting, experiment, SMALL, store, wanted, lambda done: None, stop, watch)


@given(st.data())
def test_tasks_make_what_is_missing_once_and_name_what_they_start_from(experiment, data):
    everything = sorted(ids_of(experiment, STUDY))
    missing = frozenset(data.draw(st.lists(st.sampled_from(everything), unique=True)))
    workers, networks = data.draw(st.integers(1, 1000)), data.draw(st.integers(1, 256))
    tasks = list(cut(experiment, STUDY, missing, workers, networks))
    made = [id_ for task in tasks for id_ in task.wanted]
    assert len(made) == len(set(made))
    assert set(made) == missing
    for task in tasks:
        own = replace(experiment, chosen=task.seeds)
        assert task.wanted <= ids_of(own, task.study)
        needed = inputs(own, task.study, task.wanted)
        assert needed.isdisjoint(task.wanted)
        for treatment in task.study.of(Treatment):
            for seed in task.seeds:
                rounds = [named.id for named in results_of(own, treatment, seed)]
                first = next((r for r in (0, 1, 2) if rounds[r] in task.wanted), None)
                if first is not None:
                    assert results_of(own, Unpruned(), seed)[0].id in needed
                    assert first == 0 or rounds[first - 1] in needed


def test_trainers_are_made_once_and_the_oldest_go():
    bench, made = Workbench(5), []
    for key in ("a", "b", "a", "c", "d", "a", "e", "b"):
        assert bench.trainer(key, lambda key=key: made.append(key) or key) == key
    assert made == ["a", "b", "c", "d", "e", "b"]
    assert KEPT == 4
    assert (bench.slots(9), Workbench().slots(9)) == (5, 9)


def test_where_workers_come_from_is_read_off_the_argument(tmp_path):
    assert parse_source("local") == Source("local")
    assert parse_source("tcp://10.0.0.1:8786").options == {"address": "tcp://10.0.0.1:8786"}
    assert parse_source("scheduler.lab:8786").kind == parse_source("tcp://[::1]:8786").kind == "scheduler"
    file = tmp_path / "slurm.toml"
    file.write_text(
        '\ufeffkind = "slurm"\nworkers = 16\nwait = 7200\n'
        '[options]\ncores = 4\nmemory = "8 GB"\nwalltime = "04:00:00"\n'
    )
    assert parse_source(str(file)) == Source(
        "slurm", 16, 1, {"cores": 4, "memory": "8 GB", "walltime": "04:00:00"}, 7200
    ), "with a byte-order mark, as Windows writes it"


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("kind = 'slurmm'", r"kind 'slurmm' is unknown \(did you mean slurm\?\)"),
        ("workers = 3", "kind '' is unknown"),
        ("kind = 'local'\nthreads = 3", "entry 'threads' is unknown"),
        ("kind = 'local'\nworkers = 0", "workers is 0; allowed: 1 or more"),
        ("kind = 'local'\nworkers = true", "workers is True; it should be a whole number"),
        ("kind = 'local'\n[options]\ncores = 1", "option of local 'cores' is unknown"),
        ("kind = 'slurm'\n[options]\ncores = 1", "memory is missing under"),
        ("kind = 'slurm'\n[options]\ncores = 1\njob_script_prologue = ['rm -r ~']", "'job_script_prologue' is unknown"),
        (
            "kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\npython = 'x; rm -r ~'",
            "python is 'x; rm -r ~'; allowed",
        ),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nqueue = 'a\\nb'", "queue is"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nqueue = \"a\\nrm\"", "allowed: letters, digits"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nqueue = '--wrap=x'", "allowed: letters, digits"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nqueue = 'a --wrap=x'", "allowed: letters, digits"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\naccount = '-x'", "account is '-x'; allowed"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB --wrap=x'", "memory is .*; allowed: a size such as 8 GB"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nwalltime = '1:00 -x'", "walltime is .* such as 04:00"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\npython = '-c x'", "python is '-c x'; allowed"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\nlog_directory = 'a -x'", "log_directory is"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\njob_extra_directives = ['--wrap=x']", "but --wrap"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\njob_extra_directives = ['a']", "one option of sbatch"),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = '1GB'\njob_extra_directives = [1]", "it should be a text"),
        ("kind = 'slurm'\n[options]\ncores = 0\nmemory = '1GB'", "cores is 0; allowed: 1 or more"),
        ("kind = 'local'\nwait = 0", "wait is 0; allowed: 1 or more"),
        ("kind = 'scheduler'\n[options]\naddress = 'tcp://a'", "address is 'tcp://a'; it should read like tcp://"),
        (
            "kind = 'scheduler'\n[options]\naddress = 'tls://a:1'\ntls_ca_file = '/no/ca.pem'",
            "tls_ca_file is '/no/ca.pem', which cannot be read as a file",
        ),
        ("kind = 'slurm'\n[options]\ncores = 1\nmemory = 1", "memory is 1; it should be a text"),
        ("kind = 'kubernetes'\n[options]\nname = 'a'\nimage = 'b'\nenv = {A = '$(rm)'}", "env.A is"),
        ("kind", "is not TOML"),
    ],
)
def test_a_cluster_file_says_only_what_it_may(tmp_path, content, message):
    file = tmp_path / "cluster.toml"
    file.write_text(content)
    with pytest.raises(UsageError, match=message):
        parse_source(str(file))


def test_what_is_no_cluster_is_refused_by_the_command(capsys, tmp_path):
    for arguments, message in (
        (["--cluster", str(tmp_path / "none.toml")], "is neither local nor an address like tcp://"),
        (["--cluster", str(tmp_path)], "cannot be read: it is a folder"),
        (["--cluster", "tcp://127.0.0.1"], "it should read like tcp://10.0.0.1:8786"),
        (["--cluster", "tcp://127.0.0.1:99999"], "with a port up to 65535"),
        (["--cluster", "tcp://[::1"], "it should read like tcp://10.0.0.1:8786"),
        (["--cluster", "udp://[::1]:8786"], "it should read like tcp://10.0.0.1:8786"),
        (["--cluster", "tls://127.0.0.1:8786"], "which needs certificates: name them in a file, as tls_ca_file"),
        (["--cluster", "local", "--devices", "1"], "devices is given with --cluster"),
    ):
        assert run_command(["reproduce", *arguments], CATALOGUE) == MISUSED
        assert message in capsys.readouterr().err


def test_a_scheduler_that_does_not_answer_is_an_error():
    source = parse_source("tcp://127.0.0.1:9")
    with pytest.raises(UsageError, match=r"cluster (does not answer|cannot be reached)"), connected(source, 1.0):
        pass


def test_a_slurm_job_asks_for_what_the_file_says():
    pytest.importorskip("dask_jobqueue")
    options = {"cores": 4, "memory": "8 GB", "queue": "short", "walltime": "04:00:00", "python": "/opt/x/bin/python"}
    with slurm(options) as cluster:
        script = cluster.job_script()
    for line in ("#SBATCH -p short", "#SBATCH --cpus-per-task=4", "#SBATCH --mem=8G", "#SBATCH -t 04:00:00"):
        assert line in script
    assert "/opt/x/bin/python -m distributed.cli.dask_worker" in script
    assert "--nthreads 1 " in script, "a worker does one task at a time"
    assert "--nworkers 4 " in script


def test_a_path_is_one_word_of_a_slurm_job(tmp_path):
    pytest.importorskip("dask_jobqueue")
    file = tmp_path / "cluster.toml"
    file.write_text(
        "kind = 'slurm'\n[options]\ncores = 1\nmemory = '8 GB'\npython = '/bin/rm -r /home'\n"
        "local_directory = '/scratch/my files'\njob_extra_directives = ['--gres=gpu:1', '-C a100']\n"
    )
    with slurm(parse_source(str(file)).options) as cluster:
        script = cluster.job_script().splitlines()
    (command,) = [line for line in script if line and not line.startswith("#")]
    words = shlex.split(command)
    assert words[0] == "/bin/rm -r /home", "the name of a program, and no command"
    assert words[words.index("--local-directory") + 1] == "/scratch/my files"
    assert {"#SBATCH --gres=gpu:1", "#SBATCH -C a100"} < set(script)


def test_arrays_of_a_round_are_enough_for_the_next(experiment):
    """What `inputs` names for round 2 is round 0 and round 1 of the run, for each of its seeds."""
    first, *wanted = (named.id for named in results_of(experiment, Treatment(), 1))
    zero = results_of(experiment, Unpruned(), 1)[0].id
    assert inputs(experiment, Study((Treatment(),)), wanted) == {zero, first}


def test_a_users_own_members_are_sent_by_name_and_content():
    """A worker has their code from the plug-in's file; what it does not know, or knows otherwise, it refuses."""
    mine = criterion("x", name="mine")(lambda w_final: w_final)
    other = criterion("x", name="mine")(lambda w_final: 2 * w_final)
    study = Study((Treatment(mine, rewind_step=3), Untrained(mine, "kaiming"), Untrained(CRITERIA["random"]), *SPARSE))
    sent = packed(study)
    assert mine not in [value for run in sent for value in run.values.values()]
    assert unpacked(sent, BUILT_IN.plus(mine)) == study
    for known in (BUILT_IN, BUILT_IN.plus(other)):
        with pytest.raises(RuntimeError, match="mine is not known here"):
            unpacked(sent, known)


@pytest.mark.slow
def test_workers_of_this_machine_give_the_bits_of_one_process_under_xlas_own_settings(tmp_path):
    """XLA splits products of matrices over its threads, whose number changes the last bits; tests compile otherwise."""
    own = {name: value for name, value in os.environ.items() if name not in ("XLA_FLAGS", "NPROC")}

    def supermask(*words):
        return subprocess.run([*COMMAND, *words], cwd=tmp_path, env=own, capture_output=True, text=True, timeout=300)

    study = ("reproduce", "lottery-tickets", "--seeds", "1", "--rounds", "1", "--epochs", "1", "--results")
    assert (ended := supermask(*study, "one")).returncode == OK, ended.stderr
    assert (ended := supermask(*study, "many", "--cluster", "local")).returncode == OK, ended.stderr
    merged = supermask("results", "--results", "one", "--merge", "many")
    assert merged.returncode == OK, merged.stderr
    with Store(tmp_path / "one") as one, Store(tmp_path / "many") as many:
        first, second = list(one.everything()), list(many.everything())
    assert len(first) == len(second) > 5
    assert {result.made_with["threads"] for result in (*first, *second)} == {cores()}
