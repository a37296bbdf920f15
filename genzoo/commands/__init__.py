"""The program `genzoo`: train, sample, evaluate, export and list models."""

import argparse
import importlib
import os
import sys
from collections.abc import Sequence

from genzoo._version import __version__

_COMMANDS = {
    "train": "fit a model to data; save it with samples, curves and metrics",
    "sample": "draw samples from a saved model",
    "evaluate": "score data with a saved model",
    "export": "write a saved model as a TensorFlow SavedModel",
    "list": "list models, data sets and saved models",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="genzoo", description="Generative models for Keras.", allow_abbrev=False
    )
    parser.add_argument("--version", action="version", version=f"genzoo {__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, text in _COMMANDS.items():
        module = importlib.import_module(f"genzoo.commands.{name}_command")
        command = commands.add_parser(
            name,
            help=text,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
            allow_abbrev=False,
        )
        module.add_arguments(command)
        command.set_defaults(run=module.run)
    return parser


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0, or 2 for a user's mistake (one line on standard error), or 130 for Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    arguments = _parser().parse_args(argv)
    arguments.command_line = " ".join(["genzoo", *argv])
    # TensorFlow's start-up messages would bury the command's own
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
    from genzoo.core.errors import GenzooError

    try:
        return arguments.run(arguments)
    except GenzooError as error:
        print(f"genzoo {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"genzoo {arguments.command}: interrupted", file=sys.stderr)
        return 130
