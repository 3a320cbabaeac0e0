"""The explorer without a browser: bundle, server, command; and the page's own modules against the toolkit's."""

import base64
import http.client
import json
import re
import shutil
import signal
import subprocess
import sys
import time
import urllib.request
import zlib
from dataclasses import replace
from itertools import pairwise

import jax
import numpy as np
import pytest
from explorer_reference import KEPT, PRUNED, SHOWN, Reference, digests, read_otherwise, setting
from explorer_site import PAGE, ROOT, answers, node, serving, train_runs
from rich.console import Console

from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import MISUSED
from supermask.analysis.explorer import bundle as bundles
from supermask.analysis.explorer.bundle import FORMAT, LEVELS, make_bundle
from supermask.analysis.explorer.explore import ExplorerRequest, choose
from supermask.analysis.explorer.site import POLICY, site_files, write_site
from supermask.analysis.kinds.plan import results_needed
from supermask.analysis.kinds.rounds import Unpruned
from supermask.analysis.store.store import Result, Store
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.protocols import Changes, protocol
from supermask.analysis.system.errors import UsageError
from supermask.criteria import CRITERIA
from supermask.draws import glorot_deviation, glorot_kernel, layer_key
from supermask.figures.catalogue import CATALOGUE
from supermask.keys import Purpose, derive_key
from supermask.networks import kernels_of, with_kernels
from supermask.packed import ENVELOPE, unpack
from supermask.restarts import Treatment

COMMAND = [sys.executable, "-c", "from supermask.figures.command import main; main()"]
FAST = ["--dataset", "digits", "--epochs", "4", "--rounds", "2"]


@pytest.fixture(scope="module")
def runs(trainer):
    return train_runs(trainer, [0, 3], rounds=3)


@pytest.fixture(scope="module")
def experiment(digits):
    return Experiment(protocol("quick", changes=Changes(dataset="digits", seeds=2, rounds=3)), digits)


@pytest.fixture(scope="module")
def bundle(experiment, small_network, runs):
    return make_bundle(experiment, small_network, runs)


@pytest.fixture(scope="module")
def site(bundle, tmp_path_factory):
    folder = tmp_path_factory.mktemp("site") / "explorer"
    write_site(site_files(bundle), folder)
    return folder


@pytest.fixture(scope="module")
def reference(digits, small_network, runs):
    return Reference(digits, small_network, runs)


# The page's modules against the toolkit -------------------------------------------------------------------------------


@pytest.mark.thorough
def test_every_criterion_level_and_treatment_gives_the_toolkits_masks_and_readings(site, reference):
    """13 criteria × 25 levels × 7 mask-1 × 2 mask-0 actions, in Node; the real network's turn is in Chromium."""
    combinations = [(criterion, *values, pruned) for criterion in SHOWN for values in KEPT for pruned in PRUNED]
    settings = [
        setting(seed=at % 2, criterion=criterion, kept=kept, signs=signs, pruned=pruned, level=4 * level)
        for at, (criterion, kept, signs, pruned) in enumerate(combinations)
        for level in range(LEVELS + 1)
    ]
    given = answers(site, settings)
    otherwise = []
    for start in range(0, len(settings), LEVELS + 1):
        some = settings[start : start + LEVELS + 1]
        chosen = [reference.masks(each) for each in some]
        outputs = reference.outputs(some[0], chosen)
        for each, masks, output, answer in zip(some, chosen, outputs, given[start:], strict=False):
            assert answer["masks"] == digests(masks), each
            assert answer["kept"] == [int(mask.sum()) for mask in masks.values()]
            found = np.frombuffer(base64.b64decode(answer["found"]), np.uint8)
            otherwise.append(read_otherwise(found, output))
    print(f"{len(otherwise)} settings; images read otherwise: {np.bincount(otherwise).tolist()} (0, 1, 2, ... of them)")
    assert max(otherwise) <= 2


def test_the_page_names_the_toolkits_criteria_and_the_bundle_has_their_formulas(tmp_path, bundle):
    program = tmp_path / "criteria.mjs"
    program.write_text(
        f"import {{ CRITERIA }} from 'file://{PAGE}/core/criteria.js';\n"
        "console.log(JSON.stringify(CRITERIA.map(({ name }) => name)));"
    )
    said = json.loads(subprocess.run([node(), str(program)], capture_output=True, text=True, check=True).stdout)
    assert set(said) == set(SHOWN)
    formulas = json.loads(bundle["bundle.json"])["formulas"]
    assert {name: formulas[name] for name in said} == {name: CRITERIA[name].formula for name in SHOWN}


