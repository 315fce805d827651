"""`lamina login`."""

import getpass
import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.errors import UsageError

USAGE = Usage(
    "[OPTIONS] [REGISTRY]",
    "Log in to a registry; docker's own file or helper remembers it",
    (
        Flag("password", "p", "WORD", "the password or token (seen by others in the process list)"),
        Flag("password-stdin", "", "", "read it from standard input"),
        Flag("username", "u", "NAME", "the user"),
        TLS_VERIFY,
    ),
    0,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Ask the registry, and remember who one is there."""
    domain = given.operands[0] if given.operands else "docker.io"
    domain = domain.partition("://")[2].rstrip("/") if "://" in domain else domain
    user = given.one("username") or _asked("Username: ")
    secret = _secret(given)
    if not user or not secret:
        raise UsageError("a login needs a user and a password", hint="-u NAME --password-stdin")
    with engine(context) as opened:
        registries = opened.registries(verify_tls=verifies_tls(given))
        where = registries.login(domain, user, secret)
    print(f"Login Succeeded; remembered in {where}")
    return 0


def _secret(given: Parsed) -> str:
    if given.has("password-stdin"):
        if given.one("password") is not None:
            raise UsageError("--password and --password-stdin exclude each other")
        if given.one("username") is None:
            raise UsageError("--password-stdin needs --username")
        return sys.stdin.read(1 << 20).rstrip("\r\n")
    found = given.one("password")
    return found if found is not None else _asked("Password: ", hidden=True)


def _asked(prompt: str, *, hidden: bool = False) -> str:
    if not sys.stdin.isatty():
        raise UsageError(
            "nobody can be asked: standard input is no terminal", hint="-u NAME --password-stdin"
        )
    return getpass.getpass(prompt) if hidden else input(prompt).strip()
