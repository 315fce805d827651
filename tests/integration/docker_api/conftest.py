"""Stores to serve, servers of them, and docker's clients."""

from collections.abc import Iterator

import pytest

from tests.cli.conftest import base, lamina, template
from tests.cli.rig import Lamina
from tests.integration.docker_api.rig import Docker, Serving, client, clients, serving

__all__ = ["base", "lamina", "template"]


@pytest.fixture
def server(base: Lamina) -> Iterator[Serving]:
    """A server of a store that has the image `base`."""
    try:
        with serving(base) as found:
            yield found
    finally:  # containers outlive a server
        for each in base.ok("ps", "-aq").split():
            base("rm", "-f", each)


@pytest.fixture(params=clients(), ids=lambda path: path.rpartition("/")[2])
def docker(request: pytest.FixtureRequest, server: Serving, base: Lamina) -> Docker:
    """Each of docker's clients that is here, speaking to the server."""
    return client(request.param, server.path, base.folder)
