"""The layer tar: reading, writing, applying, diffing, indexing and (de)compressing it.

Streams in, streams out, constant memory in bytes. Knows trees and bytes; knows no driver, no
digest's purpose and no store.
"""
