"""LZ4 blocks and frames, decoded step by step."""


def decode_block(data):
    out, at = bytearray(), 0
    while True:
        token = data[at]
        at += 1
        length, at = _length(token >> 4, data, at)
        out += data[at : at + length]
        at += length
        if at >= len(data):
            assert at == len(data)
            return bytes(out)
        distance = int.from_bytes(data[at : at + 2], "little")
        length, at = _length(token & 15, data, at + 2)
        assert 0 < distance <= len(out)
        for _ in range(length + 4):
            out.append(out[-distance])


def _length(first, data, at):
    length = first
    while first == 15:
        length += data[at]
        at += 1
        if data[at - 1] != 255:
            break
    return length, at


def decode_frame(data):
    """Give the content of the frame that begins ``data``, and the frame's size."""
    assert data[:4] == b"\x04\x22\x4d\x18"
    flags = data[4]
    at = 7 + (8 if flags & 8 else 0)
    out = b""
    while size := int.from_bytes(data[at : at + 4], "little"):
        at += 4
        body = data[at : at + (size & 0x7FFFFFFF)]
        out += body if size >> 31 else decode_block(body)
        at += len(body) + (4 if flags & 0x10 else 0)
    return out, at + 4 + (4 if flags & 4 else 0)


def stored_frame(blocks, *, block_checksum=False, content_size=False, content_checksum=True):
    """Give a frame of uncompressed blocks, with the options of the format that are asked for."""
    content = b"".join(blocks)
    flags = 0x60 | block_checksum << 4 | content_size << 3 | content_checksum << 2
    descriptor = bytes([flags, 0x40])
    descriptor += len(content).to_bytes(8, "little") if content_size else b""
    frame = b"\x04\x22\x4d\x18" + descriptor + bytes([xxh32(descriptor) >> 8 & 0xFF])
    for block in blocks:
        frame += (len(block) | 1 << 31).to_bytes(4, "little") + block
        frame += xxh32(block).to_bytes(4, "little") if block_checksum else b""
    frame += bytes(4)
    return frame + (xxh32(content).to_bytes(4, "little") if content_checksum else b"")


def xxh32(data):
    """The checksum of LZ4 frames, seed 0."""
    primes = 2654435761, 2246822519, 3266489917, 668265263, 374761393
    lanes = [primes[0] + primes[1], primes[1], 0, -primes[0]]
    whole = len(data) // 16 * 16
    for at in range(0, whole, 4):
        word = int.from_bytes(data[at : at + 4], "little")
        lane = lanes[at // 4 % 4] + word * primes[1]
        lanes[at // 4 % 4] = _rotate(lane, 13) * primes[0]
    total = sum(map(_rotate, lanes, (1, 7, 12, 18))) if whole else primes[4]
    total += len(data)
    for at in range(whole, len(data) // 4 * 4, 4):
        total = (
            _rotate(total + int.from_bytes(data[at : at + 4], "little") * primes[2], 17) * primes[3]
        )
    for byte in data[len(data) // 4 * 4 :]:
        total = _rotate(total + byte * primes[4], 11) * primes[0]
    for shift, prime in ((15, primes[1]), (13, primes[2]), (16, 1)):
        total &= 0xFFFFFFFF
        total = (total ^ total >> shift) * prime
    return total & 0xFFFFFFFF


def _rotate(value, count):
    value &= 0xFFFFFFFF
    return (value << count | value >> (32 - count)) & 0xFFFFFFFF
