"""Credentials as docker and podman keep them: found, stored, forgotten; helpers that fail."""

import base64
import json
import os
import stat

import pytest

from lamina.errors import ConfigurationError, ProgramMissing
from lamina.registry import credentials
from lamina.registry.credentials import ANONYMOUS, Credential


@pytest.fixture
def home(tmp_path):
    return {"HOME": str(tmp_path), "XDG_RUNTIME_DIR": str(tmp_path / "run")}


def config(home, document, *, name=".docker/config.json"):
    path = os.path.join(home["HOME"], name)
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w") as file:
        json.dump(document, file)
    return path


def read(path):
    with open(path) as file:
        return file.read()


def auth(user, secret):
    return {"auth": base64.b64encode(f"{user}:{secret}".encode()).decode()}


def test_nothing_is_known_at_first(home):
    assert credentials.find("quay.io", "a/b", home) == ANONYMOUS


def test_docker_hub_has_a_name_of_its_own(home):
    config(home, {"auths": {"https://index.docker.io/v1/": auth("me", "a:b")}})
    assert credentials.find("docker.io", "library/nginx", home) == Credential("me", "a:b")
    assert credentials.find("quay.io", "library/nginx", home) == ANONYMOUS


def test_the_narrowest_key_wins(home):
    config(
        home,
        {"auths": {"q": auth("host", "1"), "q/a": auth("org", "2"), "q/a/b": auth("repo", "3")}},
    )
    assert credentials.find("q", "a/b", home).user == "repo"
    assert credentials.find("q", "a/c", home).user == "org"
    assert credentials.find("q", "ab/c", home).user == "host"


def test_podmans_file_comes_before_dockers(home):
    config(home, {"auths": {"q": auth("docker", "1")}})
    config(home, {"auths": {"q": auth("podman", "1")}}, name="run/containers/auth.json")
    assert credentials.find("q", "a", home).user == "podman"
    named = {**home, "REGISTRY_AUTH_FILE": config(home, {}, name="empty.json")}
    assert credentials.find("q", "a", named) == ANONYMOUS


def test_what_is_stored_is_found_and_private(home):
    other = {"auths": {"other": auth("x", "y")}, "HttpHeaders": {"A": "b"}}
    path = config(home, other)
    assert credentials.store("q:5000", Credential("me", "word"), home) == path
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o600
    assert credentials.find("q:5000", "a", home) == Credential("me", "word")
    assert credentials.find("other", "a", home).user == "x"
    assert json.loads(read(path))["HttpHeaders"] == {"A": "b"}
    assert credentials.erase("q:5000", home)
    assert not credentials.erase("q:5000", home)
    assert credentials.find("q:5000", "a", home) == ANONYMOUS


@pytest.fixture
def helper(home, tmp_path, monkeypatch):
    def make(script):
        path = tmp_path / "docker-credential-box"
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)
        monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
        config(home, {"credsStore": "box", "auths": {"q": {}}})

    return make


def test_a_helper_is_asked(home, helper, tmp_path):
    helper(f"""tee {tmp_path}/asked >/dev/null; echo '{{"Username":"me","Secret":"word"}}'""")
    assert credentials.find("q", "a", home) == Credential("me", "word")
    assert (tmp_path / "asked").read_text() == "q"


def test_a_helpers_token_is_a_token(home, helper):
    helper("""echo '{"Username":"<token>","Secret":"t"}'""")
    assert credentials.find("q", "a", home) == Credential("", "", "t")


def test_a_helper_that_knows_nothing_is_no_error(home, helper):
    helper("echo 'credentials not found in native keychain'; exit 1")
    assert credentials.find("q", "a", home) == ANONYMOUS


@pytest.mark.parametrize("script", ["echo broken; exit 1", "echo '{}'", "echo no json"])
def test_a_helper_that_fails_is_an_error(home, helper, script):
    helper(script)
    with pytest.raises(ConfigurationError):
        credentials.find("q", "a", home)


def test_a_helper_that_is_not_there_is_named(home):
    config(home, {"credHelpers": {"q": "nowhere"}})
    with pytest.raises(ProgramMissing, match="docker-credential-nowhere"):
        credentials.find("q", "a", home)
    config(home, {"credHelpers": {"q": "../../bin/sh"}})
    with pytest.raises(ConfigurationError):
        credentials.find("q", "a", home)


def test_a_helper_stores_and_forgets(home, helper, tmp_path):
    helper(f"echo $1 >>{tmp_path}/verbs; cat >>{tmp_path}/told; echo not found; exit 0")
    assert "docker-credential-box" in credentials.store("q", Credential("me", "word"), home)
    assert json.loads((tmp_path / "told").read_text()) == {
        "ServerURL": "q",
        "Username": "me",
        "Secret": "word",
    }
    assert "word" not in read(credentials.docker_file(home))


@pytest.mark.parametrize("text", ["[]", "{", '{"auths":{"q":{"auth":"%%%"}}}'])
def test_a_broken_file_is_an_error_that_names_it(home, text):
    path = config(home, {})
    with open(path, "w") as file:
        file.write(text)
    with pytest.raises(ConfigurationError):
        credentials.find("q", "a", home)
