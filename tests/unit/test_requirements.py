"""requirements/: everything that the project installs is there, with hashes, and is installed with them."""

from __future__ import annotations

import ast
import importlib.util
import re
import subprocess
import sys
from functools import cache
from importlib.metadata import PackageNotFoundError, distribution
from typing import TYPE_CHECKING, Any

import pytest
from packaging.markers import Marker
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from kit.require import require

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path
    from types import ModuleType

PYTHONS = ("3.10.0", "3.10.20", "3.11.2", "3.12.13", "3.13.9", "3.14.6")
MACHINES = ("x86_64", "aarch64", "s390x")
HASH = "--hash=sha256:" + "0" * 64


@pytest.fixture(scope="module")
def tool(top: Path) -> ModuleType:
    spec = importlib.util.spec_from_file_location("lock", top / "tools" / "lock.py")
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules["lock"] = module
    spec.loader.exec_module(module)
    return module


def places() -> Iterator[dict[str, str]]:
    """Where deloc8 is developed and used, as markers see it."""
    for python in PYTHONS:
        for machine in MACHINES:
            yield {
                "python_full_version": python,
                "python_version": python.rpartition(".")[0],
                "platform_machine": machine,
                "sys_platform": "linux",
                "os_name": "posix",
                "platform_system": "Linux",
                "implementation_name": "cpython",
                "platform_python_implementation": "CPython",
            }


def holds(marker: Marker | None, place: dict[str, str], extras: frozenset[str] = frozenset()) -> bool:
    return marker is None or any(marker.evaluate({**place, "extra": extra}) for extra in ("", *extras))


@cache
def pins(file: Path) -> list[tuple[Any, Marker | None]]:
    """What a file pins, and where."""
    read = sys.modules["lock"].read_lock(file.read_text("utf-8"))
    return [(pin, Marker(pin.marker) if pin.marker else None) for pin in read]


def pinned(tool: ModuleType, name: str, place: dict[str, str]) -> dict[str, str]:
    """The version of each package that a file installs somewhere."""
    found: dict[str, str] = {}
    for pin, marker in pins(tool.FOLDER / f"{name}.txt"):
        if holds(marker, place):
            assert pin.name not in found, f"{name}: {pin.name} twice for {place}"
            found[pin.name] = pin.version
    return found


def wanted(top: Path, name: str) -> list[Requirement]:
    """What pyproject.toml says of a file's contents."""
    project = tomllib.loads((top / "pyproject.toml").read_text("utf-8"))
    base, extras = project["project"]["dependencies"], project["project"]["optional-dependencies"]
    texts = project["dependency-groups"].get(name) or [*base, *extras.get(name, [])]
    return [Requirement(text) for text in texts]


def test_every_extra_and_group_has_its_file_and_no_file_is_left_over(tool: ModuleType) -> None:
    assert {"deloc8", "fast", "test-core", "oracles", "lint", "build", "compiler", "lock"} <= set(tool.sources())
    assert {path.name for path in tool.FOLDER.iterdir()} == {f"{name}.txt" for name in tool.sources()}


def test_every_requirement_of_the_project_is_pinned_within_its_bounds(tool: ModuleType, top: Path) -> None:
    seen = 0
    for name in tool.sources():
        for place in places():
            versions = pinned(tool, name, place)
            for requirement in wanted(top, name):
                if holds(requirement.marker, place):
                    version = versions[canonicalize_name(requirement.name)]
                    assert requirement.specifier.contains(version, prereleases=True), (name, str(requirement))
                    seen += 1
    assert seen > 500


def test_a_package_has_one_version_in_all_files(tool: ModuleType) -> None:
    for place in places():
        everywhere: dict[str, str] = {}
        for name in tool.sources():
            for package, version in pinned(tool, name, place).items():
                assert everywhere.setdefault(package, version) == version, f"{name}: {package}"


def test_a_version_has_the_same_hashes_in_all_files(tool: ModuleType) -> None:
    hashes: dict[tuple[str, str], tuple[str, ...]] = {}
    for file in sorted(tool.FOLDER.iterdir()):
        for pin in tool.read_lock(file.read_text("utf-8")):
            assert len(set(pin.hashes)) == len(pin.hashes) > 0
            assert hashes.setdefault((pin.name, pin.version), pin.hashes) == pin.hashes, file.name


