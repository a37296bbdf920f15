"""Write a saved model as a TensorFlow SavedModel, which loads without genzoo, Keras or TFP.

examples:
  genzoo export runs/vae --output served/vae/1
  genzoo export realnvp-digits --output served/digits/1
"""

import argparse
from pathlib import Path

from zoo_scripts.common import add_saved_argument, check_output, load_model, replaced_folder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved_argument(parser)
    parser.add_argument("--output", required=True, metavar="DIR", help="folder to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing folder")


def run(arguments: argparse.Namespace) -> int:
    output = check_output(Path(arguments.output), arguments.overwrite)
    model = load_model(arguments.model)
    with replaced_folder(output) as folder:
        model.export(folder, verbose=True, overwrite=True)
    print(f"exported: {output}")
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["export", *sys.argv[1:]]))
