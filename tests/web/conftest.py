"""The API on the shipped repo with a real broker and Redis, and a real browser in front of it."""

from __future__ import annotations

import shutil
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import uvicorn
from feast_repos import ROOT, applied
from redis_server import server, wait_for

sys.path += [str(Path(__file__).parent.parent / name) for name in ("serving", "scores")]

from score_world import World

from serving.api.app import Api, create
from serving.api.settings import ApiSettings


@pytest.fixture(scope="session")
def seen(tmp_path_factory: pytest.TempPathFactory) -> Iterator[World]:
    folder = tmp_path_factory.mktemp("web")
    with server(folder / "redis") as running:
        yield World(
            applied(ROOT / "feature_repo", folder / "feature_repo", running.connection), running.connection
        )


@pytest.fixture
def serve(seen: World, kafka: str) -> Iterator[Callable[..., tuple[str, Api]]]:
    """serve(**settings) -> address and application of an API that listens."""
    running: list[tuple[Api, uvicorn.Server, threading.Thread]] = []

    def start(**settings: Any) -> tuple[str, Api]:
        app = create(seen.folder, ApiSettings(api_audit="", kafka=kafka, **settings))
        held = socket.create_server(("127.0.0.1", 0))
        runner = uvicorn.Server(uvicorn.Config(app, log_level="error", timeout_graceful_shutdown=1))
        thread = threading.Thread(target=runner.run, kwargs={"sockets": [held]}, daemon=True)
        thread.start()
        running.append((app, runner, thread))
        wait_for(lambda: runner.started)
        return f"http://127.0.0.1:{held.getsockname()[1]}", app

    yield start
    for app, runner, thread in running:
        app.state.end()
        runner.should_exit = True
        thread.join(10)


@pytest.fixture(scope="session")
def browser() -> Iterator[Any]:
    """Headless Chromium; a test that needs it is skipped without one."""
    chromium = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
    driver = shutil.which("chromedriver")
    if not chromium or not driver:
        pytest.skip("no Chromium: install it (Debian: apt install chromium chromium-driver)")
    from selenium import webdriver
    from selenium.webdriver.chrome.service import Service

    options = webdriver.ChromeOptions()
    options.binary_location = chromium
    for option in ("--headless=new", "--no-sandbox", "--disable-dev-shm-usage", "--window-size=1440,1250"):
        options.add_argument(option)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    found = webdriver.Chrome(options, Service(driver))
    try:
        found.set_page_load_timeout(30)
        yield found
    finally:
        found.quit()
