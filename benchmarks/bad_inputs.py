"""Bad inputs of every kind at every door: each must be refused by a typed error, or be valid.

    python benchmarks/bad_inputs.py --count 10000

Constructors get an argument that is no such thing, `fit` and `log_prob` arrays that are not like
the data, `load_file` damaged files, the image folder damaged images, the commands odd arguments. An
exception that is no `GenzooError` is a fault; faults are listed, and the exit code is 1.
"""

import argparse
import collections
import contextlib
import io
import os
import tempfile
import warnings
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")

import numpy as np
from PIL import Image

import genzoo
from genzoo.core.registry import constructor_arguments, model_class
from genzoo.pretrained import load_file

JUNK = [
    None, -1, 0, 1, 2.5, float("nan"), float("inf"), True, "", "junk", (), (0,), (-3,), ("a",),
    [1, "b"], {}, {"a": 1}, object(), np.nan, np.zeros(3), b"bytes", 1j, [[]], lambda x: x,
]  # fmt: skip

SAVED = [["good.keras"], ["damaged.keras"], ["missing"], ["images"], ["table.npz"], [""], []]
BAD_DATA = [["--data", name] for name in ("missing", "damaged.npz", "images", "junk", "")]
TABLE = ["--data", "table.npz"]
# what a command is about; those that would train for long get no data to train on
SUBJECTS = {
    "train": [
        *([model, "--epochs", "1", *TABLE] for model in ("gaussian_mixture", "nice")),
        *(["gaussian_mixture", *data] for data in BAD_DATA),
        *(["gaussian_mixture", *TABLE, "--option", option] for option in (
            "a", "=", "num_components=0", "num_components=", "event_shape=(3,)", "seed=x", "no=1",
        )),
        ["junk"], ["good.keras"], [],
    ],
    "sample": [[*saved, "--output", f] for saved in SAVED for f in ("a.npy", "a.xyz", "b.png")],
    "evaluate": [[*saved, *data] for saved in SAVED for data in (*BAD_DATA, TABLE)],
    "export": [[*saved, "--output", "exported"] for saved in SAVED],
    "report": [[*saved, *data] for saved in SAVED for data in BAD_DATA],
    "list": [[], ["junk"], ["nice"], ["--saved", "images"]],
    "density": BAD_DATA,
    "detect": BAD_DATA,
    "impute": BAD_DATA,
    "augment": BAD_DATA,
    "features": [[*data, "--output", "f.keras"] for data in BAD_DATA],
    "reproduce": [["junk"], ["adbench", "--data", "images"], ["vae-mnist", "--models", "junk"], []],
}  # fmt: skip
FLAGS = [
    "--data", "--label", "--image-size", "--seed", "--epochs", "--batch-size", "--n", "--class",
    "--temperature", "--model", "--models", "--option", "--output", "--rows", "--no-such",
]  # fmt: skip
VALUES = [
    "-1", "0", "1", "3", "0.5", "nan", "inf", "1e400", "", " ", "junk", "a=b", "(", "images",
    "table.npz", "damaged.npz", "missing", "good.keras", "label", "\x00", "é", "--quiet",
]  # fmt: skip


