"""The collection of garbage, kept off what lives long.

Python looks at every object of a process whenever a quarter more have come to stay: a third of a second, in which
nothing else runs, for what Feast, pandas and Spark import alone.
"""

from __future__ import annotations

import gc


def spare(*, thoroughly: bool = False) -> None:
    """Leave what lives now out of every later collection; it still goes when nothing refers to it any more.

    Only what is young is looked at before, `thoroughly` everything. A cycle of references that is in use now is
    never collected, so call this where nothing is half done.
    """
    gc.collect(2 if thoroughly else 1)
    gc.freeze()
