"""What the lane says became of every message, held against what was sent."""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

OUTCOMES = ("used", "filtered", "no_key", "too_late", "duplicate", "quarantined")


@dataclass(frozen=True)
class Sent:
    """A topic's messages as the producer counted them; `malformed` by kind."""

    messages: int
    duplicates: int
    malformed: Mapping[str, int]


@dataclass
class Accounts:
    """The lane's reports added up. `source_of` names the source of each view."""

    source_of: Mapping[str, str]
    views: dict[str, Counter[str]] = field(default_factory=dict)
    read: int = 0
    duplicates: int = 0
    batches: int = 0
    quarantined: dict[str, Counter[str]] = field(default_factory=dict)
    freshness: dict[str, float] = field(default_factory=dict)
    seconds: deque[float] = field(default_factory=lambda: deque(maxlen=15))

    def add(self, line: Mapping[str, Any]) -> None:
        """Count one batch; see `streaming.lanes.report`. A repair counts nothing: its messages were counted before."""
        if line["repair"]:
            return
        self.batches += 1
        self.read += line["read"]
        self.duplicates += line["duplicates"]
        if (seconds := line["seconds"].get("spark triggerExecution")) is not None:
            self.seconds.append(seconds)
        for source, reasons in line["quarantined"].items():
            self.quarantined.setdefault(source, Counter()).update(reasons)
        for name, view in line["views"].items():
            counts = {k: view[k] for k in ("read", *OUTCOMES, "late", "replayed", "unaccounted", "entities")}
            self.views.setdefault(name, Counter()).update(counts)
            if view["freshness"] is not None:
                self.freshness[name] = view["freshness"]

    def problems(self, sent: Mapping[str, Sent]) -> list[str]:
        """Every sum that does not come out, in words; `sent` is by source. Empty when all is well."""
        wrong = []
        for name, source in self.source_of.items():
            view, made = self.views.get(name, Counter()), sent[source]
            outcomes = sum(view[outcome] for outcome in OUTCOMES)
            malformed = sum(made.malformed.values())
            for what, said, expected in (
                ("read", view["read"], made.messages),
                ("used + filtered + no key + too late + duplicate + quarantined", outcomes, view["read"]),
                ("unaccounted", view["unaccounted"], 0),
                ("duplicate", view["duplicate"], made.duplicates),
                ("quarantined", view["quarantined"], malformed),
            ):
                if said != expected:
                    wrong.append(f"{name}: {what} is {said:,}, not {expected:,}")
        dropped = sum(made.duplicates for made in sent.values())
        if self.duplicates != dropped:
            wrong.append(f"the lane dropped {self.duplicates:,} duplicates, {dropped:,} were sent")
        return wrong
