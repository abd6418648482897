"""Formats and rules: bytes and values in, bytes and values out."""
