"""Options: each changes what was asked for, or is refused or said; none is abbreviated, given twice or ignored."""

import copy
import pickle
import re
import shlex
from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest
from test_kinds import FIELDS

from supermask.analysis.command.arguments import parser_of
from supermask.analysis.command.bench.run import WORK
from supermask.analysis.command.cli import run_command
from supermask.analysis.command.commands import FAILED, MISUSED, OK
from supermask.analysis.command.exporting import WEIGHTS
from supermask.analysis.command.options import check_shown, check_used, own_names, said, used_by
from supermask.analysis.command.reproduce import FigureRequest
from supermask.analysis.drawing.captions import caption, label
from supermask.analysis.drawing.frame import FORMATS
from supermask.analysis.drawing.results import Shown
from supermask.analysis.kinds.plan import ids_needed, uses_of
from supermask.analysis.running.cluster.sending import packed, unpacked
from supermask.analysis.studies.experiment import Experiment, Study
from supermask.analysis.studies.plugin_files import Plugin
from supermask.analysis.studies.protocols import PAPER, PROTOCOLS, Changes, protocol
from supermask.analysis.studies.recipes import SETTINGS
from supermask.analysis.system.errors import UsageError
from supermask.augmentation import Augmentation
from supermask.criteria import power
from supermask.datasets import DATASETS
from supermask.exporting import LAYOUTS
from supermask.figures.catalogue import CATALOGUE
from supermask.learned_masks import LearnedMask
from supermask.named_members import BUILT_IN
from supermask.plugins import criterion, kept_action
from supermask.recipe import OPTIMISERS, SCHEDULES
from supermask.treatments import treatment

ROOT = Path(__file__).parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]


@pytest.fixture(scope="module")
def experiment(digits, other_digits):
    changes = Changes(dataset="digits", rounds=2, seeds=1)
    return Experiment(protocol("quick", changes=changes), digits, other_data=other_digits)


