"""The wheel installs and works, the locks are whole, and the checkout's own launcher starts."""

import os
import re
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

import lamina
from scripts import setup

CHECKOUT = setup.CHECKOUT


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The path of a wheel built from this checkout, with the back end that the lock names."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)]
    subprocess.run(build, cwd=CHECKOUT, check=True, capture_output=True)
    (name,) = os.listdir(folder)
    return os.path.join(folder, name)


def test_wheel_holds_the_package_its_types_and_its_licence(wheel: str) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = archive.namelist()
        (metadata,) = (name for name in names if name.endswith(".dist-info/METADATA"))
        described = archive.read(metadata).decode()
    assert "lamina/py.typed" in names
    assert any(name.endswith("licenses/LICENSE") for name in names)
    assert {name.split("/")[0].split("-")[0] for name in names} == {"lamina"}
    assert f"\nVersion: {lamina.__version__}\n" in described
    assert "\nLicense-Expression: Apache-2.0\n" in described


def test_installed_wheel_gives_a_working_command(wheel: str, tmp_path: Path) -> None:
    environment = str(tmp_path / "fresh")
    make = [sys.executable, "-m", "venv", "--without-pip", environment]
    subprocess.run(make, check=True)
    python = os.path.join(environment, "bin", "python")
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", python]
    install = [*pip, "install", "--quiet", "--no-index", "--no-deps", wheel]
    subprocess.run(install, check=True, capture_output=True)
    _lend_dependencies(environment)

    command = os.path.join(environment, "bin", "lamina")
    told = _output([command, "--version"], tmp_path)
    assert told == f"Lamina version {lamina.__version__}\n"
    where = _output([python, "-c", "import lamina; print(lamina.__file__)"], tmp_path)
    assert where.startswith(environment)
    listed = _output([command, "--root", str(tmp_path / "root"), "images"], "/")
    assert listed.startswith("REPOSITORY")


def _lend_dependencies(environment: str) -> None:
    """Let the fresh environment see ours, but not the link to the checkout in it."""
    library = sysconfig.get_path("purelib", vars={"base": environment})
    with open(os.path.join(library, "lent.pth"), "w", encoding="utf-8") as file:
        file.write(sysconfig.get_path("purelib") + "\n")


def _output(argv: list[str], cwd: str | Path) -> str:
    return subprocess.run(argv, cwd=cwd, check=True, capture_output=True, text=True).stdout


def _locked(name: str) -> dict[str, str]:
    """Each requirement of a lock file with all that stands with it."""
    with open(os.path.join(CHECKOUT, name), encoding="utf-8") as file:
        text = re.sub(r"^ *#.*\n", "", file.read(), flags=re.MULTILINE)
    entries = text.replace("\\\n", " ").strip().splitlines()
    return {entry.split("==")[0]: " ".join(entry.split()) for entry in entries}


@pytest.mark.parametrize("name", ["requirements.txt", "requirements-dev.txt"])
def test_lock_pins_and_hashes_everything_and_names_no_index(name: str) -> None:
    locked = _locked(name)
    assert locked
    for requirement, entry in locked.items():
        assert re.match(r"[a-z0-9-]+==\S+ ", entry), requirement
        assert "--hash=sha256:" in entry, requirement
        assert "://" not in entry, requirement


def test_what_develops_is_locked_on_top_of_what_runs() -> None:
    runs, develops = _locked("requirements.txt"), _locked("requirements-dev.txt")
    assert runs.items() <= develops.items()


def test_launcher_starts_from_a_path_that_no_interpreter_line_can_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = str(tmp_path / "it's a folder")
    os.mkdir(folder)
    python = os.path.join(folder, "python")
    os.symlink(sys.executable, python)
    monkeypatch.setattr(setup, "PYTHON", python)
    monkeypatch.setattr(setup, "_site_packages", lambda: sysconfig.get_path("purelib"))

    launcher = os.path.join(folder, "lamina")
    setup._write(launcher, setup._launcher(), mode=0o755)
    assert _output([launcher, "--version"], "/") == f"Lamina version {lamina.__version__}\n"


def test_help_lists_every_target() -> None:
    with open(os.path.join(CHECKOUT, "Makefile"), encoding="utf-8") as file:
        targets = set(re.findall(r"^([a-z][a-z-]*):", file.read(), re.MULTILINE))
    shown = _output(["make", "--no-print-directory"], CHECKOUT)
    assert set(re.findall(r"^  make ([a-z-]+) ", shown, re.MULTILINE)) == targets
