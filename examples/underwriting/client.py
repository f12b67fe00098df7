"""A caller of the feature server."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import httpx

from streaming.errors import ServiceError, TidemarkError

PATH = "/get-online-features"


def body(service: str, entities: dict[str, list[Any]]) -> dict[str, Any]:
    """A request for a service. Names are full, since views of one service share some."""
    return {"feature_service": service, "entities": entities, "full_feature_names": True}


@dataclass(frozen=True)
class Answer:
    """Features by full name, one value a row; `known` says of each whether there is one.

    Feast's Redis store calls a value of an unknown entity present, and null.
    """

    values: dict[str, list[Any]]
    known: dict[str, list[bool]]

    def __getitem__(self, name: str) -> list[Any]:
        """Of a feature by its full name, or by its own where that is the only one."""
        found = [full for full in self.values if full == name or full.endswith(f"__{name}")]
        if len(found) != 1:
            raise TidemarkError(f"{len(found)} features are called {name}: name the view too, view__feature")
        return self.values[found[0]]


@dataclass(frozen=True)
class Client:
    """Asks the feature server at `url`."""

    url: str

    def ask(self, service: str, entities: dict[str, list[Any]]) -> Answer:
        """Raises TidemarkError with what the server says, ServiceError where none answers."""
        try:
            response = httpx.post(self.url + PATH, json=body(service, entities), timeout=60)
        except httpx.TransportError as error:
            raise ServiceError(
                f"no feature server answers at {self.url} ({error}): start feast serve"
            ) from error
        return read(response)


def read(response: httpx.Response) -> Answer:
    """The features of a response. Raises TidemarkError with what the server says."""
    if response.status_code != 200:
        raise TidemarkError(f"the feature server refuses ({response.status_code}): {response.text[:300]}")
    held = response.json()
    names = held["metadata"]["feature_names"]
    return Answer(
        {name: result["values"] for name, result in zip(names, held["results"], strict=True)},
        {
            name: [
                status == "PRESENT" and value is not None
                for status, value in zip(result["statuses"], result["values"], strict=True)
            ]
            for name, result in zip(names, held["results"], strict=True)
        },
    )
