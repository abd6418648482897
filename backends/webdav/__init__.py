"""Replicas on WebDAV servers."""