def test_what_is_required_of_what_is_installed_here_is_in_the_same_file(tool: ModuleType, top: Path) -> None:
    """The files are complete: pip resolves nothing, and takes nothing that is not in them."""
    here: dict[str, str] = {}
    seen = set()
    for name in tool.sources():
        versions = pinned(tool, name, here)
        waiting = [requirement for requirement in wanted(top, name) if holds(requirement.marker, here)]
        done: set[str] = set()
        while waiting:
            requirement = waiting.pop()
            if str(requirement) in done:
                continue
            done.add(str(requirement))
            package = canonicalize_name(requirement.name)
            assert package in versions, f"{name}: {requirement}"
            for text in required_by(package, versions[package]):
                inner = Requirement(text)
                if holds(inner.marker, here, frozenset(requirement.extras)):
                    waiting.append(inner)
            seen.add(package)
    assert {"packaging", "pytest", "iniconfig", "hatchling", "pathspec"} <= seen


def required_by(package: str, version: str) -> list[str]:
    """What an installed distribution requires; nothing where it is not installed in the locked version."""
    try:
        found = distribution(package)
    except PackageNotFoundError:
        return []
    return (found.requires or []) if found.version == version else []


@pytest.mark.parametrize(
    "line",
    [
        "packaging==26.4",
        "packaging>=26 " + HASH,
        "packaging==26.4 --hash=md5:0123456789abcdef0123456789abcdef",
        "packaging==26.4 --hash=sha256:0123",
        f"packaging @ https://example.org/packaging-26.4-py3-none-any.whl {HASH}",
        "--index-url https://example.org/simple",
        "--extra-index-url=https://example.org/simple",
        "-i https://example.org/simple",
        "--find-links /srv/wheels",
        "-r other.txt",
        "-e .",
        f"./packaging-26.4-py3-none-any.whl {HASH}",
        f"packaging==26.4 --hash=sha256:{'0' * 64} --config-settings=a=b",
        "packaging==26.4 " + HASH + " # from https://example.org/simple",
    ],
)
def test_a_lock_has_versions_with_hashes_and_names_no_place(tool: ModuleType, line: str) -> None:
    sound = f"# made\npip==26.3 ; python_version >= '3.10' \\\n    {HASH} \\\n    {HASH[:-1]}1\n"
    (pin,) = tool.read_lock(sound)
    assert pin == ("pip", "26.3", "python_version >= '3.10'", (HASH, HASH[:-1] + "1"))
    with pytest.raises(ValueError, match=r"a lock names no place|not a version with hashes"):
        tool.read_lock(f"{sound}{line}\n")


def installing(source: str) -> Iterator[tuple[int, set[str]]]:
    """Where a script lets pip install or fetch: the line of the function (or 0 for the module), and the words in it."""
    tree = ast.parse(source)
    functions: list[ast.AST] = [node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef)]
    for node in functions or [tree]:
        constants = [item.value for item in ast.walk(node) if isinstance(item, ast.Constant)]
        texts = {text for text in constants if isinstance(text, str)}
        if "pip" in texts and texts & {"install", "download", "wheel"}:
            yield getattr(node, "lineno", 0), {word for text in texts for word in text.split()}


def is_hashed(words: set[str]) -> bool:
    """Whether pip gets hashes, or no index."""
    return bool(words & {"--require-hashes", "--no-index"})


def test_every_script_installs_with_hashes_or_without_an_index(top: Path) -> None:
    found = []
    for folder in ("benchmarks", "compat", "examples", "tools", "tests/kit", "tests/oracle", "tests/systems"):
        for path in sorted((top / folder).rglob("*.py")):
            for line, words in installing(path.read_text("utf-8")):
                found.append(path.name)
                # The first writes the hash into the requirement, and compares what came; others fetch through it. The
                # second only asks where a wheel is: nothing is installed.
                if path.name not in {"fetch_wheels.py", "limits.py"}:
                    assert is_hashed(words), f"{path}:{line}"
    assert {"fetch_wheels.py", "bench.py", "build_demo.py", "demo.py", "test_all.py"} <= set(found)


