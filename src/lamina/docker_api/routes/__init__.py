"""Every route, in the order in which they are tried."""

from lamina.docker_api.routes import images, moving, system
from lamina.docker_api.routing import Route

ROUTES: tuple[Route, ...] = (*system.ROUTES, *moving.ROUTES, *images.ROUTES)
