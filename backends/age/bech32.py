"""Bech32 (BIP 173) as age keys have it: without its limit on the length."""

_LETTERS = "qpzry9x8gf2tvdw0s3jn54khce6mua7l"
_VALUES = {letter: value for value, letter in enumerate(_LETTERS)}
_GENERATOR = (0x3B6A57B2, 0x26508E6D, 0x1EA119FA, 0x3D4233DD, 0x2A1462B3)
_CHECKSUM_SIZE = 6


def decode(text: str) -> tuple[str, bytes]:
    """Give the lower-case prefix and the data; raises ``ValueError``, without the text."""
    if text not in (text.lower(), text.upper()):
        raise ValueError("letters of both cases")
    prefix, separator, rest = text.lower().rpartition("1")
    values = [_VALUES.get(letter, -1) for letter in rest]
    if not separator or not prefix or -1 in values or len(values) < _CHECKSUM_SIZE:
        raise ValueError("not Bech32")
    if _polymod(_expanded(prefix) + values) != 1:
        raise ValueError("a letter is wrong or missing")
    return prefix, _bytes(values[:-_CHECKSUM_SIZE])


def _expanded(prefix: str) -> list[int]:
    codes = prefix.encode("ascii")
    return [code >> 5 for code in codes] + [0] + [code & 31 for code in codes]


def _polymod(values: list[int]) -> int:
    sum_ = 1
    for value in values:
        top = sum_ >> 25
        sum_ = (sum_ & 0x1FFFFFF) << 5 ^ value
        for bit, factor in enumerate(_GENERATOR):
            sum_ ^= factor if top >> bit & 1 else 0
    return sum_


def _bytes(values: list[int]) -> bytes:
    """Put groups of five bits together to bytes; what is left over must be zeros, under five."""
    number = 0
    for value in values:
        number = number << 5 | value
    spare = len(values) * 5 % 8
    if spare >= 5 or number & ((1 << spare) - 1):
        raise ValueError("bits are left over")
    return (number >> spare).to_bytes(len(values) * 5 // 8, "big")
