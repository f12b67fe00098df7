"""Each source's event-time watermark before each batch: the same however often the batch is run."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import msgspec

from streaming.checkpoint import Checkpoint, Entry


class After(msgspec.Struct, frozen=True):
    """The sources' watermarks (ms) after a batch."""

    batch: int
    watermarks: dict[str, int]


@dataclass(frozen=True)
class MarkedCheckpoint(Checkpoint):
    """A lane's folder that also keeps <dir>/watermarks, those after the last batch."""

    def after(self) -> After:
        held = self._read("watermarks")
        return msgspec.json.decode(held, type=After) if held else After(-1, {})

    def remember_after(self, after: After) -> None:
        self._write("watermarks", msgspec.json.encode(after))


@dataclass
class Ledger:
    """Of a query that reads Kafka. A watermark is the newest event time of the batches before, less the delay."""

    checkpoint: MarkedCheckpoint
    _running: After = field(default=After(-1, {}), init=False)

    def begin(self, batch: int) -> Entry:
        """The batch's entry: that of its first attempt, where there was one."""
        entry = self.checkpoint.entry(batch)
        if entry is None:
            watermarks = self.checkpoint.after().watermarks
            offsets = self.checkpoint.start(batch), self.checkpoint.offsets(batch)
            entry = Entry(batch, *offsets, watermarks)
            self.checkpoint.record(entry)
        self._running = After(batch, dict(entry.watermarks))
        return entry

    def end(self, newest: Mapping[str, int], delays: Mapping[str, int]) -> None:
        """Note the newest event times (ms) of the batch that began last, by source. Before Spark commits it."""
        watermarks = self._running.watermarks
        for source, time in newest.items():
            watermarks[source] = max(watermarks.get(source, time - delays[source]), time - delays[source])
        self.checkpoint.remember_after(self._running)
