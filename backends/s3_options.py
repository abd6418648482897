"""The parameters of a URL of an S3 server, each under Litestream's two spellings."""

from collections.abc import Iterable

from ltxvfs.backends.url import ReplicaURL
from ltxvfs.core.errors import ConfigError

S3_OPTIONS = (
    "endpoint",
    "region",
    "force-path-style",
    "skip-verify",
    "sign-payload",
    "require-content-md5",
    "concurrency",
    "part-size",
    "storage-class",
    "sse-customer-algorithm",
    "sse-customer-key",
    "sse-customer-key-md5",
    "sse-kms-key-id",
)
_YES = ("true", "1", "t", "yes")
_NO = ("false", "0", "f", "no")


def _camel_case(name: str) -> str:
    """Give Litestream's other spelling: ``sse-customer-key-md5`` is ``sseCustomerKeyMD5``."""
    first, *rest = name.split("-")
    words = {"md5": "MD5"}
    return first + "".join(words.get(word, word.capitalize()) for word in rest)


class Options:
    """Typed access to the parameters; raises ``ConfigError``, which never shows a value."""

    def __init__(self, url: ReplicaURL, names: Iterable[str]) -> None:
        spellings = {spelling: name for name in names for spelling in (name, _camel_case(name))}
        url.refuse_options(spellings)
        self._values: dict[str, str] = {}
        for spelling, value in url.options.items():
            name = spellings[spelling]
            if name in self._values:
                raise ConfigError(f"{url.scheme}:// has {name} twice, in both spellings")
            self._values[name] = value

    def text(self, name: str) -> str | None:
        """Give a value, ``None`` if it is absent or empty."""
        return self._values.get(name) or None

    def flag(self, name: str, default: bool) -> bool:
        value = self.text(name)
        if value is None:
            return default
        if value.lower() not in _YES + _NO:
            raise ConfigError(f"{name} must be true or false")
        return value.lower() in _YES

    def count(self, name: str, default: int) -> int:
        value = self.text(name)
        if value is None:
            return default
        if not (value.isascii() and value.isdecimal() and int(value) > 0):
            raise ConfigError(f"{name} must be a whole number above 0")
        return int(value)
