"""Blobs by digest: put once, read verified. Knows no image and no network."""
