"""What users have told docker, podman or us of who they are at a registry.

Looked for where the field looks, the first that knows the host wins; written to docker's file or
given to its helper. A helper that fails is an error, never "no credentials" (CVE-2021-41092).
"""

import binascii
import json
import os
from base64 import b64decode, b64encode
from collections.abc import Mapping
from typing import NamedTuple, cast

from lamina.errors import ConfigurationError, ProgramMissing
from lamina.fs.atomic import write_file

_HUB = "https://index.docker.io/v1/"  # what docker.io is called in these files
_NOTHING_KNOWN = ("credentials not found", "not found in native keychain")
_HELPER_TIME = 60.0  # seconds; a helper may ask its user


class Credential(NamedTuple):
    """A user and a password, or an identity token to get tokens with; the parts may be empty."""

    user: str = ""
    secret: str = ""
    identity_token: str = ""


ANONYMOUS = Credential()

_Document = dict[str, object]


def key_of(domain: str) -> str:
    """What a registry is called in the files, by the domain of an image's name."""
    return _HUB if domain == "docker.io" else domain


def find(domain: str, path: str, environ: Mapping[str, str]) -> Credential:
    """What is known for a repository; `ANONYMOUS` for nothing. Raises `ConfigurationError`."""
    for file in _files(environ):
        document = _read(file)
        found = _from(document, domain, path)
        if found is not None:
            return found
    return ANONYMOUS


def store(domain: str, credential: Credential, environ: Mapping[str, str]) -> str:
    """Remember a credential, in docker's helper or file; gives where it is now."""
    file = docker_file(environ)
    document = _read(file)
    helper = _helper(document, key_of(domain))
    if helper:
        secret = credential.identity_token or credential.secret
        user = "<token>" if credential.identity_token else credential.user
        asked = {"ServerURL": key_of(domain), "Username": user, "Secret": secret}
        _ask(helper, "store", json.dumps(asked))
        return f"the helper docker-credential-{helper}"
    entry: _Document = {
        "auth": b64encode(f"{credential.user}:{credential.secret}".encode()).decode()
    }
    if credential.identity_token:
        entry["identitytoken"] = credential.identity_token
    _write(file, {**document, "auths": {**_table(document, "auths"), key_of(domain): entry}})
    return file


def erase(domain: str, environ: Mapping[str, str]) -> bool:
    """Forget what docker's file or helper knows of a registry; whether there was something."""
    file = docker_file(environ)
    document = _read(file)
    helper = _helper(document, key_of(domain))
    if helper:
        known = _from_helper(helper, key_of(domain)) is not None
        _ask(helper, "erase", key_of(domain))
        return known
    auths = _table(document, "auths")
    kept = {key: value for key, value in auths.items() if _host(key) != _host(key_of(domain))}
    if len(kept) == len(auths):
        return False
    _write(file, {**document, "auths": kept})
    return True


def docker_file(environ: Mapping[str, str]) -> str:
    """docker's configuration file."""
    folder = environ.get("DOCKER_CONFIG") or os.path.join(environ.get("HOME") or "/", ".docker")
    return os.path.join(folder, "config.json")


def _files(environ: Mapping[str, str]) -> list[str]:
    if environ.get("REGISTRY_AUTH_FILE"):
        return [environ["REGISTRY_AUTH_FILE"]]
    home = environ.get("HOME") or "/"
    runtime = environ.get("XDG_RUNTIME_DIR") or f"/run/containers/{os.getuid()}"
    config = environ.get("XDG_CONFIG_HOME") or os.path.join(home, ".config")
    return [
        os.path.join(runtime, "containers", "auth.json"),
        os.path.join(config, "containers", "auth.json"),
        docker_file(environ),
    ]


