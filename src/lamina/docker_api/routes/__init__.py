"""Every route, in the order in which they are tried."""

from lamina.docker_api.routes import (
    absent,
    builds,
    containers,
    execs,
    files,
    images,
    lives,
    moving,
    networks,
    stats,
    streams,
    system,
    volumes,
)
from lamina.docker_api.routing import Route

ROUTES: tuple[Route, ...] = (
    *system.ROUTES,
    *moving.ROUTES,
    *images.ROUTES,
    *builds.ROUTES,
    *containers.ROUTES,
    *lives.ROUTES,
    *streams.ROUTES,
    *stats.ROUTES,
    *execs.ROUTES,
    *files.ROUTES,
    *volumes.ROUTES,
    *networks.ROUTES,
    *absent.ROUTES,
)
