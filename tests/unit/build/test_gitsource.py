"""ADD of repositories, from a server on this machine that knows nothing but files."""

import http.server
import os
from urllib.parse import urlsplit

import pytest

from lamina.build import BuildRequest
from lamina.build.gitsource import Asking, resolve
from lamina.dockerfile.giturl import parse
from lamina.errors import BuildError, DockerfileError
from tests.serving import served

THEN = 1577934245


def test_the_files_their_modes_and_their_time(rig, repository):
    config = rig.build(f"FROM scratch\nADD {repository.url} /r\n")
    assert rig.tree(config) == {
        "r": "/", "r/a": "1", "r/sub": "/", "r/sub/b": "2", "r/sub/run": "#!",
    }  # fmt: skip
    path = rig.layers.driver.location(rig.layers.resolve(config.top_chain))
    status = {name: os.stat(f"{path}/r/{name}") for name in ("a", "sub/run")}
    assert {name: each.st_mode & 0o777 for name, each in status.items()} == {
        "a": 0o644,
        "sub/run": 0o755,
    }
    assert status["a"].st_mtime == THEN


def test_an_unchanged_repository_is_not_fetched_again(rig, repository):
    text = f"FROM scratch\nADD {repository.url}#main /\n"
    rig.build(text)
    repository.asked.clear()
    rig.build(text)
    assert rig.cached() == [True]
    assert not [path for path in repository.asked if "/objects/" in path]
    repository.commit("second", {"a": "changed"})
    repository.serve()
    assert rig.tree(rig.build(text))["a"] == "changed"


def test_states_parts_and_whole_commits(rig, repository):
    first = repository("rev-parse", "HEAD")
    repository("tag", "-a", "-m", "m", "v1")
    repository.commit("second", {"a": "2"})
    repository.serve()
    url = repository.url
    assert rig.tree(rig.build(f"FROM scratch\nADD {url}#v1 /\n"))["a"] == "1"
    assert rig.tree(rig.build(f"FROM scratch\nADD {url}#:sub /s/\n"))["s/b"] == "2"
    text = f"FROM scratch\nADD {url}#{first} /\n"
    assert rig.tree(rig.build(text))["a"] == "1"
    repository.asked.clear()
    rig.build(text)
    assert (rig.cached(), repository.asked) == ([True], [])


def test_the_git_directory_is_kept_on_request(rig, repository):
    tree = rig.tree(rig.build(f"FROM scratch\nADD --keep-git-dir {repository.url} /r\n"))
    assert "r/.git/HEAD" in tree
    assert tree["r/a"] == "1"


def test_a_commit_that_is_not_expected(rig, repository):
    commit = repository("rev-parse", "HEAD")
    url = repository.url
    rig.build(f"FROM scratch\nADD --checksum={commit[:10]} {url} /\n")
    with pytest.raises(BuildError, match=f"is at the commit {commit}, and 0000000 is expected"):
        rig.build(f"FROM scratch\nADD --checksum=0000000 {url} /\n")


def test_what_is_not_there(rig, repository):
    with pytest.raises(BuildError, match="has no 'v9'") as caught:
        rig.build(f"FROM scratch\nADD {repository.url}#v9 /\n")
    assert "main" in caught.value.hint
    with pytest.raises(BuildError, match="git ls-remote: "):
        rig.build(f"FROM scratch\nADD {repository.url.replace('a.git', 'b.git')} /\n")
    assert rig.layers.all() == ()
    assert not os.path.exists(rig.root.folder("vfs"))


def test_a_link_in_a_repository_leads_nowhere(rig, repository):
    os.symlink("/etc", f"{repository.work}/out")
    repository.commit("link", {})
    repository.serve()
    assert rig.tree(rig.build(f"FROM scratch\nADD {repository.url} /\n"))["out"] == "-> /etc"
    with pytest.raises(BuildError, match="has no 'out/passwd'"):
        rig.build(f"FROM scratch\nADD {repository.url}#:out/passwd /\n")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("ADD https://h/a.git b /", "is added alone"),
        ("ADD --keep-git-dir a /", "is for a git repository"),
        ("ADD ftp://h/a /", "cannot be fetched"),
        ("ADD file:///x/a.git /", "cannot be fetched"),
    ],
)
def test_lines_that_mean_nothing(rig, line, complaint):
    with pytest.raises(DockerfileError, match=complaint):
        rig.build(f"FROM scratch\n{line}\n")


class Proxy(http.server.BaseHTTPRequestHandler):
    """Answers for every host from one folder; `asked` is for which."""

    def do_GET(self):
        parts = urlsplit(self.path)
        self.server.asked.add(parts.netloc)
        path = os.path.join(self.server.folder, parts.path.lstrip("/"))
        found = os.path.isfile(path)
        self.send_response(200 if found else 404)
        self.end_headers()
        if found:
            with open(path, "rb") as file:
                self.wfile.write(file.read())

    def log_message(self, *_words):
        pass


def test_git_asks_through_the_proxy_that_the_build_names(rig, repository):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Proxy)
    server.daemon_threads = True
    server.asked, server.folder = set(), os.path.dirname(repository.bare)
    url = "http://git.example/a.git"
    proxy = {"http_proxy": f"http://127.0.0.1:{server.server_port}"}
    with served(server):
        assert rig.tree(rig.build(f"FROM scratch\nADD {url} /\n", build_args=proxy))["a"] == "1"
        repository.commit("second", {"Dockerfile": "FROM scratch\nCOPY a /b\n"})
        repository.serve()
        request = BuildRequest(context=url, build_args=proxy)
        made = rig.builder.build(request)
        assert rig.tree(rig.images.config(made.image_id)) == {"b": "1"}
    assert server.asked == {"git.example"}
    with pytest.raises(BuildError, match="git ls-remote: "):
        rig.build(f"FROM scratch\nADD {url} /\n", no_cache=True)


@pytest.mark.parametrize("url", ["git://127.0.0.1:1/x.git", "ssh://127.0.0.1:1/x.git"])
def test_why_git_did_not_get_there(url, needs_program):
    """The last word is that it could not read, and git's own stops at the end of a line."""
    needs_program("git")
    needs_program("ssh")
    git = parse(url)
    assert git is not None
    with pytest.raises(BuildError, match=f"git ls-remote {url}: .*Connection refused"):
        resolve(git, Asking())
