"""Write a report on a saved model: one HTML page that a browser opens.

The card, curves, samples, nearest training rows, density or latent pictures, and figures with what
each of them is. For images a blind test beside it: real or generated?

examples:
  genzoo report saved_models/realnvp-digits
  genzoo report runs/vae --output vae.html --overwrite
"""

import argparse
from pathlib import Path

from zoo_scripts.common import (
    add_data_arguments,
    add_sequence_arguments,
    check_output,
    data_options,
    load_model,
    natural,
    positive,
    read_card,
    replaced_file,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("model", metavar="SAVED", help="folder of a saved model, or a .keras file")
    add_data_arguments(parser, default=None)
    add_sequence_arguments(parser)
    parser.add_argument("--seed", type=natural, metavar="S", help="default: that of training, or 0")
    parser.add_argument(
        "--num-images", type=positive, default=40, metavar="N", help="of the blind test; default 40"
    )
    parser.add_argument("--output", metavar="FILE", help="default: report.html in SAVED")
    parser.add_argument("--overwrite", action="store_true", help="replace existing pages")


def run(arguments: argparse.Namespace) -> int:
    import genzoo
    from genzoo.core.errors import InvalidInputError

    saved = Path(arguments.model)
    folder = saved if saved.is_dir() else saved.parent
    output = Path(arguments.output) if arguments.output else folder / "report.html"
    test = output.with_name(f"{output.stem}-blind-test.html")
    for file in (output, test):
        check_output(file, arguments.overwrite, is_file=True)
    model = load_model(arguments.model)
    card = read_card(folder)
    source = arguments.data or card.get("data")
    if source is None:
        raise InvalidInputError(
            "Expected --data, since the model does not say its own. Received: none"
        )
    seed = arguments.seed if arguments.seed is not None else card.get("seed", 0)
    options = data_options(arguments) if arguments.data else card.get("data_options", {})
    data = genzoo.data.load(source, seed=seed, **options)
    page = genzoo.reports.report(model, data, card=card, seed=seed)
    with replaced_file(output) as file:
        file.write_text(page, encoding="utf-8")
    print(f"written: {output}")
    if len(model.event_shape) == 3:
        page = genzoo.reports.blind_test(model, data, num_images=arguments.num_images, seed=seed)
        with replaced_file(test) as file:
            file.write_text(page, encoding="utf-8")
        print(f"written: {test}")
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["report", *sys.argv[1:]]))