def test_rounds_flips_and_quarters_of_a_step(site, reference):
    rounds = [setting(source="round", round=round_, seed=1) for round_ in range(4)]
    flips = [setting(flipped=[at == 0, at == 1, at == 2]) for at in range(3)]
    for given, answer in zip([*rounds, *flips], answers(site, rounds + flips), strict=True):
        masks = reference.masks(given)
        assert answer["masks"] == digests(masks)
        found = np.frombuffer(base64.b64decode(answer["found"]), np.uint8)
        assert read_otherwise(found, reference.outputs(given, [masks])[0]) <= 2
    kept = [answer["kept"] for answer in answers(site, [setting(level=level) for level in range(20, 29)])]
    assert all(np.all(np.subtract(more, fewer) >= 0) for more, fewer in pairwise(kept))
    fifth, sixth = (np.array(list(reference.counts[level].values())) for level in (5, 6))
    assert kept[0] == fifth.tolist()
    assert kept[4] == sixth.tolist()
    assert kept[2] == (fifth - (fifth - sixth) * 2 // 4).tolist()


def test_packed_files_are_of_the_toolkits_newest_version_and_stand_for_the_same_weights(
    experiment, small_network, runs, tmp_path
):
    """Signed constants of any bundle; initial values where they are what the toolkit draws from the seed."""
    drawn = []
    for run in runs:
        kernels = {
            n: glorot_kernel(layer_key(run.seed, n), k.shape, glorot_deviation(k.shape))
            for n, k in kernels_of(run.initial).items()
        }
        drawn.append(replace(run, initial=with_kernels(run.initial, kernels)))
    moved = [replace(run, initial=jax.tree.map(lambda leaf: leaf * np.float32(1.5), run.initial)) for run in drawn]
    asked = [setting(level=12, kept=kept, seed=1) | {"packed": True} for kept in ("constant", "initial")]
    for at, these in enumerate((drawn, moved)):
        folder = tmp_path / str(at)
        write_site(site_files(make_bundle(experiment, small_network, these)), folder)
        found = [answer["packed"] for answer in answers(folder, asked)]
        assert found[0], "signed constants"
        assert bool(found[1]) is (these is drawn), "no file for initial values that no seed stands for"
        if these is not drawn:
            continue
        for given, text in zip(asked, found, strict=True):
            content = base64.b64decode(text)
            assert int.from_bytes(content[8:10], "little") == ENVELOPE.version
            network, params = unpack(content)
            masks = Reference(experiment.data, small_network, these).masks(given)
            for layer, mask in network.masks.items():
                np.testing.assert_array_equal(mask, masks[layer])
            expected = np.where(masks["hidden1"], kernels_of(these[1].initial)["hidden1"], 0)
            same = np.testing.assert_array_equal if given["kept"] == "initial" else _same_signs
            same(params["hidden1"]["kernel"], expected)


def _same_signs(found, expected):
    np.testing.assert_array_equal(np.sign(found), np.sign(expected))


def test_a_painted_region_keeps_the_weights_that_lie_in_it(site, runs, bundle):
    random = np.random.default_rng(0)
    region = random.integers(0, 2, (32, 32))
    (answer,) = answers(site, [setting(source="painted", region=region.ravel().tolist())])
    entry = json.loads(bundle["bundle.json"])["seeds"][0]
    expected = {}
    for at, layer in enumerate(runs[0].initial):
        cells = []
        for params, reach in ((runs[0].final, entry["reach_final"][at]), (runs[0].initial, entry["reach_initial"][at])):
            weights = np.asarray(params[layer]["kernel"], np.float64)
            cells.append(np.clip(np.floor((weights + reach) / (2 * reach) * 96), 0, 95).astype(int) // 3)
        expected[layer] = region[cells[0], cells[1]] == 1
    assert answer["masks"] == digests(expected)


def test_the_modules_random_words_are_jaxs(tmp_path):

    program = tmp_path / "words.mjs"
    program.write_text(
        f"import {{ deriveKey, foldIn, randomBits, threefry }} from 'file://{PAGE}/core/random.js';\n"
        "const key = foldIn(deriveKey(2147483643, 2), 7);\n"
        "const own = [0, 1, 2, 3, 4].map((at) => threefry(key, 0, at)).map(([a, b]) => (a ^ b) >>> 0);\n"
        "console.log(JSON.stringify([[...randomBits(key, 100)], own]));"
    )
    said = json.loads(subprocess.run([node(), str(program)], capture_output=True, text=True, check=True).stdout)
    key = jax.random.fold_in(derive_key(2147483643, Purpose.KEPT_VALUES), 7)
    assert said[0] == np.asarray(jax.random.bits(key, (100,))).tolist()
    assert said[1] == said[0][:5]


# The bundle -----------------------------------------------------------------------------------------------------------


def test_the_bundle_says_what_it_shows_and_holds_the_weights_to_the_bit(bundle, runs, experiment, digits):
    manifest = json.loads(bundle["bundle.json"])
    assert manifest["format"] == FORMAT
    assert manifest["about"]["protocol"] == experiment.protocol.label
    assert manifest["about"]["images"] == len(manifest["labels"]) == len(digits.test)
    assert [entry["seed"] for entry in manifest["seeds"]] == [0, 3]
    images = np.frombuffer(zlib.decompress(bundle["images.bin"]), np.uint8)
    assert (images == digits.test.images.ravel()).all()
    content = np.frombuffer(zlib.decompress(bundle["seed-3.bin"]), np.uint8)
    size = len(content) // 9
    planes = content[: 4 * size].reshape(4, size)
    initial = np.ascontiguousarray(planes.T).view("<f4").ravel()
    expected = np.concatenate([np.asarray(leaves["kernel"]).ravel() for leaves in runs[1].initial.values()])
    assert initial.tobytes() == expected.tobytes()
    assert manifest["seeds"][1]["rounds"] == [[r.weights_remaining, r.test_accuracy] for r in runs[1].rounds]


def test_the_same_runs_give_the_same_bytes(experiment, small_network, runs, bundle):
    assert make_bundle(experiment, small_network, runs) == bundle


def test_the_level_that_the_page_opens_with_is_chosen_on_validation_images(bundle, runs, digits, small_network):
    validation = Reference(digits, small_network, runs)
    validation.images = digits.validation.images.astype(np.float32) / digits.maximum
    right = np.zeros(LEVELS + 1)
    for seed in (0, 1):
        some = [setting(seed=seed, level=4 * level) for level in range(LEVELS + 1)]
        outputs = validation.outputs(some[0], [validation.masks(each) for each in some])
        right += (outputs.argmax(axis=2) == digits.validation.labels).mean(axis=1)
    assert json.loads(bundle["bundle.json"])["best_level"] == int(right.argmax())


@pytest.mark.parametrize(
    ("change", "message"), [("one seed", "seeds is 1; allowed: 2 or more"), ("too large", "allowed: 1,000")]
)
def test_bundles_that_would_not_do_are_refused(change, message, experiment, small_network, runs, monkeypatch):
    if change == "too large":
        monkeypatch.setattr(bundles, "MOST_BYTES", 1000)
    with pytest.raises(UsageError, match=message):
        make_bundle(experiment, small_network, runs[: 1 if change == "one seed" else 2])


@pytest.mark.parametrize("value", [np.nan, np.inf, 3e38])
@pytest.mark.parametrize("end", ["initial", "final"])
def test_trainings_that_diverged_are_told_and_not_shown(value, end, experiment, small_network, runs):
    params = {layer: dict(leaves) for layer, leaves in getattr(runs[1], end).items()}
    params["output"]["kernel"] = np.full_like(params["output"]["kernel"], value)
    with pytest.raises(UsageError, match="seed 3 has weights in layer output that are no numbers, or above 1e"):
        make_bundle(experiment, small_network, [runs[0], replace(runs[1], **{end: params})])


@pytest.mark.parametrize(
    ("shape", "kind", "message"),
    [
        ((8, 8, 3), np.uint8, "has colours; the explorer shows grey images of bytes, 5×5 pixels or more"),
        ((8, 8, 1), np.float32, "has numbers in place of bytes"),
        ((1, 64, 1), np.uint8, "has images of 1×64"),
    ],
)
def test_images_that_cannot_be_shown_are_refused_before_anything_is_trained(shape, kind, message, tmp_path, capsys):
    labels = np.arange(60) % 3
    images = np.random.default_rng(0).integers(0, 2, (60, *shape)).astype(kind)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images[:9], y_test=labels[:9])
    folder = ["--results", str(tmp_path / "none"), "--export", str(tmp_path / "site")]
    assert run_command(["explore", "--dataset", str(tmp_path / "own.npz"), *folder], CATALOGUE) == MISUSED
    assert message in capsys.readouterr().err
    assert not (tmp_path / "none").exists()


@pytest.mark.slow
def test_the_command_exports_a_network_of_ones_own_images(tmp_path, monkeypatch):
    """Of any grey images, with as many classes as they have; a packed file tells their shape."""
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    random = np.random.default_rng(0)
    labels = np.arange(300) % 3
    images = (random.integers(0, 60, (300, 7, 5)) + 60 * labels[:, None, None]).astype(np.uint8)
    np.savez(tmp_path / "own.npz", x_train=images, y_train=labels, x_test=images[:90], y_test=labels[:90])
    own = ["--dataset", str(tmp_path / "own.npz"), "--epochs", "3", "--rounds", "1"]
    folder = ["--results", str(tmp_path / "results"), "--export", str(tmp_path / "site")]
    assert run_command(["explore", *own, *folder], CATALOGUE) == 0
    manifest = json.loads((tmp_path / "site" / "bundle" / "bundle.json").read_text())
    assert (manifest["classes"], manifest["about"]["digits"], manifest["about"]["class_names"]) == (3, False, [])
    assert manifest["packed"]["image_shape"] == [7, 5, 1]
    assert manifest["layers"][0]["inputs"] == 35
    (answer,) = answers(tmp_path / "site", [setting(level=8, kept="constant") | {"packed": True}])
    network, params = unpack(base64.b64decode(answer["packed"]))
    assert network.image_shape == (7, 5, 1)
    assert params["output"]["kernel"].shape == (100, 3)


# The site and its server ----------------------------------------------------------------------------------------------


def test_the_server_gives_the_sites_files_and_nothing_else(bundle):
    site = site_files(bundle)
    with serving(site) as server:
        host, port = server.server_address[:2]
        assert host == "127.0.0.1"

        def ask(path: str, method: str = "GET", **headers: str) -> tuple[int, dict[str, str], bytes]:
            connection = http.client.HTTPConnection(host, port, timeout=10)
            connection.request(method, path, headers=headers)
            answer = connection.getresponse()
            content = answer.read()
            connection.close()
            return answer.status, dict(answer.headers), content

        for path, content in site.items():
            status, headers, found = ask(f"/{path}?a=b")
            assert (status, found) == (200, content)
            assert headers["X-Content-Type-Options"] == "nosniff"
            assert headers["Content-Security-Policy"].startswith(POLICY)
        assert ask("/")[2] == site["index.html"]
        assert ask("/main.js")[1]["Content-Type"] == "text/javascript"
        assert ask("/main.js", "HEAD")[2] == b""
        for path in ("/..%2f..%2fetc/passwd", "/../pyproject.toml", "/%2e%2e/site.py", "/core/", "//etc/passwd"):
            status, headers, _ = ask(path)
            assert status == 404
            assert "Content-Security-Policy" in headers
        assert ask("/", Host="evil.example")[0] == 421, "no other name leads here"
        assert ask("/", "POST")[0] == 501


def test_the_page_asks_for_nothing_from_elsewhere():
    words = (PAGE / "index.html").read_text()
    assert f'content="{POLICY}"' in words, "an exported site carries the same policy"
    for path in PAGE.rglob("*"):
        if path.suffix in (".js", ".css", ".html"):
            outside = set(re.findall(r"(?:https?:)?//[\w.-]+\.\w+", path.read_text())) - {"http://www.w3.org"}
            # Links to papers, which are followed by hand alone.
            assert outside <= ({"https://arxiv.org", "https://doi.org"} if path.parent.name == "words" else set()), path
    assert "style=" not in words, "inline styles are against the policy"
    assert "<script>" not in words, "inline scripts are against the policy"


def test_the_page_is_part_of_the_wheel(tmp_path):
    listing = subprocess.run(
        [sys.executable, "-c", "from supermask.analysis.explorer.site import site_files; print(*site_files({}))"],
        capture_output=True,
        text=True,
        check=True,
        cwd=tmp_path,
    ).stdout.split()
    assert {"index.html", "style.css", "main.js", "worker.js", "core/engine.js", "view/plane.js"} <= set(listing)


def test_an_export_goes_into_its_own_folder_alone(bundle, tmp_path):
    site = site_files(bundle)
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "thesis.tex").write_text("x")
    with pytest.raises(UsageError, match="holds other files"):
        write_site(site, tmp_path / "mine")
    with pytest.raises(UsageError, match="is not a folder"):
        write_site(site, tmp_path / "none" / "site")
    size = write_site(site, tmp_path / "site")
    assert size == sum(path.stat().st_size for path in (tmp_path / "site").rglob("*") if path.is_file())
    write_site({path: content for path, content in site.items() if not path.endswith("seed-3.bin")}, tmp_path / "site")
    assert not (tmp_path / "site" / "bundle" / "seed-3.bin").exists(), "what an earlier export left is gone"


