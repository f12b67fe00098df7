"""Who applies: members of the shared population, their zip codes and their credit record, month by month."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pandas as pd

from generators.draws import Draws, Floats, Ints, unit
from generators.population import Population

FIRST_MONTH, MONTHS, BEFORE = np.datetime64("2020-06"), 15, 24
"""Snapshots of June 2020 to August 2021; payments are simulated from two years earlier on."""
YOUNGEST_BORN = np.datetime64("2000-08-25")
SAMPLE_ID, SAMPLE_ZIP = "19630621_4278", 76104
ZIP_YEARS = (2017, 2019, 2021)


@dataclass(frozen=True)
class Applicants:
    """Applicants by row; `ids` is YYYYMMDD_NNNN, `risk` standard normal: what the lender cannot see.

    The last row is the applicant of the sample application.
    """

    draws: Draws
    row: Ints
    ids: list[str]
    birth: np.ndarray
    zipcode: Ints
    income: Floats
    risk: Floats

    def __len__(self) -> int:
        return len(self.row)


def applicants(seed: int, size: int) -> Applicants:
    """`size` adults of the population and, last, the sample's."""
    people = Population(seed=seed, users=2 * size + 200).people
    born = np.array(people.account.values("date_of_birth", np.arange(people.size)), dtype="datetime64[D]")
    rows = np.flatnonzero(born < YOUNGEST_BORN)[:size]
    draws = Draws(seed, "credit")
    row = np.arange(size + 1)
    birth = np.append(born[rows], np.datetime64("1963-06-21"))
    ids = _ids(birth, draws.integers("digits", row, 1, 10_000))
    ids[-1] = SAMPLE_ID
    zips = np.array(people.account.values("zip_code", rows), dtype=np.int64)
    typical = np.array([28_000.0, 55_000.0, 90_000.0, 170_000.0])[np.append(people.income[rows], 1)]
    income = typical * np.exp(0.3 * draws.normal("income", row))
    score = np.append(people.credit[rows], 690)
    risk = 0.7 * (690 - score) / 80 + 0.7 * draws.normal("risk", row)
    risk[-1] = -0.6
    return Applicants(draws, row, ids, birth, np.append(zips, SAMPLE_ZIP), income.round(-2), risk)


def _ids(birth: np.ndarray, digits: Ints) -> list[str]:
    """YYYYMMDD_NNNN, no two alike."""
    days = np.char.replace(birth.astype(str), "-", "")
    while True:
        ids = pd.Series([f"{day}_{n:04d}" for day, n in zip(days.tolist(), digits.tolist(), strict=True)])
        again = ids.duplicated().to_numpy()
        if not again.any():
            return ids.tolist()
        digits = np.where(again, digits % 9_999 + 1, digits)


def zip_table(seed: int, held: Ints, *, every: bool = True) -> pd.DataFrame:
    """Zip codes as of January 1st of some years: those of `held` and, with `every`, all of the population's cities."""
    places = Population(seed=seed).places
    city_of: dict[int, int] = {}
    for city, zip3 in enumerate(places.zip3.tolist()):
        for code in range(zip3 * 100, zip3 * 100 + 100):
            city_of.setdefault(code, city)
    codes = np.array(sorted(set(held.tolist()) | (set(city_of) if every else set())), np.int64)
    city = np.array([city_of.get(int(code), 0) for code in codes])
    names = [places.names[i].rsplit(", ", 1) for i in city.tolist()]
    draws = Draws(seed, "zip codes")
    people = (places.inhabitants[city] / 60 * np.exp(0.8 * draws.normal("people", codes))).astype(
        np.int64
    ) + 40
    wage = 34_000 * np.exp(
        0.3 * draws.normal("wage", codes) + 0.05 * np.log(places.inhabitants[city] / 27_000)
    )
    kind = np.searchsorted([0.9, 0.97], draws.uniform("kind", codes), side="right")
    frames = []
    for n, year in enumerate(ZIP_YEARS):
        growth = np.exp(0.02 * n * draws.normal("growth", codes))
        frames.append(
            pd.DataFrame(
                {
                    "zipcode": codes,
                    "city": [name.upper() for name, _ in names],
                    "state": [state for _, state in names],
                    "location_type": np.array(["PRIMARY", "PO BOX", "UNIQUE"])[kind],
                    "tax_returns_filed": (people * growth * 0.45).astype(np.int64),
                    "population": (people * growth).astype(np.int64),
                    "total_wages": (people * growth * 0.45 * wage * 1.03**n).astype(np.int64),
                    "event_timestamp": pd.Timestamp(year, 1, 1, 12, tz="UTC"),
                    "created_timestamp": pd.Timestamp(year, 1, 1, 14, tz="UTC"),
                }
            )
        )
    made = pd.concat(frames, ignore_index=True)
    made.loc[made.zipcode == SAMPLE_ZIP, ["city", "state", "location_type"]] = ["FORT WORTH", "TX", "PRIMARY"]
    return made


def grid(draws: Draws, lane: str, rows: Ints, columns: int) -> Floats:
    """Uniforms, one for each row and column."""
    index = rows[:, None] * 4_096 + np.arange(columns)
    return unit(draws.words(lane, index.ravel())).reshape(index.shape)
