"""Train a small classifier of labelled images, whose features judge samples; no download.

`genzoo.metrics.ClassifierFeatures.load` reads the file: call it on images for their features
(Fréchet and kernel distance, precision and recall), and its `probabilities` for the Inception
score.

examples:
  genzoo features --data digits --output runs/digits-features.keras
  genzoo features --data mnist --epochs 3 --output runs/mnist-features.keras
"""

import argparse
from pathlib import Path

from zoo_scripts.common import (
    add_data_arguments,
    check_output,
    load_data,
    natural,
    positive,
    replaced_file,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_data_arguments(parser, default="digits")
    parser.add_argument("--epochs", type=positive, default=10, metavar="N", help="default 10")
    parser.add_argument("--seed", type=natural, default=0, metavar="S", help="default 0")
    parser.add_argument("--output", required=True, metavar="FILE", help="a .keras file to write")
    parser.add_argument("--overwrite", action="store_true", help="replace an existing output")


def run(arguments: argparse.Namespace) -> int:
    import genzoo
    from genzoo.core.errors import InvalidInputError

    output = check_output(Path(arguments.output), arguments.overwrite, is_file=True)
    if output.suffix != ".keras":
        raise InvalidInputError(f"Expected a .keras file. Received: --output {output}")
    data = load_data(arguments, arguments.seed)
    if data.y_train is None:
        raise InvalidInputError(f"Expected data with labels. Received: {data.name}")
    features = genzoo.metrics.ClassifierFeatures(
        data.x_train, data.y_train, epochs=arguments.epochs, seed=arguments.seed
    )
    found = features.probabilities(data.x_test).argmax(axis=1)
    with replaced_file(output) as file:
        features.save(file)
    print(f"test accuracy: {(found == data.y_test).mean():.3f}")
    half = min(len(data.x_train), len(data.x_test))
    distance = features.distance(data.x_train[:half], data.x_test[:half])
    print(f"Fréchet distance of {half} training images from as many test images: {distance:.3f}")
    print(f"written: {output}")
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["features", *sys.argv[1:]]))
