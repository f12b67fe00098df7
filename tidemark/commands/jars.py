"""tidemark jars: fetch what is missing, check the rest, make Spark's archive of classes."""

from __future__ import annotations

import time

import typer
from rich.console import Console
from rich.markup import escape

from streaming.errors import TidemarkError
from streaming.warm_start import Archive
from tidemark.jars import CONFIGURATIONS, Jars
from tidemark.settings import local_settings


def command(
    paths: bool = typer.Option(False, "--paths", help="Print the path of every jar"),
    only: str = typer.Option("", "--only", help="spark or broker alone"),
    archive: bool = typer.Option(
        False, "--archive", help="Also make the archive of classes that local Spark starts faster with"
    ),
) -> None:
    """Fetch the jars pinned in conf/ivy.xml, and check them against conf/jars.sha256.

    A jar that is missing or damaged is fetched again. TIDEMARK_IVY_SETTINGS names an
    ivysettings.xml of yours, for a mirror.
    """
    if only and only not in CONFIGURATIONS:
        raise typer.BadParameter(f"{only!r} is neither spark nor broker")
    jars = Jars(local_settings())
    for configuration in [only] if only else CONFIGURATIONS:
        found = jars.ensure(configuration)
        if paths:
            typer.echo("\n".join(map(str, found)))
        else:
            typer.echo(f"{configuration}: {len(found)} jars, checked, in {jars.dir / configuration}")
    if archive:
        _archive(Archive(tuple(jars.ensure("spark"))))


def _archive(archive: Archive) -> None:
    """Make it, and say how that went: nothing fails without it."""
    console = Console(stderr=True, soft_wrap=True, highlight=False)
    begun = time.monotonic()
    try:
        if not archive.path.is_file():
            console.print("archive: Spark runs once to list its classes, about half a minute")
        archive.make()
        size = archive.path.stat().st_size / 1e6
    except (TidemarkError, OSError) as error:
        console.print(f"archive: not made, and local Spark starts slower without it: {escape(str(error))}")
        return
    typer.echo(f"archive: {size:.0f} MB, {time.monotonic() - begun:.0f} s, {archive.path}")
