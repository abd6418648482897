"""Replicas in S3 buckets, and in those of OSS."""
