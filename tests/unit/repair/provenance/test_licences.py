from __future__ import annotations

import email
from dataclasses import replace
from hashlib import sha256
from typing import TYPE_CHECKING

import pytest

from deloc8.repair.model import Graft, Package
from deloc8.repair.provenance.licences import (
    add_licence_fields,
    find_licences,
    knows_licence_files,
    licence_field_problems,
)
from deloc8.repair.provenance.member_names import TakenNames
from kit.system import System

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

INFO = "demo-1.0.dist-info"


@pytest.fixture
def system(tmp_path: Path) -> System:
    return System(tmp_path)


def graft(name: str, *licences: str) -> Graft:
    return Graft(
        source=f"/usr/lib/{name}.so",
        sha256="00",
        size=1,
        soname=None,
        new_name=name,
        member=f"demo.libs/{name}",
        chain=(),
        edits=(),
        owner=Package(name=name, licences=licences),
    )


def find(system: System, *grafts: Graft, names: Sequence[str] = ()) -> dict[str, str]:
    """The members that come, each with its source."""
    found = find_licences(grafts, system.sysroot, INFO, TakenNames(names))
    for file in found:
        contents = (system.top / file.source.lstrip("/")).read_bytes()
        assert file.sha256 == sha256(contents).hexdigest()
    return {file.member.removeprefix(f"{INFO}/licenses/"): file.source for file in found}


def test_each_package_has_a_folder_of_its_own(system: System) -> None:
    one = system.write("/usr/share/doc/one/copyright", "1")
    two = system.write("/usr/share/licenses/two/LICENSES/MIT.txt", "2")
    other = system.write("/opt/two/COPYING", "3")
    assert find(system, graft("one", one), graft("two", two, other)) == {
        "one/copyright": one,
        "two/LICENSES/MIT.txt": two,
        "two/COPYING": other,
    }


def test_two_grafts_of_one_package_bring_its_licence_once(system: System) -> None:
    one = system.write("/usr/share/doc/one/copyright", "1")
    assert list(find(system, graft("one", one), replace(graft("one", one), member="other"))) == ["one/copyright"]


def of_source(origin: str, name: str, *licences: str) -> Graft:
    """A graft of a package that was built from a source package of another name."""
    return replace(graft(name), owner=Package(name=name, origin=origin, licences=licences))


def test_packages_of_one_source_bring_equal_licences_once_in_its_folder(system: System) -> None:
    names = ("libkrb5-3", "libk5crypto3", "libkrb5support0", "libgssapi-krb5-2")
    paths = [system.write(f"/usr/share/doc/{name}/copyright", "MIT") for name in names]
    grafts = [of_source("krb5", name, path) for name, path in zip(names, paths, strict=True)]
    assert find(system, *grafts) == {"krb5/copyright": paths[0]}


def test_packages_of_one_source_keep_licences_that_differ(system: System) -> None:
    one = system.write("/usr/share/doc/libgcc-s1/copyright", "GPL, with the exception")
    two = system.write("/usr/share/doc/libquadmath0/copyright", "LGPL")
    found = find(system, of_source("gcc-12", "libgcc-s1", one), of_source("gcc-12", "libquadmath0", two))
    assert found == {"gcc-12/copyright": one, "gcc-12-2/copyright": two}


def test_two_sources_keep_one_licence_each_though_they_are_equal(system: System) -> None:
    one = system.write("/usr/share/doc/liba1/copyright", "MIT")
    two = system.write("/usr/share/doc/libb1/copyright", "MIT")
    assert find(system, of_source("a", "liba1", one), of_source("b", "libb1", two)) == {
        "a/copyright": one,
        "b/copyright": two,
    }


def test_a_licence_may_be_a_symlink_into_another_package(system: System) -> None:
    system.write("/usr/share/doc/one/copyright", "1")
    system.symlink("/usr/share/doc/two", "one")
    assert list(find(system, graft("two", "/usr/share/doc/two/copyright"))) == ["two/copyright"]


def test_what_cannot_be_read_is_left_out(system: System) -> None:
    system.write("/usr/share/licenses/one/folder/x")
    found = find(system, graft("one", "/usr/share/licenses/one/folder", "/usr/share/licenses/one/gone"))
    assert found == {}


def test_common_licences_come_along_each_once(system: System) -> None:
    system.write("/usr/share/common-licenses/GPL-3", "GPL")
    system.write("/usr/share/common-licenses/LGPL-2.1", "LGPL")
    system.symlink("/usr/share/common-licenses/GPL", "GPL-3")
    text = (
        "see '/usr/share/common-licenses/GPL', /usr/share/common-licenses/GPL-3. and /usr/share/common-licenses/Gone,"
    )
    one = system.write("/usr/share/doc/one/copyright", text)
    two = system.write("/usr/share/doc/two/copyright", "see `/usr/share/common-licenses/LGPL-2.1'.")
    assert find(system, graft("one", one), graft("two", two)) == {
        "one/copyright": one,
        "two/copyright": two,
        "common-licenses/GPL-3": "/usr/share/common-licenses/GPL-3",
        "common-licenses/LGPL-2.1": "/usr/share/common-licenses/LGPL-2.1",
    }


