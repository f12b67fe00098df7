"""Feast imported in a third of its time: its classes are left as they are written.

Feast 0.67 has typeguard rewrite its classes from their source whenever it is imported, so that wrong arguments
raise TypeCheckError: 3.5 of 5 seconds. Who defines features runs Feast's own commands, which go on checking.
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from importlib.abc import MetaPathFinder
from types import ModuleType
from typing import Any


class Unchecked(MetaPathFinder):
    """Finds nothing, and has typeguard pass by Feast's classes from the first import of Feast on."""

    def find_spec(self, name: str, path: Sequence[str] | None, target: ModuleType | None = None) -> None:
        if name == "feast":
            sys.meta_path.remove(self)
            _pass_by()


def install() -> None:
    """Before Feast is imported; afterwards it changes nothing."""
    if "feast" not in sys.modules:
        sys.meta_path.insert(0, Unchecked())


def _pass_by() -> None:
    import typeguard

    check: Any = typeguard.typechecked

    def typechecked(target: Any = None, **options: Any) -> Any:
        if getattr(target, "__module__", "").startswith("feast."):
            return target
        return check(target, **options)

    typeguard.typechecked = typechecked
