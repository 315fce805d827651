"""A layer's ground on disk: members made, linked and removed in directories, by descriptor.

One name in an open directory at a time, and never followed. Does not protect what lies in the
root against another process that changes it meanwhile; nothing outside is ever reached.
"""

import os
import stat

from lamina.archive import making
from lamina.archive.clearing import OnFile, clear
from lamina.archive.copyup import copy_up
from lamina.archive.entry import Body, Entry
from lamina.archive.folders import DEFAULT_ACL, Folder, Folders
from lamina.fs.tree import keep_xattr
from lamina.fs.walk import names_now
from lamina.kernel import xattr


class Directories(Folders):
    """The directories of one layer, and what is put into them (`archive.ground.Ground`)."""

    def listdir(self, where: Folder) -> list[bytes]:
        """The names in a directory."""
        return names_now(where.fd)

    def is_directory(self, where: Folder, name: bytes) -> bool:
        """Whether `name`, which is there, is a directory."""
        return stat.S_ISDIR(os.stat(name, dir_fd=where.fd, follow_symlinks=False).st_mode)

    def put_file(self, where: Folder, name: bytes, entry: Entry, body: Body) -> int:
        """Make a regular file of the stored bytes in `body`; gives its inode."""
        return making.write_file(where.fd, name, entry, body)

    def put_directory(self, where: Folder, name: bytes, path: bytes) -> Folder:
        """Make a directory, to be described next."""
        os.mkdir(name, 0o700, dir_fd=where.fd)
        return self.enter_new(where, name, path)

    def put_symlink(self, where: Folder, name: bytes, entry: Entry) -> None:
        """Make a symbolic link."""
        making.make_symlink(where.fd, name, entry)

    def put_node(self, where: Folder, name: bytes, entry: Entry) -> None:
        """Make a device or a FIFO."""
        making.make_node(where.fd, name, entry)

    def put_link(self, where: Folder, name: bytes, origin: Folder, base: bytes) -> None:
        """Give the file `base` in `origin` another name."""
        os.link(base, name, src_dir_fd=origin.fd, dst_dir_fd=where.fd, follow_symlinks=False)

    def put_whiteout(self, where: Folder, name: bytes) -> None:
        """Make overlayfs's mark of an absent name."""
        os.mknod(name, stat.S_IFCHR, 0, dir_fd=where.fd)

    def copy_up(self, path: bytes, status: os.stat_result, where: Folder, name: bytes) -> None:
        """Make `name` in `where` what the layers below have at `path`."""
        assert self._lower is not None
        copy_up(self._lower, path, status, where.fd, name)

    def describe(self, where: Folder, entry: Entry, *, fresh: bool) -> None:
        """Give a directory a member's metadata; one that was there loses what it had."""
        if self._layered and not fresh:
            wanted = {key for key, _ in entry.xattrs}
            for key in xattr.names(where.fd):
                if key not in wanted and key != DEFAULT_ACL and keep_xattr(key):
                    xattr.remove(where.fd, key)
        self.settle(where, entry)
        where.mtime_ns = entry.mtime_ns

    def clear(self, where: Folder, name: bytes, path: bytes, on_file: OnFile) -> None:
        """Remove what stands there, a whole directory included; `on_file` sees what goes."""
        status = os.stat(name, dir_fd=where.fd, follow_symlinks=False)
        if stat.S_ISDIR(status.st_mode):
            self.forget(path)
        elif stat.S_ISLNK(status.st_mode):
            self.links_changed()
        clear(where.fd, name, path, on_file)
