"""Fills the store of LAMINA_ROOT with images, for measuring `images`: `thousand ARCHIVE COUNT`.

Every image has a config of its own over one shared layer, made through the library.
"""

import os
import sys

import lamina


def main(archive: str, count: int) -> None:
    """Import `archive` once and again, each time with another label."""
    with lamina.open(environ=os.environ) as engine:
        for number in range(count):
            name = f"registry.example/team-{number % 40}/service-{number}:1"
            engine.images.import_(archive, repository=name, changes=[f"LABEL number={number}"])


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))
