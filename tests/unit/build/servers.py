"""Servers on this machine that builds fetch from: one of files by path, one of a git repository."""

import functools
import hashlib
import http.server
import os
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager

from tests.serving import served

DATE = "Wed, 21 Oct 2015 07:28:00 GMT"


class Server(http.server.ThreadingHTTPServer):
    """Serves `files` by path, with ETags; `asked` is what came in."""

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.files = {}
        self.moved = {}
        self.asked = []
        self.tagged = True

    def url(self, path):
        return f"http://127.0.0.1:{self.server_port}{path}"


class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        known = self.headers.get("If-None-Match") or self.headers.get("If-Modified-Since")
        self.server.asked.append((self.path, known))
        target = self.server.moved.get(self.path)
        body = self.server.files.get(self.path)
        if target is not None:
            self.send_response(302)
            self.send_header("Location", target)
            body = b""
        elif body is None:
            self.send_response(404)
            body = b"no"
        else:
            tag = f'"{hashlib.md5(body).hexdigest()}"' if self.server.tagged else None
            if known is not None and known in (tag, DATE):
                self.send_response(304)
                self.end_headers()
                return
            self.send_response(200)
            self.send_header("Last-Modified", DATE)
            if tag:
                self.send_header("ETag", tag)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *_words):
        pass


ENV = {
    **os.environ,
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_AUTHOR_DATE": "2020-01-02T03:04:05Z",
    "GIT_COMMITTER_DATE": "2020-01-02T03:04:05Z",
}


class Repository:
    def __init__(self, path, git):
        self.git = git
        self.work = os.path.join(path, "work")
        self.bare = os.path.join(path, "served", "a.git")
        self.asked = []
        self("init", "-q", "-b", "main", self.work, at="/")
        self.commit("first", {"a": "1", "sub/b": "2", "sub/run": "#!"})

    def __call__(self, *words, at=None):
        identity = ["-c", "user.name=n", "-c", "user.email=e"]
        command = [self.git, *identity, "-C", at or self.work, *words]
        done = subprocess.run(command, env=ENV, capture_output=True, text=True, check=True)
        return done.stdout.strip()

    def commit(self, message, files):
        for name, text in files.items():
            path = os.path.join(self.work, name)
            os.makedirs(os.path.dirname(path), exist_ok=True)
            with open(path, "w") as file:
                file.write(text)
            os.chmod(path, 0o755 if text == "#!" else 0o600)
        self("add", ".")
        self("commit", "-q", "-m", message)
        return self("rev-parse", "HEAD")

    def serve(self):
        subprocess.run(["rm", "-rf", self.bare], check=True)
        self("clone", "-q", "--bare", self.work, self.bare, at="/")
        self("update-server-info", at=self.bare)


@contextmanager
def repository_at(path: str, git: str) -> Iterator[Repository]:
    """A repository with one commit beneath a directory, and a server that knows only its files."""
    made = Repository(path, git)
    made.serve()

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_words):
            made.asked.append(self.path)

    handler = functools.partial(Quiet, directory=os.path.dirname(made.bare))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.daemon_threads = True
    made.url = f"http://127.0.0.1:{server.server_port}/a.git"
    with served(server):
        yield made
