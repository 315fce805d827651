"""`lamina serve`: the Docker Engine API, for docker's own clients."""

import sys
from functools import partial

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import opened

USAGE = Usage(
    "[OPTIONS]",
    "Serve the Docker Engine API, in the foreground, to docker's own clients",
    (
        Flag(
            "host",
            "H",
            "ADDRESS",
            "unix:///PATH or tcp://127.0.0.1:PORT (unix://RUN ROOT/docker.sock)",
            True,
        ),
    ),
)

_OPEN = "whoever reaches {} on this machine is root here, without being asked who it is"


def run(context: Context, given: Parsed) -> int:
    """Serve until SIGTERM or SIGINT."""
    from lamina.docker_api.serving import serve  # heavy, and nobody else needs it

    def ready(places: list[str]) -> None:
        for place in places:
            print(f"lamina: serving {place}", file=sys.stderr, flush=True)
            if place.startswith("tcp://"):
                print(f"lamina: warning: {_OPEN.format(place)}", file=sys.stderr, flush=True)

    return serve(partial(opened, context), given.all("host"), ready)
