"""Encryption of a replica with age."""
