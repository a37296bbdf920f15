"""Two epochs of DCGAN and RealNVP on 950 colour photographs in a folder, by the command line.

    python benchmarks/photos.py

The photographs are crops of scikit-learn's two sample images, of different sizes; 50 more are below
64 pixels, which the commands leave out. Seconds an epoch and peak memory are those of the cards.
"""

import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image
from sklearn.datasets import load_sample_images

COUNT, SMALL = 1000, 50
MODELS = ("dcgan", "realnvp")


def write_crops(folder: Path, seed: int) -> None:
    """Write the crops as JPEGs."""
    random = np.random.default_rng(seed)
    images = load_sample_images().images
    for i in range(COUNT):
        image = images[i % len(images)]
        least, most = (32, 64) if i < SMALL else (64, 128)
        size = random.integers(least, most, 2)
        top, left = (random.integers(image.shape[axis] - size[axis]) for axis in (0, 1))
        crop = image[top : top + size[0], left : left + size[1]]
        Image.fromarray(crop).save(folder / f"{i:04}.jpg", quality=92)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--epochs", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place, "photos")
        folder.mkdir()
        write_crops(folder, arguments.seed)
        for model in arguments.models:
            output = Path(place, model)
            options = ["--epochs", str(arguments.epochs), "--seed", str(arguments.seed)]
            command = ["train", model, "--data", str(folder), "--image-size", "64", *options]
            subprocess.run(
                [sys.executable, "-m", "zoo_scripts.main", *command, "--output", str(output)],
                check=True,
            )
            card = json.loads((output / "metrics.json").read_text())
            seconds = card["seconds_training"] / arguments.epochs
            print(f"{model}: {seconds:.1f} s an epoch, at most {card['peak_memory_mib']} MiB")


if __name__ == "__main__":
    main()
