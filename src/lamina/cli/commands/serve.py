"""`lamina serve`: the Docker Engine API, for docker's own clients."""

import os
import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import warn
from lamina.engine import Engine
from lamina.engine.open import open_store

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


def run(context: Context, given: Parsed) -> int:
    """Serve until SIGTERM or SIGINT."""
    from lamina.docker_api.serving import serve  # heavy, and nobody else needs it

    def opener() -> Engine:
        return open_store(
            context.root,
            run_root=context.run_root,
            driver=context.driver,
            storage_opts=context.storage_opts,
            config=context.config,
            environ=os.environ,
            events=warn,
        )

    def ready(places: list[str]) -> None:
        for place in places:
            print(f"lamina: serving {place}", file=sys.stderr, flush=True)

    return serve(opener, given.all("host"), ready)
