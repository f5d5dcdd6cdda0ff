"""Verify a server against the local model, and check a model before it is served."""
