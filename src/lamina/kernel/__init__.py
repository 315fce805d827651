"""The kernel behind one door: one function per system call, errno turned into OSError.

The only package that imports ctypes. Knows calls, constants and their origin; knows no store.
"""
