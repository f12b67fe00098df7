"""The demo's parts: its own copy of the repo, the lane as a child, what is shown."""

import io
import signal
import subprocess
import sys

import pytest
import yaml
from rich.console import Console

from streaming.errors import ServiceError, TidemarkError
from tidemark.demo import closing, features, place
from tidemark.demo.accounts import Accounts
from tidemark.demo.lane import Lane
from tidemark.demo.place import ORIGINAL, Place
from tidemark.demo.probe import quantile
from tidemark.demo.screen import Now, Screen
from tidemark.services import Endpoints

ENDPOINTS = Endpoints("127.0.0.1:1", "127.0.0.1:2", "dir")


def text(shown) -> str:
    console = Console(file=io.StringIO(), width=200)
    console.print(shown)
    return console.file.getvalue()


def test_the_copy_points_at_the_demos_redis_and_the_checkout_stays_as_it_was(tmp_path):
    before = {path: path.read_bytes() for path in ORIGINAL.glob("*.*")}
    copied = Place(tmp_path)
    copied.copy_repo(ENDPOINTS)
    settings = yaml.safe_load((copied.repo / "feature_store.yaml").read_text())
    assert settings["online_store"]["connection_string"] == ENDPOINTS.redis
    assert settings["online_store"]["type"] == "serving.online_store.TiledRedisOnlineStore"
    assert {p.name for p in copied.repo.glob("*.py")} == {p.name for p in ORIGINAL.glob("*.py")}
    assert {path: path.read_bytes() for path in ORIGINAL.glob("*.*")} == before


def test_without_a_feast_repo_the_remedy_is_named(tmp_path):
    with pytest.raises(TidemarkError, match="run the demo in a checkout"):
        Place(tmp_path).copy_repo(ENDPOINTS, tmp_path / "nothing")


def test_a_failed_apply_names_its_log(tmp_path):
    broken = Place(tmp_path)
    broken.copy_repo(ENDPOINTS)
    (broken.repo / "sources.py").write_text("raise ValueError('no sources here')\n")
    with pytest.raises(ServiceError, match=r"no sources here \(log: .*apply.log\)"):
        broken.apply(ENDPOINTS)


def test_a_lane_that_ends_by_itself_is_noticed_and_names_its_log(tmp_path):
    lane = Lane(tmp_path, tmp_path / "c", tmp_path / "lane.log", "--starting-offsets", "sideways")
    lane.process.wait(60)
    with pytest.raises(ServiceError, match=r"exit code 2.*lane\.log"):
        lane.check()
    lane.stop()


def test_stopping_a_lane_leaves_no_child_behind(tmp_path):
    lane = Lane(tmp_path, tmp_path / "c", tmp_path / "lane.log")
    assert lane.process.poll() is None
    lane.stop(timeout=10)
    assert lane.process.poll() is not None
    assert lane.children() == []
    lane.check()


def test_a_lane_that_ignores_the_signal_is_killed_with_its_children(tmp_path):
    script = (
        "import signal, subprocess, sys, time\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-c', 'import time; time.sleep(60)'], start_new_session=True)\n"
        "print('{}', flush=True)\ntime.sleep(60)\n"
    )
    lane = Lane(tmp_path, tmp_path / "c", tmp_path / "lane.log")
    lane.stop(timeout=10)
    lane.process = subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE)
    lane.process.stdout.readline()
    (child,) = lane.children()
    lane.stop(timeout=0.2)
    assert not child.is_running()
    assert lane.process.returncode == -signal.SIGKILL


def test_where_there_is_no_terminal_the_screen_prints_plain_lines():
    console = Console(file=io.StringIO(), width=60)
    with Screen(console) as screen:
        for elapsed in (0, 1, 2):
            screen.show(Now("traffic", elapsed, 60, 10, 3, Accounts({})))
    assert console.file.getvalue() == "traffic 0 of 60 s\n"


def test_a_terminal_gets_a_live_table():
    console = Console(file=io.StringIO(), width=200, force_terminal=True)
    accounts = Accounts({"customers": "orders"})
    counts = (
        "read",
        "used",
        "filtered",
        "no_key",
        "too_late",
        "duplicate",
        "quarantined",
        "late",
        "entities",
    )
    view = dict.fromkeys((*counts, "replayed", "unaccounted"), 7) | {"freshness": 0.25}
    accounts.add(
        {
            "repair": False,
            "read": 7,
            "duplicates": 7,
            "seconds": {},
            "quarantined": {},
            "views": {"customers": view},
        }
    )
    with Screen(console) as screen:
        screen.show(Now("traffic", 1, 60, 10, 3, accounts))
    shown = console.file.getvalue()
    assert "customers" in shown
    assert "0.25 s" in shown


def test_features_are_laid_out_by_window():
    question = features.Question("user U", "risk", {"user_id": "U"}, ("v",), {})
    values = {
        "v__count_1min": 2,
        "v__count_7d": 12_345,
        "v__score": None,
        "w__hidden_1hr": 1,
        "v__pair_n_5min": 1,
    }
    lines = [line.split() for line in text(features.table(question, values)).splitlines()]
    assert lines == [["feature", "value", "1min", "7d"], ["count", "2", "12,345"], ["score", "null"]]


def test_quantiles():
    assert quantile([], 0.5) is None
    assert quantile([0.1, 0.2, 0.9], 0.5) == pytest.approx(0.2)


def test_a_fresh_place_lies_beside_the_services(tmp_path):
    from tidemark.settings import LocalSettings

    settings = LocalSettings(services_dir=tmp_path / "services")
    one, other = place.make(settings), place.make(settings)
    assert one.dir != other.dir
    assert one.dir.parent == tmp_path / "demo"


def test_what_to_try_next_without_keep_is_keep(tmp_path):
    assert closing.commands(None, ENDPOINTS, {}, tmp_path) == ["make demo ARGS=--keep"]


@pytest.mark.parametrize(
    ("samples", "before", "said"),
    [
        (
            [0.2, 0.4, 0.6],
            [9.0],
            "p50 400 ms, p95 580 ms, longest 600 ms (3 measured over 20 s at 2,000 events/s; too few",
        ),
        ([0.2] * 20, [], "p50 200 ms, p95 200 ms, longest 200 ms (20 measured over 20 s at 2,000 events/s)"),
        ([], [9.0], "no probe was made in 20 s, the one before took 9,000 ms: give it more --seconds"),
    ],
)
def test_freshness_says_what_was_measured(samples, before, said):
    console = Console(file=io.StringIO(), width=200)
    closing.freshness(console, samples, before, 20, 2_000)
    assert said in console.file.getvalue()
