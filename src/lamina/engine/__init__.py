"""The one door: an open store with its images, containers and system, shaped as docker-py's.

    with lamina.open() as engine:
        image = engine.images.build(".", tags=["app"])
        engine.containers.run("app", remove=True)

Faces import this floor and nothing below it but values, errors and views.
"""

from lamina.engine.containers import Container, RunResult
from lamina.engine.engine import Engine
from lamina.engine.images import Image
from lamina.execution.run import Running, Stdio
from lamina.runtime.process import Volume

__all__ = ["Container", "Engine", "Image", "RunResult", "Running", "Stdio", "Volume"]