# The command ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--protocol", "papre"], "protocol 'papre' is unknown (did you mean paper?)"),
        (["--dataset", "cifar10"], "dataset 'cifar10' is unknown; choose from: digits, mnist5k"),
        (["--seeds", "1"], "seeds is 1; allowed: 2 or more"),
        (["--rounds", "0"], "rounds is 0; allowed: 1 to 1,000"),
        (["--port", "70000"], "port is 70000; allowed: 0 to 65535"),
        (["--export", "none/site"], "export 'none/site' cannot be written: none is not a folder"),
    ],
)
def test_a_mistake_is_one_line_and_nothing_is_trained(arguments, message, capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)
    assert run_command(["explore", *arguments], CATALOGUE) == MISUSED
    said = capsys.readouterr()
    assert said.err.startswith("supermask: error: ")
    assert message in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not (tmp_path / "results").exists()


@pytest.mark.parametrize(
    ("stored", "asked", "expected"),
    [
        ((), True, ("quick", 1)),
        (("short without rounds",), True, ("short", 0)),
        (("paper without rounds", "short"), True, ("short", 1)),
        (("paper without rounds", "short"), False, ("paper", 0)),
        (("paper", "short"), True, ("paper", 1)),
    ],
)
def test_the_best_that_is_stored_is_shown(stored, asked, expected, digits, results_folder):
    """More epochs before fewer, with rounds before without; what is stored is told by its description alone."""
    request = ExplorerRequest(None, Changes(dataset="digits"), asked, None, results_folder, None, 0, False)
    with Store(results_folder) as store:
        for words in stored:
            chosen = protocol(words.split()[0], changes=Changes(dataset="digits", seeds=2))
            study = Study((Unpruned(),) if "without" in words else (bundles.PRUNING,))
            needed = results_needed(Experiment(chosen, digits), study)
            store.add([Result(description, {}, None, 0.0) for description, _ in needed], {})
        choice = choose(request, store, Console(quiet=True))
    assert (choice.experiment.protocol.name, len(choice.study.of(Treatment))) == expected


