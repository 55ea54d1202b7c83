from __future__ import annotations

import pytest

from deloc8.audit.layout import (
    SITE_PACKAGES,
    VIRTUAL_ROOT,
    environment_of,
    install_path,
    links_for,
    python_folder,
)
from deloc8.wheel.names import parse_wheel_name


@pytest.mark.parametrize(
    ("member", "path"),
    [
        ("demo/_core.so", SITE_PACKAGES + "/demo/_core.so"),
        ("demo-1.0.data/platlib/demo/_core.so", SITE_PACKAGES + "/demo/_core.so"),
        ("demo-1.0.data/purelib/demo/a.py", SITE_PACKAGES + "/demo/a.py"),
        ("demo-1.0.data/scripts/demo", VIRTUAL_ROOT + "/bin/demo"),
        ("demo-1.0.data/data/lib/libdemo.so", VIRTUAL_ROOT + "/lib/libdemo.so"),
        ("demo-1.0.data/data/lib64/libdemo.so", VIRTUAL_ROOT + "/lib/libdemo.so"),
        ("demo-1.0.data/data/lib64x/libdemo.so", VIRTUAL_ROOT + "/lib64x/libdemo.so"),
        ("demo-1.0.data/headers/demo.h", VIRTUAL_ROOT + "/include/site/pythonX.Y/demo/demo.h"),
        ("demo-1.0.data/odd/demo.so", SITE_PACKAGES + "/demo-1.0.data/odd/demo.so"),
        ("demo-1.0.database/demo.so", SITE_PACKAGES + "/demo-1.0.database/demo.so"),
    ],
)
def test_a_member_goes_where_installers_put_it(member: str, path: str) -> None:
    assert install_path(member, "demo-1.0.data") == path


@pytest.mark.parametrize(
    ("tags", "folder"),
    [
        ("cp311-cp311", "python3.11"),
        ("cp310-none", "python3.10"),
        ("cp37-cp37m", "python3.7"),
        ("cp27-cp27mu", "python2.7"),
        ("cp313-cp313t", "python3.13t"),
        ("cp314-cp314td", "python3.14t"),
        ("cp314-cp314d", "python3.14"),
        ("pp310-pypy310_pp73", "pypy3.10"),
        ("cp38-abi3", None),
        ("cp313-abi3.abi3t", None),
        ("cp315-abi3t", None),
        ("cp311.cp312-none", None),
        ("py3-none", None),
        ("py311-none", None),
        ("graalpy311-graalpy242_311_native", None),
    ],
)
def test_the_folder_of_the_only_python(tags: str, folder: str | None) -> None:
    name = parse_wheel_name(f"demo-1.0-{tags}-linux_x86_64.whl")
    assert python_folder(name) == folder
    links = links_for(name)
    assert (f"{VIRTUAL_ROOT}/lib/{folder}" in links) == (folder is not None)
    assert links[f"{VIRTUAL_ROOT}/lib64"] == f"{VIRTUAL_ROOT}/lib"


def test_an_environment_has_the_folders_that_venv_makes_and_those_of_the_wheel() -> None:
    name = parse_wheel_name("demo-1.0-cp311-cp311-linux_x86_64.whl")
    links = links_for(name)
    inside = install_path("demo-1.0.data/data/lib/python3.11/site-packages/x/y.so", "demo-1.0.data", links)
    assert inside == f"{SITE_PACKAGES}/x/y.so"
    environment = environment_of([inside], links)
    found = {path: environment.find(f"{VIRTUAL_ROOT}/{path}") for path in ("bin", "include", "lib64", "share", "")}
    assert found == {
        "bin": f"{VIRTUAL_ROOT}/bin",
        "include": f"{VIRTUAL_ROOT}/include",
        "lib64": f"{VIRTUAL_ROOT}/lib",
        "share": None,
        "": VIRTUAL_ROOT,
    }
    assert environment.find(f"{VIRTUAL_ROOT}/lib/python3.11/site-packages/x") == f"{SITE_PACKAGES}/x"
    assert environment.find(f"{VIRTUAL_ROOT}/lib/python3.12/site-packages/x") is None
