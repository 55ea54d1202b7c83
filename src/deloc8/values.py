"""Values: frozen dataclasses whose definition costs a command almost no time.

The decorator of the standard library writes and compiles source for every method of every class, which took a third of
the time of `deloc8 show` on a small wheel. Here the methods are closures over the fields. What `dataclasses` and
`inspect` ask of a class is made when they ask, so `fields`, `replace`, `asdict` and `signature` work as usual.
"""

from __future__ import annotations

from operator import attrgetter
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

__all__ = ["dataclass", "field", "field_names", "replace"]

_MISSING = object()
_FIELDS = "_value_fields"


class _Spec(NamedTuple):
    """What `field` says of a field."""

    default: Any = _MISSING
    default_factory: Any = _MISSING
    repr: bool = True
    hash: bool = True


class _Field(NamedTuple):
    """One field of a class; `type` is its annotation as it stands in the source."""

    name: str
    type: str
    spec: _Spec


if TYPE_CHECKING:
    # For a type checker these are the originals.
    from dataclasses import dataclass, field, replace  # noqa: TID251  see above
else:
    field = _Spec

    def dataclass(*, frozen: bool, slots: bool = False, kw_only: bool = False) -> Callable[[type], type]:
        """A decorator that makes a class a frozen dataclass: the subset of `dataclasses.dataclass` that values need."""
        if not frozen:
            raise TypeError("a value is frozen; the module dataclasses has the others")
        return lambda cls: _make(cls, slots=slots, kw_only=kw_only)

    def replace(value: Any, /, **changes: Any) -> Any:
        """A copy of a value with some fields changed."""
        return type(value)(**{name: getattr(value, name) for name in field_names(value)} | changes)


def field_names(value: Any) -> tuple[str, ...]:
    """The names of a value's fields, in their order."""
    return tuple(field.name for field in getattr(type(value), _FIELDS))


