"""An open engine for a command: flags and environment in, warnings out on standard error."""

import os
import sys
from collections.abc import Iterator
from contextlib import contextmanager

from lamina.cli.main import Context
from lamina.engine import Engine
from lamina.engine.open import open_store
from lamina.values.events import Caution, Event


@contextmanager
def engine(context: Context) -> Iterator[Engine]:
    """The store that the global flags and the environment mean."""
    with opened(context) as found:
        yield found


def opened(context: Context) -> Engine:
    """The same, to be closed by the caller."""
    return open_store(
        context.root,
        run_root=context.run_root,
        driver=context.driver,
        storage_opts=context.storage_opts,
        config=context.config,
        environ=os.environ,
        events=warn,
    )


def warn(event: Event) -> None:
    """Show warnings, and nothing else."""
    if isinstance(event, Caution):
        print(f"lamina: warning: {event.text}", file=sys.stderr)
