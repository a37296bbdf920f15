"""How many places a reader visits: figures of the structure of the source.

    python benchmarks/structure.py

For a first `fit` and a first `log_prob` of four models: the functions of genzoo that are entered,
in how many files, and how often one call lies in another file than the call before it. Beside
these the lines of the classes that a model inherits from, the imports between the files of
`genzoo/classic`,
the sets of names in `tests/tiny.py`, and the files that name an example of each kind of part.
"""

import argparse
import ast
import inspect
import itertools
import json
import re
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np

import genzoo

ROOT = Path(genzoo.__file__).parent
MODELS = {
    "realnvp": {"event_shape": (4,)},
    "vae": {"event_shape": (4,)},
    "gaussian_mixture": {"event_shape": (4,), "num_components": 3},
    "hidden_markov_model": {"event_shape": (4,), "num_states": 3},
}
# an example of each kind of part, by the words that name it
PARTS = {
    "model": r"\bRadialFlow\b|\"radial\"",
    "step": r"\bRadial\b",
    "emission": r"\bPoisson\b|\"poisson\"",
    "metric": r"\bparzen_log_prob\b",
}


def visits(function: Callable[[], object]) -> dict[str, int]:
    """Return what a call enters of genzoo: functions, files, and changes of file."""
    calls = []

    def note(frame, event, argument):
        code = frame.f_code
        if event == "call" and code.co_filename.startswith(str(ROOT)):
            calls.append((code.co_filename, code.co_qualname))

    sys.setprofile(note)
    try:
        function()
    finally:
        sys.setprofile(None)
    # comprehensions and the like are no functions of their own to a reader
    calls = [(file, name.split(".<locals>")[0]) for file, name in calls if "<" not in name[:1]]
    changes = sum(a[0] != b[0] for a, b in itertools.pairwise(calls))
    return {
        "functions": len(set(calls)),
        "files": len({file for file, _ in calls}),
        "changes of file": changes,
    }


def inherited_lines(cls: type) -> int:
    """Return the lines of a class and of all its bases in genzoo."""
    own = [base for base in cls.__mro__ if base.__module__.startswith("genzoo")]
    return sum(len(inspect.getsource(base).splitlines()) for base in own)


def imports_within(folder: Path) -> tuple[int, int]:
    """Return the files of a package and the imports from one of them to another."""
    package = "genzoo." + ".".join(folder.relative_to(ROOT).parts)
    files = [path for path in sorted(folder.rglob("*.py")) if path.name != "__init__.py"]
    arrows = 0
    for path in files:
        tree = ast.parse(path.read_text())
        targets = {n.module for n in ast.walk(tree) if isinstance(n, ast.ImportFrom) and n.module}
        arrows += sum(target.startswith(package) for target in targets)
    return len(files), arrows


def sets_of_names(path: Path) -> list[str]:
    """Return the sets at the top of a module, by name."""
    found = []
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, ast.Assign) and isinstance(node.value, ast.Set):
            found.append(node.targets[0].id)
    return found


def files_that_name(pattern: str) -> list[str]:
    """Return the files outside tests' own cases that name a part."""
    top = ROOT.parent
    places = [*ROOT.rglob("*.py"), *(top / "zoo_scripts").rglob("*.py")]
    places += [top / "tests" / "tiny.py", top / "README.md"]
    return [str(p.relative_to(top)) for p in sorted(places) if re.search(pattern, p.read_text())]


def measure() -> dict[str, object]:
    x = np.random.default_rng(0).normal(size=(64, 4)).astype("float32")
    figures: dict[str, object] = {}
    for name, arguments in MODELS.items():
        model = genzoo.build(name, seed=0, **arguments)
        sequences = name == "hidden_markov_model"
        data = x.reshape(4, 16, 4) if sequences else x
        fit = visits(lambda model=model, data=data: model.fit(data, epochs=1, verbose=0))
        scored = visits(lambda model=model, data=data: model.log_prob(data))
        figures[name] = {
            "fit": fit,
            "log_prob": scored,
            "lines of inheritance": inherited_lines(type(model)),
        }
    files, arrows = imports_within(ROOT / "classic")
    rooms = [p.name for p in (ROOT / "classic").iterdir() if (p / "__init__.py").exists()]
    figures["classic"] = {"files": files, "imports between them": arrows, "rooms": len(rooms)}
    figures["sets in tests/tiny.py"] = sets_of_names(ROOT.parent / "tests" / "tiny.py")
    figures["files that name"] = {part: files_that_name(p) for part, p in PARTS.items()}
    return figures


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--output", help="file for the figures as JSON")
    arguments = parser.parse_args()
    figures = measure()
    text = json.dumps(figures, indent=2)
    if arguments.output:
        Path(arguments.output).write_text(text + "\n")
    print(text)


if __name__ == "__main__":
    main()
