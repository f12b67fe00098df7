"""What a changed definition needs, told before the lane runs: by the rules that the lane itself follows.

nothing   served at once from the tiles that are there
backfill  null until its window was seen whole; `tidemark rebuild` fills it now
rebuild   what the rings hold is not what is asked for; without `tidemark rebuild` it is null, or inexact, for a window
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from streaming.checkpoint import Entry
from streaming.lanes.completeness import Completeness
from streaming.plan import Feature, Plan, View, Window
from streaming.redis import meta
from streaming.redis.meta import ViewMeta

Need = Literal["nothing", "backfill", "rebuild"]
NEEDS: tuple[Need, ...] = ("nothing", "backfill", "rebuild")
UNITS = ((86_400_000, "d"), (3_600_000, "h"), (60_000, "min"), (1000, "s"), (1, "ms"))


@dataclass(frozen=True)
class Change:
    """What is new about a feature. `whole_at` is when (ms) it is whole by itself, None when it is so at once."""

    feature: str
    what: str
    need: Need
    whole_at: int | None = None


@dataclass(frozen=True)
class ViewChanges:
    """A view against what Redis says of it; `note` is for the view as a whole, `known` whether it says anything."""

    view: str
    known: bool
    note: str = ""
    changes: tuple[Change, ...] = ()
    need: Need = "nothing"


@dataclass(frozen=True)
class Lane:
    """What a checkpoint says: whether it finished a batch, its views (stored names), and its identity."""

    committed: bool
    views: Collection[str]
    identity: int | None = None


def compare(
    plan: Plan, held: Mapping[str, ViewMeta], now: int, lane: Lane | None = None
) -> tuple[ViewChanges, ...]:
    """What the plan needs of the rings that `held` describes, by name of the view, at `now` (ms).

    Without a `lane`, the checkpoint is taken to be the one that wrote what is held.
    """
    if lane is None:
        written = [view.stored_name for view in plan.views if held[view.name].features]
        lane = Lane(bool(written), written)
    return tuple(_view(plan, view, held[view.name], now, lane) for view in plan.views)


def _view(plan: Plan, view: View, held: ViewMeta, now: int, lane: Lane) -> ViewChanges:
    if lane.identity is not None and held.identity not in (None, lane.identity):
        note = "its rings belong to another checkpoint: name that one, or run `tidemark stream reset`"
        return ViewChanges(view.name, True, note)
    if not held.features:
        return _unknown(plan, view, held, now, lane)
    if not lane.committed and lane.identity is not None:
        note = "the checkpoint is new: the lane reads its topics from their beginning"
        return ViewChanges(view.name, True, note)
    if not view.timestamp:
        return ViewChanges(view.name, False, "its udf was not compiled: leave out --no-udfs to compare it")
    decides = Completeness(plan, lane.committed, lane.views, "earliest", lambda: now / 1000)
    changes = []
    for feature in view.features:
        since = decides.since(view, feature, held)
        known = held.complete_since[feature.name] if since is None else since
        at = whole_at(feature.window, known)
        change = _feature(view, feature, held, since is None, at if at > now else None, now)
        if change:
            changes.append(change)
    gone = sorted(held.features.keys() - {f.name for f in view.features})
    changes += [Change(name, "no longer computed", "nothing") for name in gone]
    note = "" if view.stored_name in lane.views else "the lane ran without it last"
    return ViewChanges(view.name, True, note, tuple(changes), _most(changes))


def _unknown(plan: Plan, view: View, held: ViewMeta, now: int, lane: Lane) -> ViewChanges:
    if not lane.committed:
        note = "nothing known: the lane reads its topics from their beginning"
        return ViewChanges(view.name, False, note)
    if view.stored_name in lane.views:
        note = "nothing known, although the lane has run: Redis lost it"
        return ViewChanges(view.name, False, note, (), "rebuild")
    decides = Completeness(plan, True, lane.views, "earliest", lambda: now / 1000)
    changes = tuple(
        Change(f.name, "new", "backfill", whole_at(f.window, decides.since(view, f, held) or now))
        for f in view.features
    )
    return ViewChanges(
        view.name, False, "nothing known: the lane has not computed it yet", changes, "backfill"
    )


def _feature(
    view: View, feature: Feature, held: ViewMeta, known: bool, at: int | None, now: int
) -> Change | None:
    name, need = feature.name, "nothing" if at is None else "backfill"
    ks = {k for k, _ in held.layouts.values()}
    if known and feature.function == "count_distinct" and ks and view.distinct_k > max(ks):
        what = f"distinct_k {max(ks)} became {view.distinct_k}: it estimates from fewer until then"
        return Change(name, what, "rebuild", whole_at(feature.window, now))
    if known:
        return Change(name, "fills up", "backfill", at) if at else None
    before = held.features.get(name)
    if before is None:
        return Change(name, "new" if at else "new, from tiles that are there", _need(need), at)
    if (before.function, before.column) != (feature.function, feature.column):
        what = f"{_call(before)} became {_call(feature)}"
    elif held.origins.get(name, "") != meta.origin(view, feature):
        what, need = "its source, keys, time, udf or column changed", "rebuild" if at else "nothing"
    elif before.window != feature.window:
        what = f"window {window(before.window)} became {window(feature.window)}"
        if at and feature.window.slide % before.window.slide:
            need = "rebuild"
    else:
        what = f"type {before.dtype} became {feature.dtype}"
    return Change(name, what, _need(need), at)


def _need(text: str) -> Need:
    return next(need for need in NEEDS if need == text)


def _most(changes: Sequence[Change]) -> Need:
    return max((change.need for change in changes), key=NEEDS.index, default="nothing")


def _call(feature: Feature) -> str:
    return f"{feature.function}({feature.column or '*'})"


def whole_at(window: Window, since: int) -> int:
    """The first moment (ms) at which a window holds nothing from before `since`."""
    return -(-(since + window.length) // window.slide) * window.slide - window.slide


def span(milliseconds: int) -> str:
    """A duration in its largest whole unit, such as 5min."""
    size, unit = next((s, u) for s, u in UNITS if milliseconds % s == 0)
    return f"{milliseconds // size}{unit}"


def window(held: Window) -> str:
    """Length/slide, or the length alone where it tumbles."""
    return f"{span(held.length)}/{span(held.slide)}" if held.slide != held.length else span(held.length)


@dataclass(frozen=True)
class Grown:
    """A topic that has more partitions (`now`) than when the lane last ran (`before`)."""

    topic: str
    before: int
    now: int


def grown(entry: Entry | None, partitions: Mapping[str, int]) -> tuple[Grown, ...]:
    """Topics that grew since the lane's newest batch; `partitions` are those of each topic now."""
    if entry is None:
        return ()
    known = {topic: len(held) for topic, held in entry.end.items()}
    return tuple(
        Grown(topic, known[topic], number)
        for topic, number in sorted(partitions.items())
        if 0 < known.get(topic, 0) < number
    )
