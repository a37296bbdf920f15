"""What an object was made with, by which it is made again."""

import dataclasses
import functools
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import keras

from genzoo.core.errors import InvalidInputError

_MAKING = "_making"
VARIADIC = (inspect.Parameter.VAR_POSITIONAL, inspect.Parameter.VAR_KEYWORD)


@dataclasses.dataclass
class _Making:
    """What an object was made with.

    Args:
        calls: Arguments by name that the constructor of each class was called with, those of
            `**kwargs` among them; the outermost first.
        of_keras: Attributes that Keras stored.
        stored: Those that the constructors stored.
    """

    calls: dict[type, dict[str, Any]] = dataclasses.field(default_factory=dict)
    of_keras: set[str] = dataclasses.field(default_factory=set)
    stored: set[str] = dataclasses.field(default_factory=set)

    @staticmethod
    def of(made: Any) -> "_Making":
        # past Keras, which would track the values
        return vars(made).setdefault(_MAKING, _Making())


class Configured:
    """Mixin of Keras models and layers: `get_config` returns the constructor's arguments.

    A subclass needs no `get_config` of its own, whatever it gives its base and whether or not it
    stores its arguments: each constructor's arguments are remembered. A value that the
    constructor stored under the argument's name goes before the one that was given.
    """

    def __init_subclass__(cls, **arguments: Any):
        super().__init_subclass__(**arguments)
        if "__init__" in vars(cls):
            cls.__init__ = _remembered(cls, vars(cls)["__init__"])
        if any(True for _ in constructors(cls)):
            cls.__signature__ = _signature(cls)

    def __init__(self, **arguments: Any):
        super().__init__(**arguments)
        _Making.of(self).of_keras.update(vars(self))

    def get_config(self) -> dict[str, Any]:
        """Return the constructor's arguments, layers among them serialised."""
        return {name: _serialized(value) for name, value in made_with(self).items()}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Return what is made with these arguments."""
        return cls(**{name: _deserialized(v, custom_objects) for name, v in config.items()})


def _serialized(value: Any) -> Any:
    if isinstance(value, keras.Layer):
        return keras.saving.serialize_keras_object(value)
    layers = isinstance(value, (list, tuple)) and any(isinstance(v, keras.Layer) for v in value)
    return [_serialized(v) for v in value] if layers else value


def _deserialized(value: Any, custom_objects: Any) -> Any:
    if isinstance(value, dict) and "class_name" in value:
        return keras.saving.deserialize_keras_object(value, custom_objects=custom_objects)
    if isinstance(value, list):
        return [_deserialized(v, custom_objects) for v in value]
    return value


def constructors(cls: type) -> Iterator[tuple[type, list[inspect.Parameter]]]:
    """Yield the classes whose constructors take part in `cls(...)`, and their parameters."""
    for base in cls.__mro__:
        if base is Configured:
            return
        if "__init__" in vars(base):
            parameters = list(inspect.signature(base.__init__).parameters.values())[1:]
            yield base, parameters
            if not any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters):
                return


def constructor_arguments(cls: type) -> dict[str, inspect.Parameter]:
    """Return the arguments that `cls(...)` takes, its bases' included where it passes them on."""
    arguments: dict[str, inspect.Parameter] = {}
    for _, parameters in constructors(cls):
        for parameter in parameters:
            if parameter.kind not in VARIADIC:
                arguments.setdefault(parameter.name, parameter)
    return arguments


def _signature(cls: type) -> inspect.Signature:
    """Return the signature of `cls(...)` with all the arguments that it takes, for `help`.

    What `**unknown` takes is refused, and not shown.
    """
    arguments = list(constructor_arguments(cls).values())
    positional = [p for p in arguments if p.kind is not inspect.Parameter.KEYWORD_ONLY]
    by_name = [p for p in arguments if p.kind is inspect.Parameter.KEYWORD_ONLY]
    *_, (_, last) = constructors(cls)
    rest = [p for p in last if p.kind is inspect.Parameter.VAR_KEYWORD and p.name != "unknown"]
    required = [p for p in positional if p.default is inspect.Parameter.empty]
    optional = [p for p in positional if p.default is not inspect.Parameter.empty]
    return inspect.Signature([*required, *optional, *by_name, *rest])


def made_with(made: Any) -> dict[str, Any]:
    """Return arguments, by name, that make an object like this one.

    Those of the constructor, and those of its bases' that it passes on: not what it gives them
    itself.

    Raises:
        InvalidInputError: For a constructor that cannot be called with names.
    """
    making = _Making.of(made)
    calls, outermost = making.calls, next(iter(making.calls), None)
    given = calls.get(outermost, {})
    config, placed, named, variadic, own, open_end = {}, [], set(), (), {}, True
    for cls, parameters in constructors(type(made)):
        own = calls.get(cls, {})
        for parameter in parameters:
            name = parameter.name
            if parameter.kind is inspect.Parameter.VAR_POSITIONAL and cls is outermost:
                variadic = own.get(name, ())
            named.add(name)
            if parameter.kind in VARIADIC or name in config:
                continue
            passed = name in given or any(own.get(name) is value for value in variadic)
            if cls is not outermost and name in own and not passed:
                # a class between gives it
                continue
            placed.append(own.get(name))
            config[name] = _value(made, name, own.get(name, parameter.default), making)
        open_end = any(p.kind is inspect.Parameter.VAR_KEYWORD for p in parameters)
    lost = [value for value in variadic if not any(value is other for other in placed)]
    if lost or any(value is inspect.Parameter.empty for value in config.values()):
        raise InvalidInputError(
            f"Expected a constructor of {type(made).__name__} that can be called with names, to "
            f"save or copy it. Received: __init__{inspect.signature(type(made).__init__)}. Name "
            "its arguments, or write get_config() and from_config()."
        )
    policy = keras.dtype_policies.serialize(made.dtype_policy)
    of_keras = {"name": made.name, "trainable": made.trainable, "dtype": policy}
    for name, value in of_keras.items():
        # Keras's own layers take these; a class between may give them
        passed_on = open_end and "name" not in named and (name in given or name not in own)
        if name in config or passed_on:
            config[name] = value
    return config


def _value(made, name, given, making):
    """Return the value of an argument: what was stored of it, else what was given."""
    passed_on = (call[name] for call in making.calls.values() if name in call)
    kept = vars(made).get(name)
    if name not in making.stored or any(value is not given for value in passed_on):
        return given
    return given if isinstance(kept, keras.Layer) and kept is not given else kept


def _remembered(cls: type, init: Callable[..., None]) -> Callable[..., None]:
    """Wrap a constructor so that the object knows what it was called with."""
    signature = inspect.signature(init)

    @functools.wraps(init)
    def wrapped(self, *args, **kwargs):
        making = _Making.of(self)
        outermost = not making.calls
        making.calls.setdefault(cls, _bound(signature, self, args, kwargs))
        init(self, *args, **kwargs)
        if outermost:
            making.stored = set(vars(self)) - making.of_keras

    # Keras reads the names of a constructor's arguments without looking behind a wrapper
    wrapped.__signature__ = signature
    return wrapped


def _bound(signature, made, args, kwargs) -> dict[str, Any]:
    """Return arguments by name, those of `**kwargs` among them; none where they do not fit."""
    try:
        bound = signature.bind(made, *args, **kwargs)
    except TypeError:
        # the constructor itself tells
        return {}
    named = dict(list(bound.arguments.items())[1:])
    for parameter in signature.parameters.values():
        if parameter.kind is inspect.Parameter.VAR_KEYWORD:
            named.update(named.pop(parameter.name, {}))
    return named
