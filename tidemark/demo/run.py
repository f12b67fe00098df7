"""The demo from start to end: services, definitions, lane, traffic, features, accounts."""

from __future__ import annotations

import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
from rich.console import Console
from rich.padding import Padding

from generators.contracts import STREAMS
from streaming.definitions.tags import stream_name
from streaming.errors import ServiceError, TidemarkError
from tidemark import broker, topics
from tidemark.demo import closing, features, past, place
from tidemark.demo.accounts import Accounts, Sent
from tidemark.demo.api import ApiServer
from tidemark.demo.lane import Child, Lane
from tidemark.demo.probe import Probe, quantile
from tidemark.demo.recount import recount, rescore, size
from tidemark.demo.screen import Now, Screen
from tidemark.demo.traffic import Traffic
from tidemark.services import Endpoints, LocalServices
from tidemark.settings import local_settings

STARTING = 300
"""Seconds that Spark may take to start and to compute its first batches."""
WARMING = 60
"""Seconds after which traffic counts as measured although the lane does not keep up yet."""
DRAINING = 300
"""Seconds that the lane may take to read what is left."""
RECENT = 15
"""Seconds that the freshness on the screen looks back."""
BEHIND = 3.0
"""The lane keeps up when it lags by no more than so many seconds of traffic."""


@dataclass(frozen=True)
class Options:
    """`rate` events a second for `seconds` once the lane keeps up; `keep` leaves services and data."""

    rate: float = 1_000
    seconds: float = 60
    keep: bool = False


@dataclass
class Demo:
    """One run. `play` shows it on `console`; whatever it started is gone afterwards, unless kept."""

    options: Options
    console: Console

    def play(self) -> None:
        """Raises TidemarkError when a part fails or the counts do not add up; its logs stay then."""
        self.began = time.monotonic()
        self.place = place.make(local_settings())
        with _clean_up() as stack:
            remove = stack.enter_context(_removing(self.place.dir))
            services = LocalServices(self.place.services, say=self._say)
            stack.callback(services.stop)
            endpoints = self._start(services)
            # Each task costs a batch some milliseconds: no more of them than cores that could run them.
            tasks = str(min(psutil.cpu_count() or 2, 8))
            lane = Lane(
                self.place.repo, self.place.dir / "checkpoint", self.place.lane_log, "--partitions", tasks
            )
            stack.callback(lane.stop)
            scoring, page = self._score(), self._page()
            stack.callback(scoring.stop)
            stack.callback(page.stop)
            probe = Probe(self.place.repo, endpoints.kafka)
            stack.callback(probe.abandon)
            traffic = Traffic(endpoints.kafka, self.options.rate)
            stack.callback(traffic.abandon)
            held = Accounts(_sources(probe.store))
            measured = self._produce(Watch(lane, scoring, probe, traffic, held, self.console))
            page.check()
            scoring.stop()
            chapter = past.begin(self.place)
            stack.callback(chapter.kill)
            entity = self._close(endpoints, probe, traffic, held, measured)
            page.stop()
            self._say("history of the same events, from Kafka (Spark)")
            past.tell(chapter, self.place, self.console)
            lane.stop()
            if self.options.keep:
                stack.pop_all()
                remove.clear()
            closing.heading(self.console, "what to try next")
            kept = self.place if self.options.keep else None
            for command in closing.commands(kept, endpoints, entity, Path(sys.executable).parent):
                self.console.print(f"  {command}", highlight=False, soft_wrap=True)

    def _start(self, services: LocalServices) -> Endpoints:
        self._say("starting Kafka and Redis")
        endpoints = services.start()
        wanted = topics.declared(local_settings().conf_dir / "topics.yaml")
        broker.apply(endpoints.kafka, wanted, topics.sized(wanted, small=True))
        self._say(f"Kafka {endpoints.kafka}, Redis {endpoints.redis}; feast apply on {self.place.repo}")
        self.place.copy_repo(endpoints)
        self.place.apply(endpoints)
        self._say("starting the online lane (Spark)")
        return endpoints

    def _score(self) -> Child:
        self._say("starting the scoring lane")
        words = (
            "stream",
            "scores",
            "--repo",
            str(self.place.repo),
            "--starting-offsets",
            "earliest",
            "--json",
        )
        return Child("scoring lane", self.place.scores_log, *words)

    def _page(self) -> ApiServer:
        api = ApiServer(self.place.repo, self.place.api_log, "--no-scores")
        self._say(f"see it at {api.url}: alerts, entities with their windows, scores")
        return api

    def _produce(self, watch: Watch) -> tuple[float, float]:
        """Warm up, produce, and let the lane catch up; returns when the measured part began and ended."""
        seconds, rate = self.options.seconds, self.options.rate
        watch.probe.start()
        with Screen(self.console) as screen:
            watch.until(screen, "starting", STARTING, lambda: bool(watch.probe.samples))
            self._say("the first event is readable; traffic begins")
            watch.traffic.start()
            late = time.monotonic() + 3
            keeps_up = lambda: time.monotonic() > late and watch.lag <= BEHIND * rate  # noqa: E731
            warm = watch.until(screen, "warming up", WARMING, keeps_up, strict=False)
            if not warm:
                self._say(
                    f"the lane is {watch.lag:,} messages behind; this machine is slow or busy: going on"
                )
            began = time.time()
            watch.until(screen, "traffic", seconds + 60, lambda: time.time() - began >= seconds, of=seconds)
            ended = time.time()
            watch.probe.finish()
            watch.traffic.finish()
            done = lambda: max(watch.lag, watch.unscored) <= 0 and not watch.probe.is_alive()  # noqa: E731
            watch.until(screen, "catching up", DRAINING, done)
        return began, ended

    def _close(
        self, endpoints: Endpoints, probe: Probe, traffic: Traffic, held: Accounts, span: tuple[float, float]
    ) -> dict[str, str]:
        """Print features, accounts and freshness; returns the entity of the first read. Raises TidemarkError."""
        console = self.console
        wrong, counted = [], recount(endpoints.kafka)
        asked = features.questions(counted)
        closing.heading(console, "features, read through Feast")
        for question in asked:
            answer = features.ask(probe.store, question)
            wrong += features.mismatches(question, answer)
            console.print(
                f"\n  {question.title} (service {question.service})", highlight=False, soft_wrap=True
            )
            console.print(Padding(features.table(question, answer), (0, 2), expand=False))
        sent = {
            f"{stream}_stream": Sent(
                traffic.sent(stream) + (probe.sent if stream == "transactions" else 0),
                traffic.repeated(stream),
                traffic.spoiled(stream),
            )
            for stream in STREAMS
        }
        wrong += held.problems(sent)
        for stream in STREAMS:
            made = sent[f"{stream}_stream"]
            ours = made.messages, made.duplicates, sum(made.malformed.values())
            theirs = counted.messages[stream], counted.duplicates[stream], counted.broken[stream]
            if ours != theirs:
                wrong.append(f"{stream}: sent, duplicate, malformed are {ours}, the topic holds {theirs}")
        found = rescore(endpoints.kafka, *span)
        wrong += found.problems(
            {s: made.messages - made.duplicates - sum(made.malformed.values()) for s, made in sent.items()}
        )
        letters = size(endpoints.kafka, "dead-letter")
        closing.accounts(console, held, sent, traffic.late, letters)
        if wrong:
            raise TidemarkError(
                f"the counts do not add up: {'; '.join(wrong)} (logs and data are kept in {self.place.dir})"
            )
        console.print(
            "  sent = read = used + filtered + no key + too late + duplicate + quarantined for every view, and "
            "the topics read again from their beginning give the counts that Feast serves.",
            highlight=False,
            soft_wrap=True,
        )
        began, ended = span
        measured, before = probe.between(began, ended), probe.between(0, began)
        closing.freshness(console, measured, before, ended - began, self.options.rate)
        closing.scores(console, found, self.options.rate)
        return dict(asked[0].entity)

    def _say(self, text: str) -> None:
        self.console.print(f"{time.monotonic() - self.began:5.1f} s  {text}", highlight=False, soft_wrap=True)


