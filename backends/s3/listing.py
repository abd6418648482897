"""The order of listings: by key, also from servers that list folder by folder.

Amazon lists ``a-b`` before ``a/b``, as the code points say. Others (SeaweedFS) walk a tree of
folders and list what is inside ``a`` before they come to ``a-b``; their start-after goes by that
order too. Both are right here, and where there are no folders nothing is held back.
"""

from collections.abc import Iterable, Iterator
from heapq import heappop, heappush

from ltxvfs.backends.store import Entry


def by_key(entries: Iterable[Entry], prefix: str) -> Iterator[Entry]:
    """Sort a listing of either order by key; holds back no more than one folder's content."""
    held: list[tuple[str, Entry]] = []
    for entry in entries:
        heappush(held, (entry.key, entry))
        # After this entry a walk of folders may still give names that begin as its folder's does.
        slash = entry.key.find("/", len(prefix))
        lowest = entry.key if slash < 0 else entry.key[:slash]
        while held and held[0][0] <= lowest:
            yield heappop(held)[1]
    while held:
        yield heappop(held)[1]


def safe_start(prefix: str, after: str) -> str:
    """Give a key to start after that skips nothing above ``after`` in either order.

    A folder ``a`` has its content above ``a-b`` by key, but before it in a walk, which moreover
    skips all of ``a`` if told to start after it. So the start is cut in front of the first
    character that sorts before the slash, and then by one more.
    """
    if not after.startswith(prefix):
        return ""
    end = len(after)
    for position in range(len(prefix) + 1, len(after)):
        if after[position] < "/" and after[position - 1] != "/":
            end = position
            break
    return after[: max(end - 1, len(prefix))]