def _read(path: str) -> _Document:
    try:
        with open(path, "rb") as file:
            document = json.loads(file.read(4 << 20) or b"{}")
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except (OSError, ValueError) as error:
        words = (error.strerror if isinstance(error, OSError) else None) or "it is no JSON"
        raise ConfigurationError(f"the credentials in {path} cannot be read: {words}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"the credentials in {path} cannot be read: it is no object")
    return document


def _write(path: str, document: _Document) -> None:
    path = os.path.realpath(path)
    try:
        os.makedirs(os.path.dirname(path), mode=0o700, exist_ok=True)
        data = json.dumps(document, indent="\t").encode() + b"\n"
        write_file(path, data, mode=0o600, durable=True)
    except OSError as error:
        raise ConfigurationError(
            f"the credentials in {path} cannot be written: {error.strerror}"
        ) from error


def _table(document: _Document, key: str) -> _Document:
    value = document.get(key)
    return cast("_Document", value) if isinstance(value, dict) else {}


def _from(document: _Document, domain: str, path: str) -> Credential | None:
    helper = _helper(document, key_of(domain))
    if helper:
        found = _from_helper(helper, key_of(domain))
        if found is not None:
            return found
    auths = _table(document, "auths")
    for wanted in _spellings(domain, path):
        for key, entry in auths.items():
            if _plain(key) == wanted and isinstance(entry, dict):
                found = _entry(entry)
                if found is not None:
                    return found
    return None


def _spellings(domain: str, path: str) -> list[str]:
    """The keys that may hold it, the narrowest first: host/a/b, host/a, host."""
    parts = path.split("/")
    narrow = [f"{domain}/{'/'.join(parts[:count])}" for count in range(len(parts), 0, -1)]
    return [*narrow, _plain(key_of(domain)), domain]


def _plain(key: str) -> str:
    return key.partition("://")[2].rstrip("/") if "://" in key else key.rstrip("/")


def _host(key: str) -> str:
    return _plain(key).partition("/")[0]


def _entry(entry: _Document) -> Credential | None:
    token = entry.get("identitytoken")
    token = token if isinstance(token, str) else ""
    auth = entry.get("auth")
    user = secret = ""
    if isinstance(auth, str) and auth:
        try:
            user, _, secret = b64decode(auth, validate=True).decode().partition(":")
        except (binascii.Error, UnicodeDecodeError):
            raise ConfigurationError("a registry's stored credentials are not base 64") from None
    elif isinstance(entry.get("username"), str):
        user, secret = str(entry.get("username")), str(entry.get("password") or "")
    return Credential(user, secret.rstrip("\0"), token) if user or token else None


# --- helpers ----------------------------------------------------------------------------------


def _helper(document: _Document, key: str) -> str | None:
    helpers = _table(document, "credHelpers")
    chosen = helpers.get(key) or helpers.get(_host(key)) or document.get("credsStore")
    if not isinstance(chosen, str) or not chosen:
        return None
    if "/" in chosen or not chosen.isprintable():
        raise ConfigurationError(f"{chosen[:60]!r} is no credential helper's name")
    return chosen


def _from_helper(helper: str, key: str) -> Credential | None:
    answer = _ask(helper, "get", key)
    if answer is None:
        return None
    try:
        document = json.loads(answer)
        user, secret = document["Username"], document["Secret"]
    except (ValueError, KeyError, TypeError):
        raise ConfigurationError(
            f"docker-credential-{helper} answered something that is no credential"
        ) from None
    return Credential("", "", secret) if user == "<token>" else Credential(user, secret)


def _ask(helper: str, verb: str, words: str) -> str | None:
    """Run a helper (docker/docker-credential-helpers' protocol); None where it knows nothing."""
    import subprocess  # most users have no helper

    program = f"docker-credential-{helper}"
    try:
        done = subprocess.run(
            [program, verb],
            input=words,
            capture_output=True,
            text=True,
            check=False,
            timeout=_HELPER_TIME,
        )
    except FileNotFoundError:
        raise ProgramMissing(
            f"{program} is not installed, and docker's configuration asks for it"
        ) from None
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ConfigurationError(f"{program} did not answer: {error}") from error
    if done.returncode:
        said = (done.stdout + done.stderr).strip()
        if any(each in said for each in _NOTHING_KNOWN):
            return None
        raise ConfigurationError(f"{program} failed: {said[:200] or 'it did not say why'}")
    return done.stdout
