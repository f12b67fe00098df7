"""One chunk of events into its entities' rings: read, merge, write behind the fence."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field

import msgspec
import numpy as np

from streaming import tiles as t
from streaming.errors import FencedError, RacedError
from streaming.evaluation import Features, evaluate
from streaming.events import Chunk
from streaming.parts import I64
from streaming.plan import View
from streaming.redis import wire
from streaming.redis.bulk import Bulk
from streaming.redis.resp import Fields
from streaming.ring import Headers, Offsets, RingCodec, Schemas

WRITTEN_WITHIN = 10_000
"""No chunk takes longer (ms) from its read to its write; one that does is run again."""


@dataclass(frozen=True)
class Claim:
    """Who writes: the lane's `identity` (its checkpoint), the `epoch` of its lease, and the batch."""

    identity: int
    epoch: int
    batch: int


@dataclass
class Outcome:
    """Counts of one view in one task; all are sums, so tasks add up."""

    used: int = 0
    too_late: int = 0
    late: int = 0
    no_key: int = 0
    filtered: int = 0
    duplicate: int = 0
    not_finite: int = 0
    entities: int = 0
    replayed: int = 0
    folded: int = 0
    bytes_read: int = 0
    bytes_written: int = 0
    newest: int = 0
    seconds: dict[str, float] = field(default_factory=dict)

    def spent(self, stage: str, since: float) -> float:
        """Add the time since `since` to a stage; returns now."""
        now = time.perf_counter()
        self.seconds[stage] = self.seconds.get(stage, 0.0) + now - since
        return now


Emit = Callable[[View, list[bytes], np.ndarray, Features], None]
"""Receives a view's entity keys, their newest event times (ms) and their features as of then."""


