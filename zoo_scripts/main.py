"""The program `genzoo` and its commands."""

import argparse
import contextlib
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

_COMMANDS = {
    "train": "fit a model to data; save it with samples, curves and metrics",
    "sample": "draw samples from a saved model",
    "evaluate": "score data with a saved model",
    "report": "write a page on a saved model: card, figures, samples, blind test",
    "export": "write a saved model as a TensorFlow SavedModel",
    "density": "estimate the density of data by several models, and draw it",
    "detect": "find anomalies, with scores, p-values and the columns to blame",
    "impute": "fill in missing values of a table",
    "augment": "add samples of each class to few labelled rows",
    "features": "train a small classifier whose features judge samples",
    "list": "list models, data sets and saved models",
    "reproduce": "run a published comparison again",
}


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="genzoo", description="Generative models for Keras.", allow_abbrev=False
    )
    parser.add_argument("--version", action="store_true", help="show the version and leave")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND")
    for name, text in _COMMANDS.items():
        module = importlib.import_module(f"zoo_scripts.{name}")
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


@contextlib.contextmanager
def _no_standard_error():
    """Silence what C++ code writes to standard error, which Python's own streams do not see."""
    saved = os.dup(2)
    silent = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(silent, 2)
        yield
    finally:
        os.dup2(saved, 2)
        os.close(saved)
        os.close(silent)


def _import_tensorflow() -> None:
    # its start-up messages would bury the command's own; what the user set stays
    if "TF_CPP_MIN_LOG_LEVEL" in os.environ:
        return
    os.environ["TF_CPP_MIN_LOG_LEVEL"] = "3"
    with _no_standard_error():
        import tensorflow  # noqa: F401


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command.

    Returns:
        0; 2 for a user's mistake, told in one line on standard error; 130 for Ctrl-C.
    """
    argv = list(sys.argv[1:] if argv is None else argv)
    parser = _parser()
    arguments = parser.parse_args(argv)
    if arguments.version:
        from importlib.metadata import version

        print(f"genzoo {version('genzoo')}")
        return 0
    if arguments.command is None:
        parser.print_help()
        return 2
    arguments.argv, arguments.command_line = argv, shlex.join(["genzoo", *argv])
    try:
        _import_tensorflow()
        from genzoo.core.errors import GenzooError
    except KeyboardInterrupt:
        return 130
    try:
        return arguments.run(arguments)
    except GenzooError as error:
        print(f"genzoo {arguments.command}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"genzoo {arguments.command}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"genzoo {arguments.command}: interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
