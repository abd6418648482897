"""CRC-64/GO-ISO bit by bit."""

POLYNOMIAL = 0xD800000000000000


def crc64(data, crc=0):
    crc ^= 0xFFFFFFFFFFFFFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = crc >> 1 ^ (POLYNOMIAL if crc & 1 else 0)
    return crc ^ 0xFFFFFFFFFFFFFFFF
