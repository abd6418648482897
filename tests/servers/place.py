"""A place where replicas of a test live: a real server, a folder, or this process's memory."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from itertools import count
from typing import Any
from urllib.parse import quote


def _url_only(url: str) -> dict[str, Any]:
    return {"url": url}


@dataclass(frozen=True)
class Place:
    """Where ``open_store(place.fresh())`` finds an empty store, given the environment.

    ``environment`` holds what the SDKs (and Litestream) read from it; the fixture ``place``
    sets it. ``address`` is the server's ``127.0.0.1:port``, empty where there is none.
    ``litestream`` turns a URL of ours into the replica settings of Litestream's YAML, and
    ``shared`` says whether another process can open the URL at all.
    """

    name: str
    url: Callable[[str], str]
    environment: Mapping[str, str] = field(default_factory=dict)
    address: str = ""
    litestream: Callable[[str], dict[str, Any]] = _url_only
    shared: bool = True
    _numbers: "count[int]" = field(default_factory=count, repr=False)

    def fresh(self) -> str:
        """Give the URL of a replica that nobody has used yet."""
        return self.url(f"r{next(self._numbers)}")

    def through(self, address: str) -> "Place":
        """Give the same place reached by another address: a proxy in front of the server."""
        return replace(
            self,
            url=lambda name: self.moved(self.url(name), address),
            environment={k: self.moved(v, address) for k, v in self.environment.items()},
            address=address,
        )

    def moved(self, text: str, address: str) -> str:
        """Put another address into a URL of this place, whose query may be percent-encoded."""
        text = text.replace(self.address, address)
        return text.replace(quote(self.address, safe=""), quote(address, safe=""))
