"""Measurements beside plain SQLite and the real Litestream, in one run: ``make bench``."""
