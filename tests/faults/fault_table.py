"""Results of the fault matrix as a table in a page."""

from __future__ import annotations

import os
import platform
import re
import traceback
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

from _pytest.outcomes import Skipped

BEGIN, END = "<!-- the table below is written by make faults -->", "<!-- end of the table -->"


@dataclass
class Result:
    """One row; `recovered` are seconds from the end of a fault to the first batch after it, one for each round."""

    row: str
    fault: str
    when: str
    expected: str
    invariants: str
    recovered: list[float] = field(default_factory=list)
    caught_up: float | None = None
    wrong: str = ""
    note: str = ""
    skipped: str = ""

    @property
    def cells(self) -> list[str]:
        held = sorted(self.recovered)
        times = f"{held[len(held) // 2]:.1f} / {held[-1]:.1f}" if held else "–"
        verdict = f"**FAIL**: {self.wrong}" if self.wrong else self.skipped or "pass"
        return [
            self.row,
            self.fault,
            self.when,
            f"{self.expected}{f' ({self.note})' if self.note else ''}",
            self.invariants,
            verdict,
            times,
            "–" if self.caught_up is None else f"{self.caught_up:.1f}",
        ]


@dataclass
class Results:
    """Every result of a run; `page`, where it is given, has the table after each of them."""

    seed: int
    page: Path | None = None
    held: list[Result] = field(default_factory=list)
    began: datetime = field(default_factory=lambda: datetime.now(UTC))

    def record(self, result: Result, work: Callable[[Result], None]) -> None:
        """Do it, and keep what came of it; an error is raised again."""
        self.held.append(result)
        try:
            work(result)
        except Skipped as skipped:
            result.skipped = f"not run: {skipped}"
            raise
        except BaseException as error:
            where = traceback.extract_tb(error.__traceback__)[-1]
            text = " ".join(str(error).split())[:160].replace("|", "/")
            result.wrong = result.wrong or f"{type(error).__name__} in {where.name}: {text}"
            raise
        finally:
            if self.page:
                self.write(self.page)

    def lines(self) -> list[str]:
        heads = [
            *("#", "fault", "when", "expected", "invariants", "result"),
            *("to recover, p50 / max (s)", "caught up after (s)"),
        ]
        failed = [result.row for result in self.held if result.wrong or result.skipped]
        every = sorted(seconds for result in self.held for seconds in result.recovered)
        ended = datetime.now(UTC)
        said = (
            f"Run of {self.began:%Y-%m-%d %H:%M} UTC, seed {self.seed}, {os.cpu_count()} cores, Linux "
            f"{platform.release().split('-')[0]}, load average {os.getloadavg()[2]:.0f}, {(ended - self.began).total_seconds() / 60:.0f} minutes: "
            f"{len(self.held) - len(failed)} of {len(self.held)} rows pass"
            + (f"; not: {', '.join(failed)}." if failed else ".")
        )
        if every:
            said += (
                f" Time to recover over all {len(every)} faults that were measured: "
                f"p50 {every[len(every) // 2]:.1f} s, max {every[-1]:.1f} s."
            )
        rows = [heads, ["---"] * len(heads), *(r.cells for r in sorted(self.held, key=_place))]
        return [said, "", *(f"| {' | '.join(cells)} |" for cells in rows)]

    def write(self, page: Path) -> None:
        """Put the table where the page has the last one."""
        text = page.read_text()
        before, rest = text.split(BEGIN, 1)
        after = rest.split(END, 1)[1]
        page.write_text("\n".join([before + BEGIN, "", *self.lines(), "", END + after]))


def _place(result: Result) -> tuple[int, str]:
    number = re.search(r"\d+", result.row)
    return int(number[0]) if number else 99, result.row
