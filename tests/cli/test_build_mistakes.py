"""What a build says of mistakes around the Dockerfile: archives, secrets, agents, files, git."""

import gzip
import os

import pytest

from lamina.testing.trees import tar_of
from tests.cli.rig import assert_complaint

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TAR = tar_of('f etc/x "text"\n')


@pytest.mark.parametrize("destination", ["/", "/opt/"])
def test_an_archive_that_is_damaged_is_named(base, destination):
    base.write("Dockerfile", f"FROM base\nADD app.tar.gz {destination}\n")
    packed = bytearray(gzip.compress(TAR, mtime=0))
    packed[-6] ^= 1
    with open(os.path.join(base.folder, "app.tar.gz"), "wb") as file:
        file.write(packed)
    said = base("build", base.folder)
    assert_complaint(said, "Dockerfile:2: unpacking 'app.tar.gz': ", ": the gzip data is damaged")
    assert said.err.endswith("; make it anew, or COPY it as it is\n")


def test_a_secret_is_missed_though_every_step_is_known(base):
    """It went through, and the next machine with an empty cache was told of the slip."""
    base.write("Dockerfile", "FROM base\nRUN --mount=type=secret,id=s true\n")
    secret = base.write("word", "a")
    words = ["build", "--secret", f"id=s,src={secret}", base.folder]
    assert base(*words).code == 0
    os.unlink(secret)
    assert_complaint(base(*words), f"the secret 's' is to come from {secret}, and that is missing")


@pytest.mark.parametrize("closed", ["c/word", "c"], ids=["a file", "a directory"])
def test_a_context_that_may_not_be_read(lamina, closed):
    """A mistake with a place in the Dockerfile; the store is not what has to change hands."""
    lamina.driver = "vfs"
    lamina.write("Dockerfile", "FROM scratch\nCOPY c /\n")
    os.mkdir(os.path.join(lamina.folder, "c"))
    lamina.write("c/word", "a")
    path = os.path.join(lamina.folder, closed)
    os.chown(path, 1000, 1000)  # nobody's in a name space of root alone
    os.chmod(path, 0)
    said = lamina("build", lamina.folder, prefix=("unshare", "-rm"))
    assert_complaint(said, "Dockerfile:2: reading ", closed, "Permission denied; make it readable")


def test_how_a_dockerfile_may_be_called(base):
    """By docker's name before buildah's; named, it is looked for from where one is."""
    base.write("Containerfile", "FROM base\nLABEL by=buildah\n")
    assert "FROM base" in base("build", "--explain", base.folder).err
    os.mkdir(os.path.join(base.folder, "inner"))
    base.write("inner/App", "FROM base\n")
    said = base("build", "-f", "inner/App", base.folder, prefix=("env", "-C", "/"))
    path = os.path.join(base.folder, "inner/App")
    assert_complaint(said, "there is no Dockerfile inner/App; it is looked for from here", path)
    base.write("Dockerfile", "FROM base\nLABEL by=docker\n")
    base.ok("build", "-t", "app", base.folder)
    assert '"by": "docker"' in base.ok("inspect", "app")
