"""What a WebDAV server says about a folder: the request, and its answer as plain values."""

from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from urllib.parse import unquote, urlsplit
from xml.parsers import expat

REQUEST = (
    b'<?xml version="1.0" encoding="utf-8"?>'
    b'<D:propfind xmlns:D="DAV:"><D:prop><D:resourcetype/><D:getcontentlength/>'
    b"<D:getlastmodified/></D:prop></D:propfind>"
)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TEXTS = ("DAV: href", "DAV: getcontentlength", "DAV: getlastmodified")


@dataclass(frozen=True, slots=True)
class Found:
    """A resource: its path on the server (percent-decoded), and ``size`` unless it has none."""

    path: str
    is_folder: bool
    size: int | None
    modified: datetime


def parse_listing(text: bytes) -> list[Found]:
    """Read a multistatus answer, in its order; raises ``ValueError`` if it is broken."""
    try:
        return _Parser().parse(text)
    except (expat.ExpatError, LookupError) as error:
        raise ValueError(str(error)) from None


class _Parser:
    """Collects a ``Found`` for each DAV:response. Properties that are missing have no text."""

    def __init__(self) -> None:
        self._parser = expat.ParserCreate(namespace_separator=" ")
        self._parser.buffer_text = True
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._parser.CharacterDataHandler = self._characters
        # Entities could grow without bound or name other files; no server needs them here.
        self._parser.StartDoctypeDeclHandler = _refuse
        self._found: list[Found] = []
        self._texts: dict[str, str] = {}
        self._is_folder = False
        self._within: str | None = None

    def parse(self, text: bytes) -> list[Found]:
        self._parser.Parse(text, True)
        return self._found

    def _start(self, name: str, _: dict[str, str]) -> None:
        if name == "DAV: response":
            self._texts = {}
            self._is_folder = False
        elif name == "DAV: collection":
            self._is_folder = True
        elif name in _TEXTS:
            self._within = name

    def _end(self, name: str) -> None:
        self._within = None
        if name == "DAV: response":
            size = self._texts.get("DAV: getcontentlength")
            self._found.append(
                Found(
                    unquote(
                        urlsplit(self._texts["DAV: href"].strip()).path, errors="surrogateescape"
                    ),
                    self._is_folder,
                    int(size) if size else None,
                    _moment(self._texts.get("DAV: getlastmodified")),
                )
            )

    def _characters(self, text: str) -> None:
        if self._within is not None:
            self._texts[self._within] = self._texts.get(self._within, "") + text


def _refuse(*_: object) -> None:
    raise ValueError("it declares a document type")


def _moment(text: str | None) -> datetime:
    if text is None:
        return _EPOCH
    moment = parsedate_to_datetime(text)
    return moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
