"""From a URL's scheme to its store: entry points of the group ``ltxvfs.backends``.

Each entry point is a callable from ``ReplicaURL`` to ``Store``; it is imported on first use, so
that nobody pays for an SDK that is not asked for. Other packages may declare more of them.
"""

import os
from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points

from ltxvfs.backends.age.keys import AgeKeys
from ltxvfs.backends.limited import Limited
from ltxvfs.backends.metered import Metered
from ltxvfs.backends.replica import ReplicaClient
from ltxvfs.backends.retrying import Retrying
from ltxvfs.backends.store import Store
from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

GROUP = "ltxvfs.backends"
REQUESTS_MAX = 64
EXTRAS = {"abs": "azure", "gs": "gcs", "webdavs": "webdav"}
"""From a scheme to the extra that installs its packages, where that has another name."""

_LOCAL = ("file", "memory")


def schemes() -> list[str]:
    """Give the known schemes, sorted."""
    return sorted({point.name for point in entry_points(group=GROUP)})


def open_store(url: ReplicaURL | str | os.PathLike[str]) -> Store:
    """Open the store of a URL or a bare path; raises ``ConfigError`` if none can.

    Every store is metered. One behind a network repeats what failed in passing, and has a bound
    on its requests at once; a local one fails at once: its disk will not be better soon.
    """
    place = url if isinstance(url, ReplicaURL) else ReplicaURL.parse(url)
    point = next(iter(entry_points(group=GROUP, name=place.scheme)), None)
    if point is None:
        known = ", ".join(f"{scheme}://" for scheme in schemes())
        raise ConfigError(f"no store for {place.scheme}:// (known: {known})")
    metered = Metered(_load(point)(place))
    if place.scheme in _LOCAL:
        return metered
    return Retrying(Limited(metered, REQUESTS_MAX))


def open_replica(
    url: ReplicaURL | str | os.PathLike[str], age: AgeKeys | None = None
) -> ReplicaClient:
    """Open the replica at a URL or a bare path; nothing is read yet.

    It is an encrypted one if ``age`` keys are given or are in the environment.
    """
    keys = age or AgeKeys.from_environment()
    store = open_store(url)
    return ReplicaClient(store if keys is None else _encrypted(store, keys))


def _encrypted(store: Store, keys: AgeKeys) -> Store:
    try:
        # On first use, like each store's module: who does not encrypt needs no such package.
        from ltxvfs.backends.age.store import AgeStore
    except ImportError as error:
        raise ConfigError(
            f"encryption needs a package that is missing ({error.name}): pip install 'ltxvfs[age]'"
        ) from error
    return AgeStore(store, keys)


def _load(point: EntryPoint) -> Callable[[ReplicaURL], Store]:
    try:
        factory: Callable[[ReplicaURL], Store] = point.load()
    except ImportError as error:
        raise ConfigError(
            f"{point.name}:// needs a package that is missing ({error.name}): "
            f"pip install 'ltxvfs[{EXTRAS.get(point.name, point.name)}]'"
        ) from error
    return factory
