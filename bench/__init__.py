"""Lamina measured beside docker, podman and GNU tar, in the same run on the same disk."""
