"""Score data with a saved model and print the figures as JSON.

The test part of the data is scored, split as in training with the same --seed. Models without a
likelihood, such as GANs, are scored by how far their samples reach: the coverage of the test rows,
and the density of the samples there.

examples:
  genzoo evaluate realnvp-digits
  genzoo evaluate runs/vae --num-samples 100
"""

import argparse
import json
from typing import Any

from zoo_scripts.common import (
    add_context_argument,
    add_data_arguments,
    add_saved_argument,
    add_sequence_arguments,
    find_saved,
    load_model,
    load_saved_data,
    natural,
    positive,
    saved_card,
)
from zoo_scripts.train import reached


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved_argument(parser)
    add_data_arguments(parser, default=None)
    add_sequence_arguments(parser)
    add_context_argument(parser)
    parser.add_argument(
        "--num-samples",
        type=positive,
        default=1,
        metavar="K",
        help="draws of the importance-weighted bound, for models that have a bound; default 1",
    )
    parser.add_argument("--seed", type=natural, metavar="S", help="default: that of training, or 0")


def run(arguments: argparse.Namespace) -> int:
    saved = find_saved(arguments.model)
    model, trained = load_model(saved), saved_card(saved)
    data, _ = load_saved_data(arguments, model, trained)
    described = {"model": arguments.model, "data": data.name, "num_samples": arguments.num_samples}
    scores = score_test(model, data, num_samples=arguments.num_samples)
    print(json.dumps({**described, **scores}, indent=2))
    return 0


def score_test(model: Any, data: Any, *, num_samples: int = 1) -> dict[str, Any]:
    """Return how a model does on test data.

    These are likelihoods, or for a model that has none how far its samples reach.
    """
    import genzoo
    from genzoo.core.errors import InvalidInputError

    _, context = data.contexts(model)
    if model.traits.has_density:
        return genzoo.metrics.likelihood_report(
            model, data.x_test, context=context, num_samples=num_samples
        )
    figures = reached(model, data, context)
    if not figures:
        raise InvalidInputError(
            "Expected at least 10 test rows to compare samples with. "
            f"Received: {data.name} with {len(data.x_test)}"
        )
    return {"likelihood_kind": "none", **figures}


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["evaluate", *sys.argv[1:]]))
