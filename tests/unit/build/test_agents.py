"""An ssh agent's answers pass through a socket of ours, while it is lent and no longer."""

import os
import socket
import stat
import threading
from contextlib import suppress

import pytest

from lamina.build.agents import parse_agent
from lamina.build.lending import lent
from lamina.errors import UsageError


@pytest.fixture
def agent(tmp_path):
    """The path of an agent that gives back in capitals what it is told, connection by connection."""
    path = str(tmp_path / "agent")
    listener = socket.socket(socket.AF_UNIX)
    listener.bind(path)
    listener.listen()

    def answer():
        while True:
            try:
                near, _ = listener.accept()
            except OSError:
                return
            with near, suppress(ConnectionError):  # who asked may hang up before the answer
                while said := near.recv(100):
                    near.sendall(said.upper())

    thread = threading.Thread(target=answer, daemon=True)
    thread.start()
    yield path
    listener.shutdown(socket.SHUT_RDWR)
    listener.close()
    thread.join(10)


def ask(path, *words):
    with socket.socket(socket.AF_UNIX) as end:
        folder = os.open(os.path.dirname(path), os.O_PATH)
        end.connect(f"/proc/self/fd/{folder}/{os.path.basename(path)}")
        os.close(folder)
        found = []
        for word in words:
            end.sendall(word)
            found.append(end.recv(100))
        return found


def test_it_answers_as_the_agent_does_with_the_owner_that_is_wished(agent, tmp_path, needs_root):
    long = tmp_path / ("x" * 120)
    long.mkdir()
    path = str(long / "socket")
    with lent(agent, path, mode=0o640, uid=5, gid=6):
        status = os.stat(path)
        assert (stat.S_IMODE(status.st_mode), status.st_uid, status.st_gid) == (0o640, 5, 6)
        assert ask(path, b"one", b"two") == [b"ONE", b"TWO"]
        assert ask(path, b"three") == [b"THREE"]
    assert os.listdir(long) == []


def test_an_agent_that_is_gone_hangs_up(tmp_path, needs_root):
    path = str(tmp_path / "socket")
    with lent(str(tmp_path / "nobody"), path, mode=0o600, uid=0, gid=0):
        try:
            assert ask(path, b"one") == [b""]
        except (ConnectionResetError, BrokenPipeError):
            pass  # it hung up before the word was said


def test_what_the_flag_means(tmp_path, agent):
    environ = {"SSH_AUTH_SOCK": agent}
    assert parse_agent("default", environ) == ("default", agent)
    assert parse_agent(f"id={agent}", {}) == ("id", agent)
    with pytest.raises(UsageError, match=r"there is no agent at .*none"):
        parse_agent(f"default={tmp_path}/none", environ)
    key = tmp_path / "id_rsa"
    key.write_text("a key")
    with pytest.raises(UsageError, match="names key files"):
        parse_agent(f"default={key}", environ)
    with pytest.raises(UsageError, match="there is no agent"):
        parse_agent("default", {})
