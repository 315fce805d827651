"""Contexts from elsewhere beside docker: of the same URL both make the same files."""

import subprocess

import pytest

from tests.cli.rig import Lamina
from tests.serving import served
from tests.unit.build.servers import Server, repository_at

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = "FROM base\nCOPY . /all/\nCOPY sub /part/\n"


@pytest.fixture
def both(tmp_path, busybox_tar, docker):
    """A function that builds with both and tells what either made; the image `base` is in both."""
    lamina = Lamina(str(tmp_path / "store"))
    (tmp_path / "store").mkdir()
    lamina.ok("import", busybox_tar, "base")
    docker("import", busybox_tar, "base")
    look = "find /all /part -exec stat -c '%n %a %u:%g' {} + | sort; cat $(find /all -type f)"
    run = ["run", "--rm", "--network", "none", "made", "sh", "-c", look]

    def make(*words):
        docker("build", "-q", "-t", "made", *words)
        lamina.ok("build", "-q", "-t", "made", *words)
        return lamina.ok(*run), docker(*run)

    return make


def test_a_tar_at_a_url(both, tmp_path):
    folder = tmp_path / "context"
    (folder / "sub").mkdir(parents=True)
    (folder / "sub" / "b").write_text("b")
    (folder / "sub" / "Other").write_text(TEXT)
    words = ["tar", "--owner=4711", "--group=4712", "-C", str(folder), "-czf", "-", "."]
    server = Server()
    server.files["/c.tar.gz"] = subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout
    with served(server):
        ours, theirs = both("-f", "sub/Other", server.url("/c.tar.gz"))
    assert ours == theirs
    assert "/all/sub/b 644 0:0\n" in ours


def test_a_directory_of_a_repository(both, tmp_path, needs_program):
    with repository_at(tmp_path, needs_program("git")) as repository:
        repository.commit("more", {"deep/Dockerfile": TEXT, "deep/sub/b": "2", "deep/run": "#!"})
        repository("tag", "v1")
        repository.commit("later", {"deep/sub/b": "3"})
        repository.serve()
        ours, theirs = both(f"{repository.url}#v1:deep")
    assert ours == theirs
    assert "/all/run 755 0:0\n" in ours
    assert "\n2" in ours
    assert "\n3" not in ours
