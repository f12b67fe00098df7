"""The first minute on a new machine: what is missing is one line that names the package."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]


def tool(folder: Path, name: str, script: str) -> None:
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    """A PATH with the shell's tools, a good Java and this Python as python3."""
    folder = tmp_path / "bin"
    folder.mkdir()
    for name in ("sh", "sed", "head", "uname", "touch", "mkdir", "make", "env"):
        found = shutil.which(name)
        assert found is not None
        (folder / name).symlink_to(found)
    tool(folder, "java", "echo 'openjdk version \"17.0.15\" 2025-04-15' >&2")
    tool(folder, "python3", f'exec {sys.executable} "$@"')
    return folder


def bootstrap(path: Path, **variables: str) -> subprocess.CompletedProcess[str]:
    environment = {"PATH": str(path), "VENV": str(path.parent / "venv"), **variables}
    command = [str(path / "sh"), str(ROOT / ".ci" / "bootstrap")]
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def complaint(done: subprocess.CompletedProcess[str]) -> str:
    assert done.returncode == 1
    assert done.stdout == ""
    assert len(done.stderr.splitlines()) == 1, done.stderr
    return done.stderr


def test_makes_an_environment_and_keeps_it(path):
    assert bootstrap(path).returncode == 0
    venv = path.parent / "venv"
    assert (venv / "bin" / "pip").exists()
    (venv / "mark").touch()
    assert bootstrap(path).returncode == 0
    assert (venv / "mark").exists()


def test_an_environment_whose_python_has_gone_is_made_again(path):
    venv = path.parent / "venv"
    (venv / "bin").mkdir(parents=True)
    (venv / "bin" / "python").symlink_to("/nowhere/python3.11")
    assert bootstrap(path).returncode == 0
    assert subprocess.run([venv / "bin" / "python", "-c", ""], check=False).returncode == 0


def test_no_java(path):
    (path / "java").unlink()
    assert "apt install openjdk-17-jre-headless" in complaint(bootstrap(path))


@pytest.mark.parametrize(("banner", "said"), [('"1.8.0_402"', "is 8"), ('"11.0.22"', "is 11")])
def test_an_old_java(path, banner, said):
    tool(path, "java", f"echo 'openjdk version {banner}' >&2")
    message = complaint(bootstrap(path))
    assert said in message
    assert "openjdk-17-jre-headless" in message


def test_java_home_comes_first(path, tmp_path):
    assert f"'{tmp_path}/jdk/bin/java' does not run" in complaint(
        bootstrap(path, JAVA_HOME=f"{tmp_path}/jdk")
    )


def test_no_python_that_is_new_enough(path):
    tool(path, "python3", "exit 1")
    message = complaint(bootstrap(path))
    assert "Python 3.11 or newer is needed" in message
    assert "apt install python3 python3-venv" in message


def test_the_python_that_was_asked_for_is_wrong(path):
    tool(path, "python3.9", "exit 1")
    assert "PYTHON=python3.9 is not Python 3.11 or newer" in complaint(bootstrap(path, PYTHON="python3.9"))


def test_a_python_without_venv(path):
    tool(
        path,
        "python3",
        f'case "$*" in *ensurepip*|*pip*) exit 1 ;; *) exec {sys.executable} "$@" ;; esac',
    )
    assert "comes without venv: apt install python3-venv" in complaint(bootstrap(path))


def test_make_stops_with_that_line(path):
    (path / "java").unlink()
    environment = {"PATH": str(path)}
    command = [str(path / "make"), "-s", "setup", f"VENV={path.parent}/venv"]
    done = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode != 0
    assert done.stderr.startswith("tidemark: Java 17 or newer is needed")


def test_make_help_lists_every_goal():
    done = subprocess.run(["make"], cwd=ROOT, env=os.environ, capture_output=True, text=True, check=True)
    for goal in ("setup", "demo", "test", "check", "bench", "clean"):
        assert f"make {goal}" in done.stdout