@pytest.fixture(autouse=True)
def in_a_folder_of_its_own(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr("supermask.analysis.system.platform.set_up_jax", lambda devices=None: None)


RECIPES = {
    "optimiser": {"optimiser": "adamw"},
    "momentum": {"optimiser": "sgd", "momentum": 0.5},
    "schedule": {"schedule": "cosine"},
    "cuts": {"schedule": "steps", "cuts": (0.3,)},
    "cut_factor": {"schedule": "steps", "cut_factor": 0.5},
    "augment": {"augment": Augmentation(1)},
    "normalise": {"normalise": True},
    "learning_rate": {"learning_rate": 0.5},
    "batch_size": {"batch_size": 7},
    **{name: {name: 0.1} for name in ("warm_up", "weight_decay", "clip", "label_smoothing")},
}
"""A change of each setting, with what it needs."""


def changed(experiment: Experiment, name: str) -> Experiment:
    """The experiment with another value of a protocol's field, whatever it was."""
    own = experiment.protocol
    parts = {"mask_epochs": "masks", "task_epochs": "tasks", "sparse_epochs": "sparse", "graph_epochs": "graph"}
    part = parts.get(name)
    if part is not None:
        inner = getattr(own, part)
        own = replace(own, **{part: replace(inner, epochs=2 * inner.epochs + 1)})
    elif name == "other_dataset":
        other = copy.copy(experiment.other_data)
        object.__setattr__(other, "digest", "another")  # unchecked: it has no such content
        return replace(experiment, other_data=other)
    elif name in SETTINGS:
        own = replace(own, recipe=replace(own.recipe, **RECIPES[name]))
    elif name == "rates":
        own = replace(own, rates=replace(own.rates, dense=own.rates.dense / 2))
    elif name == "ranking":
        own = replace(own, ranking="global")
    else:
        own = replace(own, **{name: getattr(own, name) + 1})
    return replace(experiment, protocol=own)


def ids(experiment: Experiment, study: Study) -> set[str]:
    return set(ids_needed(experiment, study))


def test_lines_of_other_data_are_shown_where_there_is_some(capsys):
    asked = ["reproduce", "transfer", "--dataset", "digits", "--show", "found on other data", "--dry-run"]
    assert run_command(asked, CATALOGUE) == MISUSED
    assert "show has 'found on other data', and there is no other data set" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--dataset", "--other-dataset"])
def test_an_empty_name_is_no_data_set(option, capsys):
    """As of a shell's variable that is not set: the folder that one is in would be read."""
    other = ["--dataset", "digits"] if option == "--other-dataset" else []
    assert run_command(["reproduce", "transfer", *other, option, "", "--dry-run"], CATALOGUE) in (MISUSED, FAILED)
    assert "''" in capsys.readouterr().err


def test_epochs_that_are_no_step_are_refused(capsys):
    asked = ["reproduce", "mask-criteria", "--dataset", "digits", "--epochs", "0.01", "--dry-run"]
    assert run_command(asked, CATALOGUE) == MISUSED
    assert re.search(
        r"epochs is 0.01, which is no step: [\d,]+ training images of digits in batches of 60", capsys.readouterr().err
    )


@pytest.mark.parametrize("name", CATALOGUE)
def test_a_study_uses_what_its_results_names_depend_on(name, experiment):
    """Held to the descriptions, which know nothing of `uses`."""
    figure = CATALOGUE[name].load()
    study = figure.study(Shown(figure.names_on(True)))
    before = ids(experiment, study)
    assert uses_of(study) == {field for field in FIELDS if ids(changed(experiment, field), study) != before}


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            "dsd --criteria random",
            "criteria is given, but dsd would not change by it; allowed: sparse-epochs, recipe",
        ),
        ("dsd --epochs 5", "epochs is given, but dsd"),
        ("dsd sparse-training --rounds 2", "rounds is given, but dsd and sparse-training would not change by it"),
        ("neural-graphs --rates dense=0.5", "rates is given, but neural-graphs"),
        ("supermasks-at-init --ranking global", "ranking is given, but supermasks-at-init would not change by it"),
        ("sanity --ranking global", "ranking is given, but sanity would not change by it"),
        ("mask-criteria --ranking class", "ranking 'class' is unknown; choose from: layer, global"),
        ("mask-criteria --graph-epochs 1", "graph-epochs is given, but mask-criteria"),
        ("mask-criteria --mask-epochs 1", "mask-epochs is given, but mask-criteria"),
        ("criteria-plane --rounds 3", "rounds is given, but criteria-plane"),
        ("learned-masks-seen --rates dense=0.1", "rates is given, but learned-masks-seen"),
        ("mask-criteria --show rewind", "show is given, but mask-criteria"),
        ("weight-movement --show rewind", "show is given, but weight-movement"),
        ("mask-criteria --rates conv=0.5", "rates has conv, and fc has no convolutions; allowed: dense, output"),
        ("mask-criteria --rates dense=0.5,dense=0.2", "rates has dense twice; allowed: once"),
        (
            "sparse-training --optimiser adamw",
            "optimiser is given, but sparse-training would not change",
        ),
        ("neural-graphs sparse-training --batch-size 5", "batch-size is given, but neural-graphs and sparse-training"),
        ("deep-compression --learning-rate 0.1", "learning-rate is given, but deep-compression"),
        ("wiring --augment flip", "augment is given, but wiring"),
        ("neural-graphs --schedule cosine", "schedule is given, but neural-graphs"),
        ("deep-compression --weight-decay 0.1", "weight-decay is given, but deep-compression"),
        ("dsd --optimiser sgd", "optimiser is sgd without a learning-rate; the protocol's, 0.003, is for Adam"),
        ("dsd --optimiser lion", "optimiser is 'lion'; allowed: adam, adamw, sgd, nesterov"),
        ("dsd --weight-decay -1", "weight-decay is -1.0; allowed: 0 or more"),
        ("dsd --batch-size 0", "batch-size is 0; allowed: 1 or more, a whole number"),
        ("dsd --augment pad=4,pad=2", "augment has pad twice; allowed: once"),
        ("dsd --augment pad", "augment has 'pad'; it should read like pad=4"),
        ("dsd --augment flip=1", "augment has 'flip=1'; it should read like flip"),
        ("dsd --augment crop", "augment 'crop' is unknown; choose from: pad, flip, cut-out"),
        ("dsd --recipe nowhere.toml", "nowhere.toml"),
        ("mask-criteria --seeds 2 --seeds 3", "argument --seeds: given twice; allowed: once"),
        ("mask-criteria --seed 2", "unrecognized arguments: --seed 2"),
        ("mask-criteria --plug plugin.py", "unrecognized arguments: --plug plugin.py"),
        ("mask-criteria --plugin a.py --plugin b.py", "argument --plugin: given twice"),
        ("mask-criteria --results=", "argument --results: is empty; allowed: a path"),
        ("mask-criteria --results=~nobody-of-that-name/r", "argument --results: '~nobody-of-that-name/r': "),
    ],
)
@pytest.mark.parametrize("command", ["reproduce", "figures", "report"])
def test_an_option_that_nothing_depends_on_is_refused(command, arguments, words, tmp_path, capsys):
    assert run_command([command, *arguments.split(), *["--dataset", "digits"]], CATALOGUE) == MISUSED
    said = capsys.readouterr()
    assert words in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["explore", "--without-rounds", "--rounds", "3"], "rounds is given with --without-rounds"),
        (["explore", "--export", "site", "--port", "80"], "port is given with --export"),
        (["explore", "--export", "site", "--no-browser"], "no-browser is given with --export"),
        (["explore", "--exp", "site"], "unrecognized arguments: --exp site"),
        (["bench", "figure-10", "--steps", "10"], "steps is given, but figure-10 trains nothing"),
        (["results", "--ver"], "unrecognized arguments: --ver"),
        (["redraw", "--res", "x"], "unrecognized arguments: --res"),
        (["reproduce", "--plug", "x.py"], "unrecognized arguments: --plug"),
    ],
)
def test_so_it_is_with_other_commands(arguments, words, capsys):
    assert run_command(arguments, CATALOGUE) == MISUSED
    assert words in capsys.readouterr().err


