"""Shipped for tests and third-party drivers: suites, a language for trees, crash points.

Nothing in the product imports it.
"""
