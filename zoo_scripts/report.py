"""Write a report on a saved model: one HTML page that a browser opens.

The card, curves, samples, nearest training rows, density or latent pictures, and figures with what
each of them is. For images a blind test beside it: real or generated?

examples:
  genzoo report realnvp-digits
  genzoo report runs/vae --output vae.html --overwrite
"""

import argparse
from pathlib import Path

from zoo_scripts.common import (
    add_context_argument,
    add_data_arguments,
    add_saved_argument,
    add_sequence_arguments,
    check_output,
    find_saved,
    load_model,
    load_saved_data,
    natural,
    positive,
    replaced_file,
    saved_card,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    add_saved_argument(parser)
    add_data_arguments(parser, default=None)
    add_sequence_arguments(parser)
    add_context_argument(parser)
    parser.add_argument("--seed", type=natural, metavar="S", help="default: that of training, or 0")
    parser.add_argument(
        "--num-images", type=positive, default=40, metavar="N", help="of the blind test; default 40"
    )
    parser.add_argument(
        "--output", metavar="FILE", help="default: report.html in SAVED, or in runs/NAME"
    )
    parser.add_argument("--overwrite", action="store_true", help="replace existing pages")


def run(arguments: argparse.Namespace) -> int:
    import genzoo

    saved = find_saved(arguments.model)
    # a model that ships does not lie where users keep their files
    named = not Path(arguments.model).exists()
    folder = Path("runs") / arguments.model if named else saved.parent
    output = Path(arguments.output) if arguments.output else folder / "report.html"
    test = output.with_name(f"{output.stem}-blind-test.html")
    for file in (output, test):
        check_output(file, arguments.overwrite, is_file=True)
    model, card = load_model(saved), saved_card(saved)
    data, seed = load_saved_data(arguments, model, card)
    page = genzoo.reports.report(model, data, card=card, seed=seed)
    with replaced_file(output) as file:
        file.write_text(page, encoding="utf-8")
    print(f"written: {output}")
    if model.on_images:
        page = genzoo.reports.blind_test(model, data, num_images=arguments.num_images, seed=seed)
        with replaced_file(test) as file:
            file.write_text(page, encoding="utf-8")
        print(f"written: {test}")
    return 0


if __name__ == "__main__":
    import sys

    from zoo_scripts.main import main

    sys.exit(main(["report", *sys.argv[1:]]))
