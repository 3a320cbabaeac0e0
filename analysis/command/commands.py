"""The commands: each takes parsed arguments and returns an exit status.

All raise UsageError for an invalid argument before long work starts. Nothing heavy is imported before it is needed.
"""

import argparse
from dataclasses import replace
from typing import TYPE_CHECKING

from supermask.analysis.drawing.entries import Catalogue
from supermask.analysis.system.errors import UsageError, choose
from supermask.analysis.system.terminal import say
from supermask.analysis.system.words import count

if TYPE_CHECKING:
    from supermask.analysis.command.reproduce import FigureRequest
    from supermask.analysis.drawing.frame import Look

OK, FAILED, MISUSED = 0, 1, 2


def list_figures(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """List figures with their needed and stored results."""
    request = _request(options, catalogue)
    from supermask.analysis.command.reproduce import list_figures

    return list_figures(request, {name: (catalogue[name].paper, catalogue[name].networks) for name in request.figures})


def check_plugin(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Run the conformance checks on a user's criteria and actions. Returns 1 if one fails."""
    from supermask.analysis.command.conformance import CHECKS
    from supermask.analysis.studies.plugin_files import load_plugin

    failures, plugin = 0, load_plugin(options.file)
    for figure in plugin.figures:
        say(f"{figure.name}: a figure of {count(len(figure.runs), 'run')}")
    for member in plugin.members():
        for check in CHECKS:
            try:
                check(member)
            except Exception as error:  # whatever a user's function raises is what this command is there to tell
                failures += 1
                words = " ".join(str(error).split()) or type(error).__name__
                say(f"{member.name}: {check.__name__.replace('_', ' ')}: failed: {words}")
            else:
                say(f"{member.name}: {check.__name__.replace('_', ' ')}: passed")
    return FAILED if failures else OK


def bench(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Run the benchmarks."""
    from supermask.analysis.system.platform import set_up_jax

    set_up_jax(options.devices)
    from supermask.analysis.command.bench.run import bench

    bench(options.work, options.pairs, options.steps, options.json)
    return OK


def pack(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Pack a learned mask into a file."""
    from supermask.analysis.command.packing import pack_result

    pack_result(options.results, options.run, options.file, options.sample)
    return OK


def unpack(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Rebuild a packed network and write its parameters."""
    from supermask.analysis.command.packing import unpack_file

    unpack_file(options.file, options.output)
    return OK


def evaluate(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Print the accuracy of a packed network."""
    from supermask.analysis.command.packing import evaluate_file

    evaluate_file(options.file, options.dataset, options.data_dir)
    return OK


def export(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Write a ticket or supermask as arrays for other libraries."""
    from supermask.analysis.command.exporting import export_source

    export_source(options.source, options.output, options.layout, options.weights, options.results)
    return OK


def infer(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Time a compressed network on single images."""
    from supermask.analysis.command.inferring import infer

    infer(options.file, options.dataset, options.data_dir, options.images, options.repeats, options.csv)
    return OK


def reproduce(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Train what figures lack, and draw them."""
    from supermask.analysis.running.cluster.source import parse_source
    from supermask.analysis.running.units import parse_shard

    shard = None if options.shard is None else parse_shard(options.shard)
    cluster = None if options.cluster is None else parse_source(options.cluster)
    if cluster is not None and options.other_dataset is not None:
        raise UsageError("other-dataset is given with --cluster, whose workers have one data set; allowed: --shard")
    if cluster is not None and options.devices is not None:
        raise UsageError("devices is given with --cluster; the cluster's file says how many a worker uses")
    look = _look(options)
    request = replace(_request(options, catalogue), shard=shard, cluster=cluster, plugin=options.plugin, look=look)
    from supermask.analysis.command.reproduce import reproduce
    from supermask.analysis.system.platform import set_up_jax

    set_up_jax(options.devices)
    return reproduce(request, options.dry_run)


def report(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Judge the claims of figures on the stored results."""
    request = _request(options, catalogue)
    from supermask.analysis.command.options import own_names, said
    from supermask.analysis.command.reproduce import report

    own = own_names(options.members)
    papers = {name: catalogue[name].paper for name in request.figures}
    words = {name: said(options, request.used[name], figure, own) for name, figure in request.figures.items()}
    return report(request, papers, options.output or options.results / "report.html", words)


def explore(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Open or export the explorer."""
    from supermask.analysis.command.options import own_data
    from supermask.analysis.studies.protocols import PROTOCOLS, Changes, protocol
    from supermask.datasets import DATASETS, is_path

    if options.protocol is not None:
        choose("protocol", options.protocol, PROTOCOLS)
    if options.dataset is not None and not is_path(options.dataset):
        choose("dataset", options.dataset, (name for name, info in DATASETS.items() if info.image_shape[2] == 1))
    if options.without_rounds and options.rounds is not None:
        raise UsageError("rounds is given with --without-rounds; allowed: one of them")
    for name, is_given in (("port", "port" in options.given), ("no-browser", options.no_browser)):
        if is_given and options.export is not None:
            raise UsageError(f"{name} is given with --export, which serves nothing; allowed: one of them")
    if not 0 <= options.port <= 65535:
        raise UsageError(f"port is {options.port}; allowed: 0 to 65535")
    changes = Changes(options.dataset, options.seeds, options.rounds, options.epochs)
    protocol(options.protocol or "quick", "fc", changes)  # says what is wrong before anything heavy is loaded
    from supermask.analysis.explorer.explore import ExplorerRequest, explore
    from supermask.analysis.system.platform import set_up_jax

    set_up_jax(options.devices)
    return explore(
        ExplorerRequest(
            protocol=options.protocol,
            changes=changes,
            with_rounds=not options.without_rounds,
            data_dir=options.data_dir,
            results=options.results,
            export=options.export,
            port=options.port,
            browser=not options.no_browser,
            data=own_data(options.dataset),
        )
    )


def results(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Print, write, merge or verify stored results. Returns 1 if something is damaged."""
    from supermask.analysis.store.folders import check_stored

    if options.merge is None and not options.verify:
        check_stored("results", options.results)
    if options.verify:
        if options.merge or options.csv or options.parquet or options.where:
            raise UsageError("verify is given with other options; it stands alone")
        from supermask.analysis.command.verify import report_damage

        return FAILED if report_damage(options.results) else OK
    from supermask.analysis.command.merging import check_new, merge
    from supermask.analysis.drawing.tables import TIDY_CSV, check_asked, write_tables
    from supermask.analysis.store.store import Store
    from supermask.analysis.system.files import PARQUET, check_apart, check_output

    if options.csv is not None and options.parquet is not None:
        check_apart("csv and parquet", options.csv, options.parquet)
    if options.csv is not None:
        check_output("csv", options.csv, TIDY_CSV)
    if options.parquet is not None:
        check_output("parquet", options.parquet, PARQUET)
    check_asked(options.where, options.parquet)
    if options.merge is not None:
        check_new(options.results, options.merge)
    with Store(options.results, for_reading=options.merge is None) as store:
        if options.merge is not None:
            new, known = merge(store, options.merge)
            there = "was" if known == 1 else "were"
            say(f"{count(new, 'result')} taken over from {options.merge}, {known} {there} here already")
        counts = write_tables(store, options.where, options.csv, options.parquet)
    rows = [("kind", "dataset", "network", "results"), *((*key, str(own)) for key, own in sorted(counts.items()))]
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    for row in rows if counts else ():
        say(" ".join(cell.rjust(width) for cell, width in zip(row, widths, strict=True)))
    if not counts:
        say("no results")
    return OK


def redraw(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Redraw pictures from their tables, or one picture from several."""
    from supermask.analysis.drawing.redraw import redraw, redraw_together

    look = _look(options)
    if options.together is None:
        pictures = redraw(options.files, catalogue, look)
    else:
        pictures = redraw_together(options.files, options.together, catalogue, look)
    for path, changed in pictures.items():
        say(f"{path}: {'drawn anew' if changed else 'the same as before'}")
    return OK


def _look(options: argparse.Namespace) -> "Look":
    """Return the validated look of pictures."""
    from supermask.analysis.drawing.frame import look

    return look(options.format, options.width, not options.no_title, options.style)


def _request(options: argparse.Namespace, catalogue: Catalogue) -> "FigureRequest":
    """Return the validated request."""
    names = [choose("figure", name, catalogue) for name in options.figures]
    for name in names:
        if (only := catalogue[name].only) and options.network not in only:
            why = f": {entry.why}" if (entry := catalogue[name]).why else ""
            raise UsageError(
                f"figure {name} is made for {' and '.join(only)} alone{why}; network is {options.network!r}"
            )
    names = names or [name for name, entry in catalogue.items() if not entry.only or options.network in entry.only]
    from supermask.analysis.command.options import (
        check_data_dir,
        check_fit,
        check_shown,
        check_used,
        lines,
        own_data,
        own_names,
        recipe_of,
        used_by,
        without_dense,
    )
    from supermask.analysis.command.reproduce import FigureRequest
    from supermask.analysis.studies.protocols import Changes, protocol
    from supermask.analysis.studies.rates import parse_rates
    from supermask.criteria import RENAMED
    from supermask.named_members import BUILT_IN, with_parameters

    members = options.members or BUILT_IN
    criteria = []
    for text in options.criteria or ():
        try:
            member = with_parameters(text, members.criterion)
        except ValueError as error:
            raise UsageError(str(error)) from None
        if member is not None and member.name not in members.criterion:
            members = members.plus(member)
        criteria.append(choose("criterion", text, members.criterion, RENAMED) if member is None else member.name)
    rates = None if options.rates is None else parse_rates(options.rates)
    recipe, in_file = recipe_of(options)
    changes = Changes(
        options.dataset,
        options.seeds,
        options.rounds,
        options.epochs,
        rates,
        options.mask_epochs,
        options.task_epochs,
        options.sparse_epochs,
        options.graph_epochs,
        recipe,
        options.ranking,
    )
    figures = {name: catalogue[name].load() for name in names}
    from supermask.analysis.studies.network_files import is_own, load_network

    own_network = load_network(options.network) if is_own(options.network) else None
    figures, notes = without_dense(figures, catalogue, options.network)
    own = own_names(members)
    other_data = options.other_dataset is not None
    labels = [label for figure in figures.values() for label in lines(figure, own, other_data)]
    for name in options.show or ():
        if not other_data and any(name in figure.of_other_data for figure in figures.values()):
            raise UsageError(f"show has {name!r}, and there is no other data set; allowed with --other-dataset")
    for name in options.show or () if labels else ():
        choose("show", name, dict.fromkeys(labels))
    if own_network is None:
        chosen = protocol(options.protocol, options.network, changes)
    else:
        chosen = protocol(options.protocol, own_network.name, changes, own_network.digest)
    data = own_data(options.dataset)
    check_fit(chosen, data, own_network)
    request = FigureRequest(
        figures=figures,
        protocol=chosen,
        criteria=tuple(criteria),
        shown=tuple(options.show or ()),
        members=members,
        data_dir=options.data_dir,
        results=options.results,
        data=data,
        own_network=own_network,
        other_dataset=options.other_dataset,
    )
    request, left_out = _without_unfit(request, bool(options.figures))
    used = {name: used_by(request.figures[name], study, own, in_file) for name, study in request.studies.items()}
    notes += check_used(options.given, used) + check_shown(request.shown, request.figures, own, other_data)
    notes += [*left_out, *check_data_dir(options.data_dir, chosen.dataset)]
    return replace(request, notes=tuple(notes), used=used)


def _without_unfit(request: "FigureRequest", chosen: bool) -> tuple["FigureRequest", list[str]]:
    """Return the request without figures that cannot be made of a user's own data, and a note on each of them.

    Raises UsageError for such a figure where figures were `chosen`.
    """
    if request.data is None:
        return request, []
    from supermask.analysis.command.options import unfit

    experiment = replace(request, other_dataset=None).experiment(progress=False)  # which is loaded when it is needed
    reasons = {name: why for name, study in request.studies.items() if (why := unfit(study, experiment))}
    if chosen and reasons:
        raise UsageError("; ".join(f"figure {name} cannot be made of {why}" for name, why in reasons.items()))
    left = {name: figure for name, figure in request.figures.items() if name not in reasons}
    return replace(request, figures=left), [f"{name} is left out: {why}" for name, why in reasons.items()]
