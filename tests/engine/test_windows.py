"""Which events a window holds, drawn as time lines: numbers are event times in ms, [ ] the window.

Every case is also put to the oracle, so that the pictures, the oracle and the engine agree.
"""

import pytest
from oracle import feature_value
from small_lane import SmallLane, make_view


def counts(windows, times, at):
    """Number of events that each window holds at `at`, after feeding `times` one by one."""
    view = make_view(*windows, functions=("count",))
    lane = SmallLane(view)
    for offset, time in enumerate(times):
        lane.feed([(0, (time, 0, offset, {"amount": 1.0}))])
    read = lane.read([at])[0]
    result = [int(read[f"events_{length}_{slide}"]) for length, slide in windows]
    assert result == [feature_value(lane.events[0], "count", "", w, s, at) for w, s in windows]
    return result


def test_tumbling_window_begins_with_its_first_millisecond():
    # 59 60      80         119 120
    #  x [x       x          x] |        window 60, slide 60
    assert counts([(60, 60)], [59, 60, 80, 119], at=119) == [3]


def test_tumbling_window_is_empty_again_at_its_end():
    #     60      80         119 120
    #    (x       x          x) [t         seen and idle: a zero, not a null
    assert counts([(60, 60)], [60, 80, 119], at=120) == [0]


def test_sliding_window_keeps_its_tail_within_a_slide():
    #  0    10                       60   69
    # [x    x                        x    t      E = 70, E - W = 10: 0 has left, 10 has not
    assert counts([(60, 10)], [0, 9, 10, 60], at=69) == [2]
    # one millisecond later E = 80, E - W = 20
    assert counts([(60, 10)], [0, 9, 10, 60], at=70) == [1]


def test_sliding_window_is_exact_at_its_head():
    #   10               59 60
    #  [x                 x]  t = 59    the event at t is in
    assert counts([(60, 10)], [10, 59], at=59) == [2]


def test_latest_event_is_inside_every_window():
    #                 t = newest = 1000
    # ...............[x]   even the shortest window, at the first millisecond of a slide
    assert counts([(1, 1), (10, 5), (100, 100)], [1000], at=1000) == [1, 1, 1]


def test_wall_clock_ages_values_without_new_events():
    #  100 105 110                              last event, then silence
    #   x   x   x . . . .
    windows = [(10, 5), (60, 30)]
    times = [100, 105, 110]
    assert counts(windows, times, at=110) == [2, 3]  # [105..110], [60..110]
    assert counts(windows, times, at=114) == [2, 3]
    assert counts(windows, times, at=115) == [1, 3]  # [110..115]
    assert counts(windows, times, at=120) == [0, 3]  # [115..120], [90..120]
    assert counts(windows, times, at=149) == [0, 3]
    assert counts(windows, times, at=150) == [0, 0]  # [120..150]


def test_late_event_finds_its_own_tile():
    #   0        40            100 (newest)        the event at 40 comes last
    #  [         x              x]
    assert counts([(20, 5), (120, 30)], [100, 40], at=100) == [1, 2]


def test_late_event_into_a_tile_that_has_already_coarsened():
    # base 5                  30 s tiles once past the short window
    #  |30 . . . . . |60 . . . |   100
    #   31     44 47  (late)        x
    assert counts([(20, 5), (120, 30)], [31, 44, 100, 47, 30, 59, 60], at=100) == [1, 7]


def test_event_is_too_late_only_when_no_window_covers_it():
    #  0       10                        129
    #  x       x                          x      E = 130, longest window [10..130)
    assert counts([(20, 10), (120, 10)], [129, 10, 9], at=129) == [1, 2]


def test_late_event_behind_the_window_of_a_moment_that_is_past_stays_out():
    #  the newest event is at 500; at 999 nothing of it is left
    assert counts([(100, 50)], [500, 460, 449], at=500) == [2]
    assert counts([(100, 50)], [500, 460, 449], at=999) == [0]


def test_windows_of_one_length_differ_by_their_slide():
    # t = 61, W = 60:  slide 60 -> [60..], slide 20 -> [20..], slide 5 -> [5..], slide 1 -> [2..]
    assert counts([(60, 60), (60, 20), (60, 5), (60, 1)], [2, 5, 20, 60, 61], at=61) == [2, 3, 4, 5]


def test_slides_with_a_small_common_divisor():
    # slides 9, 10 and 14 share only 1: tiles of 1 ms, until the windows have passed
    # t = 150: E = 153, 160, 154  ->  begins at 153-90 = 63, 160-100 = 60, 154-140 = 14
    assert counts([(90, 9), (100, 10), (140, 14)], [13, 14, 59, 60, 62, 63, 150], at=150) == [2, 4, 6]


def test_before_the_epoch():
    # -61 -60       -1
    #   x [x         x]  0      tumbling: floor, not truncation towards zero
    assert counts([(60, 60)], [-61, -60, -1], at=-1) == [2]


@pytest.mark.parametrize("newest", range(200, 215))
def test_every_boundary_of_a_small_window(newest):
    # all milliseconds of 100 ms before the newest event, one event each
    times = list(range(newest - 100, newest + 1))
    got = counts([(12, 4), (30, 10), (42, 6), (80, 80)], times, at=newest)
    assert got == [
        newest - ((newest // s + 1) * s - w) + 1 for w, s in [(12, 4), (30, 10), (42, 6), (80, 80)]
    ]
