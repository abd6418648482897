"""Replicas in Azure Blob Storage."""
