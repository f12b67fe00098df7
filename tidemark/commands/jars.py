"""tidemark jars: fetch what is missing, check the rest."""

from __future__ import annotations

import typer

from tidemark.jars import CONFIGURATIONS, Jars
from tidemark.settings import local_settings


def command(
    paths: bool = typer.Option(False, "--paths", help="Print the path of every jar"),
    only: str = typer.Option("", "--only", help="spark or broker alone"),
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
