from __future__ import annotations

import errno
import os

import pytest

from deloc8.errors import SystemFault, UsageError
from deloc8.faults import (
    ended_fault,
    is_of_a_path,
    output_error,
    process_fault,
    read_fault,
    translated,
    write_fault,
)


def system(number: int, name: str | None = None) -> OSError:
    return OSError(number, os.strerror(number), name)


@pytest.mark.parametrize(
    "number",
    [
        errno.ENOENT,
        errno.ENOTDIR,
        errno.EACCES,
        errno.EPERM,
        errno.EROFS,
        errno.ELOOP,
        errno.ENAMETOOLONG,
        errno.EISDIR,
    ],
)
def test_what_another_path_would_mend_is_no_fault_of_the_machine(number: int) -> None:
    assert is_of_a_path(system(number))
    error = output_error(system(number), "out/x.whl", "name another")
    assert isinstance(error, UsageError)
    assert (error.code, error.hints) == ("unwritable-output", ("name another",))


REFUSALS = {
    errno.ENOSPC: "no-room",
    errno.EDQUOT: "no-room",
    errno.EFBIG: "no-room",
    errno.ENOMEM: "no-memory",
    errno.EMFILE: "too-many-open-files",
    errno.ENFILE: "too-many-open-files",
    errno.EAGAIN: "no-process",
}
OTHERS = sorted(set(errno.errorcode) - set(REFUSALS))


@pytest.mark.parametrize(("number", "code"), REFUSALS.items())
def test_what_the_machine_lacks_has_a_code_whatever_is_done(number: int, code: str) -> None:
    for error in (read_fault(system(number), "a"), write_fault(system(number), "a")):
        assert error.code == code
        assert error.context[0].endswith(f"{os.strerror(number)} ({errno.errorcode[number]})")
        assert error.hints
    assert not is_of_a_path(system(number))
    assert isinstance(output_error(system(number), "a", "b"), SystemFault)


@pytest.mark.parametrize("number", OTHERS)
def test_every_other_errno_is_a_read_or_a_write_that_failed(number: int) -> None:
    assert read_fault(system(number), "a").code == "read-failed"
    assert write_fault(system(number), "a").code == "write-failed"
    with pytest.raises(SystemFault) as caught, translated("it could not be done"):
        raise system(number)
    assert caught.value.code == "machine-refused"


def test_a_fault_says_what_was_read_and_where_that_is() -> None:
    fault = read_fault(system(errno.EIO), "x.whl", "/srv/x.whl")
    assert (fault.message, fault.context) == ("`x.whl` could not be read", ("/srv/x.whl: Input/output error (EIO)",))
    assert read_fault(system(errno.EIO), "x.whl").context == ("x.whl: Input/output error (EIO)",)


@pytest.mark.parametrize(
    ("error", "reason"), [(OSError("odd"), "odd"), (OSError(), "OSError"), (OSError(9999, ""), "[Errno 9999] ")]
)
def test_an_error_without_a_number_keeps_its_words(error: OSError, reason: str) -> None:
    assert write_fault(error, "a").context == (reason,)


# -- the net


def test_what_is_no_fault_passes_through_the_net() -> None:
    for error in (RuntimeError("a defect"), ValueError("another")):
        with pytest.raises(type(error)) as caught, translated("it could not be done"):
            raise error
        assert caught.value is error


@pytest.mark.parametrize(
    ("error", "code", "context"),
    [
        (system(errno.EIO, "/srv/a"), "machine-refused", "/srv/a: Input/output error (EIO)"),
        (system(errno.ENOSPC), "no-room", "No space left on device (ENOSPC)"),
        (MemoryError(), "no-memory", "there is not enough memory"),
        (RuntimeError("can't start new thread"), "no-process", "no thread could be started"),
        (ModuleNotFoundError("No module named 'x'"), "broken-installation", "No module named 'x'"),
    ],
)
def test_the_net_turns_what_the_machine_refuses_into_a_fault(error: Exception, code: str, context: str) -> None:
    with pytest.raises(SystemFault) as caught, translated("`x.whl` could not be worked on"):
        raise error
    assert caught.value.message == "`x.whl` could not be worked on"
    assert caught.value.code == code
    assert context in caught.value.context[0]
    assert caught.value.hints
    assert error.__traceback__ is None  # the frames that hold what filled the memory


def test_the_net_gives_what_went_well() -> None:
    with translated("it could not be done"):
        done = True
    assert done


def test_a_program_that_does_not_start() -> None:
    assert process_fault(system(errno.EAGAIN), "strip").code == "no-process"
    assert process_fault(system(errno.ENOMEM), "strip").code == "no-memory"


def test_a_program_that_names_what_the_machine_lacks() -> None:
    fault = ended_fault("strip", "strip: x: No space left on device")
    assert fault is not None
    assert (fault.code, fault.message) == ("no-room", "`strip` ended early")
    assert ended_fault("strip", "strip: x: file format not recognized") is None
