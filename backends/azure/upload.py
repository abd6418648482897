"""A large blob on its way to Azure: blocks staged in parallel, then one commit.

The SDK's own upload is not used for it: some versions number the blocks alike for everyone, so
that two writers of one blob can mix their bytes. Here each upload has names of its own, and they
are as long as Litestream's: Azure wants one length for all blocks of a blob, staged ones too.
"""

import uuid
from collections import deque
from concurrent.futures import Future
from typing import Any, BinaryIO

from azure.storage.blob import BlobBlock, BlobClient

from ltxvfs.backends.azure.errors import translated
from ltxvfs.backends.daemon_pool import DaemonPool
from ltxvfs.backends.retry import Retry

BLOCK_SIZE = 4 << 20
"""In bytes; larger where a blob would have more than ``BLOCKS_MAX``."""

BLOCKS_MAX = 50_000
STAGED_AT_ONCE = 4
"""So many blocks are held in memory, and one more."""


class BlockUpload:
    """One upload, by one thread and its helpers."""

    def __init__(self, blob: BlobClient, key: str, retry: Retry) -> None:
        self._blob = blob
        self._key = key
        self._retry = retry

    def send(self, source: BinaryIO, size: int, **commit: Any) -> None:
        """Send ``size`` bytes from the source's position; ``commit`` bears the condition.

        The blob appears with the commit. Blocks without one are dropped by Azure in a week.
        """
        block_size = max(BLOCK_SIZE, -(-size // BLOCKS_MAX))
        upload = uuid.uuid4().hex
        names = [f"{upload}{n:032d}" for n in range(-(-size // block_size))]
        running: deque[Future[None]] = deque()
        with DaemonPool(STAGED_AT_ONCE, "ltxvfs-azure-block") as pool:
            for name in names:
                if len(running) == STAGED_AT_ONCE:
                    running.popleft().result()
                running.append(pool.submit(self._stage, name, source.read(block_size)))
            for staged in running:
                staged.result()
        with translated(self._key):
            self._blob.commit_block_list([BlobBlock(name) for name in names], **commit)

    def _stage(self, name: str, data: bytes) -> None:
        def attempt() -> None:
            with translated(self._key):
                self._blob.stage_block(name, data)

        self._retry(attempt)
