"""The folder beside a growing index for files that a later member of the layer destroys.

Apart from the index itself, because recovery sweeps it on hot paths that need no index.
"""

import os


def discard_salvage(path: str) -> None:
    """Remove the salvage folder beside an index that was being written, if it is there."""
    folder = f"{path}.salvage"
    try:
        for name in os.listdir(folder):
            os.unlink(os.path.join(folder, name))
        os.rmdir(folder)
    except FileNotFoundError:
        pass
