"""The error families, and a finding as data."""

from __future__ import annotations

import dataclasses

import pytest

from deloc8.diagnostic import Diagnostic, Severity
from deloc8.errors import (
    Deloc8Error,
    ElfError,
    InputError,
    PolicyError,
    SystemFault,
    UnrepairableError,
    UsageError,
    VerificationError,
    WheelError,
)


def test_an_error_keeps_what_it_is_told() -> None:
    error = WheelError(
        "`x.whl` is not a wheel",
        code="bad-wheel",
        context=["line"],
        notes=["note"],
        hints=["hint"],
    )
    assert str(error) == error.message == "`x.whl` is not a wheel"
    assert (error.code, error.context, error.notes, error.hints) == ("bad-wheel", ("line",), ("note",), ("hint",))


def test_an_error_may_say_no_more_than_its_message() -> None:
    error = UsageError("no", code="usage")
    assert (error.context, error.notes, error.hints) == ((), (), ())


@pytest.mark.parametrize("kind", [WheelError, ElfError, PolicyError])
def test_unsound_input(kind: type[Deloc8Error]) -> None:
    assert issubclass(kind, InputError)


def test_families_are_apart() -> None:
    families = (UsageError, InputError, UnrepairableError, SystemFault, VerificationError)
    for family in families:
        assert issubclass(family, Deloc8Error)
        assert not any(issubclass(family, other) for other in families if other is not family)


def test_diagnostic_is_a_value() -> None:
    first = Diagnostic(code="symbol-too-new", severity=Severity.WARNING, subject="x.so", message="is too new")
    assert first == dataclasses.replace(first)
    assert (first.context, first.hints) == ((), ())
    assert {severity.value for severity in Severity} == {"note", "warning", "error"}
    with pytest.raises(dataclasses.FrozenInstanceError):
        first.code = "other"  # type: ignore[misc]
