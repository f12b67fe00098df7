"""The benchmark of rings runs, and its rings are of the size it says."""

import numpy as np

from benchmarks.rings import AGES, NOW, WINDOWS, make_events, make_view, run


def test_it_measures_every_kind_of_ring():
    report = run(entities=40, seconds=0.01)
    assert list(report) == ["4 tiles", "100 tiles", "4 tiles + distinct", "100 tiles + distinct"]
    assert 3 <= report["4 tiles"]["tiles"] <= 4
    assert 60 <= report["100 tiles"]["tiles"] <= 100
    assert report["100 tiles + distinct"]["bytes"] > report["100 tiles"]["bytes"] > report["4 tiles"]["bytes"]
    assert all(figure > 0 for figures in report.values() for figure in figures.values())


def test_its_view_is_the_one_it_describes():
    view = make_view(distinct=True)
    assert (len(view.windows), len(view.features)) == (5, 35)

    events = make_events(view, 7, 100, AGES[100], np.random.default_rng(0))
    assert len(events) == 700
    assert NOW - WINDOWS[-1].length <= events.start.min() <= events.start.max() <= NOW
