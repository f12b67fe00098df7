"""The versions of a model in a folder, and which of them is served.

<models>/<name>/<version>/ holds a model and its report; <models>/<name>/promoted.json says which versions were
promoted, the last of them being the one in use. A version is written under another name first and renamed, so a
reader sees all of it or nothing.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from datetime import datetime
from pathlib import Path

import msgspec

from streaming.plan import Plan
from training.models.card import Card
from training.models.model import CARD, Model, ModelError, load


class Step(msgspec.Struct, frozen=True):
    """A change of the version in use, and why."""

    at: datetime
    version: str
    why: str


class Promotions(msgspec.Struct, frozen=True):
    """`stack` ends with the version in use; a rollback takes it off. `steps` are all changes."""

    stack: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()


class Shelf:
    """The versions of the model `name` below the folder `root`."""

    def __init__(self, root: Path | str, name: str) -> None:
        if not re.fullmatch(r"[A-Za-z0-9][\w.-]*", name):
            raise ModelError(f"{name!r} cannot be a model's name: use letters, digits, -, _ and .")
        self.name, self.folder = name, Path(root) / name

    def versions(self) -> list[str]:
        """All versions, the oldest first."""
        if not self.folder.is_dir():
            return []
        held = [p.name for p in self.folder.iterdir() if p.name.isdigit() and (p / CARD).is_file()]
        return sorted(held, key=int)

    def card(self, version: str) -> Card:
        """What is said of a version. Raises ModelError when there is none."""
        self._check(version)
        try:
            return msgspec.json.decode((self.folder / version / CARD).read_bytes(), type=Card)
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"the card of {self.name} {version} cannot be read ({error}): train again"
            ) from error

    def add(self, fill: Callable[[Path, str], None]) -> str:
        """The next version: `fill` writes it into the empty folder it is given, with the version's name."""
        self.folder.mkdir(parents=True, exist_ok=True)
        while True:
            version = str(max([int(v) for v in self.versions()], default=0) + 1)
            place = self.folder / f".{version}.{uuid.uuid4().hex[:8]}.tmp"
            place.mkdir()
            fill(place, version)
            try:
                place.rename(self.folder / version)
            except OSError:
                # Another training took the number meanwhile.
                for file in place.iterdir():
                    file.unlink()
                place.rmdir()
                continue
            return version

    def promotions(self) -> Promotions:
        """Raises ModelError when the file cannot be read."""
        try:
            return msgspec.json.decode(self._promoted.read_bytes(), type=Promotions)
        except FileNotFoundError:
            return Promotions()
        except msgspec.MsgspecError as error:
            raise ModelError(
                f"{self._promoted} cannot be read ({error}): delete it, then `tidemark models promote {self.name} VERSION`"
            ) from error

    @property
    def promoted(self) -> str | None:
        """The version in use."""
        stack = self.promotions().stack
        return stack[-1] if stack else None

    def promote(self, version: str, at: datetime, why: str = "by hand") -> None:
        """Use a version from now on. Raises ModelError when there is none, or it is damaged."""
        self._check(version)
        load(self.folder / version)
        held = self.promotions()
        stack = held.stack if held.stack[-1:] == (version,) else (*held.stack, version)
        self._write(Promotions(stack, (*held.steps, Step(at, version, why))))

    def rollback(self, at: datetime) -> str:
        """Use the version that was in use before; returns it. Raises ModelError when there was none."""
        held = self.promotions()
        if len(held.stack) < 2:
            raise ModelError(
                f"model {self.name} has no earlier version to go back to: `tidemark models promote {self.name} VERSION`"
            )
        before = held.stack[-2]
        self._check(before)
        load(self.folder / before)
        steps = (*held.steps, Step(at, before, f"rollback of {held.stack[-1]}"))
        self._write(Promotions(held.stack[:-1], steps))
        return before

    def current(self, plan: Plan | None = None) -> Model | None:
        """The version in use, None when none was promoted; see `training.models.model.load`."""
        version = self.promoted
        return None if version is None else load(self.folder / version, plan)

    def _check(self, version: str) -> None:
        known = self.versions()
        if version not in known:
            listed = ", ".join(known) or f"none; run `tidemark train {self.name}`"
            raise ModelError(f"model {self.name} has no version {version}: choose from {listed}")

    @property
    def _promoted(self) -> Path:
        return self.folder / "promoted.json"

    def _write(self, promotions: Promotions) -> None:
        unfinished = self._promoted.with_name(f".promoted.{uuid.uuid4().hex[:8]}.tmp")
        unfinished.write_bytes(msgspec.json.format(msgspec.json.encode(promotions), indent=1))
        unfinished.replace(self._promoted)


def current(root: Path | str, name: str, plan: Plan | None = None) -> Model | None:
    """The promoted version of the model `name` below `root`, None while there is none.

    With a `plan` (compiled with Spark, or what `streaming.definitions.load` gives without) a view that is defined
    otherwise than when the model was trained is refused. Raises ModelError.
    """
    return Shelf(root, name).current(plan)


def names(root: Path | str) -> list[str]:
    """The models below `root`."""
    held = Path(root)
    return sorted({card.parts[-3] for card in held.glob(f"*/*/{CARD}") if card.parts[-2].isdigit()})
