"""What a reader must know about a view's rings beside the rings themselves: one hash for each view."""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Collection, Mapping
from dataclasses import asdict, dataclass, field

from streaming.plan import Feature, Slot, View, Window
from streaming.redis.bulk import Bulk, Fields

Layout = tuple[int, tuple[Slot, ...]]
"""distinct_k and the slots of a tile, in storage order."""


@dataclass(frozen=True)
class ViewMeta:
    """Metadata of one stored view.

    layouts: every tile layout ever written, by View.schema_id. complete_since: feature name -> time
    (ms) from which on its tiles hold every event; a feature not named is not known to be complete
    at any time. features: each of those features as it was defined when that was said, since a
    longer window or another column needs more than the tiles then held. origins: what each of them
    was computed from (`origin`). identity: number of the checkpoint whose rings these are, None when
    nobody has claimed them.
    """

    layouts: Mapping[int, Layout] = field(default_factory=dict)
    complete_since: Mapping[str, int] = field(default_factory=dict)
    features: Mapping[str, Feature] = field(default_factory=dict)
    identity: int | None = None
    origins: Mapping[str, str] = field(default_factory=dict)


def meta_key(project: str, stored_name: str) -> bytes:
    """Redis key of a view's metadata."""
    return f"tidemark:{project}:view:{stored_name}".encode()


def origin(view: View, feature: Feature) -> str:
    """Short hash of what a feature's tiles are made of: source, keys, time, filter and column.

    Empty for a view that was loaded without its SQL. The number of the source's struct is left out:
    it changes when sources are added.
    """
    if not view.timestamp:
        return ""
    of = [view.source, *map(list, view.keys), view.timestamp, view.condition]
    text = json.dumps([*of, dict(view.columns).get(feature.column, "")])
    text = re.sub(r"\bsource_\d+\b", "source", text)
    return hashlib.blake2s(text.encode(), digest_size=8).hexdigest()


def load(bulk: Bulk, project: str, stored_name: str) -> ViewMeta:
    """Metadata of a view, empty when there is none. Raises RedisAway, ServiceError."""
    reply: list[bytes] = bulk.command("HGETALL", meta_key(project, stored_name))
    return parse(dict(zip(reply[::2], reply[1::2], strict=True)))


def parse(stored: Mapping[bytes, bytes]) -> ViewMeta:
    """The metadata in the fields of a view's hash, for readers with a Redis client of their own."""
    layouts: dict[int, Layout] = {}
    complete_since: dict[str, int] = {}
    features: dict[str, Feature] = {}
    origins: dict[str, str] = {}
    identity = None
    for name, value in stored.items():
        kind, _, of = name.decode().partition(":")
        if kind == "layout":
            raw = json.loads(value)
            layouts[int(of)] = (raw["distinct_k"], tuple(Slot(*slot) for slot in raw["slots"]))
        elif kind == "complete":
            raw = json.loads(value)
            complete_since[of] = raw["since"]
            window = Window(raw["length"], raw["slide"])
            features[of] = Feature(of, raw["function"], raw["column"], window, raw["dtype"])
            if told := raw.get("origin"):
                origins[of] = told
        elif kind == "identity":
            identity = int(value)
    return ViewMeta(layouts, complete_since, features, identity, origins)


def save(bulk: Bulk, view: View, complete_since: Mapping[str, int]) -> None:
    """Record the view's layout and from when on each named feature is complete (ms).

    Features left out keep what was said of them. Raises RedisAway, ServiceError.
    """
    slots = [(slot.part, slot.column, slot.kind) for slot in view.slots]
    fields = {b"layout:%d" % view.schema_id: json.dumps({"distinct_k": view.distinct_k, "slots": slots})}
    features = {feature.name: feature for feature in view.features}
    for name, since in complete_since.items():
        feature = features[name]
        said = {
            "since": since,
            "function": feature.function,
            "column": feature.column,
            "dtype": feature.dtype,
            "origin": origin(view, feature),
        }
        said |= asdict(feature.window)
        fields[f"complete:{name}".encode()] = json.dumps(said)
    bulk.hset([_key(view)], Fields({name: [value.encode()] for name, value in fields.items()}))


def retire(bulk: Bulk, view: View, features: Collection[str]) -> None:
    """Forget what was said of features that are no longer computed: their tiles stop growing."""
    if features:
        bulk.command("HDEL", _key(view), *(f"complete:{name}" for name in features))


def claim(bulk: Bulk, view: View, identity: int, expected: int | None) -> bool:
    """Make the rings those of checkpoint `identity`, if their claim is still `expected`.

    Returns whether it was. Raises RedisAway, ServiceError.
    """
    held = None if expected is None else b"%d" % expected
    fields = Fields({b"identity": [b"%d" % identity]})
    return bool(bulk.fenced_hset([_key(view)], b"identity", [held], fields)[0])


def forget(bulk: Bulk, view: View) -> None:
    """Delete the metadata of a view whose rings are deleted."""
    bulk.command("DEL", _key(view))


def _key(view: View) -> bytes:
    return meta_key(view.project, view.stored_name)
