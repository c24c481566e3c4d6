"""What is built and installed: the source archive, the wheel made of it, and its import."""

import json
import os
import re
import subprocess
import sys
import tarfile
import tomllib
import zipfile
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

from support.building import PROJECT
from support.patience import patient

PACKAGING = tomllib.loads((PROJECT / "pyproject.toml").read_text())

NOT_SHIPPED = {"tests", "bench", "docs", "build", "dist"}
pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]


def packages() -> dict[str, Path]:
    """Every package in the tree, by its name."""
    folders = (file.parent for file in PROJECT.rglob("__init__.py"))
    found = {folder.relative_to(PROJECT).parts: folder for folder in folders}
    return {
        ".".join(("callboard", *parts)): folder
        for parts, folder in found.items()
        if not NOT_SHIPPED.intersection(parts[:1]) and not any(part[0] == "." for part in parts)
    }


def shipped() -> set[str]:
    """Every file of every package; of the root, which holds the project too, only code."""
    files = {"callboard/py.typed"}
    for name, folder in packages().items():
        pattern = "*.py" if folder == PROJECT else "**/*"
        for file in folder.glob(pattern):
            if file.is_file() and file.suffix != ".pyc" and file != PROJECT / "setup.py":
                files.add(f"{name.replace('.', '/')}/{file.relative_to(folder).as_posix()}")
    return files


def test_no_package_is_forgotten(built):
    with zipfile.ZipFile(built[1]) as wheel:
        inits = [name for name in wheel.namelist() if name.endswith("/__init__.py")]
    assert sorted(name.removesuffix("/__init__.py").replace("/", ".") for name in inits) == sorted(
        packages()
    )


def test_the_wheel_holds_the_packages_and_nothing_else(built):
    with zipfile.ZipFile(built[1]) as wheel:
        names = {name for name in wheel.namelist() if ".dist-info/" not in name}
        assert names == shipped()
        (entry_points,) = (n for n in wheel.namelist() if n.endswith("entry_points.txt"))
        assert "callboard = callboard.run_system:main" in wheel.read(entry_points).decode()
        assert any(name.endswith("licenses/LICENSE") for name in wheel.namelist())


def test_the_source_archive_holds_what_a_packager_needs(built):
    with tarfile.open(built[0]) as archive:
        names = {name.partition("/")[2] for name in archive.getnames()}
    wanted = {"pyproject.toml", "setup.py", "LICENSE", "CHANGELOG.md", "Makefile"}
    wanted |= {"requirements.lock", "config/default.toml", ".ci/run", "py.typed", "admin.py"}
    wanted |= {"tests/test_packaging.py"}
    wanted |= {"deploy/callboard.service", "deploy/Dockerfile", "deploy/compose.yaml"}
    assert wanted <= names
    assert not [name for name in names if name.endswith(".pyc") or "__pycache__" in name]


def test_the_installed_wheel_imports_as_a_whole(built, tmp_path):
    target = tmp_path / "site"
    pip = [sys.executable, "-m", "pip", "install", "--quiet", "--no-index", "--no-deps"]
    subprocess.run([*pip, "--target", target, built[1]], check=True, timeout=patient(120))
    program = (
        "import callboard, importlib, pkgutil;"
        "print(callboard.__file__);"
        "[importlib.import_module(found.name)"
        " for found in pkgutil.walk_packages(callboard.__path__, 'callboard.')"
        " if not found.name.endswith('__main__')]"
    )
    run = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(target)},
        capture_output=True,
        text=True,
        timeout=patient(60),
    )
    assert run.returncode == 0, run.stderr
    assert run.stdout.strip() == str(target / "callboard" / "__init__.py")
    assert sorted(path.name for path in target.iterdir() if path.suffix != ".dist-info") == [
        "bin",
        "callboard",
    ]


def test_make_dist_builds_as_these_tests_do():
    run = subprocess.run(
        ["make", "--dry-run", "--always-make", "dist"],
        cwd=PROJECT,
        capture_output=True,
        text=True,
        check=True,
    )
    assert "python -m build --no-isolation --outdir dist" in run.stdout


def test_the_bill_of_materials_has_every_pin_with_its_hashes():
    run = subprocess.run(
        [sys.executable, ".ci/sbom"], cwd=PROJECT, capture_output=True, text=True, check=True
    )
    bill = json.loads(run.stdout)
    assert bill["bomFormat"] == "CycloneDX"
    assert bill["metadata"]["component"]["version"] == PACKAGING["project"]["version"]
    lock = (PROJECT / "requirements.lock").read_text()
    pins = {line.split()[0] for line in lock.splitlines() if "==" in line and line[0] not in " #"}
    assert {f"{each['name']}=={each['version']}" for each in bill["components"]} == pins
    hashes = [one["content"] for each in bill["components"] for one in each["hashes"]]
    assert len(hashes) == lock.count("--hash=sha256:") > len(pins)


def test_the_release_workflow_runs_what_there_is():
    text = (PROJECT / ".github" / "workflows" / "release.yml").read_text()
    targets = {
        name for line in re.findall(r"run: make ([a-z ]+)$", text, re.M) for name in line.split()
    }
    assert targets == {"dist", "sbom"}
    makefile = (PROJECT / "Makefile").read_text()
    assert all(re.search(rf"^{target}:", makefile, re.M) for target in targets)
    assert (PROJECT / ".ci" / "run").is_file()
    assert (PROJECT / "deploy" / "Dockerfile").is_file()


@pytest.mark.parametrize(
    ("lock", "groups"),
    [
        ("requirements.lock", []),
        ("requirements-async.lock", ["async"]),
        ("requirements-tracing.lock", ["tracing"]),
        ("requirements-dev.lock", ["dev", "async", "tracing"]),
    ],
)
def test_the_lock_pins_what_the_project_needs(lock, groups):
    pins = {}
    for line in (PROJECT / lock).read_text().splitlines():
        if line and not line.startswith((" ", "#")):
            pin = Requirement(line.removesuffix("\\"))
            pins[canonicalize_name(pin.name)] = pin.specifier
    project = PACKAGING["project"]
    needed = [*project["dependencies"]]
    for group in groups:
        needed += project["optional-dependencies"][group]
    for requirement in map(Requirement, needed):
        (pinned,) = pins[canonicalize_name(requirement.name)]
        assert pinned.operator == "=="
        assert requirement.specifier.contains(pinned.version), f"make lock: {requirement}"


def test_the_web_is_imported_by_nobody_but_its_server():
    """Each actor is a process: what all of them import costs memory in each."""
    program = (
        "import sys, callboard.actors.system.tree;"
        "print(*sorted({'fastapi', 'starlette', 'uvicorn', 'jsonschema'} & sys.modules.keys()))"
    )
    run = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=True
    )
    assert run.stdout.split() == []
