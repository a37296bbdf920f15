"""The house: import directions, a cheap import, examples that run, a README that holds."""

import ast
import doctest
import importlib
import inspect
import os
import pkgutil
import re
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf

import genzoo
from genzoo.core.config import constructor_arguments, constructors
from genzoo.core.registry import model_class

ROOT = Path(__file__).parent.parent
MAY_IMPORT = {
    "core": set(),
    "nets": {"core"},
    "steps": {"core", "nets"},
    "flows": {"core", "nets", "steps"},
    "vaes": {"core", "nets", "steps", "flows"},
    "gans": {"core", "nets"},
    "classic": {"core", "nets"},
    "data": {"core"},
    "training": {"core", "data", "metrics", "plotting"},
    "metrics": {"core", "data"},
    "plotting": {"core"},
    "reports": {"core", "metrics", "plotting"},
    "applications": {"core", "classic", "data", "metrics", "training"},
}


def imports_of(path):
    """Yield the modules that a file names in imports, lazy ones included.

    Those for type checkers alone, which need not be installed, are left out.
    """
    tree = ast.parse(path.read_text())
    checked = [
        n for n in ast.walk(tree) if isinstance(n, ast.If) and "TYPE_CHECKING" in ast.dump(n.test)
    ]
    unseen = {id(part) for block in checked for part in ast.walk(block)}
    for node in ast.walk(tree):
        if id(node) in unseen:
            continue
        if isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            if node.module == "genzoo":
                yield from (f"genzoo.{alias.name}" for alias in node.names)
            elif node.module:
                yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "lazy_module":
            yield node.args[0].value


def test_imports_go_one_way():
    rooms = {p.name for p in (ROOT / "genzoo").iterdir() if (p / "__init__.py").exists()}
    assert rooms == set(MAY_IMPORT)
    for room, allowed in MAY_IMPORT.items():
        for path in (ROOT / "genzoo" / room).rglob("*.py"):
            for module in imports_of(path):
                parts = module.split(".")
                if parts[0] != "genzoo":
                    continue
                assert len(parts) > 1, f"{path} imports the whole of genzoo"
                assert parts[1] in {room, *allowed}, f"{path} imports {module}"


# rooms that know models by what these declare, and rooms where models are made
ASKING = ("applications", "data", "metrics", "plotting", "reports", "training")
MAKING = ("classic", "core", "flows", "gans", "nets", "steps", "vaes")
GUESSES = (r"shape\) [!=]= 3", r"likelihood\.kind [!=]= \"none\"", r"isinstance\([^)]*EMModel")


def test_what_a_model_can_do_is_asked_of_its_traits():
    found = [
        f"{path.relative_to(ROOT)}: {guess}"
        for room in (*ASKING, *MAKING, "../zoo_scripts")
        for guess in (*GUESSES, *(() if room in MAKING else [r"(has|get)attr\((self\.)?model_?,"]))
        for path in (ROOT / "genzoo" / room).rglob("*.py")
        if re.search(guess, path.read_text())
    ]
    assert not found


def test_rooms_of_classic_import_one_way():
    may_import = {
        "gaussians": set(),
        "em": set(),
        "mixtures": {"gaussians", "em"},
        "hmm": {"gaussians", "em"},
    }
    classic = ROOT / "genzoo" / "classic"
    assert {p.name for p in classic.iterdir() if (p / "__init__.py").exists()} == set(may_import)
    for room, allowed in may_import.items():
        for path in (classic / room).rglob("*.py"):
            for module in imports_of(path):
                parts = module.split(".")
                if parts[:2] == ["genzoo", "classic"]:
                    assert parts[2] in {room, *allowed}, f"{path} imports {module}"
                    # of another room, what that one exports
                    assert parts[2] == room or len(parts) == 3, f"{path} imports {module}"


def test_import_is_cheap_and_quiet():
    code = (
        "import sys, time, tensorflow, keras; before = set(sys.modules); "
        "began = time.process_time(); import genzoo; took = time.process_time() - began; "
        "packages = {name.split('.')[0] for name in set(sys.modules) - before}; "
        "heavy = packages & {'matplotlib', 'sklearn', 'PIL', 'hmmlearn', 'tf_keras'}; "
        "assert not heavy, heavy; assert took < 1, took; "
        "assert 'tensorflow_probability.python' not in sys.modules"
    )
    result = subprocess.run([sys.executable, "-W", "error::UserWarning", "-c", code],
                            capture_output=True, text=True, timeout=120)  # fmt: skip
    assert result.returncode == 0, result.stderr
    assert result.stdout == ""


