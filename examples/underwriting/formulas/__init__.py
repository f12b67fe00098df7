"""Scores and prices of the underwriting system, as functions over columns.

Each module has `OUTPUTS` (name: type) and `score(inputs) -> {name: list}`, where `inputs` maps names to
columns of equal length, with None where a value is not known. The on-demand views call these.
"""

from collections.abc import Mapping
from typing import Any


def named(view: str, inputs: Mapping[str, Any], outputs: dict[str, Any]) -> dict[str, Any]:
    """Outputs under every name that Feast may look for.

    Online, Feast looks for view__output when full names are asked for and does not make them in Python mode; for
    history, which alone has event_timestamp, it does.
    """
    if "event_timestamp" in inputs:
        return outputs
    return {**outputs, **{f"{view}__{name}": values for name, values in outputs.items()}}
