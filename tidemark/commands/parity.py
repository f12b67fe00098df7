"""tidemark parity: what was served against what training would see, value by value."""

from __future__ import annotations

import sys
import time
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec
import typer
from rich.console import Console
from rich.table import Table

from streaming.errors import TidemarkError
from tidemark.jars import spark_jars

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

    from streaming.history.parity_runs import Run
    from streaming.plan import Plan


def command(
    repo: Path = typer.Option(Path("feature_repo"), "--repo", help="Folder of the Feast repo"),
    views: str = typer.Option("", "--views", help="Stream views, separated by commas [default: all]"),
    sample: int = typer.Option(500, "--sample", min=0, help="Vectors of each view from the feature log"),
    reads: int = typer.Option(200, "--reads", min=0, help="Entities of each view to read online now"),
    scored: int = typer.Option(
        500, "--scored", min=0, help="Vectors of each view that the scoring lane logged"
    ),
    checkpoint: str = typer.Option("", "--checkpoint", help="The online lane's [default: REPO/data/online]"),
    history: str = typer.Option("", "--history", help="Folder or URI of the tables [default: var/history]"),
    history_checkpoint: str = typer.Option(
        "", "--history-checkpoint", help="The history lane's checkpoint [default: REPO/data/history]"
    ),
    threshold: float = typer.Option(0.0, "--threshold", help="Share of unequal values that is no failure"),
    plot: Path | None = typer.Option(None, "--plot", help="Draw the runs so far into this SVG file"),
    as_json: bool = typer.Option(False, "--json", help="Print one JSON object"),
) -> None:
    """Recompute served features from history at the moment they were served, and count what differs.

    Exit code 1 when more than the threshold differs, or nothing could be compared.
    """
    from streaming.checkpoint import Checkpoint
    from streaming.history import parity_runs
    from streaming.history.store import StoreSettings
    from streaming.jobs.runner import planned
    from streaming.settings import LaneSettings
    from streaming.sinks.delta import SPARK

    root = history or StoreSettings.model_validate({}).history
    root = root if "://" in root else str(Path(root).absolute())
    names = [name.strip() for name in views.split(",")] if views else None
    held = Checkpoint(checkpoint or str(repo / "data" / "online"))
    archive = Checkpoint(f"{history_checkpoint or repo / 'data' / 'history'}/arrivals")
    settings = LaneSettings.model_validate({})
    with planned("parity", repo, names, held, settings, settings.partitions, spark_jars, SPARK) as (
        spark,
        plan,
    ):
        run = compare(repo, plan, spark, root, held, archive, sample, reads, scored=scored)
    place = parity_runs.keep(root, run)
    if plot is not None:
        plot.write_text(drawn(parity_runs.kept(root)))
    if as_json:
        sys.stdout.write(msgspec.json.encode(run).decode() + "\n")
    else:
        Console().print(table(run))
        Console().print(
            f"{run.compared:,} values compared ({run.logged:,} logged vectors, {run.read:,} reads, {run.scored:,} scored): "
            f"{run.wrong:,} differ; kept in {place}",
            highlight=False,
        )
    if not run.compared:
        raise TidemarkError(
            "nothing could be compared: let the online lane and then the history lane run, with feature-updates on"
        )
    if run.wrong > threshold * run.compared:
        raise TidemarkError(f"{run.wrong:,} of {run.compared:,} values differ: the table says which and why")


def compare(
    repo: Path,
    plan: Plan,
    spark: SparkSession,
    root: str,
    online: Any,
    archive: Any,
    sample: int,
    reads: int,
    clock: Any = time.time,
    scored: int = 0,
) -> Run:
    """One run over all views of the plan; `online` and `archive` are the lanes' checkpoints."""
    from feast import FeatureStore

    from serving import sampling
    from streaming.history import parity
    from streaming.history.events import Events
    from streaming.history.parity_runs import Result, Run
    from streaming.redis.target import RedisTarget

    ledger = parity.Ledger(online, archive)
    work = parity.Parity(Events(spark, plan, root), ledger, spark.sparkContext.defaultParallelism)
    store = FeatureStore(repo_path=str(repo)) if reads else None
    results, seen, online_reads, exact = [], 0, 0, 0
    for view in plan.views:
        logged = parity.logged(work.events, view, ledger, max(sample, reads)) if view.emit_updates else []
        entities = list({msgspec.json.encode(v.entity): v.entity for v in logged}.values())[:reads]
        served = (
            sampling.read(store, view, entities, RedisTarget(plan.redis, plan.redis_cluster), clock)
            if store and entities
            else []
        )
        logged = logged[:sample]
        seen, online_reads = seen + len(logged), online_reads + len(served)
        for name, found in work.compare(view, [*logged, *served]).items():
            results.append(Result.of(view.name, name, found))
        if vectors := parity.scored(work.events, view, ledger, scored) if scored else []:
            exact += len(vectors)
            for name, found in work.compare(view, vectors).items():
                results.append(Result.of(f"{view.name} (scored)", name, found))
    return Run(datetime.fromtimestamp(clock(), UTC).isoformat(), seen, online_reads, results, exact)


def table(run: Run) -> Table:
    """A line for each view, and one for each feature that differs."""
    shown = Table("view", "feature", "compared", "equal", "mismatched", "missing", "largest error", "why")
    for name in dict.fromkeys(result.view for result in run.results):
        mine = run.of_view(name)
        sums = [
            sum(getattr(r, part) for r in mine) for part in ("compared", "equal", "mismatched", "missing")
        ]
        shown.add_row(
            name, f"all {len(mine)}", *[f"{n:,}" for n in sums], f"{max(r.largest for r in mine):.1e}", ""
        )
        for r in mine:
            if r.wrong:
                counts = [f"{n:,}" for n in (r.compared, r.equal, r.mismatched, r.missing)]
                why = ", ".join(f"{count:,} {reason}" for reason, count in r.reasons.items())
                shown.add_row("", r.feature, *counts, f"{r.largest:.1e}", f"{why}\n{r.example}")
    return shown


def drawn(runs: list[Run]) -> str:
    """The share of unequal values and the largest error of each view, run after run, as SVG."""
    from tidemark.charts import Chart, Row, Sheet

    views = dict.fromkeys(result.view for run in runs for result in run.results)
    rows = []
    for view in views:
        mine = [run.of_view(view) for run in runs]
        shares = [
            sum(r.wrong for r in rs) / max(sum(r.compared for r in rs), 1) if rs else None for rs in mine
        ]
        errors = [max((r.largest for r in rs), default=None) for rs in mine]
        last = sum(r.compared for r in mine[-1])
        rows.append(Row(view, f"{last:,} values in the last run", [Chart(shares), Chart(errors)]))
    columns = ("share of values that differ", "largest relative error")
    return Sheet("Parity of serving and history", columns, rows, runs[0].at[:16], runs[-1].at[:16]).svg()
