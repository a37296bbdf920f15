"""Score data with a saved model and print the figures as JSON.

The test part of the data is scored, split as in training with the same --seed.

examples:
  genzoo evaluate saved_models/realnvp-digits
  genzoo evaluate saved_models/vae-digits --num-samples 100
"""

import argparse
import json
from pathlib import Path

from zoo_scripts.common import (
    add_data_arguments,
    add_sequence_arguments,
    data_options,
    load_model,
    natural,
    positive,
    read_card,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="SAVED", help="folder of a saved model, or a .keras file")
    add_data_arguments(parser, default=None)
    add_sequence_arguments(parser)
    parser.add_argument(
        "--num-samples",
        type=positive,
        default=1,
        metavar="K",
        help="draws of the importance-weighted bound, for models that have a bound; default 1",
    )
    parser.add_argument("--seed", type=natural, metavar="S", help="default: that of training, or 0")


def run(arguments: argparse.Namespace) -> int:
    import genzoo
    from genzoo.core.errors import InvalidInputError

    model = load_model(arguments.model)
    trained = read_card(Path(arguments.model))
    source = arguments.data or trained.get("data")
    if source is None:
        raise InvalidInputError(
            "Expected --data, since the model does not say its own. Received: none"
        )
    seed = arguments.seed if arguments.seed is not None else trained.get("seed", 0)
    options = data_options(arguments) if arguments.data else trained.get("data_options", {})
    data = genzoo.data.load(source, seed=seed, **options)
    context = data.y_test if model.context_size else None
    report = genzoo.metrics.likelihood_report(
        model, data.x_test, context=context, num_samples=arguments.num_samples
    )
    described = {"model": arguments.model, "data": source, "num_samples": arguments.num_samples}
    print(json.dumps({**described, **report}, indent=2))
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
