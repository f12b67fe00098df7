"""A lane's folder: its identity, Spark's checkpoint, and the ledger of every batch's offsets.

<dir>/identity        a random number, made once: rings name it, so a new folder is a new lane
<dir>/rebuilding      there while rings are being rebuilt: a lane must not start on half of them
<dir>/lane            the highest epoch of the lane's leases, and the views it computed last
<dir>/verified        digests of the udfs that were checked against their SQL
<dir>/spark/          Spark's own checkpoint
<dir>/ledger/<n>      JSON lines, a thousand batches a file: Spark forgets batches after a hundred
<dir>/seen/<n>/<p>    the event ids that were new in a batch, by partition (`streaming.seen`)
"""

from __future__ import annotations

import hashlib
import secrets
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import TypeVar

import msgspec
from pyarrow import fs

from streaming.errors import TidemarkError

T = TypeVar("T")
Offsets = dict[str, dict[str, int]]
"""Topic -> partition -> offset, as Spark writes them: the first offset that is not in the batch."""

PER_FILE = 1000
BEFORE_FIRST = -1
"""The number that a rebuild for a new checkpoint has in its ledger: where its first batch begins."""


class Entry(msgspec.Struct, frozen=True):
    """One batch: where it began and ended, and the sources' event-time watermarks (ms) before it.

    `time` is when it was first cut (ms, never behind the batch before), `partitions` in how many its event
    ids are; 0 when the lane drops no duplicates.
    """

    batch: int
    start: Offsets
    end: Offsets
    watermarks: dict[str, int]
    time: int = 0
    partitions: int = 0

    @property
    def digest(self) -> str:
        """Short hash of the end offsets, by which two lanes tell whether they cut a batch alike."""
        text = msgspec.json.encode({t: dict(sorted(p.items())) for t, p in sorted(self.end.items())})
        return hashlib.blake2s(text, digest_size=8).hexdigest()

    def read(self) -> dict[str, int]:
        """Number of messages of each topic."""
        return {
            topic: sum(end - self.start.get(topic, {}).get(p, 0) for p, end in partitions.items())
            for topic, partitions in self.end.items()
        }