class Merger:
    """Merges chunks of one view.

    An entity whose header already names this batch or a later one is not merged again, but its
    features are emitted again from the ring. Raises FencedError when a ring belongs to another
    checkpoint, or was changed by somebody else between reading and writing.
    """

    def __init__(
        self,
        view: View,
        schemas: Schemas,
        redis: Bulk,
        claim: Claim,
        *,
        write_features: bool,
        emit: Emit | None,
    ):
        self.view = view
        self.codec = RingCodec(view, schemas)
        self.redis = redis
        self.claim = claim
        self.emit = emit
        self.write_features = write_features
        self.keys = wire.EntityKeys(view.project, view.join_keys)
        self.row = wire.FeatureRow(view.stored_name, tuple((f.name, f.dtype) for f in view.features))

    def merge(self, chunk: Chunk, outcome: Outcome) -> None:
        """Merge one chunk and add its counts to `outcome`."""
        outcome.late += chunk.late
        outcome.not_finite += chunk.bad
        outcome.no_key += chunk.no_key
        outcome.filtered += chunk.filtered
        outcome.entities += len(chunk.keys)
        if not chunk.keys:
            return
        clock = time.perf_counter()
        keys = self.keys.encode(entities(self.view, chunk.keys))
        whole = self.emit is not None or self.write_features
        wanted = self.codec.fields if whole else self.codec.fields[:2]
        if self.view.expiry:
            # A ring that expired between its read and its write would seem to be another writer's.
            self.redis.keep(keys, WRITTEN_WITHIN)
        replies = self.redis.hmget(keys, list(wanted))
        columns = list(zip(*replies, strict=True))
        headers = self.codec.decode_headers(columns[0])
        self._check(headers)
        clock = outcome.spent("redis read", clock)
        done = headers.present & (headers.batch >= self.claim.batch)
        newest = np.where(headers.present, np.maximum(headers.newest, chunk.newest), chunk.newest)
        newest[done] = headers.newest[done]
        head = self._head(headers, columns[1], chunk, newest, done, outcome)
        outdated = headers.present & (headers.schema != self.view.schema_id)
        folded = (t.fold(self.view, head, newest) | outdated) & ~done
        outcome.folded += int(folded.sum())
        outcome.replayed += int(done.sum())
        clock = outcome.spent("merge", clock)
        tails = list(columns[2]) if whole else self._tails(keys, folded)
        clock = outcome.spent("redis read", clock)
        outcome.bytes_read += sum(len(blob) for blob in (*columns[1], *tails) if blob)
        old_tail = self.codec.decode_tiles(headers, tails)
        young, aged = t.split(self.view, head, newest, folded)
        tail = self._tail(old_tail, aged, folded, newest)
        written = self._headers(headers, chunk, newest)
        rows = np.flatnonzero(~done)
        fields = self._fields(rows, written, young, tail, folded)
        if whole:
            features = evaluate(
                self.view, t.concat(self.view.slots, [young, self._all_tails(old_tail, tail, folded)]), newest
            )
            if self.write_features:
                fields = fields.joined(self._features(rows, features, newest))
        clock = outcome.spent("merge", clock)
        self._write(keys, rows, columns[0], fields)
        outcome.bytes_written += sum(len(v) for column in fields.columns.values() for v in column if v)
        clock = outcome.spent("redis write", clock)
        if self.emit is not None:
            self.emit(self.view, chunk.keys, newest, features)
            outcome.spent("updates", clock)
        outcome.newest = max(outcome.newest, int(chunk.newest.max()))

    def _check(self, headers: Headers) -> None:
        foreign = headers.present & (headers.identity != np.uint64(self.claim.identity))
        if foreign.any():
            raise FencedError(
                f"{int(foreign.sum())} rings of view {self.view.name} belong to another checkpoint: start the lane on "
                f"that checkpoint, or run `tidemark stream reset --views {self.view.name}` to start over"
            )
        if (headers.epoch[headers.present] > self.claim.epoch).any():
            raise FencedError(f"another lane has taken over view {self.view.name}: this one gives way")

    def _head(self, headers, blobs, chunk: Chunk, newest, done, outcome: Outcome):
        """Heads with the incoming tiles merged in; counts what no window covers as too late."""
        head = self.codec.decode_tiles(headers, blobs)
        incoming = chunk.tiles
        covered = t.alignment(self.view, incoming.start, newest[incoming.entity]) > 0
        outcome.too_late += int((~covered).sum())
        outcome.used += int(covered.sum())
        keep = covered & ~done[incoming.entity]
        items = incoming.items
        keep_items = (t.alignment(self.view, items.start, newest[items.entity]) > 0) & ~done[items.entity]
        return t.merge(self.view, [head, incoming.take(keep, keep_items)], newest)

    def _tails(self, keys: list[bytes], folded: np.ndarray) -> list[bytes | None]:
        tails: list[bytes | None] = [None] * len(keys)
        rows = np.flatnonzero(folded).tolist()
        if rows:
            replies = self.redis.hmget([keys[i] for i in rows], [self.codec.fields[2]])
            for i, (tail,) in zip(rows, replies, strict=True):
                tails[i] = tail
        return tails

    def _tail(self, old: t.Tiles, aged: t.Tiles, folded: np.ndarray, newest: np.ndarray) -> t.Tiles:
        mine = old.take(folded[old.entity], folded[old.items.entity])
        return t.merge(self.view, [mine, aged], newest)

    def _all_tails(self, old: t.Tiles, new: t.Tiles, folded: np.ndarray) -> t.Tiles:
        kept = old.take(~folded[old.entity], ~folded[old.items.entity])
        return t.concat(self.view.slots, [kept, new])

    def _headers(self, old: Headers, chunk: Chunk, newest: np.ndarray) -> Headers:
        count = len(newest)
        offsets = old.offsets.advance(Offsets(chunk.tiles.entity, chunk.part, chunk.offset))
        return Headers(
            np.ones(count, bool),
            np.full(count, self.claim.epoch, I64),
            np.full(count, self.claim.identity, np.uint64),
            np.full(count, self.claim.batch, I64),
            np.full(count, self.view.schema_id, I64),
            newest,
            offsets,
        )

    def _fields(
        self, rows: np.ndarray, headers: Headers, head: t.Tiles, tail: t.Tiles, folded: np.ndarray
    ) -> Fields:
        """What to write for the entities in `rows`; a tail that was not folded stays as it is."""
        entities = len(folded)
        tails = self.codec.encode_tiles(tail, entities)
        blobs: tuple[Sequence[bytes | None], ...] = (
            self.codec.encode_headers(headers),
            self.codec.encode_tiles(head, entities),
            [blob if fold else None for blob, fold in zip(tails, folded.tolist(), strict=True)],
            wire.encode_timestamps(headers.newest),
        )
        chosen = rows.tolist()
        names = (*self.codec.fields, wire.timestamp_field(self.view.stored_name))
        return Fields({name: [column[i] for i in chosen] for name, column in zip(names, blobs, strict=True)})

    def _features(self, rows: np.ndarray, features: Features, newest: np.ndarray) -> Fields:
        """The features of `rows` in Feast's own layout."""
        values = {name: column[rows] for name, column in features.values.items()}
        valid = {name: column[rows] for name, column in features.valid.items()}
        return self.row.fields(values, valid, newest[rows])

    def _write(
        self, keys: list[bytes], rows: np.ndarray, seen: Sequence[bytes | None], fields: Fields
    ) -> None:
        chosen = rows.tolist()
        if not chosen:
            return
        passed = self.redis.fenced_hset(
            [keys[i] for i in chosen],
            self.codec.fields[0],
            [seen[i] for i in chosen],
            fields,
            self.view.expiry,
        )
        if not np.all(passed):
            raise RacedError(
                f"{int((~np.asarray(passed)).sum())} rings of view {self.view.name} were changed by another writer: "
                "the batch is run again"
            )


def entities(view: View, keys: list[bytes]) -> list:
    """Keys as they travel through Spark -> join key values in the order of `view.join_keys`."""
    number = [dtype in ("INT32", "INT64", "UNIX_TIMESTAMP") for _, dtype in view.join_keys]
    if len(number) == 1:
        return [int(key) for key in keys] if number[0] else keys
    decode = msgspec.json.decode
    return [tuple(int(v) if n else v for v, n in zip(decode(key), number, strict=True)) for key in keys]
