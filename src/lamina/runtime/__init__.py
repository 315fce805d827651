"""From an image's wishes to a running process: users, OCI bundle, isolation.

Knows programs (crun, runc) and the kernel's isolation; knows no image, layer or store.
"""
