"""Values: frozen dataclasses and named tuples whose definition costs a command almost no time.

The standard library writes and compiles source for the methods of every class, which took a third of the time of
`deloc8 show` on a small wheel. Here the methods are closures over the fields. What `dataclasses` and `inspect` ask of
a class is made when they ask, so `fields`, `replace`, `asdict` and `signature` work as usual.

`typing`, too, takes long to import: what a module needs of it at run time is here.
"""

from __future__ import annotations

from collections import _tuplegetter  # type: ignore[attr-defined]  # what the fields of any named tuple are
from operator import attrgetter

TYPE_CHECKING = False
if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping
    from typing import Any

__all__ = ["NamedTuple", "Protocol", "dataclass", "field", "field_names", "replace"]


# -- named tuples -----------------------------------------------------------------------------------------------------


def _tuple_maker(names: tuple[str, ...], defaults: Mapping[str, Any]) -> Callable[..., Any]:
    """The `__new__` of a class."""
    count, make = len(names), tuple.__new__

    def __new__(cls: Any, *given: Any, **named: Any) -> Any:  # noqa: N807  it becomes that method
        if named or len(given) != count:
            given = _completed(cls, names, defaults, given, named)
        return make(cls, given)

    return __new__


def _completed(
    cls: type, names: tuple[str, ...], defaults: Mapping[str, Any], given: tuple[Any, ...], named: Mapping[str, Any]
) -> tuple[Any, ...]:
    """The values of all fields, in their order."""
    missing = len(names) - len(given)
    if not named and 0 < missing <= len(defaults):  # the fields with defaults are the last ones
        return given + tuple(defaults.values())[-missing:]
    values = {**defaults, **(_by_name(cls, names, given, named) if given else named)}
    try:
        if len(values) == len(names):
            return tuple(map(values.__getitem__, names))
    except KeyError:
        pass
    raise TypeError(_mismatch(cls, names, values))


def _tuple_repr(self: Any) -> str:
    shown = (f"{name}={value!r}" for name, value in zip(self._fields, self, strict=True))
    return f"{type(self).__name__}({', '.join(shown)})"


def _tuple_arguments(self: Any) -> tuple[Any, ...]:
    return tuple(self)


def _tuple_replace(self: Any, /, **changes: Any) -> Any:
    made = tuple.__new__(type(self), map(changes.pop, self._fields, self))
    if changes:
        raise TypeError(f"{type(self).__qualname__} knows no {', '.join(sorted(changes))}")
    return made


_TUPLE_METHODS = {
    "__repr__": _tuple_repr,
    "__getnewargs__": _tuple_arguments,
    "_make": classmethod(lambda cls, values: cls(*values)),
    "_asdict": lambda self: dict(zip(self._fields, self, strict=True)),
    "_replace": _tuple_replace,
}


if TYPE_CHECKING:
    # For a type checker these are the originals.
    from typing import NamedTuple, Protocol
else:
    Protocol = object

    class _TupleType(type):
        """Metaclass that makes an ordinary class of named fields from annotations."""

        def __new__(cls, name: str, bases: tuple[type, ...], members: dict[str, Any]) -> type:
            if not bases:
                return super().__new__(cls, name, bases, members)
            names = tuple(members.get("__annotations__", ()))
            defaults = {name: members[name] for name in names if name in members}
            made = {
                **_TUPLE_METHODS,
                **members,
                **{name: _tuplegetter(place, None) for place, name in enumerate(names)},
                "__slots__": (),
                "__new__": _tuple_maker(names, defaults),
                "__match_args__": names,
                "_fields": names,
                "_field_defaults": defaults,
            }
            return type(name, (tuple,), made)

    class NamedTuple(metaclass=_TupleType):
        """The base of a class with named fields: the subset of `typing.NamedTuple` that values need."""


# -- dataclasses -------------------------------------------------------------------------------------------------------

_MISSING = object()
_FIELDS = "_value_fields"


class _Spec(NamedTuple):
    """Arguments of `field` for one field."""

    default: Any = _MISSING
    default_factory: Any = _MISSING
    repr: bool = True
    hash: bool = True


