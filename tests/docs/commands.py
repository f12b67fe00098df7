"""The commands in fenced blocks of the pages, and a check that each could be run."""

from __future__ import annotations

import importlib
import re
import shlex
import xml.etree.ElementTree as ET
from collections.abc import Iterator
from pathlib import Path

import typer

from tidemark.cli import Commands, load

ROOT = Path(__file__).parents[2]
SUBMIT = {"--master", "--deploy-mode", "--properties-file", "--files", "--packages", "--py-files"}
"""Options of spark-submit that the pages use, each with a value."""
PAGES = (ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md")))


def blocks(page: Path, language: str) -> list[str]:
    """The contents of the page's fenced blocks of a language."""
    return re.findall(rf"^```{language}\n(.*?)^```$", page.read_text(), re.DOTALL | re.MULTILINE)


def commands(page: Path) -> Iterator[list[str]]:
    """The words of every command in the page's bash blocks, without comments."""
    for block in blocks(page, "bash"):
        for line in block.replace("\\\n", " ").splitlines():
            if words := shlex.split(line, comments=True):
                yield words


def check(words: list[str]) -> None:
    """Fails unless the command, its subcommands, its options and its files exist."""
    program, *rest = words
    CHECKS[Path(program).name](rest)


def _tidemark(words: list[str]) -> None:
    name, *rest = words
    assert name in Commands(name="tidemark").commands, f"there is no tidemark {name}"
    _parse(load(name), rest)


def _parse(command, words: list[str]) -> None:
    """Parses as the command would, without running it: click raises for what it does not know."""
    if hasattr(command, "commands"):
        name, *rest = words
        assert name in command.commands, f"{command.name} has no {name}"
        _parse(command.commands[name], rest)
        return
    try:
        command.make_context(command.name or "", list(words))
    except Exception as wrong:  # typer and feast bring a click each, with errors of their own
        raise AssertionError(f"{command.name} {' '.join(words)}: {wrong}") from wrong


def _feast(words: list[str]) -> None:
    from feast.cli.cli import cli

    if words[0] in ("-c", "--chdir"):
        assert (ROOT / words[1]).is_dir(), words[1]
        words = words[2:]
    _parse(cli, words)


def _make(words: list[str]) -> None:
    makefile = (ROOT / "Makefile").read_text()
    for word in words:
        if "=" not in word:
            assert re.search(rf"^{word}:", makefile, re.MULTILINE), f"make has no target {word}"
        elif word.startswith("ARGS="):
            option = word.removeprefix("ARGS=")
            _parse(load(words[0]), shlex.split(option))


def _pinned() -> set[str]:
    """The packages of conf/ivy.xml, as spark-submit names them."""
    declared = ET.parse(ROOT / "conf" / "ivy.xml").iter("dependency")
    return {f"{d.get('org')}:{d.get('name')}:{d.get('rev')}" for d in declared}


def _spark_submit(words: list[str]) -> None:
    from streaming.jobs.online import command

    script = next(i for i, word in enumerate(words) if word.endswith(".py"))
    assert (ROOT / words[script]).is_file()
    options = dict(zip(words[:script:2], words[1:script:2], strict=True))
    assert options.keys() <= SUBMIT, options.keys() - SUBMIT
    for name in options.keys() & {"--properties-file", "--files"}:
        assert (ROOT / options[name]).is_file(), options[name]
    assert set(options["--packages"].split(",")) <= _pinned()
    app = typer.Typer(add_completion=False)
    app.command("online")(command())
    _parse(typer.main.get_command(app), words[script + 1 :])


def _spark_submit_sh(words: list[str]) -> None:
    """streaming/spark-submit.sh: a lane, options of spark-submit, --, options of the lane."""
    lane, *rest = words
    given, options = rest[: rest.index("--")], rest[rest.index("--") + 1 :]
    assert set(given[::2]) <= SUBMIT | {"--conf"}, given
    for packages in (
        value for name, value in zip(given[::2], given[1::2], strict=True) if name == "--packages"
    ):
        assert set(packages.split(",")) <= _pinned(), packages
    command = importlib.import_module(f"streaming.jobs.{lane}").command
    app = typer.Typer(add_completion=False)
    app.command(lane)(command())
    _parse(typer.main.get_command(app), options)


def _spark_class(words: list[str]) -> None:
    """Spark's own programs; their classes are in the jars of the wheel, which says nothing about options."""
    assert words[0] in ("org.apache.spark.deploy.master.Master", "org.apache.spark.deploy.worker.Worker")


def _python(words: list[str]) -> None:
    assert words[:3] == ["-m", "zipfile", "-c"], words
    assert all((ROOT / folder).is_dir() for folder in words[4:])


CHECKS = {
    "tidemark": _tidemark,
    "feast": _feast,
    "make": _make,
    "spark-submit": _spark_submit,
    "spark-submit.sh": _spark_submit_sh,
    "spark-class": _spark_class,
    "python": _python,
    "source": lambda words: None,
}
