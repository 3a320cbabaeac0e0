"""The command line's arguments: every command's options, with help and examples.

No option may be abbreviated or given twice, and a path's `~` is the user's home. Nothing heavy is imported here: help
comes at once.
"""

import argparse
from collections.abc import Sequence

from supermask.analysis.command import commands
from supermask.analysis.command.network_arguments import add_network_files, add_networks
from supermask.analysis.command.parsing import (
    Parser,
    add_data_dir,
    add_devices,
    add_look,
    add_results_folder,
    number,
    path,
    whole,
)
from supermask.analysis.drawing.entries import Catalogue

EXAMPLES = """\
examples:
  supermask reproduce                                  every figure, quick protocol, embedded digits: ten minutes
  supermask reproduce mask-criteria --dry-run          what that would train, and how long it would take here
  supermask reproduce mask-criteria --protocol short --data-dir ~/data
                                                       full MNIST, 24 rounds, five seeds: half an hour on two cores
  supermask reproduce supermasks-at-init --criteria large_final random snip
                                                       other criteria than the figure's own
  supermask reproduce mask-1-actions --network conv2 --show rewind constant "constant, same sign"
                                                       some lines of a figure, on another network
  supermask reproduce lottery-tickets --recipe sgd.toml --epochs 20
                                                       another optimiser, schedule, augmentation: docs/protocols.md
  supermask reproduce dsd --optimiser sgd --learning-rate 0.1 --schedule cosine --augment pad=4,flip
                                                       the same by options, which go before the file
  supermask reproduce mask-criteria --dataset beetles.npz
                                                       data of your own; or a folder of images by class
  supermask reproduce dsd --network char-lstm --dataset letters.txt
                                                       a text of your own: what is its next character?
  supermask reproduce --cluster local                  on Dask, a worker a core; or slurm.toml, or tcp://10.0.0.1:8786
  supermask reproduce --protocol paper --shard 3/8     the third of eight parts, for a job array
  supermask report                                     which of the paper's claims hold, in one page
  supermask explore                                    a page on which to bend the masks oneself
An interrupted command goes on where it was when it is called again.
"""

GOES_ON = "nobody reads standard output any more; going on without it: results are stored"
"""Said by what takes long when its pipe is closed."""


def parser_of(catalogue: Catalogue, own: Sequence[str] = ()) -> Parser:
    """Return the parser of the whole command line; its help lists a user's `own` criteria and actions."""
    from supermask import __version__

    parser = Parser(
        prog="supermask",
        description="Reproduces the experiments of 'Deconstructing Lottery Tickets' (Zhou et al. 2019).",
        epilog=EXAMPLES,
    )
    parser.add_argument("--version", action="version", version=f"supermask {__version__}")
    parsers = parser.add_subparsers(metavar="COMMAND", required=True)
    _add_reproduce(parsers, catalogue, own)
    _add_report(parsers, catalogue, own)
    _add_explore(parsers)
    _add_results(parsers)
    add_network_files(parsers)
    add_networks(parsers)
    figures = parsers.add_parser(
        "figures",
        help="list the figures: what they need and what of it is stored",
        description="Lists the figures with what of the papers they are, their networks, and how many results they "
        "need and are stored for the experiment that the options name. Without a results folder, nothing is stored.",
    )
    _add_experiment(figures)
    figures.set_defaults(command=commands.list_figures)
    redraw = parsers.add_parser(
        "redraw",
        help="draw pictures again from their CSV alone",
        description="Draws the pictures beside each CSV again, from that table alone: no results are needed and "
        "nothing is trained. The caption, which says where numbers come from, is that of the picture that was there.",
        epilog="examples:\n  supermask redraw figures/gallery/*.csv\n"
        "  supermask redraw mask-criteria-….csv --format pdf --width column --no-title\n"
        "  supermask redraw mask-criteria-fc-….csv mask-criteria-conv2-….csv --together networks",
    )
    redraw.add_argument("files", nargs="+", type=path, metavar="CSV", help="a figure's table, its picture beside it")
    redraw.add_argument("--plugin", type=path, metavar="FILE", help="Python file that defines the figure; it is run")
    redraw.add_argument(
        "--together",
        type=path,
        metavar="NAME",
        help="draw one picture of all tables, of one figure: a column of panels for each, in NAME.svg and NAME.png",
    )
    add_look(redraw)
    redraw.set_defaults(command=commands.redraw)
    check = parsers.add_parser(
        "check-plugin",
        help="check criteria and actions of your own",
        description="Runs the file and checks what criteria and actions promise. Example: docs/criteria-and-actions.md",
    )
    check.add_argument("file", type=path, metavar="FILE", help="the Python file that --plugin would take")
    check.set_defaults(command=commands.check_plugin)
    bench = parsers.add_parser(
        "bench",
        help="measure how fast this machine is, beside PyTorch",
        description="Measures this toolkit, in turn with PyTorch at the same work where that is installed: pip install "
        "'supermask[bench]'. Wants a machine that does nothing else. Example: supermask bench fc late-rounds --pairs 7",
    )
    bench.add_argument(
        "work",
        nargs="*",
        metavar="WORK",
        help="fc, conv2, conv4, conv6 (training), masks (learning them), figure-10, late-rounds or density "
        "(default: all)",
    )
    bench.add_argument("--pairs", type=whole, default=5, metavar="N", help="turns to take the median of (default: 5)")
    bench.add_argument("--steps", type=whole, metavar="N", help="steps a training (default: 16 to 2750, by the work)")
    bench.add_argument("--json", type=path, metavar="FILE", help="write everything measured to this file as well")
    add_devices(bench)
    bench.set_defaults(command=commands.bench)
    return parser


