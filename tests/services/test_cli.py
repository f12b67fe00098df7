"""The command: quick to start, one line for an error, the right exit code."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemark import cli

COMMAND = Path(sys.executable).with_name("tidemark")
WRONG = ("topics", "apply", "--partitions", "many")


def run(*words: str, code: int, **environment: str) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(
        [COMMAND, *words], capture_output=True, text=True, check=False, env={**os.environ, **environment}
    )
    assert done.returncode == code, done.stderr
    return done


def loaded(*words: str) -> tuple[str, set[str]]:
    """What a command prints, and which packages that take long to import it has loaded."""
    script = (
        "import sys\nfrom tidemark.cli import main\n"
        "try:\n    main(sys.argv[1:])\nfinally:\n"
        "    print(*{'pyspark', 'feast', 'pandas', 'pyarrow', 'confluent_kafka'} & set(sys.modules))\n"
    )
    command = [sys.executable, "-c", script, *words]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    *shown, last = done.stdout.splitlines()
    return "\n".join(shown), set(last.split())


def test_help_lists_the_commands_without_loading_them():
    shown, slow = loaded("--help")
    assert not slow
    assert "services" in shown
    assert cli.COMMANDS["topics"] in shown


@pytest.mark.parametrize("words", ["stream", "stream online", "stream reset"])
def test_help_of_the_lane_loads_neither_feast_nor_its_tables(words):
    shown, slow = loaded(*words.split(), "--help")
    assert slow <= {"pyspark"}, "for the place of its jars alone"
    assert f"tidemark {words}" in shown


@pytest.mark.parametrize("name", list(cli.Commands(name="tidemark").commands))
def test_every_command_has_help(name):
    assert f"tidemark {name}" in run(name, "--help", code=0).stdout


def test_an_error_is_one_line_on_stderr():
    done = run(*WRONG, code=1)
    assert done.stdout == ""
    assert done.stderr.splitlines() == ["--partitions many: write N or topic=N with N of at least 1"]


def test_debug_anywhere_shows_where_it_came_from():
    assert "Traceback" in run(*WRONG, "--debug", code=1).stderr
    assert "Traceback" in run("--debug", *WRONG, code=1).stderr


def test_wrong_usage_is_two_and_suggests():
    done = run("topic", code=2)
    assert "Did you mean 'topics'?" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_wrong_variable_is_named():
    done = run("services", "status", code=1, TIDEMARK_REDIS_PORT="many")
    assert done.stderr.startswith("TIDEMARK_REDIS_PORT=many: ")
    assert len(done.stderr.splitlines()) == 1


def test_names_without_a_module_yet_are_not_offered(monkeypatch):
    monkeypatch.setitem(cli.COMMANDS, "teleport", "Not written")
    assert "teleport" not in cli.Commands(name="tidemark").commands


def test_jars_refuses_a_configuration_that_is_none():
    assert "neither spark nor broker" in run("jars", "--only", "flink", code=2).stderr


def test_jars_prints_paths_that_exist():
    paths = run("jars", "--only", "spark", "--paths", code=0).stdout.split()
    assert len(paths) == 10
    assert all(Path(path).is_file() for path in paths)
