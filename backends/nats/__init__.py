"""Replicas in NATS JetStream object stores."""
