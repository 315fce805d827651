"""The folders of volumes that are to go, erased by one process at a time; recovery included.

    <root>/volumes/<name>/_data     what containers see
    <root>/volumes/<name>/_new      what is being copied there from an image

Only who owns a row that says `removing` erases its folder.
"""

from lamina.fs.faults import crash_point
from lamina.metadata import refs, volumes
from lamina.metadata.root import StoreRoot

_FOLDER = "volumes"


def settle(root: StoreRoot) -> None:
    """Erase the volumes that are doomed and that no living process is erasing."""
    with root.database.read() as db:
        doomed = volumes.all_rows(db, "removing")
    for row in doomed:
        if _take(root, row):
            erase(root, row.name)


def _take(root: StoreRoot, row: volumes.VolumeRow) -> bool:
    """Whether its removal is ours now."""
    if root.owner_is_alive(refs.lease_id(row.lease)):
        return False
    with root.database.write() as db:
        if volumes.get(db, row.name) != row:
            return False  # another one has taken it meanwhile
        volumes.doom(db, row.name, root.lease)
    return True


def erase(root: StoreRoot, name: str) -> None:
    """Remove the folder of a volume whose removal is ours, and then its row."""
    from lamina.fs.remove import remove_tree  # most commands remove nothing

    crash_point("volume-doomed")
    remove_tree(root.folder(_FOLDER, name))
    crash_point("volume-erased")
    with root.database.write() as db:
        volumes.forget(db, name)
