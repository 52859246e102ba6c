"""Ordered models into the store: verified, fetched in a child process, added."""
