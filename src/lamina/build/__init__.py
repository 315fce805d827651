"""Building images from Dockerfiles and from stages: plan, look up, carry out what is new.

Builder(layers, images, cache, runner).build(BuildRequest(...), sink) -> BuildResult
"""

from lamina.build.api import BuildRequest, BuildResult
from lamina.build.builder import Builder

__all__ = ["BuildRequest", "BuildResult", "Builder"]
