"""What stands in a background loop's way: kept for status, logged once, tried ever more slowly."""

import logging
import random

from ltxvfs.core.errors import CaptureError, Error, FencedError

log = logging.getLogger("ltxvfs")


class Trouble:
    """The failures of one loop. Only its thread calls the methods; any may read ``error``."""

    def __init__(self, name: str, doing: str, *, rest_s: float, rest_s_max: float) -> None:
        self._what = f"{name}: {doing}"
        self._rest_s_min = self._rest_s = rest_s
        self._rest_s_max = rest_s_max
        self.error: Error | None = None
        """Why the last attempt failed; None when it did not."""

    def over(self) -> None:
        """Note that an attempt went well."""
        self.error = None
        self._rest_s = self._rest_s_min

    def add(self, error: Exception) -> float:
        """Note a failure, whatever it is; give the seconds to rest before the next attempt."""
        known = self._as_known(error)
        if str(known) != str(self.error):
            level = logging.ERROR if isinstance(known, FencedError) else logging.WARNING
            log.log(level, "%s failed: %s", self._what, known)
        self.error = known
        rest_s = self._rest_s
        self._rest_s = min(rest_s * 2, self._rest_s_max)
        # With jitter, so that many processes do not come back to a store at once.
        return rest_s * random.uniform(0.5, 1.0)  # noqa: S311 - no secret

    def _as_known(self, error: Exception) -> Error:
        if isinstance(error, Error):
            return error
        if not isinstance(error, OSError):
            log.error("%s: unexpected", self._what, exc_info=error)
        return CaptureError(f"{type(error).__name__}: {error}")