@pytest.mark.slow
def test_the_command_trains_shows_and_ends(tmp_path):
    # A shell's background jobs ignore Ctrl-C, and so would this process, if the tests were one of them.
    program = f"import signal; signal.signal(signal.SIGINT, signal.default_int_handler); {COMMAND[-1]}"
    arguments = [sys.executable, "-c", program, "explore", *FAST]
    arguments += ["--results", str(tmp_path / "results"), "--no-browser"]
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            said = ""
            deadline = time.monotonic() + 120
            while "127.0.0.1" not in said and time.monotonic() < deadline and process.poll() is None:
                said += process.stdout.readline()
            assert "6 trainings are not in" in said, said
            address = re.search(r"http://127\.0\.0\.1:\d+/", said)
            assert address is not None, said
            with urllib.request.urlopen(address[0] + "bundle/bundle.json", timeout=10) as answer:  # noqa: S310
                assert json.load(answer)["about"]["epochs"] == "4"
            process.send_signal(signal.SIGINT)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert process.returncode == 0, errors
    assert "ended" in rest
    with subprocess.Popen(arguments, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        try:
            assert process.stdout is not None
            while "127.0.0.1" not in (said := process.stdout.readline()) and process.poll() is None:
                assert "trainings are not in" not in said, "what is stored is not trained again"
            process.send_signal(signal.SIGTERM)
            rest, errors = process.communicate(timeout=60)
        finally:
            process.kill()
    assert (process.returncode, "ended" in rest, errors) == (0, True, "")
    exported = [*COMMAND, "explore", *FAST, "--results", str(tmp_path / "results"), "--export", str(tmp_path / "site")]
    ended = subprocess.run(exported, capture_output=True, text=True, timeout=120, check=True)
    assert "trainings" not in ended.stdout, "what is stored is not trained again"
    assert (tmp_path / "site" / "bundle" / "bundle.json").exists()


# Types ----------------------------------------------------------------------------------------------------------------


def test_the_types_in_the_pages_comments_are_right():
    """TypeScript reads the JSDoc and checks every call; nothing is built."""
    compiler = [shutil.which("tsc")] if shutil.which("tsc") else ["npx", "--yes", "-p", "typescript@5.9.3", "tsc"]
    if shutil.which(str(compiler[0])) is None:
        pytest.skip("no TypeScript: install it (npm install -g typescript@5.9.3), or npx to fetch it")
    project = str(ROOT / "analysis" / "explorer" / "jsconfig.json")
    ended = subprocess.run([*map(str, compiler), "-p", project], capture_output=True, text=True, timeout=300)
    if ended.returncode and "error TS" not in ended.stdout:
        pytest.skip(f"TypeScript could not be fetched: {ended.stderr.strip()[-200:]}")
    assert ended.returncode == 0, ended.stdout
