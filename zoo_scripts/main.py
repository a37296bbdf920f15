"""The program `genzoo` and its commands."""

import argparse
import importlib
import os
import shlex
import sys
from collections.abc import Sequence

from zoo_scripts.common import import_tensorflow

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


def _mistakes() -> tuple[type[Exception], ...]:
    """Return the errors that are a user's mistake."""
    # what has not been imported has raised nothing
    errors = sys.modules.get("genzoo.core.errors")
    return (OSError, errors.GenzooError) if errors else (OSError,)


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
        if arguments.command != "list":
            import_tensorflow()
        return arguments.run(arguments)
    except KeyboardInterrupt:
        print(f"genzoo {arguments.command}: interrupted", file=sys.stderr)
        return 130
    except BrokenPipeError:
        # the reader, such as `head`, has what it wanted; Python would tell of it at its end too
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except Exception as error:
        if not isinstance(error, _mistakes()):
            raise
        print(f"genzoo {arguments.command}: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
