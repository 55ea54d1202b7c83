"""Values beside the dataclasses of the standard library, whose meaning they have."""

from __future__ import annotations

import copy
import dataclasses
import importlib
import inspect
import pickle
import pkgutil
from functools import cached_property
from typing import Any
from typing import NamedTuple as StandardTuple

import pytest

import deloc8
from deloc8.diagnostic import Diagnostic, Severity
from deloc8.values import NamedTuple, dataclass, field, field_names, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Base:
    """A value with slots."""

    name: str
    size: int = 3
    notes: list[str] = field(default_factory=list, hash=False, repr=False)


@dataclass(frozen=True, slots=True, kw_only=True)
class Derived(Base):
    """A value with one field more, and a changed default."""

    more: tuple[int, ...]
    size: int = 4


@dataclass(frozen=True)
class Open:
    """A value with a dictionary, by place or by name."""

    first: int
    second: str = "b"

    @cached_property
    def third(self) -> str:
        return self.second * self.first


@dataclass(frozen=True, slots=True)
class Empty:
    """A value without fields."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Half:
    """A value that looks at itself when it is made."""

    number: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "number", self.number // 2)


class Twins:
    """The same classes, made by the standard library."""

    @dataclasses.dataclass(frozen=True, slots=True, kw_only=True)
    class Base:
        """A value with slots."""

        name: str
        size: int = 3
        notes: list[str] = dataclasses.field(default_factory=list, hash=False, repr=False)

    @dataclasses.dataclass(frozen=True)
    class Open:
        """A value with a dictionary, by place or by name."""

        first: int
        second: str = "b"


def test_a_value_is_as_the_standard_library_makes_it() -> None:
    ours, theirs = Base(name="a", notes=["x"]), Twins.Base(name="a", notes=["x"])
    assert repr(ours) == repr(theirs).replace("Twins.", "")
    assert dataclasses.asdict(ours) == dataclasses.asdict(theirs)
    assert (hash(ours), Base.__match_args__) == (hash(theirs), Twins.Base.__match_args__)
    assert Open.__match_args__ == Twins.Open.__match_args__
    assert repr(Open(2)) == repr(Twins.Open(2)).replace("Twins.", "")
    assert (Open(2).third, Open.second, hasattr(ours, "__dict__")) == ("bb", "b", False)
    assert Half(number=9).number == 4
    assert (repr(Empty()), hash(Empty()), Empty() == Empty()) == ("Empty()", hash(()), True)


@pytest.mark.parametrize(("ours", "theirs"), [(Base, Twins.Base), (Open, Twins.Open)])
def test_what_others_ask_of_a_class(ours: type, theirs: type) -> None:
    assert dataclasses.is_dataclass(ours)
    assert inspect.signature(ours).parameters.keys() == inspect.signature(theirs).parameters.keys()
    for mine, other in zip(
        inspect.signature(ours).parameters.values(), inspect.signature(theirs).parameters.values(), strict=True
    ):
        assert (mine.kind, mine.annotation) == (other.kind, other.annotation)
        assert (mine.default is inspect.Parameter.empty) == (other.default is inspect.Parameter.empty)
    for mine_field, other_field in zip(dataclasses.fields(ours), dataclasses.fields(theirs), strict=True):
        for name in ("name", "type", "default", "default_factory", "init", "repr", "hash", "compare", "kw_only"):
            if name != "hash":
                assert getattr(mine_field, name) == getattr(other_field, name), name


def test_inheritance_keeps_the_order_and_takes_the_new_default() -> None:
    value = Derived(name="a", more=(1,))
    assert field_names(value) == ("name", "size", "notes", "more")
    assert (value.size, value.more, isinstance(value, Base)) == (4, (1,), True)
    assert value != Base(name="a", size=4)


def test_equality_asks_for_the_same_class_and_the_same_fields() -> None:
    assert Base(name="a") == Base(name="a", size=3)
    assert Base(name="a") != Base(name="b")
    assert Base(name="a") != object()
    assert Base(name="a").notes is not Base(name="a").notes


def test_a_copy_with_changes() -> None:
    value = Base(name="a", notes=["x"])
    changed = replace(value, size=7)
    assert (changed.name, changed.size, changed.notes) == ("a", 7, ["x"])
    assert changed == dataclasses.replace(value, size=7)
    assert changed == value.__replace__(size=7)  # type: ignore[attr-defined]
    assert copy.copy(value) == copy.deepcopy(value) == value
    with pytest.raises(TypeError, match="Base knows no colour"):
        replace(value, colour=1)  # type: ignore[call-arg]


def test_pickle_takes_values() -> None:
    finding = Diagnostic(code="a", severity=Severity.NOTE, subject="b", message="c")
    assert pickle.loads(pickle.dumps(finding)) == finding  # noqa: S301  our own bytes


def test_a_value_never_changes() -> None:
    value = Base(name="a")
    with pytest.raises(dataclasses.FrozenInstanceError):
        value.name = "b"  # type: ignore[misc]
    with pytest.raises(dataclasses.FrozenInstanceError):
        del Open(1).first


@pytest.mark.parametrize(
    ("kind", "arguments", "given", "told"),
    [
        (Base, (), {}, "Base misses name"),
        (Base, (), {"name": "a", "colour": 1}, "Base knows no colour"),
        (Base, (), {"nme": "a"}, "Base misses name and knows no nme"),
        (Open, (), {"frst": 1}, "Open misses first and knows no frst"),
        (Base, ("a",), {}, "Base takes 0 positional arguments, not 1"),
        (Open, (1,), {"first": 2}, "Open was given `first` twice"),
    ],
)
def test_wrong_arguments(kind: Any, arguments: tuple[Any, ...], given: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        kind(*arguments, **given)


def test_a_value_is_frozen() -> None:
    with pytest.raises(TypeError, match="a value is frozen"):
        dataclass(frozen=False)(type("Soft", (), {}))


class Row(NamedTuple):
    """A row with a default and a method."""

    name: str
    size: int = 3
    note: str = ""

    @property
    def double(self) -> int:
        return self.size * 2

    def __str__(self) -> str:
        return self.name


class TwinRow(StandardTuple):
    """A row with a default and a method."""

    name: str
    size: int = 3
    note: str = ""


ROWS: list[tuple[tuple[Any, ...], dict[str, Any]]] = [
    (("a", 1, "x"), {}),
    (("a",), {}),
    (("a", 1), {}),
    ((), {"name": "a"}),
    ((), {"note": "x", "name": "a"}),
    (("a",), {"note": "x"}),
]


@pytest.mark.parametrize(("arguments", "given"), ROWS)
def test_a_row_is_as_the_standard_library_makes_it(arguments: tuple[Any, ...], given: dict[str, Any]) -> None:
    ours: Any = Row(*arguments, **given)
    theirs: Any = TwinRow(*arguments, **given)
    assert issubclass(Row, tuple)
    assert (ours == theirs, hash(ours), len(ours)) == (True, hash(theirs), len(theirs))
    assert repr(ours) == repr(theirs).replace("TwinRow", "Row")
    assert (ours.name, ours.size, ours.note) == (theirs.name, theirs.size, theirs.note)
    assert ours._asdict() == theirs._asdict()
    assert ours._replace(size=9) == theirs._replace(size=9)
    assert type(ours._replace(size=9)) is type(ours) is Row
    assert pickle.loads(pickle.dumps(ours)) == copy.copy(ours) == copy.deepcopy(ours) == ours  # noqa: S301  our bytes
    assert (str(ours), ours.double, hasattr(ours, "__dict__")) == ("a", 2 * ours.size, False)


def test_what_others_ask_of_a_row() -> None:
    assert (Row._fields, Row._field_defaults) == (TwinRow._fields, TwinRow._field_defaults)
    assert Row.__match_args__ == TwinRow.__match_args__
    assert (Row.__name__, Row.__qualname__, Row.__module__) == ("Row", "Row", __name__)
    assert Row.__doc__ == "A row with a default and a method."
    assert tuple(Row._make(["a", 1, "x"])) == tuple(TwinRow._make(["a", 1, "x"]))
    match Row("a", 5):
        case Row(name, 5, note=""):
            assert name == "a"
        case _:
            pytest.fail("it does not match")
    with pytest.raises(TypeError, match="Row knows no colour, length"):
        Row("a")._replace(length=1, size=2, colour=3)  # type: ignore[call-arg]
    with pytest.raises(AttributeError):
        Row("a").size = 5  # type: ignore[misc]


@pytest.mark.parametrize(
    ("arguments", "given", "told"),
    [
        ((), {}, "Row misses name"),
        (("a", 1, "x", "y"), {}, "Row takes 3 positional arguments, not 4"),
        (("a",), {"name": "b"}, "Row was given `name` twice"),
        (("a",), {"colour": 1}, "Row knows no colour"),
        ((), {"nme": "a"}, "Row misses name and knows no nme"),
    ],
)
def test_wrong_arguments_of_a_row(arguments: tuple[Any, ...], given: dict[str, Any], told: str) -> None:
    with pytest.raises(TypeError, match=told):
        Row(*arguments, **given)


# What is written at many places in little room, or holds a cache, is as the standard library's default has it.
BY_PLACE = {"DynamicTable", "Layout", "View", "_Number", "_Object", "_Work"}
WITH_DICTIONARY = {"DynamicTable", "FolderTree", "Ground", "Layout", "View", "LoadGraph", "_Chooser", "_Builder"}


def test_all_values_are_given_by_name_and_have_slots() -> None:
    """So that a call says what it gives, and a misspelt attribute is an error."""
    by_place, with_dictionary = set(), set()
    for module in pkgutil.walk_packages(deloc8.__path__, "deloc8."):
        if module.name != "deloc8.__main__":
            for name, kind in vars(importlib.import_module(module.name)).items():
                if isinstance(kind, type) and kind.__module__ == module.name and "_value_fields" in vars(kind):
                    places = {parameter.kind for parameter in inspect.signature(kind).parameters.values()}
                    by_place |= {name} if places - {inspect.Parameter.KEYWORD_ONLY} else set()
                    with_dictionary |= set() if "__slots__" in vars(kind) else {name}
    assert (by_place, with_dictionary) == (BY_PLACE, WITH_DICTIONARY)
