"""From an image's wishes to a process: its user, environment, program, OCI bundle, isolation.

Reads trees and writes values; starts nothing and mounts nothing. Knows no image, layer or store.
"""