def test_names_of_the_wheel_are_not_taken(system: System) -> None:
    one = system.write("/usr/share/doc/one/copyright", "/usr/share/common-licenses/GPL-3")
    system.write("/usr/share/common-licenses/GPL-3", "GPL")
    names = [f"{INFO}/licenses/ONE/Copyright", f"{INFO}/licenses/common-licenses"]
    assert list(find(system, graft("one", one), names=names)) == ["one-2/copyright", "common-licenses-2/GPL-3"]


def test_a_file_in_the_place_of_the_folder_leaves_them_out(system: System) -> None:
    one = system.write("/usr/share/doc/one/copyright", "/usr/share/common-licenses/GPL-3")
    assert find(system, graft("one", one), names=[f"{INFO}/licenses"]) == {}


def test_odd_names_become_plain_ones(system: System) -> None:
    odd = system.write("/usr/share/licenses/x/a b:\u00fc", "x")
    assert list(find(system, graft("../x y", odd))) == ["_x_y/a_b__"]


def test_a_file_in_the_place_of_common_licences_alone_leaves_those_out(system: System) -> None:
    one = system.write("/usr/share/doc/one/copyright", "/usr/share/common-licenses/GPL-3")
    system.write("/usr/share/common-licenses/GPL-3", "GPL")
    names = [f"{INFO}/licenses/common-licenses{tail}" for tail in ("", *(f"-{number}" for number in range(2, 1000)))]
    assert list(find(system, graft("one", one), names=names)) == ["one/copyright"]


HEAD = "Metadata-Version: 2.4\nName: demo\nVersion: 1.0\n"


@pytest.mark.parametrize(
    ("metadata", "knows"),
    [
        (HEAD, True),
        (HEAD.replace("2.4", "2.5"), True),
        (HEAD.replace("2.4", "2.10"), True),
        (HEAD.replace("2.4", "3.0"), True),
        (HEAD.replace("\n", "\r\n"), True),
        ("name: demo\nmetadata-version:2.4\n", True),
        (HEAD.replace("2.4", "2.3"), False),
        (HEAD.replace("2.4", "1.9"), False),
        (HEAD.replace("2.4", "two"), False),
        (HEAD.replace("2.4", "2.4\n folded"), False),
        ("Name: demo\n\nMetadata-Version: 2.4\n", False),
        ("Name: demo\nMetadata-Version: 2.4", False),
        ("", False),
    ],
)
def test_license_file_came_with_version_2_4(metadata: str, *, knows: bool) -> None:
    assert knows_licence_files(metadata.encode()) is knows


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize(
    "metadata",
    [
        HEAD,
        HEAD + "Summary: folded\n  twice\n\nText\n\nLicense-File: no field\n",
        HEAD + "License-File: LICENSE\nLicense-File: AUTHORS\nSummary: last without an end",
        HEAD + "\nLicense-File: no field\n",
    ],
)
def test_lines_come_and_nothing_else_changes(metadata: str, end: str) -> None:
    old = metadata.replace("\n", end).encode()
    values = ("one/copyright", "two/COPYING")
    new = add_licence_fields(old, values)
    assert list(licence_field_problems(old, new, values)) == []
    before, after = email.message_from_bytes(old), email.message_from_bytes(new)
    was = before.get_all("License-File", [])
    assert after.get_all("License-File") == [*values, *was]
    del before["License-File"], after["License-File"]
    assert after.items() == before.items()
    assert after.get_payload() == before.get_payload()
    assert new.count(b"\r") == old.count(b"\r") + (2 if end == "\r\n" else 0)
    assert old == new.replace(f"License-File: one/copyright{end}License-File: two/COPYING{end}".encode(), b"")


def test_new_lines_stand_with_the_old_ones() -> None:
    old = HEAD + "License-File: LICENSE\n"
    assert add_licence_fields(old.encode(), ["x"]).decode() == HEAD + "License-File: x\nLicense-File: LICENSE\n"


def test_without_values_or_without_the_field_nothing_changes() -> None:
    assert add_licence_fields(HEAD.encode(), ()) == HEAD.encode()
    assert add_licence_fields(b"Name: demo\n", ("x",)) == b"Name: demo\n"


@pytest.mark.parametrize(
    ("new", "problem"),
    [
        (HEAD, "METADATA does not name the licence file x"),
        (HEAD + "\nLicense-File: x\n", "METADATA does not name the licence file x"),
        (HEAD + "License-File: x\nLicense-File: y\n", "METADATA has changed beyond its License-File lines"),
        (HEAD.replace("1.0", "1.1") + "License-File: x\n", "METADATA has changed beyond its License-File lines"),
        (HEAD.replace("\n", "\r\n") + "License-File: x\n", "METADATA has changed beyond its License-File lines"),
    ],
)
def test_other_changes_are_problems(new: str, problem: str) -> None:
    assert problem in licence_field_problems(HEAD.encode(), new.encode(), ["x"])


def test_an_unchanged_file_has_no_problems() -> None:
    assert list(licence_field_problems(HEAD.encode(), HEAD.encode(), ())) == []
    (problem,) = licence_field_problems(HEAD.encode(), HEAD.encode() + b"X: y\n", ())
    assert "changed" in problem


def test_a_version_of_many_digits_is_no_version() -> None:
    metadata = b"Metadata-Version: " + b"9" * 5000 + b".4\nName: a\n"
    assert not knows_licence_files(metadata)
    assert add_licence_fields(metadata, ["LICENSE"]) == metadata
