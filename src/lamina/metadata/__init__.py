"""The only truth about what exists: one SQLite database, one table family per file.

Knows rows and transactions; knows no file of a layer, no driver and no document.
"""
