"""Cache mounts that imported caches fill, by the thread that hears a Ctrl-C."""

import hashlib
import io
import os
import threading

import pytest

from lamina.build.imported import Import, Imports, Opened
from lamina.build.mountname import MountName
from lamina.build.record import Filling, Portable
from lamina.build.seeding import Seeding
from lamina.build.stop import Stop, Stopped
from lamina.build.telling import Telling
from lamina.spec import mediatypes
from lamina.spec.manifest import Descriptor
from lamina.testing.trees import describe, tar_of
from lamina.values.digest import BlobDigest, DiffID
from lamina.values.events import ignore

NAME = MountName("/c")
TAR = tar_of("f a one\nd d\nf d/b two")
DIGEST = "sha256:" + hashlib.sha256(TAR).hexdigest()
PATIENCE = 0.1  # seconds in which what must not happen would


def seeding(by_caller, stop, opened):
    about = Descriptor.of(mediatypes.OCI_LAYER, BlobDigest(DIGEST), len(TAR))
    filling = Filling(NAME, DiffID(DIGEST), len(TAR), about.digest)
    known = Opened(Portable({}, {}, {NAME.key: filling}), {about.digest: about}, opened)
    imports = Imports([Import("there", lambda: known)], print)
    return Seeding(imports, by_caller, Telling(ignore), stop)


@pytest.fixture
def root(tmp_path):
    descriptor = os.open(tmp_path, os.O_RDONLY | os.O_DIRECTORY)
    yield descriptor
    os.close(descriptor)


def test_a_mount_is_filled_and_another_is_not_known(root, tmp_path):
    seeds = seeding(lambda act: act(), Stop(), lambda _: io.BytesIO(TAR))
    seeds(NAME)(root)
    assert [line.split()[1] for line in describe(str(tmp_path))] == ["a", "d", "d/b"]
    assert seeds(MountName("/c", mode=0o700)) is None


def test_who_is_sent_away_waits_for_what_is_written_to_its_directory(root):
    """Another stage failed: the directory must not go while somebody is at it."""
    stop, begun, gone = Stop(), threading.Event(), threading.Event()
    said = []

    def opened(_about):
        begun.set()
        said.append(gone.wait(PATIENCE))
        return io.BytesIO(TAR)

    def by_caller(act):
        def by_other():
            with pytest.raises(Stopped):
                act()

        if by_caller.reads:  # the cache is read before
            by_caller.reads = False
            return act()
        threads.append(threading.Thread(target=by_other))
        threads[-1].start()
        begun.wait()
        stop.ask()
        raise Stopped("another stage failed")

    by_caller.reads = True
    threads = []
    seed = seeding(by_caller, stop, opened)(NAME)
    with pytest.raises(Stopped):
        seed(root)
    gone.set()
    threads[0].join()
    assert said == [False]


def test_what_was_given_up_before_its_turn_is_not_begun(root, tmp_path):
    late = []

    def by_caller(act):
        late.append(act)
        if len(late) == 1:
            return act()
        raise Stopped("another stage failed")

    seed = seeding(by_caller, Stop(), lambda _: io.BytesIO(TAR))(NAME)
    with pytest.raises(Stopped):
        seed(root)
    late[1]()
    assert os.listdir(tmp_path) == []
