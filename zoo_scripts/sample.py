"""Draw samples from a saved model, into a .npy file or a picture.

examples:
  genzoo sample saved_models/realnvp-digits --n 64 --output digits.png
  genzoo sample saved_models/realnvp-digits --n 10000 --seed 1 --output digits.npy
"""

import argparse
from pathlib import Path

from zoo_scripts.common import check_output, load_model, natural, positive, replaced_file


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="SAVED", help="folder of a saved model, or a .keras file")
    parser.add_argument("--n", type=positive, default=64, metavar="N", help="default 64")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    parser.add_argument("--temperature", type=float, default=1.0, metavar="T", help="default 1.0")
    parser.add_argument("--class", type=natural, dest="label", metavar="C", help="class to draw")
    parser.add_argument("--output", required=True, metavar="FILE", help=".npy or .png to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing file")


def run(arguments: argparse.Namespace) -> int:
    import numpy as np

    from genzoo.core.errors import InvalidInputError

    output = Path(arguments.output)
    if output.suffix not in (".npy", ".png"):
        raise InvalidInputError(
            f"Expected a .npy or .png file to write. Received: --output {output}"
        )
    check_output(output, arguments.overwrite, is_file=True)
    model = load_model(arguments.model)
    samples = model.sample(
        arguments.n,
        context=arguments.label,
        temperature=arguments.temperature,
        seed=arguments.seed,
    )
    with replaced_file(output) as file:
        if output.suffix == ".npy":
            np.save(file, samples)
        else:
            from genzoo import plotting

            plotting.samples(samples).figure.savefig(file, dpi=120)
    print(f"{len(samples)} samples of shape {samples.shape[1:]}, {samples.dtype}: {output}")
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["sample", *sys.argv[1:]]))
