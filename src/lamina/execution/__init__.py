"""One process over one read-write layer: the only place where layers and runtime meet.

RUN and `run` are the same act; mounts and their end are part of it.
"""
