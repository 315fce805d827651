"""File system work by descriptor: resolving in a root, locks, copies, removal, mounts.

Knows paths and bytes on a disk; knows no layer, image or archive. Only `inroot` opens a path
that came from outside.
"""