def _make(cls: Any, *, slots: bool, kw_only: bool) -> Any:
    """The class with its fields and methods; another one where it has slots."""
    inherited = {field.name: field for base in reversed(cls.__mro__[1:]) for field in getattr(base, _FIELDS, ())}
    own = {name: _Field(name, annotation, _spec(cls, name)) for name, annotation in cls.__annotations__.items()}
    fields = tuple({**inherited, **own}.values())
    members = dict(cls.__dict__)
    for name, made in own.items():
        members.pop(name, None)
        if made.spec.default is not _MISSING and not slots:
            members[name] = made.spec.default
    positional = () if kw_only else tuple(field.name for field in fields)
    members.update(_METHODS)
    members.update(
        {
            _FIELDS: fields,
            "__match_args__": positional,
            "__dataclass_fields__": _Lazy(_standard_fields),
            "__signature__": _Lazy(_signature),
            "_value_key": staticmethod(_getter([field.name for field in fields if field.spec.hash])),
            "_value_all": staticmethod(_getter([field.name for field in fields])),
        }
    )
    for name in ("__dict__", "__weakref__"):
        members.pop(name, None)
    if slots:
        members["__slots__"] = tuple(own)
    made = type(cls)(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    made.__init__ = _initializer(made, fields, positional)
    return made


def _spec(cls: type, name: str) -> _Spec:
    default = cls.__dict__.get(name, _MISSING)
    return default if isinstance(default, _Spec) else _Spec(default)


def _getter(names: list[str]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _initializer(cls: Any, fields: tuple[_Field, ...], positional: tuple[str, ...]) -> Callable[..., None]:
    """The `__init__` of a class."""
    count = len(fields)
    constants = {field.name: field.spec.default for field in fields if field.spec.default is not _MISSING}
    factories = {field.name: field.spec.default_factory for field in fields}
    factories = {name: factory for name, factory in factories.items() if factory is not _MISSING}
    finish = getattr(cls, "__post_init__", None)
    # What a slot's descriptor does, object.__setattr__ finds out anew for each value.
    slots = [(field.name, getattr(cls, field.name).__set__) for field in fields] if cls.__dictoffset__ == 0 else None

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:  # noqa: N807  it becomes that method
        if arguments:
            given = _by_name(cls, positional, arguments, given)
        if len(given) < count:
            given = {**constants, **{name: make() for name, make in factories.items() if name not in given}, **given}
        if len(given) != count:
            raise TypeError(_mismatch(cls, fields, given))
        try:
            if slots is None:
                self.__dict__.update({field.name: given[field.name] for field in fields})
            else:
                for name, put in slots:
                    put(self, given[name])
        except KeyError:
            raise TypeError(_mismatch(cls, fields, given)) from None
        if finish is not None:
            finish(self)

    return __init__


def _by_name(
    cls: type, positional: tuple[str, ...], arguments: tuple[Any, ...], given: Mapping[str, Any]
) -> dict[str, Any]:
    if len(arguments) > len(positional):
        raise TypeError(f"{cls.__qualname__} takes {len(positional)} positional arguments, not {len(arguments)}")
    named = dict(zip(positional, arguments, strict=False))
    for name in named.keys() & given.keys():
        raise TypeError(f"{cls.__qualname__} was given `{name}` twice")
    return {**named, **given}


def _mismatch(cls: type, fields: tuple[_Field, ...], given: Mapping[str, Any]) -> str:
    names = {field.name for field in fields}
    missing, unknown = sorted(names - given.keys()), sorted(given.keys() - names)
    parts = [f"{what} {', '.join(some)}" for what, some in (("misses", missing), ("knows no", unknown)) if some]
    return f"{cls.__qualname__} {' and '.join(parts)}"


# -- the methods that all classes share -------------------------------------------------------------------------------


def _equal(self: Any, other: Any) -> bool:
    return self._value_all(self) == self._value_all(other) if type(other) is type(self) else NotImplemented


def _hash(self: Any) -> int:
    return hash(self._value_key(self))


def _repr(self: Any) -> str:
    shown = (field.name for field in getattr(self, _FIELDS) if field.spec.repr)
    return f"{type(self).__qualname__}({', '.join(f'{name}={getattr(self, name)!r}' for name in shown)})"


def _refuse(self: Any, name: str, *_: object) -> None:
    from dataclasses import FrozenInstanceError  # noqa: PLC0415, TID251  costs the start 10 ms

    raise FrozenInstanceError(f"cannot change field {name!r} of {type(self).__qualname__}")


def _reduce(self: Any) -> tuple[Any, ...]:
    return _revive, (type(self), {name: getattr(self, name) for name in field_names(self)})


def _revive(cls: Any, values: Mapping[str, Any]) -> Any:
    """The value that `_reduce` took apart, for pickle and copy."""
    return cls(**values)


_METHODS = {
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": _reduce,
    "__replace__": lambda self, /, **changes: replace(self, **changes),
}


# -- what others ask of a class ---------------------------------------------------------------------------------------


class _Lazy:
    """An attribute of a class that is made when it is asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __get__(self, _: object, cls: type) -> Any:
        return self._make(cls)


def _standard_fields(cls: Any) -> Any:
    """What `dataclasses` knows of a class of the same shape."""
    import dataclasses  # noqa: PLC0415, TID251  costs the start 10 ms

    rows = []
    for name, annotation, spec in getattr(cls, _FIELDS):
        given = {key: value for key, value in spec._asdict().items() if value is not _MISSING}
        rows.append((name, annotation, dataclasses.field(**given)))
    keywords = not cls.__match_args__
    twin = dataclasses.make_dataclass(cls.__name__, rows, kw_only=keywords)
    return twin.__dataclass_fields__  # type: ignore[attr-defined]  # its own protocol


def _signature(cls: Any) -> Any:
    import inspect  # noqa: PLC0415  costs the start 5 ms

    kind = inspect.Parameter.POSITIONAL_OR_KEYWORD if cls.__match_args__ else inspect.Parameter.KEYWORD_ONLY
    parameters = []
    for name, annotation, spec in getattr(cls, _FIELDS):
        default = spec.default if spec.default_factory is _MISSING else spec.default_factory
        empty = inspect.Parameter.empty
        shown = empty if default is _MISSING else default
        parameters.append(inspect.Parameter(name, kind, default=shown, annotation=annotation))
    return inspect.Signature(parameters, return_annotation=None)