def test_an_option_that_some_figures_do_not_depend_on_is_said(capsys):
    arguments = ["figures", "dsd", "mask-criteria", "wiring", "mask-0-actions", "--dataset", "digits"]
    assert run_command([*arguments, "--epochs", "5", "--show", "D", "--data-dir", "/nowhere"], CATALOGUE) == MISUSED
    assert "show 'D' is unknown" in capsys.readouterr().err
    label = CATALOGUE["wiring"].load().names[0]
    assert run_command([*arguments, "--epochs", "5", "--show", label, "--data-dir", "/nowhere"], CATALOGUE) == OK
    words = " ".join(capsys.readouterr().out.split())
    assert "note: epochs does not matter to dsd, wiring" in words
    assert "note: show does not matter to mask-criteria" in words
    assert "note: show names nothing of dsd, mask-0-actions: all lines are shown" in words
    assert "note: data-dir does not matter: digits comes with the package" in words


@pytest.mark.parametrize(
    ("command", "option", "names"),
    [
        ("reproduce", "network", PAPER),
        ("reproduce", "dataset", DATASETS),
        ("reproduce", "protocol", PROTOCOLS),
        ("reproduce", "format", FORMATS),
        ("reproduce", "optimiser", OPTIMISERS),
        ("reproduce", "schedule", SCHEDULES),
        ("explore", "protocol", PROTOCOLS),
        ("explore", "dataset", [name for name, info in DATASETS.items() if info.image_shape[2] == 1]),
        ("export", "layout", LAYOUTS),
        ("export", "weights", WEIGHTS),
        ("bench", "work", WORK),
    ],
)
def test_help_names_every_choice(command, option, names):
    """Help spells the names out, because importing them would take it a second."""
    (commands,) = (action for action in parser_of(CATALOGUE)._actions if action.metavar == "COMMAND")
    (said,) = (action.help for action in commands.choices[command]._actions if action.dest == option)
    assert not [name for name in names if not re.search(rf"\b{name}\b", said)]


def test_a_plugin_that_no_chosen_figure_shows_is_refused():
    figure = CATALOGUE["dsd"].load()
    used = {"dsd": used_by(figure, figure.whole, {"criterion": ("mine",), "kept": (), "pruned": ()})}
    with pytest.raises(UsageError, match="plugin is given, but dsd would not change by it"):
        check_used(frozenset({"plugin"}), used)
    figure = CATALOGUE["mask-criteria"].load()
    used["mask-criteria"] = used_by(figure, figure.whole, {"criterion": ("mine",)})
    assert check_used(frozenset({"plugin"}), used) == ["plugin does not matter to dsd"]


