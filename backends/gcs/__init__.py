"""Replicas in Google Cloud Storage."""