def test_loading_needs_no_more_than_import(tmp_path):
    model = genzoo.RealNVP((2,), num_couplings=2, hidden_units=(4,), seed=0)
    model.fit(genzoo.data.toy("moons", 100), verbose=0)
    model.save(tmp_path / "m.keras")
    code = f"import genzoo, keras; keras.models.load_model({str(tmp_path / 'm.keras')!r}).sample(1)"
    result = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


def own_path():
    return {**os.environ, "PYTHONPATH": os.pathsep.join([str(ROOT), *sys.path])}


def modules():
    return [m.name for m in pkgutil.walk_packages(genzoo.__path__, "genzoo.")]


@pytest.mark.parametrize("name", modules())
def test_examples_in_docstrings_run(name):
    module = importlib.import_module(name)
    assert module.__doc__, f"{name} has no docstring"
    names = {"genzoo": genzoo, "np": np, "os": os, "tf": tf}
    failed, _ = doctest.testmod(module, extraglobs=names, optionflags=doctest.ELLIPSIS)
    assert failed == 0


@pytest.mark.parametrize("name", genzoo.models())
def test_constructor_options_are_visible(name):
    """In `help` and `inspect.signature` all, and to type checkers those passed on by `**`."""
    cls = model_class(name)
    shown = inspect.signature(cls).parameters
    assert next(iter(shown)) == "event_shape"
    assert {"seed", "name", "dtype"} <= set(shown)
    assert all(p.kind is not inspect.Parameter.VAR_KEYWORD for p in shown.values())
    for base, parameters in constructors(cls):
        for passed_on in parameters:
            annotation = str(passed_on.annotation)
            if annotation.startswith("Unpack["):
                names = getattr(sys.modules[base.__module__], annotation[7:-1]).__annotations__
                explicit = {p.name for p in parameters} - {passed_on.name}
                assert not explicit & set(names)
                assert set(names) <= set(constructor_arguments(base))


def test_the_page_on_parts_of_ones_own_runs(tmp_path):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "docs" / "extending.md").read_text(), re.S)
    assert len(blocks) == 5
    # a process of its own, since a model enters the registry
    run = [sys.executable, "-c", "\n".join(blocks)]
    result = subprocess.run(run, cwd=tmp_path, env=own_path(), capture_output=True, text=True)
    assert result.returncode == 0, result.stderr
    assert "[[" in result.stdout


def test_public_names():
    for name in genzoo.__all__:
        assert getattr(genzoo, name) is not None
    with pytest.raises(AttributeError):
        genzoo.nonsense  # noqa: B018
    assert genzoo.models() == sorted(genzoo.models())
    with pytest.raises(genzoo.GenzooError, match="Did you mean 'realnvp'"):
        genzoo.build("real_nvp", event_shape=(2,))


def test_pictures():
    from genzoo import plotting

    random = np.random.default_rng(0)
    x = random.normal(size=(30, 6))
    for axes in (
        plotting.samples(random.integers(0, 255, (10, 8, 8, 1))),
        plotting.samples(random.random((3, 8, 8, 3))),
        plotting.samples(x[:, :2], x[:, :2]),
        plotting.samples(x, x),
        plotting.samples(x),
        plotting.history({"loss": [3.0, 2.0], "val_loss": [3.0, 2.5]}),
        plotting.history({}),
    ):
        axes.figure.canvas.draw()
        pixels = np.asarray(axes.figure.canvas.buffer_rgba())
        assert len(np.unique(pixels.reshape(-1, 4), axis=0)) > 1
        assert plotting.scatter(x, ax=axes) is axes
    with pytest.raises(genzoo.GenzooError, match=r"images\.shape"):
        plotting.image_grid(x)


def test_readme_names_the_models_and_the_commands():
    readme = (ROOT / "README.md").read_text()
    for name in genzoo.models():
        assert f"`{name}`" in readme
    ci = (ROOT / ".ci" / "run").read_text()
    assert "README.md" in ci, "CI takes the test command from the README"
