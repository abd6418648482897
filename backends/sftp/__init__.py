"""Replicas on SFTP servers."""