class Doors:
    """Inputs by door; each call makes one, and raises what the door raises."""

    def __init__(self, folder: Path, seed: int):
        self.folder, self.random = folder, np.random.default_rng(seed)
        self.x = genzoo.data.toy("moons", 64, seed=0)
        self.model = genzoo.GaussianMixture((2,), num_components=2, seed=0)
        self.model.fit(self.x, verbose=0)
        self.model.save(folder / "good.keras")
        self.bytes = (folder / "good.keras").read_bytes()
        self.names = sorted(genzoo.models())
        buffer = io.BytesIO()
        np.savez(buffer, x=self.x, y=np.arange(64) % 2)
        self.table = buffer.getvalue()
        (folder / "table.npz").write_bytes(self.table)
        (folder / "images").mkdir()
        buffer = io.BytesIO()
        Image.fromarray(np.arange(192, dtype=np.uint8).reshape(8, 8, 3)).save(buffer, "png")
        self.png = buffer.getvalue()

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def constructor(self) -> str:
        name = self.pick(self.names)
        argument = self.pick([*constructor_arguments(model_class(name)), "no_such_argument"])
        value = self.pick(JUNK)
        config = {"event_shape": self.pick([(2,), (8, 8, 1)]), argument: value}
        shown = f"{name}({argument}={value!r})"
        with told(shown):
            genzoo.build(name, **config)
        return shown

    def array(self):
        x = self.x.copy()
        kind = self.random.integers(12)
        if kind == 0:
            return x[:, :1]
        if kind == 1:
            return x[:0]
        if kind == 2:
            x[self.random.integers(64), 0] = self.pick([np.inf, -np.inf])
            return x
        if kind == 3:
            return x.astype(str)
        if kind == 4:
            return x.astype(object)
        if kind == 5:
            return x[None]
        if kind == 6:
            return x.astype(complex)
        if kind == 7:
            return [list(row) for row in x[:3]] + [[1.0]]
        if kind == 8:
            return x.astype(np.float64) * 1e300
        if kind == 9:
            return self.random.integers(-5, 5, (9, 2))
        if kind == 10:
            return x.astype("datetime64[s]")
        return self.pick(JUNK)

    def fit(self) -> str:
        x = self.array()
        with told(f"fit({describe(x)})"):
            genzoo.GaussianMixture((2,), num_components=2, seed=0).fit(x, epochs=1, verbose=0)
        return "fit"

    def log_prob(self) -> str:
        x = self.array()
        with told(f"log_prob({describe(x)})"):
            self.model.log_prob(x)
        return "log_prob"

    def sample(self) -> str:
        arguments = {self.pick(["n", "temperature", "seed", "context"]): self.pick(JUNK)}
        with told(f"sample({arguments})"):
            self.model.sample(**{"n": 3, **arguments})
        return "sample"

    def damaged(self, content: bytes) -> bytes:
        content = bytearray(content)
        kind = self.random.integers(3)
        if kind == 0:
            return bytes(content[: self.random.integers(len(content))])
        for _ in range(self.random.integers(1, 50)):
            content[self.random.integers(len(content))] = self.random.integers(256)
        return bytes(content) if kind == 1 else bytes(content[self.random.integers(99) :])

    def saved_model(self) -> str:
        file = self.folder / "damaged.keras"
        file.write_bytes(self.damaged(self.bytes))
        with told("load_file(damaged)"):
            load_file(file)
        return "load"

    def image(self) -> str:
        for i in range(3):
            (self.folder / "images" / f"{i}.png").write_bytes(self.damaged(self.png))
        with told("images"):
            genzoo.data.load(self.folder / "images", image_size=(8, 8), test_size=0.5)
        return "images"

    def command(self) -> str:
        from zoo_scripts.main import main

        (self.folder / "damaged.keras").write_bytes(self.damaged(self.bytes))
        (self.folder / "damaged.npz").write_bytes(self.damaged(self.table))
        name = self.pick(list(SUBJECTS))
        argv = [name, *self.pick(SUBJECTS[name])]
        for _ in range(self.random.integers(3)):
            argv += [self.pick(FLAGS), self.pick(VALUES)]
        shown, quiet = " ".join(argv), io.StringIO()
        # what a command writes by default, it writes here
        os.chdir(self.folder)
        with told(shown), contextlib.redirect_stderr(quiet), contextlib.redirect_stdout(quiet):
            try:
                code = main(argv)
            except SystemExit as end:
                code = end.code
        if code not in (0, 2) or "Traceback" in quiet.getvalue():
            raise Fault(f"{shown}: exit code {code}")
        if code == 2:
            raise Refused
        return shown


class Refused(Exception):
    """The input was refused in order."""


class Fault(Exception):
    """The input was not refused in order."""


def describe(x) -> str:
    return f"{x.dtype} {x.shape}" if isinstance(x, np.ndarray) else repr(x)[:60]


@contextlib.contextmanager
def told(shown: str):
    try:
        yield
    except genzoo.GenzooError as error:
        if "Received" not in str(error) and "needs data first" not in str(error):
            raise Fault(f"{shown}: a message without what was received: {error}") from error
        raise Refused from error
    except Exception as error:
        raise Fault(f"{shown}: {type(error).__name__}: {str(error)[:120]}") from error


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--count", type=int, default=10_000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--doors", nargs="+")
    arguments = parser.parse_args()
    warnings.simplefilter("ignore")
    counts: dict[str, collections.Counter] = collections.defaultdict(collections.Counter)
    faults: collections.Counter = collections.Counter()
    with tempfile.TemporaryDirectory() as folder:
        doors = Doors(Path(folder), arguments.seed)
        kinds = arguments.doors or [
            "constructor", "fit", "log_prob", "sample", "saved_model", "image", "command",
        ]  # fmt: skip
        for i in range(arguments.count):
            door = kinds[i % len(kinds)]
            try:
                getattr(doors, door)()
                counts[door]["valid"] += 1
            except Refused:
                counts[door]["refused"] += 1
            except Fault as fault:
                counts[door]["fault"] += 1
                faults[str(fault)] += 1
    print(f"{'':14}{'refused':>9}{'valid':>9}{'fault':>9}")
    for door, counted in counts.items():
        print(f"{door:14}" + "".join(f"{counted[k]:>9}" for k in ("refused", "valid", "fault")))
    for fault, count in faults.most_common():
        print(f"{count:4} x {fault}")
    return 1 if faults else 0


if __name__ == "__main__":
    raise SystemExit(main())
