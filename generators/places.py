"""Where people, merchants and machines are. Faker names the cities; no real person is involved."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from faker import Faker

from generators.draws import Draws, Floats, Ints

COUNTRIES = (
    "United States",
    "Canada",
    "Mexico",
    "United Kingdom",
    "Germany",
    "France",
    "Spain",
    "Japan",
    "Nigeria",
    "Romania",
    "Russia",
    "China",
    "Pakistan",
    "Indonesia",
    "Philippines",
    "Vietnam",
    "Bangladesh",
)
RISKY_COUNTRIES = 8
"""Countries from this one on are on the networks' watch lists."""

RISKY_CITIES = (
    ("Miami, FL", 25.76, -80.19),
    ("New Orleans, LA", 29.95, -90.07),
    ("Houston, TX", 29.76, -95.37),
    ("Phoenix, AZ", 33.45, -112.07),
    ("Detroit, MI", 42.33, -83.05),
    ("Newark, NJ", 40.74, -74.17),
    ("Baltimore, MD", 39.29, -76.61),
    ("Memphis, TN", 35.15, -90.05),
)
"""Cities where insurers see more claims; the first rows of the places."""

_CENTRES = {
    "AL": (32.8, -86.8), "AR": (34.9, -92.4), "CA": (36.8, -119.4), "CO": (39.0, -105.5),
    "GA": (32.6, -83.4), "IA": (42.0, -93.5), "ID": (44.4, -114.6), "IL": (40.0, -89.2),
    "IN": (39.9, -86.3), "KS": (38.5, -98.4), "KY": (37.5, -85.3), "MA": (42.3, -71.8),
    "ME": (45.4, -69.2), "MN": (46.3, -94.3), "MO": (38.4, -92.5), "MS": (32.7, -89.7),
    "MT": (47.1, -109.6), "NC": (35.6, -79.4), "ND": (47.5, -100.5), "NE": (41.5, -99.8),
    "NM": (34.4, -106.1), "NV": (39.3, -116.6), "NY": (42.9, -75.5), "OH": (40.3, -82.8),
    "OK": (35.6, -97.5), "OR": (43.9, -120.6), "PA": (40.9, -77.8), "SC": (33.9, -80.9),
    "SD": (44.4, -100.2), "TN": (35.9, -86.4), "TX": (31.5, -99.3), "UT": (39.3, -111.7),
    "VA": (37.5, -78.9), "VT": (44.1, -72.7), "WA": (47.4, -120.4), "WI": (44.6, -90.0),
    "WV": (38.6, -80.6), "WY": (43.0, -107.6),
}  # fmt: skip

REGIONS = 8


@dataclass(frozen=True)
class Places:
    """Cities by row: name, centre in degrees, inhabitants, region (0 to 7), first three zip digits."""

    names: tuple[str, ...]
    lat: Floats
    long: Floats
    inhabitants: Ints
    region: Ints
    zip3: Ints


def make_places(seed: int, cities: int = 400) -> Places:
    """The cities of a population; the same seed gives the same cities."""
    draws = Draws(seed, "places")
    fake = Faker("en_US")
    fake.seed_instance(seed)
    row = np.arange(cities)
    states = [sorted(_CENTRES)[i] for i in draws.integers("state", row, 0, len(_CENTRES)).tolist()]
    lat = np.array([_CENTRES[s][0] for s in states]) + 1.2 * draws.normal("lat", row)
    long = np.array([_CENTRES[s][1] for s in states]) + 1.5 * draws.normal("long", row)
    names = [f"{fake.city()}, {state}" for state in states]
    for i, (name, city_lat, city_long) in enumerate(RISKY_CITIES):
        names[i], lat[i], long[i] = name, city_lat, city_long
    inhabitants = np.exp(10.2 + 1.3 * draws.normal("size", row))
    inhabitants[: len(RISKY_CITIES)] += 400_000
    region = 4 * (lat > 38.5) + np.searchsorted([-104.0, -92.0, -82.0], long)
    zip3 = draws.integers("zip", row, 10, 999)
    return Places(tuple(names), lat.round(4), long.round(4), inhabitants.astype(np.int64), region, zip3)
