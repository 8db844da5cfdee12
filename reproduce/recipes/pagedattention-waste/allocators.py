"""Where the cache of a request lives: a buddy allocator of whole reservations, and a pool of small blocks.

Sizes are slots; a slot holds keys and values of one token.
"""

from collections.abc import Iterator


class BuddyPool:
    """Powers of two, split and merged; the pool may be any size, made of the powers of two in it.

    Source: RECIPES names it as Orca's allocator in the paper's comparison (section 6.1).
    """

    def __init__(self, slots: int) -> None:
        self.slots = slots
        self._free: dict[int, set[int]] = {}
        for size, offset in _powers(slots):
            self._free.setdefault(size, set()).add(offset)

    def take(self, slots: int) -> tuple[int, int] | None:
        """(offset, size) of a piece that is large enough, or None; size is a power of two."""
        wanted = 1 << max(0, slots - 1).bit_length()
        size = min((size for size, offsets in self._free.items() if size >= wanted and offsets), default=None)
        if size is None:
            return None
        offset = min(self._free[size])
        self._free[size].remove(offset)
        while size > wanted:
            size //= 2
            self._free.setdefault(size, set()).add(offset + size)
        return offset, size

    def give_back(self, piece: tuple[int, int]) -> None:
        """Frees a piece and merges it with its free buddies."""
        offset, size = piece
        while offset ^ size in self._free.get(size, ()):
            self._free[size].remove(offset ^ size)
            offset, size = min(offset, offset ^ size), 2 * size
        self._free.setdefault(size, set()).add(offset)

    @property
    def free(self) -> int:
        """Slots that nobody holds."""
        return sum(size * len(offsets) for size, offsets in self._free.items())


def _powers(slots: int) -> Iterator[tuple[int, int]]:
    """The powers of two that make up `slots`, largest first, each at a multiple of itself."""
    offset = 0
    for bit in reversed(range(slots.bit_length())):
        if slots >> bit & 1:
            yield 1 << bit, offset
            offset += 1 << bit


class BlockPool:
    """Equal blocks of `block` slots; any free block serves any request."""

    def __init__(self, slots: int, block: int) -> None:
        self.block, self.blocks = block, slots // block
        self._free = list(range(self.blocks))

    def take(self, count: int) -> list[int]:
        """`count` blocks; IndexError if there are not as many, so ask `free` first."""
        if count > len(self._free):
            raise IndexError("There are not as many free blocks.")
        return [self._free.pop() for _ in range(count)]

    def give_back(self, blocks: list[int]) -> None:
        """Frees them."""
        self._free.extend(blocks)

    def needed(self, tokens: int) -> int:
        """Blocks that hold so many tokens."""
        return -(-tokens // self.block)

    @property
    def free(self) -> int:
        """Blocks that nobody holds."""
        return len(self._free)
