"""The version of a view's definition: one short text that changes when its features may."""

from __future__ import annotations

import hashlib
import json
import re

from streaming.plan import Plan, View


def definition(plan: Plan, view: View) -> str:
    """16 hexadecimal digits of what a view computes: its keys, columns, condition, time and features.

    The view's name, other views, other sources and where anything is stored do not matter. The plan must have been
    compiled with Spark: without, the SQL of views with a udf is unknown.
    """
    number = [source.name for source in plan.sources].index(view.source)
    struct = re.compile(rf"\bsource_{number}\b")

    def plain(sql: str) -> str:
        # A source's number changes when others come and go.
        return struct.sub("source", sql)

    content = {
        "source": view.source,
        "keys": [[name, type_] for name, type_ in view.join_keys],
        "key sql": [[name, plain(sql)] for name, sql in view.keys],
        "columns": [[name, plain(sql)] for name, sql in view.columns],
        "timestamp": plain(view.timestamp),
        "condition": plain(view.condition),
        "distinct_k": view.distinct_k,
        "slots": [[slot.name, slot.kind] for slot in view.slots],
        "features": [
            [f.name, f.function, f.column, f.window.length, f.window.slide, f.dtype] for f in view.features
        ],
    }
    text = json.dumps(content, sort_keys=True, separators=(",", ":"))
    return hashlib.blake2b(text.encode(), digest_size=8).hexdigest()
