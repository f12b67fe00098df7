"""What lives is left out of the collection of garbage, and goes all the same."""

import gc
import weakref

from streaming.garbage import spare


class Thing:
    other: "Thing | None" = None


def test_what_lives_is_spared_and_goes_when_nothing_refers_to_it():
    living, circle = Thing(), Thing()
    circle.other = circle
    seen, lost = weakref.ref(living), weakref.ref(circle)
    del circle
    try:
        spare(thoroughly=True)
        assert lost() is None, "what was garbage is collected first"
        assert gc.get_freeze_count() > 0
        assert not any(held is living for held in gc.get_objects())
        del living
        assert seen() is None
    finally:
        gc.unfreeze()
