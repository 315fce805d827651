"""The one door: an open store with its images, containers and system, shaped as docker-py's.

    with lamina.open() as engine:
        image = engine.images.build(".", tags=["app"])
        engine.containers.run("app", remove=True)

Faces import this floor and nothing below it but values, errors and views.
"""

from lamina.engine.engine import Engine

__all__ = ["Engine"]
