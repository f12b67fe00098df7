"""From when on a feature's tiles hold every event, so that no part of a window is served as the whole."""

from __future__ import annotations

from collections.abc import Callable, Collection

from streaming.lanes.topics import log_begins
from streaming.plan import Feature, Plan, Source, View
from streaming.redis import meta
from streaming.redis.bulk import Bulk


class Completeness:
    """What one start of a lane says about its features.

    `committed`: the checkpoint has finished a batch. `before`: the views it computed when it last
    ran. `clock` is in seconds.
    """

    def __init__(
        self,
        plan: Plan,
        committed: bool,
        before: Collection[str],
        starting_offsets: str,
        clock: Callable[[], float],
    ) -> None:
        self.plan = plan
        self.committed = committed
        self.before = before
        self.latest = starting_offsets == "latest"
        self.clock = clock
        self._unplaced = self.latest and not committed

    def record(self, bulk: Bulk, view: View, held: meta.ViewMeta) -> None:
        """Write what is new about a view's features, and forget those that it no longer has."""
        since = {f.name: self.since(view, f, held) for f in view.features}
        meta.save(bulk, view, {name: time for name, time in since.items() if time is not None})
        meta.retire(bulk, view, held.features.keys() - since.keys())

    def begin(self, bulk: Bulk) -> None:
        """Called as a batch begins: by then it is settled where the lane, started at `latest`, begins."""
        if not self._unplaced:
            return
        self._unplaced = False
        for view in self.plan.views:
            source = next(s for s in self.plan.sources if s.name == view.source)
            meta.save(bulk, view, {f.name: self._now(source) for f in view.features})

    def _now(self, source: Source) -> int:
        """An event time (ms) that no event has that is in Kafka already."""
        return int(self.clock() * 1000) + source.max_future_skew

    def since(self, view: View, feature: Feature, held: meta.ViewMeta) -> int | None:
        """From when on (ms) the feature's tiles will be whole, None when that is already recorded."""
        source = next(s for s in self.plan.sources if s.name == view.source)
        known = _known(view, feature, held)
        if not self.committed:
            if self.latest:
                return self._now(source)
            return None if known else log_begins(source, self._now(source))
        if view.stored_name not in self.before:
            return self._now(source)
        return None if known else self._from_others(view, feature, held, self._now(source))

    def _from_others(self, view: View, feature: Feature, held: meta.ViewMeta, now: int) -> int:
        """A new window over what other features have kept in tiles that fit it, or nothing but the future."""
        found = [now]
        for other in held.features.values():
            alike = (other.function, other.column) == (feature.function, feature.column)
            # Tiles are aligned to every slide whose window still covers them.
            fits = feature.window.slide % other.window.slide == 0
            if alike and fits and held.origins.get(other.name, "") == meta.origin(view, feature):
                longer = feature.window.length > other.window.length
                if longer and view.expiry:
                    continue  # a ring written before the change may have expired since
                dropped = now - other.window.length + other.window.slide if longer else 0
                found.append(max(held.complete_since[other.name], dropped))
        return min(found)


def _known(view: View, feature: Feature, held: meta.ViewMeta) -> bool:
    same_origin = held.origins.get(feature.name, "") == meta.origin(view, feature)
    return same_origin and held.features.get(feature.name) == feature