KNOWN = BUILT_IN.plus(
    *(criterion("x", name=name)(lambda w_final: w_final) for name in ("mine", "other")),
    kept_action(lambda w_initial: w_initial / 2, name="half"),
)
OWN = own_names(KNOWN)


@pytest.mark.parametrize(
    ("figure", "criteria", "shown", "names"),
    [
        ("mask-criteria", (), (), ("…", "mine", "other")),
        ("mask-criteria", ("random",), (), ("random", "mine", "other")),
        ("mask-criteria", ("other", "random", "other"), (), ("other", "random")),
        ("mask-1-actions", (), (), ("…", "half")),
        ("mask-1-actions", (), ("rewind",), ("rewind", "half")),
        ("mask-1-actions", ("mine",), ("half",), ("half",)),
        ("mask-1-actions", (), ("half", "rewind"), ("rewind", "half")),
        ("mask-0-actions", (), ("half",), ("…",)),
    ],
)
def test_a_plugins_members_can_be_named_like_any_others(figure, criteria, shown, names, tmp_path):
    """Those that are named alone are shown; where none is named, all are."""
    figures = {figure: CATALOGUE[figure].load()}
    request = FigureRequest(figures, protocol("quick"), criteria, shown, KNOWN, None, tmp_path)
    default = figures[figure].names
    assert request.choice(figures[figure]).names == tuple(
        n for name in names for n in (default if name == "…" else (name,))
    )
    unnamed = figure == "mask-0-actions"
    assert bool(check_shown(shown, figures, OWN)) == unnamed