def test_the_search_for_scripts_that_install_finds_them() -> None:
    script = 'def f():\n    run([python, "-m", "pip", "install", "ziglang"])\n'
    assert [(line, is_hashed(words)) for line, words in installing(script)] == [(1, False)]
    script = 'run(["pip", "install", "--no-index"])'
    assert [(line, is_hashed(words)) for line, words in installing(script)] == [(0, True)]
    assert not list(installing('say("pip")'))


def test_every_command_of_the_workflows_and_of_ci_installs_with_hashes_or_without_an_index(top: Path) -> None:
    lines = []
    for path in [*(top / ".github/workflows").iterdir(), top / ".ci/run", top / ".ci/bare"]:
        lines += path.read_text("utf-8").splitlines()
    calls = [line for line in lines if re.search(r"(?<![/\w])(pip|pipx|uvx?) [a-z]", line)]
    installs = [line for line in calls if not re.search(r"pip check|^\s*#", line)]
    assert len(installs) >= 2
    assert [line for line in installs if not is_hashed(set(line.split()))] == []


def test_every_target_of_make_installs_with_hashes_or_without_an_index(top: Path) -> None:
    targets = ["test", "test-all", "demo", "docs", "fuzz", "mutants", "dist", "audit", "lock", "bench", "test-systems"]
    command = [require("make", "make"), "--dry-run", "--always-make", *targets]
    done = subprocess.run(command, cwd=top, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    installs = [line.split() for line in done.stdout.splitlines() if " pip " in line and " pip check" not in line]
    assert [words for words in installs if not is_hashed(set(words))] == []
    files = {word for words in installs for word in words if word.startswith("requirements/")}
    assert files >= {f"requirements/{name}.txt" for name in ("deloc8", "test-core", "oracles", "lint", "lock", "fuzz")}
    assert [words for words in installs if "--editable" in words and "--no-deps" not in words] == []


@pytest.mark.parametrize("name", ["ci.yml", "release.yml"])
def test_every_action_is_a_commit_whose_version_stands_beside_it(top: Path, name: str) -> None:
    text = (top / ".github" / "workflows" / name).read_text("utf-8")
    uses = re.findall(r"^\s*-?\s*uses: (.*)$", text, re.MULTILINE)
    assert len(uses) >= 5
    assert [line for line in uses if not re.fullmatch(r"[\w./-]+@[0-9a-f]{40} # v\d+\.\d+\.\d+", line)] == []
    images = re.findall(r"^\s*image: (.*)$", text, re.MULTILINE)
    assert [line for line in images if not re.fullmatch(r"[\w.:/-]+@sha256:[0-9a-f]{64}", line)] == []


def test_an_action_has_one_commit_in_the_workflows_and_in_the_documentation(top: Path) -> None:
    commits: dict[str, str] = {}
    for path in [*(top / ".github/workflows").iterdir(), *(top / "docs").rglob("*.md")]:
        for action, commit in re.findall(r"uses: ([\w./-]+)@(.*)$", path.read_text("utf-8"), re.MULTILINE):
            assert commits.setdefault(action, commit) == commit, path
    assert "actions/checkout" in commits


def test_only_the_job_that_publishes_may_have_an_identity(top: Path) -> None:
    for path in (top / ".github/workflows").iterdir():
        text = path.read_text("utf-8")
        assert "\npermissions: {}\n" in text
        jobs = re.split(r"^  (?=[\w-]+:$)", text.partition("\njobs:\n")[2], flags=re.MULTILINE)[1:]
        allowed = {job.partition(":")[0] for job in jobs if "id-token: write" in job}
        assert allowed == ({"publish"} if path.name == "release.yml" else set())
        assert [job for job in jobs if "timeout-minutes:" not in job or "\n    permissions:\n" not in job] == []
        if path.name == "release.yml":
            (publish,) = (job for job in jobs if job.startswith("publish:"))
            assert "name: pypi\n" in publish
            # What has an identity runs no code of the repository.
            assert "actions/checkout" not in publish
            assert "password" not in text
