"""Arguments of the commands on networks and their files: networks, check-network, pack, unpack, export and others."""

import argparse

from supermask.analysis.command import commands
from supermask.analysis.command.parsing import Parser, add_data_dir, add_results_folder, path, whole
from supermask.analysis.drawing.entries import Catalogue
from supermask.analysis.system.errors import UsageError


def add_network_files(parsers: "argparse._SubParsersAction[Parser]") -> None:
    """Add those commands."""
    _add_packing(parsers)
    _add_reading(parsers)
    _add_infer(parsers)


def add_networks(parsers: "argparse._SubParsersAction[Parser]") -> None:
    """Add the commands that show and check networks."""
    networks = parsers.add_parser(
        "networks",
        help="list the networks, or show what one has and what of it is pruned",
        description="Without a name, lists the built-in networks. With one, prints its layers: shapes, kind, the part "
        "that a round prunes, parameters and multiplications an image. Networks of your own: docs/networks.md",
        epilog="examples:\n  supermask networks\n  supermask networks resnet20\n"
        "  supermask networks own.py:Tiny --dataset mnist5k",
    )
    networks.add_argument("name", nargs="?", metavar="NAME", help="a network, or FILE.py:NAME; the file is run")
    networks.add_argument("--dataset", metavar="NAME", help="whose images (default: the network's own)")
    networks.set_defaults(command=_show)
    check = parsers.add_parser(
        "check-network",
        help="check a network of your own",
        description="Runs the file, prints what of the network is pruned and its cost, and trains it for ten steps.",
        epilog="example:\n  supermask check-network own.py:Tiny",
    )
    check.add_argument("network", metavar="FILE.py:NAME", help="the network that --network would take")
    check.add_argument(
        "--dataset", default="digits", metavar="NAME", help="embedded images: digits (default) or mnist5k"
    )
    check.set_defaults(command=_check)


def _show(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """List the built-in networks, or print the layers of one."""
    from supermask.analysis.command.network_tables import list_networks, show_network

    if options.name is None and options.dataset is not None:
        raise UsageError("dataset is given without a network; allowed with one")
    if options.name is None:
        list_networks()
    else:
        show_network(options.name, options.dataset)
    return commands.OK


def _check(options: argparse.Namespace, catalogue: Catalogue) -> int:
    """Print what a network of one's own would prune and cost, and train it for ten steps."""
    from supermask.analysis.command.network_tables import check_network

    check_network(options.network, options.dataset)
    return commands.OK


def _add_packing(parsers: "argparse._SubParsersAction[Parser]") -> None:
    pack = parsers.add_parser(
        "pack",
        help="store a learned supermask as one small file: its mask and its seed",
        description="Packs a learned mask: an untrained network is its seed and its mask, so that is all the file has.",
        epilog="examples:\n  supermask pack best digits.mask\n  supermask pack 3f9c --sample 0 digits.mask",
    )
    pack.add_argument(
        "run", metavar="RUN", help="a learned mask's id or its beginning, or best: see docs/supermasks.md"
    )
    pack.add_argument("file", type=path, metavar="FILE", help="the file to write")
    pack.add_argument(
        "--sample", type=whole, metavar="N", help="one of the ten drawn masks, 0 to 9, in place of the rounded one"
    )
    add_results_folder(pack)
    pack.set_defaults(command=commands.pack)
    unpack = parsers.add_parser(
        "unpack",
        help="rebuild a packed network, bit for bit",
        description="Rebuilds the network of a packed file and writes its parameters as safetensors.",
        epilog="example:\n  supermask unpack digits.mask digits.safetensors",
    )
    unpack.add_argument("file", type=path, metavar="FILE", help="the packed file")
    unpack.add_argument("output", type=path, metavar="OUTPUT", help="the safetensors file to write")
    unpack.set_defaults(command=commands.unpack)


def _add_reading(parsers: "argparse._SubParsersAction[Parser]") -> None:
    export = parsers.add_parser(
        "export",
        help="write a ticket or supermask as arrays for Flax, Keras or PyTorch",
        description="Writes the parameters and the mask of a packed file, or of a stored round of pruning or learned "
        "mask, as one file of arrays by name. Layouts: docs/export.md.",
        epilog="examples:\n  supermask export digits.mask digits.npz --layout torch\n"
        "  supermask export 3f9c ticket.safetensors --weights initial\n"
        "List ids with: supermask results --csv all.csv",
    )
    export.add_argument("source", metavar="SOURCE", help="a packed file, a result's id or its beginning, or best")
    export.add_argument("output", type=path, metavar="OUTPUT", help="the file to write: .npz or .safetensors")
    export.add_argument("--layout", default="flax", metavar="NAME", help="flax (default), keras or torch")
    export.add_argument(
        "--weights", default="final", metavar="WHICH", help="a ticket's weights: final (default), or initial, rewound"
    )
    add_results_folder(export)
    export.set_defaults(command=commands.export)
    evaluate = parsers.add_parser(
        "evaluate",
        help="the accuracy of a packed network",
        description="Rebuilds the network of a packed file and prints its accuracy on validation and test images.",
        epilog="example:\n  supermask evaluate digits.mask",
    )
    evaluate.add_argument("file", type=path, metavar="FILE", help="the packed file")
    evaluate.add_argument("--dataset", metavar="NAME", help="data of the same shape (default: those of the file)")
    add_data_dir(evaluate)
    evaluate.set_defaults(command=commands.evaluate)


def _add_infer(parsers: "argparse._SubParsersAction[Parser]") -> None:
    infer = parsers.add_parser(
        "infer",
        help="time a compressed network on single images, as it is and as a dense one",
        description="Reads images one at a time, on one core, straight from the compressed form: time, multiplications "
        "and bytes of weights, beside the dense network's. For networks of dense layers, which the figure "
        "deep-compression leaves as RESULTS/compressed/ID.deep. Wants a machine that does nothing else.",
        epilog="examples:\n  supermask infer results/compressed/3f9c….deep\n"
        "  supermask infer small.deep --dataset mnist --images 200 --csv times.csv",
    )
    infer.add_argument("file", type=path, metavar="FILE", help="the compressed network")
    infer.add_argument("--dataset", default="mnist5k", metavar="NAME", help="whose test images (default: mnist5k)")
    infer.add_argument("--images", type=whole, default=50, metavar="N", help="how many of them (default: 50)")
    infer.add_argument("--repeats", type=whole, default=200, metavar="N", help="runs an image (default: 200)")
    infer.add_argument("--csv", type=path, metavar="FILE", help="write what was measured for each image to this file")
    add_data_dir(infer)
    infer.set_defaults(command=commands.infer)