class Past(msgspec.Struct, frozen=True):
    """How the lane last ran: the epoch of its lease and the stored names of its views."""

    epoch: int = 0
    views: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Checkpoint:
    """`location` is a local path or a URI that pyarrow can open (s3://, hdfs://, gs://)."""

    location: str

    @cached_property
    def _files(self) -> tuple[fs.FileSystem, str]:
        if "://" in self.location:
            system, path = fs.FileSystem.from_uri(self.location)
            return system, path
        path = Path(self.location).absolute()
        path.mkdir(parents=True, exist_ok=True)
        return fs.LocalFileSystem(), str(path)

    @property
    def spark(self) -> str:
        """Spark's `checkpointLocation`."""
        if "://" in self.location:
            return self.location.rstrip("/") + "/spark"
        return str(Path(self.location).absolute() / "spark")

    def _read(self, name: str) -> bytes | None:
        system, root = self._files
        if system.get_file_info(f"{root}/{name}").type != fs.FileType.File:
            return None
        with system.open_input_stream(f"{root}/{name}") as stream:
            return stream.read()

    def _write(self, name: str, data: bytes) -> None:
        system, root = self._files
        path = f"{root}/{name}"
        system.create_dir(path.rpartition("/")[0], recursive=True)
        if isinstance(system, fs.LocalFileSystem):
            part = f"{path}.{secrets.token_hex(4)}"
            Path(part).write_bytes(data)
            system.move(part, path)
            return
        with system.open_output_stream(path) as stream:
            stream.write(data)

    @cached_property
    def identity(self) -> int:
        """63 bits that no other folder has. Raises TidemarkError when Spark's checkpoint lost its identity."""
        held = self._read("identity")
        if held is None:
            if self._read("spark/metadata") is not None:
                raise TidemarkError(
                    f"{self.location} holds a Spark checkpoint without the lane's identity: "
                    "give --checkpoint an empty folder, then run `tidemark stream reset`"
                )
            held = str(secrets.randbits(63)).encode()
            self._write("identity", held)
        return int(held)

    @property
    def past(self) -> Past:
        """How the lane last ran; no views when it never did."""
        held = self._read("lane")
        return self._decoded(held, Past, "lane") if held else Past()

    def remember(self, past: Past) -> None:
        """Write how the lane runs now."""
        self._write("lane", msgspec.json.encode(past))

    @property
    def verified(self) -> set[str]:
        """Digests of udfs that need no second check; see `streaming.definitions.load`."""
        held = self._read("verified")
        return set(held.decode().split()) if held else set()

    def remember_verified(self, digests: set[str]) -> None:
        """Write what `verified` is to return."""
        if digests != self.verified:
            self._write("verified", "\n".join(sorted(digests)).encode())

    def offsets(self, batch: int) -> Offsets:
        """End offsets of a batch that Spark has planned. Raises TidemarkError when they are gone or cut short."""
        name = f"spark/offsets/{batch}"
        held = self._read(name)
        if not held:
            raise self._damaged(f"has no {name}")
        return self._decoded(held.splitlines()[-1], Offsets, name)

    def start(self, batch: int) -> Offsets:
        """Where a batch begins: the end of the one before, or where the lane first started."""
        if batch > 0:
            return self.offsets(batch - 1)
        name = "spark/sources/0/0"
        held = self._read(name)
        return self._decoded(held[max(held.find(b"{"), 0) :], Offsets, name) if held else {}

    def _decoded(self, data: bytes, kind: type[T], name: str) -> T:
        try:
            return msgspec.json.decode(data, type=kind)
        except msgspec.DecodeError as error:
            raise self._damaged(f"has a {name} that cannot be read ({error})") from error

    def _damaged(self, how: str) -> TidemarkError:
        return TidemarkError(
            f"{self.location} {how}: the checkpoint is damaged, give --checkpoint an empty folder; "
            "for the online lane run `tidemark rebuild` with it first"
        )

    def planned(self) -> bool:
        """Whether Spark has cut a batch, finished or not."""
        return any(True for _ in self._numbers("spark/offsets"))

    @property
    def rebuilding(self) -> bool:
        """Whether a rebuild began and has not ended."""
        return self._read("rebuilding") is not None

    def begin_rebuild(self) -> None:
        """Keep lanes from starting until `end_rebuild`."""
        self._write("rebuilding", b"")

    def end_rebuild(self) -> None:
        """The rings are whole."""
        system, root = self._files
        system.delete_file(f"{root}/rebuilding")

    def last_committed(self) -> int:
        """Newest batch that Spark has committed, -1 when there is none."""
        return max(self._numbers("spark/commits"), default=-1)

    def _numbers(self, folder: str) -> Iterator[int]:
        system, root = self._files
        infos = system.get_file_info(fs.FileSelector(f"{root}/{folder}", allow_not_found=True))
        return (int(info.base_name) for info in infos if info.base_name.removeprefix("-").isdigit())

    def record(self, entry: Entry) -> None:
        """Write a batch into the ledger; one that is there already stays as it is."""
        name = f"ledger/{entry.batch // PER_FILE:08d}"
        # A line of its own, even after one that a crash cut short.
        line = b"\n" + msgspec.json.encode(entry)
        system, root = self._files
        if isinstance(system, fs.LocalFileSystem):
            Path(root, "ledger").mkdir(exist_ok=True)
            with Path(root, name).open("ab") as file:
                file.write(line)
            return
        self._write(name, (self._read(name) or b"") + line)

    def entry(self, batch: int) -> Entry | None:
        """A batch of the ledger, None when it was never recorded."""
        return next((entry for entry in self.entries(batch) if entry.batch == batch), None)

    def entries(self, last: int) -> Iterator[Entry]:
        """The ledger from the batch `last` back to the first."""
        for number in range(last // PER_FILE, BEFORE_FIRST // PER_FILE - 1, -1):
            held = self._read(f"ledger/{number:08d}") or b""
            for line in reversed(held.splitlines()):
                try:
                    entry = msgspec.json.decode(line, type=Entry)
                except msgspec.DecodeError:
                    continue  # empty, or cut short by a crash: then its batch was recorded again
                if entry.batch <= last:
                    yield entry

    def seen(self, batch: int, partition: int) -> bytes | None:
        """The ids that were new in a batch (`streaming.seen.Ids`), None when they are not there."""
        return self._read(f"seen/{batch}/{partition}")

    def remember_seen(self, batch: int, partition: int, ids: bytes) -> None:
        """Write the ids that were new in a batch."""
        self._write(f"seen/{batch}/{partition}", ids)

    def batches_seen(self) -> set[int]:
        """Batches whose ids are held."""
        return set(self._numbers("seen"))

    def forget_seen(self, batch: int) -> None:
        """Delete the ids of a batch."""
        system, root = self._files
        system.delete_dir(f"{root}/seen/{batch}")
