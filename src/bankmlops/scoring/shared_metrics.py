"""The workers' metrics as one: each leaves its exposition in memory that all share, and whoever is asked adds them up.

The memory is anonymous and made before the workers are forked, so there is no file and a read-only root does not matter. A place
holds its newest text twice over: one half is written while the other stays whole, so that a worker which is killed in the midst
leaves the text before. Counters of workers that ended go on in a place of their own; their gauges end with them.
"""

from __future__ import annotations

import mmap
import struct
import zlib
from collections.abc import Iterable, Iterator
from typing import NamedTuple

from bankmlops.errors import ConflictError

HALF_BYTES = 32 * 1024
_PLACE_BYTES = 2 * HALF_BYTES
_HEAD = struct.Struct("=QII")  # number of the writing, length, CRC-32 of number and text
_EPOCH = struct.Struct("=Q")
_PAST = 0
_LASTING = ("counter", "histogram")
_READINGS = 100
_GLANCES = 3


class SharedMetrics:
    """Places for texts of almost `HALF_BYTES`. The supervisor gives them out; a worker writes its own and reads all."""

    def __init__(self, places: int) -> None:
        self._places = places + 1
        self._memory = mmap.mmap(-1, mmap.PAGESIZE + self._places * _PLACE_BYTES)
        self._free = list(range(places, _PAST, -1))

    def take(self) -> int:
        """An empty place for a new worker. Raises `ConflictError` where all are taken."""
        if not self._free:
            raise ConflictError("too many workers are still finishing what they were asked: try again in a minute")
        return self._free.pop()

    def give_back(self, place: int) -> None:
        """The place's worker has ended: what it counted stays counted."""
        self._count_epoch()
        self.publish(_PAST, add_up([self._read(_PAST), lasting(self._read(place))]))
        for half in (0, 1):
            _HEAD.pack_into(self._memory, _start(place, half), 0, 0, 0)
        self._count_epoch()
        self._free.append(place)

    def publish(self, place: int, text: str) -> None:
        """Leave a text for the others; one that is too long is not left."""
        content = text.encode()
        if len(content) > HALF_BYTES - _HEAD.size:
            return
        number = max(self._half(place, half)[0] for half in (0, 1)) + 1
        start = _start(place, number % 2)
        self._memory[start + _HEAD.size : start + _HEAD.size + len(content)] = content
        _HEAD.pack_into(self._memory, start, number, len(content), _checksum(number, content))

    def gather(self, place: int, own: str) -> str:
        """`own`, which is newer than what its place holds, and what all the others left, as one text."""
        texts: list[str] = []
        for _ in range(_READINGS):  # again where a worker's counts were just being moved to those of the past
            epoch = self._epoch()
            texts = [self._read(other) for other in range(self._places) if other != place]
            if epoch % 2 == 0 and epoch == self._epoch():
                break
        return add_up([own, *texts])

    def _read(self, place: int) -> str:
        """The newest whole text of a place; "" where there is none."""
        for _ in range(_GLANCES):  # its worker may write one half, and then the other, while they are looked at
            number, content = max(self._half(place, half) for half in (0, 1))
            if number:
                return content.decode()
        return ""

    def _half(self, place: int, half: int) -> tuple[int, bytes]:
        number, length, checksum = _HEAD.unpack_from(self._memory, _start(place, half))
        if not number or length > HALF_BYTES - _HEAD.size:
            return 0, b""
        start = _start(place, half) + _HEAD.size
        content = self._memory[start : start + length]
        return (number, content) if checksum == _checksum(number, content) else (0, b"")

    def _epoch(self) -> int:
        return int(_EPOCH.unpack_from(self._memory, 0)[0])

    def _count_epoch(self) -> None:
        _EPOCH.pack_into(self._memory, 0, self._epoch() + 1)


class _Sample(NamedTuple):
    """A line of an exposition, and the TYPE line that it stands under; `name` is empty for the TYPE line itself."""

    head: str
    name: str
    value: float

    @property
    def family(self) -> str:
        return self.head.split()[2]


def add_up(texts: Iterable[str]) -> str:
    """Expositions in Prometheus' text format as one: equal samples are added, but `*_info` stays what it is."""
    return _written(sample for text in texts for sample in _samples(text))


def lasting(text: str) -> str:
    """What of an exposition only ever grows."""
    return _written(sample for sample in _samples(text) if sample.head.split()[3] in _LASTING)


def _samples(text: str) -> Iterator[_Sample]:
    head = ""
    for line in text.splitlines():
        if line.startswith("# TYPE "):
            head = line
            yield _Sample(head, "", 0.0)
        elif line and not line.startswith("#"):
            name, _, value = line.rpartition(" ")
            yield _Sample(head, name, float(value))


def _written(samples: Iterable[_Sample]) -> str:
    families: dict[str, dict[str, float]] = {}
    heads: dict[str, str] = {}
    for sample in samples:
        heads.setdefault(sample.family, sample.head)
        family = families.setdefault(sample.family, {})
        if sample.name:
            before = 0.0 if sample.family.endswith("_info") else family.get(sample.name, 0.0)
            family[sample.name] = before + sample.value
    lines = [line for name, family in families.items() for line in _lines(heads[name], family)]
    return "".join(f"{line}\n" for line in lines)


def _lines(head: str, family: dict[str, float]) -> Iterator[str]:
    yield head
    yield from (f"{name} {value:.15g}" for name, value in family.items())


def _start(place: int, half: int) -> int:
    return mmap.PAGESIZE + place * _PLACE_BYTES + half * HALF_BYTES


def _checksum(number: int, content: bytes) -> int:
    return zlib.crc32(content, number & 0xFFFFFFFF)