def test_a_plugins_line_is_an_allowed_label_and_is_part_of_the_reports_command(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("supermask.analysis.command.cli._plugin", lambda arguments: Plugin(tmp_path, (), (), ()))
    monkeypatch.setattr("supermask.analysis.command.cli._members", lambda plugin: KNOWN)
    monkeypatch.setattr("supermask.analysis.command.reproduce.list_figures", lambda request, known: OK)
    assert run_command(["figures", "mask-1-actions", "--show", "half"], CATALOGUE) == OK
    assert run_command(["figures", "mask-0-actions", "--show", "half"], CATALOGUE) == MISUSED
    assert "show 'half' is unknown; choose from: zero, " in capsys.readouterr().err
    options = parser_of(CATALOGUE).parse_args(["report", "--show", "half"])
    assert said(options, frozenset({"show"}), CATALOGUE["mask-1-actions"].load(), OWN) == "--show half"


def test_a_caption_names_changes_that_matter_to_its_figure_alone(digits):
    changes = Changes(dataset="digits", seeds=1, epochs=5, mask_epochs=7)
    experiment = Experiment(protocol("quick", changes=changes), digits)
    criteria, dsd = (CATALOGUE[name].load() for name in ("mask-criteria", "dsd"))
    of_masks = caption(experiment, criteria.whole)
    assert "quick (changed: dataset, epochs, seeds)" in of_masks
    assert "quick (changed: dataset, seeds)" in caption(experiment, dsd.whole)
    learned = Study((LearnedMask(),))
    assert label(experiment, learned).endswith("dataset, seeds, mask-epochs)")


def test_the_reports_command_for_a_figure_takes_no_option_that_does_not_matter():
    """Whatever options the report had, the command that it prints for each figure is accepted."""
    lines = ["rewind", CATALOGUE["wiring"].load().names[0]]
    arguments = [
        *["report", "--seeds", "2", "--epochs", "4", "--rounds", "2", "--rates", "dense=0.5", "--mask-epochs", "1"],
        *["--sparse-epochs", "1", "--graph-epochs", "1", "--criteria", "random", "--show", *lines],
        *["--recipe", "own.toml", "--batch-size", "30", "--learning-rate", "0.00123456789", "--augment", "pad=1,flip"],
        *["--dataset", "digits"],
    ]
    options = parser_of(CATALOGUE).parse_args(arguments)
    for name, entry in CATALOGUE.items():
        figure = entry.load()
        used = used_by(figure, figure.whole, {})
        again = parser_of(CATALOGUE).parse_args(["report", name, *shlex.split(said(options, used, figure, {}))])
        assert check_used(again.given, {name: used}) == []
        assert again.seeds == 2
        assert again.dataset == "digits"
        assert (again.epochs == 4) == ("epochs" in used)
        assert (again.learning_rate == 0.00123456789) == ("learning_rate" in used), "to the last digit"
        assert (again.augment == "pad=1,flip") == ("augment" in used)
        assert (again.criteria == ["random"]) == (figure.compares == "criterion")
        assert not again.show or set(again.show) <= set(figure.names)


def test_a_tilde_is_the_users_home_wherever_the_shell_leaves_it(monkeypatch, tmp_path):
    monkeypatch.setenv("HOME", str(tmp_path))
    parse = parser_of(CATALOGUE).parse_args
    for arguments, name in (
        (["reproduce", "--results=~/r"], "results"),
        (["reproduce", "--data-dir=~/r"], "data_dir"),
        (["reproduce", "--plugin=~/r"], "plugin"),
        (["report", "--output=~/r"], "output"),
        (["results", "--csv=~/r"], "csv"),
        (["results", "--parquet=~/r"], "parquet"),
        (["results", "--merge=~/r"], "merge"),
        (["explore", "--export=~/r"], "export"),
        (["bench", "--json=~/r"], "json"),
        (["infer", "f", "--csv=~/r"], "csv"),
    ):
        assert getattr(parse(arguments), name) == tmp_path / "r"


def commands() -> list[tuple[str, str]]:
    """Every command line of the pages: what follows a prompt, or stands alone in a code block or in backticks."""
    found = []
    for page in PAGES:
        text = page.read_text(encoding="utf-8").replace("\\\n", " ")
        for line in re.findall(r"^(?: {4}|\$ ?)?(?:\$ )?(supermask [a-z][a-z-]*[^\n`#|>]*)", text, re.M):
            found.append((page.name, line))
        text = re.sub(r"`[^`]*`", lambda quoted: " ".join(quoted[0].split()), text)
        found += [(page.name, line) for line in re.findall(r"`(supermask [a-z][a-z-]* [^`\n]*--[^`\n]*)`", text)]
    return [(page, line) for page, line in dict.fromkeys(found) if not re.search(r"…|\.\.\.|\b[A-Z]{3,}\b|&&", line)]


@pytest.mark.parametrize(("page", "line"), commands())
def test_every_command_of_the_pages_is_one(page, line):
    options = parser_of(CATALOGUE).parse_args(shlex.split(line)[1:])
    if hasattr(options, "figures"):
        names = [name for name in options.figures or CATALOGUE if (page, name) != ("own-study.md", "moved-or-stayed")]
        figures = {name: CATALOGUE[name].load() for name in names or ["mask-criteria"]}  # that page's own is one such
        other = "other_dataset" in options.given
        studies = {n: f.study(Shown(f.names_on(other))) for n, f in figures.items()}
        check_used(options.given - {"plugin"}, {n: used_by(f, studies[n], {}) for n, f in figures.items()})


def test_a_criterion_with_parameters_is_asked_for_trained_drawn_and_sent(tmp_path, capsys):
    """The library's own object: nothing of a plug-in's."""
    words = shlex.split("reproduce mask-criteria --dataset digits --seeds 1 --rounds 1 --epochs 1 --results here")
    assert run_command([*words, "--criteria", "power(a=1, b=-1)", "random"], CATALOGUE) == OK
    (table,) = (tmp_path / "here" / "figures").glob("mask-criteria*.csv")
    assert set(pd.read_csv(table)["criterion"]) == {"unpruned", "random", "power_1_-1"}
    assert run_command([*words, "--criteria", "power(a=1)"], CATALOGUE) == MISUSED
    assert "criterion 'power(a=1)' lacks b; allowed: power(a=..., b=...)" in capsys.readouterr().err
    study = Study((treatment(power(1, -1)),))
    assert unpacked(pickle.loads(pickle.dumps(packed(study))), BUILT_IN) == study  # noqa: S301
