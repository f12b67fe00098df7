"""The whole example on this machine: data, features, streams, decisions, latencies; a table and a picture."""

from __future__ import annotations

import asyncio
import shutil
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import psutil
import typer
from rich.console import Console
from rich.markdown import Markdown

from examples.underwriting import benchmark, outcomes, push, setup_data, traffic
from examples.underwriting.client import Client
from examples.underwriting.questions import Questions
from examples.underwriting.script import run
from examples.underwriting.settings import HERE
from examples.underwriting.system import System
from streaming.errors import ServiceError, TidemarkError
from tidemark.demo.lane import Lane
from tidemark.settings import local_settings

if TYPE_CHECKING:
    from examples.underwriting.chart import Payment, Results
    from examples.underwriting.history.tables import Tables

BURST, AMOUNT = 8, 1_800.0
"""Payments of the burst, and dollars each."""
SPAN = {"claims_count": (1, 3, 5), "total_claims_amount": (1, 3)}
"""Windows in years that both the stream and the batch table have."""


@dataclass
class Example:
    """One run of everything; `say` hears a line about each step."""

    system: System
    tables: Tables
    requests: int
    say: Callable[[str], None]

    def play(self) -> Results:
        """Raises TidemarkError when a part fails, or when stream and batch disagree."""
        from examples.underwriting.chart import Results

        began, system = time.monotonic(), self.system
        with system.services() as endpoints:
            self.say(f"Kafka {endpoints.kafka}, Redis {endpoints.redis}; writing tables")
            setup_data.write(
                [*self.tables, *setup_data.stream_pasts(self.tables)], system.data, lambda _: None
            )
            self.say(
                f"{self.tables.world.customers:,} customers, {self.tables.claims.size:,} claims of 5 years; feast apply"
            )
            system.apply()
            self.say("starting the online lane (Spark); materialize-incremental")
            with system.lane() as lane:
                materializing = system.materialize(datetime.now(UTC))
                sent = self._send_past()
                store = self._store()
                self.say("scoring past decisions, each with what was known at its moment")
                applied = outcomes.training_rows(
                    store, system.data / "application_labels.parquet", "underwriting_v1"
                )
                assessed = outcomes.training_rows(
                    store, system.data / "claim_labels.parquet", "claims_assessment_v1"
                )
                system.finished(materializing, "materialize-incremental")
                system.caught_up(lane, sent)
                self.say(
                    f"the lane has read {sent:,} events of the past; comparing its windows with the tables"
                )
                windows = self._compare(store)
                with system.server() as client:
                    self.say(f"feast serve on {client.url}; a burst of payments")
                    burst = self._burst(client, lane)
                    self._push(store, burst[-1])
                    self.say("measuring the feature server")
                    timings = self._measure(client)
                    load = psutil.getloadavg()[0]
        return Results(
            decisions=outcomes.groups(applied, "underwriting_decision", outcomes.DECISIONS),
            tiers=outcomes.groups(applied, "risk_tier", outcomes.TIERS),
            mended=outcomes.referrals(assessed),
            original=outcomes.referrals(assessed, provider_scale=30),
            burst=burst,
            timings=timings,
            windows=windows,
            load=load,
            cores=psutil.cpu_count() or 1,
            seconds=time.monotonic() - began,
        )

    def _store(self) -> Any:
        from feast import FeatureStore

        return FeatureStore(repo_path=str(self.system.place.repo))

    def _send_past(self) -> int:
        kafka = self.system.endpoints.kafka
        sent = traffic.send(kafka, traffic.CLAIMS, traffic.claims(self.tables))
        return sent + traffic.send(kafka, traffic.PAYMENTS, traffic.payments(self.tables))

    def _compare(self, store: Any) -> tuple[int, int]:
        """Windows as of the tables' end, by the stream and by the batch table. Raises TidemarkError."""
        from serving import as_of

        names = [f"{name}_{n}y" for name, years in SPAN.items() for n in years]
        filed = np.unique(self.tables.claims.customer)
        rows = [{"customer_id": f"CUST{n:08d}"} for n in filed.tolist()]
        refs = [f"customer_claims_stream:{name}_stream" for name in names]
        refs += [f"claims_aggregation_features:{name}" for name in names]
        with as_of(datetime.fromtimestamp(self.tables.world.as_of / 1000, UTC)):
            found = store.get_online_features(refs, rows, full_feature_names=True).to_dict()
        pairs = [
            (found[f"customer_claims_stream__{name}_stream"], found[f"claims_aggregation_features__{name}"])
            for name in names
        ]
        stream, batch = (np.array(list(column), float) for column in zip(*pairs, strict=True))
        equal = np.isclose(stream, batch, rtol=1e-9, atol=1e-6)
        if not equal.all():
            row, column = np.argwhere(~equal)[0]
            raise TidemarkError(
                f"{names[row]} of {rows[column]['customer_id']} is {stream[row, column]} by the stream and "
                f"{batch[row, column]} in the table: see {self.system.place.lane_log}"
            )
        return int(equal.size), int(equal.sum())

    def _burst(self, client: Client, lane: Lane) -> list[Payment]:
        """One customer pays again and again; after each payment the next one is scored."""
        from examples.underwriting.chart import Payment

        customer = f"CUST{self.tables.world.customers - 1:08d}"
        asked = {
            "customer_id": customer,
            "merchant_id": "MERCH000000",
            "transaction_amount": AMOUNT,
            "merchant_category": "online_shopping",
            "transaction_channel": "online",
            "device_trust_score": 0.3,
            "session_duration_seconds": 20,
            "is_international": False,
        }
        seen, before = [], 0
        for number in range(BURST + 1):
            began = time.time()
            if number:
                event = {
                    "transaction_id": f"TXN9{number:011d}",
                    "customer_id": customer,
                    "amount": AMOUNT,
                    "transaction_type": "purchase",
                    "merchant_category": "online_shopping",
                    "event_timestamp": int(began * 1000),
                }
                traffic.send(self.system.endpoints.kafka, traffic.PAYMENTS, [event])
            question = {name: [value] for name, value in asked.items()} | {
                "transaction_id": ["TXN999999999999"]
            }
            while True:
                answer = client.ask("fraud_detection_v1", question)
                count = answer["txn_count_1h_stream"][0] or 0
                if not number or count > before:
                    break
                lane.check()
                if time.time() - began > 60:
                    raise ServiceError(f"a payment is not counted after 60 s: see {lane.log}")
                time.sleep(0.02)
            score, decision = answer["combined_fraud_score"][0], answer["fraud_decision"][0]
            seen.append(Payment(number, count, score, decision, time.time() - began if number else 0.0))
            before = count
        return seen

    def _push(self, store: Any, last: Payment) -> None:
        """Push what the engine sent to feature-updates, and see that it arrived. Raises TidemarkError."""
        updates = push.Updates(self.system.endpoints.kafka, "feature-updates", "underwriting-push")
        try:
            push.drain(store, updates)
        finally:
            updates.close()
        customer = f"CUST{self.tables.world.customers - 1:08d}"
        held = store.get_online_features(
            ["customer_transaction_pushed:txn_count_1h_stream"], [{"customer_id": customer}]
        ).to_dict()
        if held["txn_count_1h_stream"] != [last.count]:
            raise TidemarkError(
                f"{held['txn_count_1h_stream']} was pushed, {last.count} is served: see the lane's log"
            )

    def _measure(self, client: Client) -> Sequence[benchmark.Timing]:
        questions, timings = Questions(self.system.data), []
        for batch in benchmark.TARGETS:
            few = max(20, self.requests // (1 if batch < 100 else 4))
            timings.append(
                asyncio.run(benchmark.measure(client.url, questions, "benchmark_medium", batch, few, 4))
            )
        return timings


def main(
    num_customers: int = typer.Option(1_000, "--num-customers", help="Customers of the shared population"),
    requests: int = typer.Option(200, "--requests", help="Requests of each batch size that is measured"),
    out: Path = typer.Option(Path("var/underwriting"), "--out", help="Where the table and the picture go"),
    keep: bool = typer.Option(False, "--keep", help="Leave data and logs where they were made"),
    publish: bool = typer.Option(False, "--publish", help="Write table and picture into the README instead"),
) -> None:
    """Run the example from data to decisions."""
    from examples.underwriting.history.tables import Tables

    console, began = Console(highlight=False, soft_wrap=True), time.monotonic()

    def say(text: str) -> None:
        console.print(f"{time.monotonic() - began:6.1f} s  {text}")

    parent = local_settings().services_dir.parent / "underwriting"
    parent.mkdir(parents=True, exist_ok=True)
    folder = Path(tempfile.mkdtemp(prefix="run-", dir=parent))
    tables = Tables(setup_data.world(num_customers, 0, None))
    results = Example(System(folder), tables, requests, say).play()
    from examples.underwriting import chart

    console.print(Markdown(chart.text(results)))
    if publish:
        chart.publish(results, HERE / "README.md")
        chart.draw(results, HERE / "results.png")
        say(f"{HERE / 'README.md'} and {HERE / 'results.png'}")
    else:
        out.mkdir(parents=True, exist_ok=True)
        (out / "results.md").write_text(chart.text(results))
        chart.draw(results, out / "results.png")
        say(f"{out / 'results.md'} and {out / 'results.png'}")
    if not keep:
        shutil.rmtree(folder)


if __name__ == "__main__":
    run(main)