def _add_reproduce(parsers: "argparse._SubParsersAction[Parser]", catalogue: Catalogue, own: Sequence[str]) -> None:
    reproduce = parsers.add_parser(
        "reproduce",
        help="train what figures need, draw them, and print what they show",
        description="Trains what the figures need and is not stored yet, stores it as it goes, and draws the figures.",
        epilog=f"figures:\n{_listing(catalogue, own)}\n\n{EXAMPLES}",
    )
    _add_experiment(reproduce)
    reproduce.add_argument(
        "--dry-run",
        action="store_true",
        help="say what would be trained, what it costs, and how long it takes here and on more machines; train nothing",
    )
    reproduce.add_argument(
        "--shard",
        metavar="I/N",
        help="train the I-th of N parts of it and draw nothing: for job arrays, see docs/scaling.md",
    )
    reproduce.add_argument(
        "--cluster",
        metavar="WHERE",
        help="train on Dask workers: local, a scheduler's address, or a file, see docs/scaling.md",
    )
    add_look(reproduce)
    add_devices(reproduce)
    reproduce.set_defaults(command=commands.reproduce, goes_on=GOES_ON)


def _add_report(parsers: "argparse._SubParsersAction[Parser]", catalogue: Catalogue, own: Sequence[str]) -> None:
    report = parsers.add_parser(
        "report",
        help="judge the figures' claims on what is stored, in one HTML page and in Markdown",
        description="Draws the figures again from what is stored, judges their claims, and writes one self-contained "
        "page (and the same in Markdown beside it). Trains nothing, so it needs a results folder; name the experiment "
        "as for reproduce.",
        epilog=f"figures:\n{_listing(catalogue, own)}\n\nexample:\n"
        "  supermask report --protocol short --output report.html",
    )
    _add_experiment(report)
    report.add_argument("--output", type=path, metavar="FILE", help="the page (default: RESULTS/report.html)")
    report.set_defaults(command=commands.report)


def _add_explore(parsers: "argparse._SubParsersAction[Parser]") -> None:
    explore = parsers.add_parser(
        "explore",
        help="a page on which to bend a mask and see what the network reads",
        description="Opens a page in the browser on which a mask of FC is chosen, dragged or painted, and the "
        "untrained network's accuracy is seen at once. It shows the best that is stored; with nothing stored, it first "
        "trains FC on embedded digits (under a minute). See docs/explorer.md.",
        epilog="examples:\n"
        "  supermask explore                                    open the page\n"
        "  supermask explore --export site                      write it as a site for any file server\n"
        "  supermask explore --export page.html                 write it as one file, for e-mails and notebooks\n"
        "  supermask explore --protocol short --data-dir ~/data --export site\n"
        "                                                       full MNIST, with its rounds of pruning\n"
        "  supermask explore --protocol paper --without-rounds --data-dir ~/data\n"
        "                                                       the paper's 55 epochs, but for the rounds\n"
        "  supermask explore --dataset fashion-mnist            another data set, or your own: --dataset beetles.npz",
    )
    add = explore.add_argument
    add(
        "--export", type=path, metavar="PATH", help="write the site to this folder, or to one .html file; serve nothing"
    )
    add("--protocol", metavar="NAME", help="quick, short or paper (default: the best that is stored, else quick)")
    add(
        "--dataset",
        metavar="NAME",
        help="digits, mnist5k, mnist, fashion-mnist, or your own grey images: a path (default: the protocol's)",
    )
    add("--seeds", type=whole, metavar="N", help="seeds 0 to N-1, 2 or more (default: 2)")
    add("--rounds", type=whole, metavar="N", help="rounds of pruning (default: the protocol's)")
    add("--epochs", type=number, metavar="N", help="epochs a round (default: the protocol's)")
    add("--without-rounds", action="store_true", help="round 0 alone: no rounds of iterative pruning on the page")
    add("--data-dir", type=path, metavar="DIR", help="where full data sets are (default: $SUPERMASK_DATA, the cache)")
    add("--port", type=whole, default=0, metavar="N", help="port on 127.0.0.1 (default: a free one)")
    add("--no-browser", action="store_true", help="print the address; open no browser")
    add_results_folder(explore)
    add_devices(explore)
    explore.set_defaults(command=commands.explore, goes_on=GOES_ON)


