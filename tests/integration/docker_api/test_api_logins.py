"""Whom a registry is told that asks: the client of the server, and never the server's own user."""

import json
import os
from base64 import b64encode, urlsafe_b64encode

import pytest

from lamina.testing.fake_registry import fake_registry
from tests.integration.docker_api.rig import client, clients, serving

_ME = b64encode(b"me:word").decode()


def _asks(exchange):
    """Answers who does not say who he is; leaves the others to the registry."""
    if exchange.headers.get("Authorization") == f"Basic {_ME}":
        return False
    exchange.body()
    exchange.answer(401, b"{}", {"WWW-Authenticate": 'Basic realm="here"'})
    return True


@pytest.fixture
def registry(base):
    """A registry that has `team/app:1`, and from then on wants to know who asks."""
    with fake_registry() as found:
        base.ok("tag", "base", f"{found.host}/team/app:1")
        base.ok("push", f"{found.host}/team/app:1")
        base.ok("rmi", "base", f"{found.host}/team/app:1")
        found.wrong(".*", _asks)
        found.asked.clear()
        yield found


@pytest.fixture
def server(base, registry):
    """Its own user is known at that registry."""
    own = {"auths": {registry.host: {"auth": _ME}}}
    base.write("own/config.json", json.dumps(own))
    env = {"DOCKER_CONFIG": os.path.join(base.folder, "own")}
    with serving(base, env=env) as found:
        yield found


def _header(name, document, *, safe=True):
    encode = urlsafe_b64encode if safe else b64encode
    return {name: encode(json.dumps(document).encode()).decode()}


def test_what_the_servers_user_knows_is_not_used(server, registry):
    answer = server.api("POST", f"/images/create?fromImage={registry.host}/team/app&tag=1")
    assert answer.status == 401, answer
    assert not any("authorization" in each.headers for each in registry.asked)
    anonymous = _header("X-Registry-Auth", {})
    answer = server.api("GET", f"/distribution/{registry.host}/team/app:1/json", headers=anonymous)
    assert answer.status == 401
    assert not any("authorization" in each.headers for each in registry.asked)


def test_the_client_says_who_it_is(server, registry):
    said = _header("X-Registry-Auth", {"username": "me", "password": "word"})
    place = f"{registry.host}/team/app"
    answer = server.api("GET", f"/distribution/{place}:1/json", headers=said)
    assert answer.status == 200
    found = answer.json()
    assert found["Descriptor"]["digest"].startswith("sha256:")
    assert found["Platforms"][0]["os"] == "linux"
    answer = server.api("POST", f"/images/create?fromImage={place}&tag=1", headers=said)
    assert answer.records()[-1]["status"].startswith("Status: Downloaded newer image")
    assert server.api("POST", f"/images/{place}/push?tag=1").records()[-1]["errorDetail"]
    answer = server.api("POST", f"/images/{place}/push?tag=1", headers=said)
    assert answer.records()[-1]["aux"]["Tag"] == "1"


def test_a_build_says_it_for_each_registry(server, registry):
    context = b"FROM x\n"  # no tar: refused before a registry is asked
    assert server.api("POST", "/build", context).status == 400
    dockerfile = f"FROM {registry.host}/team/app:1\nLABEL a=b\n".encode()
    for safe in (True, False):
        logins = {registry.host: {"username": "me", "password": "word"}}
        said = _header("X-Registry-Config", logins, safe=safe)
        answer = server.api("POST", "/build?t=made", _context(dockerfile), headers=said)
        assert answer.records()[-1] == {"stream": "Successfully tagged made:latest\n"}


def test_headers_that_cannot_be_read_are_refused(server, registry):
    for text in ("%%%", b64encode(b"[]").decode(), b64encode(b"{").decode()):
        answer = server.api(
            "POST",
            f"/images/create?fromImage={registry.host}/team/app&tag=1",
            headers={"X-Registry-Auth": text},
        )
        assert (answer.status, "X-Registry-Auth" in answer.message) == (400, True)


@pytest.mark.parametrize("program", clients(), ids=lambda path: path.rpartition("/")[2])
def test_login_asks_the_registry(server, registry, base, program):
    docker = client(program, server.path, base.folder)
    words = ("login", "-u", "me", "--password-stdin", registry.host)
    assert "Login Succeeded" in docker.ok(*words, stdin=b"word")
    assert docker(*words, stdin=b"other").code == 1
    docker.ok("pull", f"{registry.host}/team/app:1")
    docker.ok("logout", registry.host)
    docker.fails("push", f"{registry.host}/team/app:1")


def _context(dockerfile):
    import io
    import tarfile

    held = io.BytesIO()
    with tarfile.open(fileobj=held, mode="w") as tar:
        member = tarfile.TarInfo("Dockerfile")
        member.size = len(dockerfile)
        tar.addfile(member, io.BytesIO(dockerfile))
    return held.getvalue()