_PLAIN = _Spec()


class _Field(NamedTuple):
    """One field of a class; `type` is its annotation as it stands in the source."""

    name: str
    type: str
    spec: _Spec


if TYPE_CHECKING:
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
    members = dict(cls.__dict__)
    members.pop("__dict__", None)
    members.pop("__weakref__", None)
    known = {field.name: field for base in cls.__mro__[:0:-1] for field in getattr(base, _FIELDS, ())}
    annotations = cls.__annotations__
    for name, annotation in annotations.items():
        spec = _spec(members.pop(name)) if name in members else _PLAIN
        known[name] = _Field(name, annotation, spec)
        if spec.default is not _MISSING and not slots:
            members[name] = spec.default
    if slots:
        members["__slots__"] = tuple(annotations)
    fields, names = tuple(known.values()), tuple(known)
    positional = () if kw_only else names
    every = staticmethod(_getter(names))
    keys = tuple(field.name for field in fields if field.spec.hash)
    members.update(
        _METHODS,
        **{_FIELDS: fields},
        __match_args__=positional,
        _value_key=every if keys == names else staticmethod(_getter(keys)),
        _value_all=every,
    )
    made = type(cls)(cls.__name__, cls.__bases__, members)
    made.__qualname__ = cls.__qualname__
    made.__init__ = _initializer(made, fields, positional)
    return made


def _spec(default: Any) -> _Spec:
    return default if isinstance(default, _Spec) else _Spec(default)


def _getter(names: tuple[str, ...]) -> Callable[[Any], Any]:
    return attrgetter(*names) if names else lambda _: ()


def _initializer(cls: Any, fields: tuple[_Field, ...], positional: tuple[str, ...]) -> Callable[..., None]:
    """The `__init__` of a class."""
    names = [field.name for field in fields]
    count = len(fields)
    constants = {field.name: field.spec.default for field in fields if field.spec.default is not _MISSING}
    factories = {
        field.name: field.spec.default_factory for field in fields if field.spec.default_factory is not _MISSING
    }
    finish = getattr(cls, "__post_init__", None)
    # What a slot's descriptor does, object.__setattr__ finds out anew for each value.
    slots = [(field.name, getattr(cls, field.name).__set__) for field in fields] if cls.__dictoffset__ == 0 else None

    def __init__(self: Any, *arguments: Any, **given: Any) -> None:  # noqa: N807  it becomes that method
        if arguments:
            given = _by_name(cls, positional, arguments, given)
        if len(given) < count:
            given = {**constants, **{name: make() for name, make in factories.items() if name not in given}, **given}
        if len(given) != count:
            raise TypeError(_mismatch(cls, names, given))
        try:
            if slots is None:
                self.__dict__.update({field.name: given[field.name] for field in fields})
            else:
                for name, put in slots:
                    put(self, given[name])
        except KeyError:
            raise TypeError(_mismatch(cls, names, given)) from None
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


def _mismatch(cls: type, names: Iterable[str], given: Mapping[str, Any]) -> str:
    missing, unknown = sorted(set(names) - given.keys()), sorted(given.keys() - set(names))
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


# -- what others ask of a class ---------------------------------------------------------------------------------------


class _Lazy:
    """An attribute of a class that is made when it is asked for."""

    def __init__(self, make: Callable[[Any], Any]) -> None:
        self._make = make

    def __get__(self, _: object, cls: type) -> Any:
        return self._make(cls)


def _standard_fields(cls: Any) -> Any:
    """Fields that `dataclasses` has for a class of the same shape."""
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


_METHODS = {
    "__eq__": _equal,
    "__hash__": _hash,
    "__repr__": _repr,
    "__setattr__": _refuse,
    "__delattr__": _refuse,
    "__reduce__": _reduce,
    "__dataclass_fields__": _Lazy(_standard_fields),
    "__signature__": _Lazy(_signature),
    "__replace__": lambda self, /, **changes: replace(self, **changes),
}
