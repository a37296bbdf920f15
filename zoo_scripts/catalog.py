"""Names, summaries and traits of the models, read from their source.

That takes a fifth of a second; the registry is known after TensorFlow, seconds later.
"""

import ast
import dataclasses
import functools
import importlib.util
import re
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

_CLASS = re.compile(r"^class (\w+)", re.MULTILINE)


def model_summaries() -> dict[str, str]:
    """Return the names of all models and a line on each."""
    return {
        name: (ast.get_docstring(node) or "").partition("\n")[0]
        for name, node in _registered().items()
    }


def model_traits() -> dict[str, Any]:
    """Return the names of all models and the `Traits` of each."""
    return {name: _traits_of(node) for name, node in _registered().items()}


@functools.cache
def _sources() -> dict[Path, str]:
    folder = Path(importlib.util.find_spec("genzoo").origin).parent
    return {file: file.read_text(encoding="utf-8") for file in sorted(folder.rglob("*.py"))}


@functools.cache
def _classes_in(file: Path) -> dict[str, ast.ClassDef]:
    nodes = ast.parse(_sources()[file]).body
    return {node.name: node for node in nodes if isinstance(node, ast.ClassDef)}


@functools.cache
def _registered() -> dict[str, ast.ClassDef]:
    found = {}
    for file, text in _sources().items():
        if "@register(" not in text:
            continue
        for node in _classes_in(file).values():
            for decorator in node.decorator_list:
                if getattr(getattr(decorator, "func", None), "id", None) == "register":
                    found[decorator.args[0].value] = node
    return dict(sorted(found.items()))


@functools.cache
def _files_of_classes() -> dict[str, Path]:
    return {name: file for file, text in _sources().items() for name in _CLASS.findall(text)}


@functools.cache
def _declarations() -> ModuleType:
    """Return `genzoo.core.traits` as a module of its own: the package would import TensorFlow."""
    (file,) = (file for file in _sources() if file.parts[-2:] == ("core", "traits.py"))
    spec = importlib.util.spec_from_file_location("genzoo_traits", file)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def _traits_of_class(name: str) -> Any:
    """Return the traits of a class of the package, `None` for what is none or has none."""
    file = _files_of_classes().get(name)
    return None if file is None else _traits_of(_classes_in(file)[name])


def _traits_of(node: ast.ClassDef) -> Any:
    """Return what a class declares, or the first of its bases that declares something."""
    for statement in node.body:
        if isinstance(statement, ast.Assign) and ast.unparse(statement.targets) == "traits":
            return _evaluate(statement.value)
    of_bases = (_traits_of_class(ast.unparse(base)) for base in node.bases)
    return next((found for found in of_bases if found is not None), None)


def _evaluate(declaration: ast.expr) -> Any:
    names: dict[str, Any] = {"Traits": _declarations().Traits, "dataclasses": dataclasses}
    for part in ast.walk(declaration):
        if isinstance(part, ast.Name) and part.id not in names:
            names[part.id] = SimpleNamespace(traits=_traits_of_class(part.id))
    return eval(compile(ast.Expression(declaration), "traits", "eval"), names)