def _add_results(parsers: "argparse._SubParsersAction[Parser]") -> None:
    results = parsers.add_parser(
        "results",
        help="the tidy table of everything stored; merging and checking of results folders",
        description="Writes everything stored as one tidy table, a row a (result, metric): see docs/results.md.",
        epilog="examples:\n"
        "  supermask results --csv all.csv --where criterion=large_final --where metric=test_accuracy\n"
        "  supermask results --merge ../other/results\n"
        "  supermask results --verify                           what is damaged is set aside, to be trained again",
    )
    add_results_folder(results)
    results.add_argument("--csv", type=path, metavar="FILE", help="write the table as CSV")
    results.add_argument("--parquet", type=path, metavar="FILE", help="write the table as Parquet (needs pyarrow)")
    results.add_argument("--where", action="append", default=[], metavar="COLUMN=VALUE", help="only rows that match")
    results.add_argument("--merge", type=path, metavar="OTHER", help="take over another folder's results first")
    results.add_argument("--verify", action="store_true", help="check every record and file; set aside what is damaged")
    results.set_defaults(command=commands.results)


def _listing(catalogue: Catalogue, own: Sequence[str]) -> str:
    width = max(map(len, catalogue))
    lines = [f"  {name:{width}}  {entry.paper}: {entry.title}" for name, entry in catalogue.items()]
    return "\n".join(lines + (["", f"from the plugin: {', '.join(own)}"] if own else []))


def _add_experiment(parser: argparse.ArgumentParser) -> None:
    """Add the options that name an experiment and its figures."""
    add = parser.add_argument
    add("figures", nargs="*", metavar="FIGURE", help="figures (default: all)")
    add("--protocol", default="quick", metavar="NAME", help="quick (default), short or paper: see docs/protocols.md")
    add(
        "--network",
        default="fc",
        metavar="NAME",
        help="fc (default), conv2, conv4, conv6, conv8, lenet5, resnet18, resnet20, resnet32, resnet56, vgg11, vgg16, "
        "vgg19, wrn22-2, wrn28-2, mobilenet, lstm, char-lstm, or FILE.py:NAME, which is run: see docs/networks.md",
    )
    add("--seeds", type=whole, metavar="N", help="seeds 0 to N-1 (default: the protocol's)")
    add("--rounds", type=whole, metavar="N", help="rounds of pruning (default: the protocol's)")
    add("--epochs", type=number, metavar="N", help="epochs a round (default: the protocol's)")
    add("--mask-epochs", type=number, metavar="N", help="epochs that masks are learned for (default: the protocol's)")
    add(
        "--task-epochs",
        type=number,
        metavar="N",
        help="epochs of each task's mask, in permutations (default: likewise)",
    )
    add("--sparse-epochs", type=number, metavar="N", help="epochs of sparse training (default: the protocol's)")
    add("--graph-epochs", type=number, metavar="N", help="epochs of neural graphs (default: the protocol's)")
    add("--rates", metavar="KIND=F,...", help="fractions pruned a round, such as dense=0.2,output=0.1")
    add("--ranking", metavar="NAME", help="weights compete within their layer (default), or global: in the network")
    add("--recipe", type=path, metavar="FILE", help="how weights are trained: a TOML file, see docs/protocols.md")
    add("--optimiser", metavar="NAME", help="adam, adamw, sgd or nesterov (default: the file's, else adam)")
    add("--learning-rate", type=number, metavar="X", help="the largest one (default: the file's or the protocol's)")
    add("--batch-size", type=whole, metavar="N", help="images a step (default: the file's or the protocol's)")
    add("--weight-decay", type=number, metavar="X", help="of weights and biases (default: the file's, else 0)")
    add("--schedule", metavar="NAME", help="constant, steps or cosine (default: the file's, else constant)")
    add("--augment", metavar="HOW", help="changes of training images, such as pad=4,flip,cut-out=8; or none")
    add("--criteria", nargs="+", metavar="NAME", help="criteria of figures that compare them (default: each's own)")
    add("--show", nargs="+", metavar="NAME", help="only these lines of the other figures, by label; a plugin's too")
    add("--dataset", metavar="NAME", help="digits, mnist5k, mnist, fashion-mnist, cifar10 or a path: see docs/data.md")
    add("--other-dataset", metavar="NAME", help="a second one, like the first: transfer takes tickets from there too")
    add_data_dir(parser)
    add(
        "--plugin",
        type=path,
        metavar="FILE",
        help="Python file with criteria, actions or figures of your own; it is run",
    )
    add_results_folder(parser)
