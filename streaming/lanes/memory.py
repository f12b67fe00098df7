"""Which earlier batches a batch must not repeat an event of, and when their event ids are deleted."""

from __future__ import annotations

from dataclasses import dataclass, field

from streaming.checkpoint import Checkpoint, Entry
from streaming.errors import LostWritesError
from streaming.seen import Cut

REPLAYED = 200
"""Batches behind the horizon whose ids stay, so that Redis can lose as many batches and have them back."""


@dataclass
class Memory:
    """A duplicate is dropped for `horizon` ms of processing time after the first copy's batch was cut."""

    checkpoint: Checkpoint
    horizon: int
    _recent: list[Entry] = field(default_factory=list)
    _held: set[int] = field(default_factory=set)

    def live(self, entry: Entry) -> list[Cut]:
        """The batches, oldest first, whose event ids `entry` must not have again.

        Raises LostWritesError when the checkpoint does not have them all.
        """
        if not entry.partitions:
            return []
        if not self._recent or self._recent[-1].batch != entry.batch - 1:
            self._recent = self._from_ledger(entry)
        self._recent = [e for e in self._recent if e.time >= entry.time - self.horizon]
        cuts = [(e.batch, e.partitions) for e in self._recent if e.partitions]
        self._recent.append(entry)
        return cuts

    def _from_ledger(self, entry: Entry) -> list[Entry]:
        found: list[Entry] = []
        for before in self.checkpoint.entries(entry.batch - 1):
            if before.time < entry.time - self.horizon:
                break
            if not found or before.batch < found[-1].batch:
                found.append(before)
        self._held = self.checkpoint.batches_seen()
        if gone := {e.batch for e in found if e.partitions} - self._held:
            raise LostWritesError(
                f"{self.checkpoint.location} no longer has the event ids of batch {min(gone)}, and duplicates "
                "would pass: run `tidemark stream reset` and start the lane on a new checkpoint"
            )
        return found[::-1]

    def forget(self, entry: Entry) -> None:
        """After `entry`: delete the ids that no batch needs any more, nor a repeated one."""
        if not entry.partitions:
            return
        self._held.add(entry.batch)
        last = self._recent[0].batch - REPLAYED
        for batch in [batch for batch in self._held if batch < last]:
            self.checkpoint.forget_seen(batch)
            self._held.remove(batch)
