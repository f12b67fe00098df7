"""Results of parity, kept so that a trend can be drawn: a JSON file for each run in <root>/parity."""

from __future__ import annotations

from datetime import datetime

import msgspec
from pyarrow import fs

from streaming.history.backfill import place
from streaming.history.parity import FeatureParity


class Result(msgspec.Struct, frozen=True):
    """One feature in one run."""

    view: str
    feature: str
    compared: int
    equal: int
    mismatched: int
    missing: int
    largest: float
    reasons: dict[str, int]
    example: str

    @staticmethod
    def of(view: str, feature: str, found: FeatureParity) -> Result:
        """A feature's counts as they are kept."""
        counts = found.compared, found.equal, found.mismatched, found.missing
        return Result(view, feature, *counts, found.largest, dict(found.reasons), found.example)

    @property
    def wrong(self) -> int:
        """Values that are not equal."""
        return self.compared - self.equal


class Run(msgspec.Struct, frozen=True):
    """A run: when (ISO 8601), how many vectors were `logged`, `read` and `scored`, and every feature.

    Vectors of the scoring lane are compared apart, as the view `NAME (scored)`.
    """

    at: str
    logged: int
    read: int
    results: list[Result]
    scored: int = 0

    @property
    def compared(self) -> int:
        """Values compared."""
        return sum(result.compared for result in self.results)

    @property
    def wrong(self) -> int:
        """Values that are not equal."""
        return sum(result.wrong for result in self.results)

    def of_view(self, view: str) -> list[Result]:
        """The view's features."""
        return [result for result in self.results if result.view == view]


def keep(root: str, run: Run) -> str:
    """Write a run; where it is."""
    system, folder = place(f"{root.rstrip('/')}/parity")
    system.create_dir(folder)
    name = datetime.fromisoformat(run.at).strftime("%Y%m%dT%H%M%S%f")
    with system.open_output_stream(f"{folder}/{name}.json") as file:
        file.write(msgspec.json.encode(run))
    return f"{folder}/{name}.json"


def kept(root: str) -> list[Run]:
    """Every run, oldest first."""
    system, folder = place(f"{root.rstrip('/')}/parity")
    infos = system.get_file_info(fs.FileSelector(folder, allow_not_found=True))
    runs = []
    for info in sorted(infos, key=lambda info: info.base_name):
        if info.base_name.endswith(".json"):
            with system.open_input_stream(info.path) as file:
                runs.append(msgspec.json.decode(file.read(), type=Run))
    return runs
