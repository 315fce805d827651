"""The Docker Engine API over a store: what `lamina serve` listens with.

A face: it parses requests, calls the engine, renders replies. It keeps nothing that another
process would need, so it may be killed at any moment; documents in docker's shape are the
business of lamina.views.
"""
