"""Unpacked members that were read a short while ago: several rules look at one library, one after the other."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Hashable

KEPT = 192 << 20  # bytes of all members together: room for two of the largest that are unpacked whole


class Recent:
    """Byte strings by key. Those not used for longest go first when all together exceed ``limit`` bytes."""

    def __init__(self, limit: int = KEPT) -> None:
        self._limit, self._size = limit, 0
        self._data: OrderedDict[Hashable, bytes] = OrderedDict()

    def get(self, key: Hashable) -> bytes | None:
        data = self._data.get(key)
        if data is not None:
            self._data.move_to_end(key)
        return data

    def put(self, key: Hashable, data: bytes) -> None:
        if len(data) > self._limit or key in self._data:
            return
        self._data[key] = data
        self._size += len(data)
        while self._size > self._limit:
            self._size -= len(self._data.popitem(last=False)[1])
