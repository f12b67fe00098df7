"""Who reads: the tiled Feast online store.

`as_of` asks online reads for another moment than now:

    with serving.as_of(datetime(2026, 1, 1, 12, tzinfo=UTC)):
        store.get_online_features(features, entity_rows)
"""

from serving.moment import as_of

__all__ = ["as_of"]
