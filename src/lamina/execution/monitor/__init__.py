"""The monitor of one detached container, a program of its own (see program.py)."""