@dataclass
class Watch:
    """Everything that runs while traffic flows."""

    lane: Lane
    scoring: Child
    probe: Probe
    traffic: Traffic
    accounts: Accounts
    console: Console
    read: int = 0
    """Messages that the scoring lane has read."""

    @property
    def lag(self) -> int:
        """Messages that Kafka has acknowledged and no finished batch has read."""
        return self.traffic.tally.acked + self.probe.sent - self.accounts.read

    @property
    def unscored(self) -> int:
        """Messages that Kafka has acknowledged and the scoring lane has not read."""
        return self.traffic.tally.acked + self.probe.sent - self.read

    def until(
        self,
        screen: Screen,
        phase: str,
        patience: float,
        done: Callable[[], bool],
        *,
        of: float | None = None,
        strict: bool = True,
    ) -> bool:
        """Count the lane's reports and show them until `done`, which is the answer.

        Raises what ended a part, and ServiceError when `patience` seconds have not been enough;
        without `strict` that is False instead.
        """
        began = time.monotonic()
        while not done():
            for report in self.lane.reports():
                self.accounts.add(report)
            self.read += sum(report["read"] for report in self.scoring.reports())
            for part in (self.lane, self.scoring, self.probe, self.traffic):
                part.check()
            elapsed = time.monotonic() - began
            if elapsed > patience and not strict:
                return False
            if elapsed > patience:
                raise ServiceError(
                    f"{phase} took more than {patience:.0f} s: give --rate a lower number, or see {self.lane.log}"
                )
            samples = self.probe.between(time.time() - RECENT, time.time())
            p50, p95 = quantile(samples, 0.5), quantile(samples, 0.95)
            sent = self.traffic.tally.sent + self.probe.sent
            screen.show(Now(phase, elapsed, of, sent, self.lag, self.accounts, p50=p50, p95=p95))
            time.sleep(0.25)
        return True


def _sources(store: Any) -> dict[str, str]:
    return {view.name: stream_name(view.stream_source) for view in store.list_stream_feature_views()}


@contextmanager
def _removing(dir: Path) -> Iterator[set[Path]]:
    """Remove `dir` at the end, but keep it for whoever looks into a failure; clear the set to keep it."""
    doomed = {dir}
    try:
        yield doomed
    except KeyboardInterrupt:
        raise
    except BaseException:
        doomed.clear()
        raise
    finally:
        for path in doomed:
            shutil.rmtree(path, ignore_errors=True)


@contextmanager
def _clean_up() -> Iterator[ExitStack]:
    """A stack that is undone whole: a second Ctrl-C does not cut the cleaning short.

    SIGTERM and SIGHUP end the demo as Ctrl-C does.
    """
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    before = {number: signal.getsignal(number) for number in numbers}

    def interrupt(*_: Any) -> None:
        for number in numbers:
            signal.signal(number, signal.SIG_IGN)
        raise KeyboardInterrupt

    for number in numbers:
        signal.signal(number, interrupt)
    try:
        with ExitStack() as stack:
            yield stack
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
