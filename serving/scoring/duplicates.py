"""Events that came twice: by event id, within the source's horizon, in the order of their partitions.

The online lane's rule, by Kafka's timestamps instead of the time of its batches: read again, the same events are
duplicates. A copy in another partition, which has another key, is another process's and is not looked for.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field

import numpy as np

from streaming.prepare import Prepared


@dataclass
class Duplicates:
    """The ids of each (source, partition), with when (ms) their first copy arrived."""

    _held: dict[tuple[int, int], OrderedDict[bytes, int]] = field(default_factory=dict)

    def __len__(self) -> int:
        return sum(map(len, self._held.values()))

    def among(self, prepared: Prepared, rows: np.ndarray) -> np.ndarray:
        """Which of the admitted messages `rows` are copies of earlier ones; the others' ids are remembered."""
        found = np.zeros(len(rows), bool)
        raw = np.ascontiguousarray(prepared.identity[rows]).tobytes()
        horizons = [source.watermark_delay for source in prepared.plan.sources]
        columns = (
            prepared.source[rows].tolist(),
            prepared.part[rows].tolist(),
            prepared.arrived[rows].tolist(),
            prepared.identified[rows].tolist(),
        )
        for i, (source, partition, arrived, identified) in enumerate(zip(*columns, strict=True)):
            if not identified:
                continue
            ids = self._held.get((source, partition))
            if ids is None:
                ids = self._held[source, partition] = OrderedDict()
            oldest = arrived - horizons[source]
            one = raw[16 * i : 16 * i + 16]
            first = ids.get(one)
            if first is not None:
                if first >= oldest:
                    found[i] = True
                    continue
                ids.move_to_end(one)
            ids[one] = arrived
            while next(iter(ids.values())) < oldest:
                ids.popitem(last=False)
        return found

    def drop(self, source: int, partition: int) -> None:
        """Forget a partition, which another process reads now."""
        self._held.pop((source, partition), None)
