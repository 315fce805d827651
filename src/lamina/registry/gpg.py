"""Signatures by GPG, verified by the program gpg with no keys but those it is given.

It reads keys and signature from memory and has no home: it sees nothing of its user's keys and
trust, and leaves nothing behind, whenever it is killed.
"""

import binascii
import os
import re
from base64 import b64decode
from collections.abc import Iterable, Iterator
from contextlib import ExitStack, contextmanager

from lamina.errors import ConfigurationError, ProgramMissing
from lamina.fs.atomic import write_all
from lamina.fs.spawn import PATH, read_all, run

_LARGEST = 1 << 20  # bytes of what was signed: a bomb ends here
_STATUS, _KEYS, _SIGNED = 3, 4, 5  # descriptors
_ALONE = (
    *("--no-options", "--homedir", "/nonexistent", "--batch", "--no-tty", "--quiet"),
    *("--lock-never", "--no-random-seed-file", "--no-autostart", "--no-default-keyring"),
    *("--trust-model", "always", "--no-auto-check-trustdb", "--no-auto-key-retrieve"),
)
_REFUSALS = {
    "NO_PUBKEY": "it is by another key",
    "BADSIG": "it is not what was signed",
    "EXPSIG": "it has expired",
    "EXPKEYSIG": "its key has expired",
    "REVKEYSIG": "its key was revoked",
}
_BLOCK = re.compile(
    rb"-----BEGIN PGP PUBLIC KEY BLOCK-----[ \t]*\r?\n(?:[^\r\n]+: [^\r\n]*\r?\n)*\s*"
    rb"([A-Za-z0-9+/=\s]+?)(?:\r?\n=[A-Za-z0-9+/]{4})?\s*-----END PGP PUBLIC KEY BLOCK-----"
)


def verified(signature: bytes, keys: Iterable[bytes]) -> tuple[bytes, str]:
    """What was signed with one of some keys (as `gpg --export` writes them), and ""; or why not.

    Raises `ProgramMissing`, or `ConfigurationError` for keys that are none.
    """
    ring = b"".join(map(_plain, keys))
    with ExitStack() as opened:
        status = opened.enter_context(_in_memory(b""))
        held = [opened.enter_context(_in_memory(each)) for each in (ring, signature)]
        words = [_program(), *_ALONE, "--keyring", f"/proc/self/fd/{_KEYS}"]
        words += ["--max-output", str(_LARGEST), "--status-fd", str(_STATUS)]
        words += ["--output", "-", "--verify", f"/proc/self/fd/{_SIGNED}"]
        said = run(words, (status, *held))
        os.lseek(status, 0, os.SEEK_SET)
        reason = _reason(read_all(status).decode("utf-8", "replace"), said.status)
    return said.output.encode("utf-8", "surrogateescape"), reason


def _reason(told: str, status: int) -> str:
    """Why there is not exactly one good signature over exactly one text; "" when there is.

    https://git.gnupg.org/cgi-bin/gitweb.cgi?p=gnupg.git;a=blob;f=doc/DETAILS
    """
    words = [line.split(" ")[1] for line in told.splitlines() if line.startswith("[GNUPG:] ")]
    for word, reason in _REFUSALS.items():
        if word in words:
            return reason
    alone = all(words.count(each) == 1 for each in ("PLAINTEXT", "NEWSIG", "GOODSIG", "VALIDSIG"))
    return "" if alone and status == 0 else "it is no signature that gpg takes"


@contextmanager
def _in_memory(data: bytes) -> Iterator[int]:
    descriptor = os.memfd_create("gpg", os.MFD_CLOEXEC)
    try:
        write_all(descriptor, data)
        os.lseek(descriptor, 0, os.SEEK_SET)
        yield descriptor
    finally:
        os.close(descriptor)


def _plain(key: bytes) -> bytes:
    """Keys without the armour of text: a key ring's own form."""
    if not key.lstrip().startswith(b"-----"):
        return key
    try:
        found = [b64decode(b"".join(block.split()), validate=True) for block in _BLOCK.findall(key)]
    except binascii.Error:
        found = []
    if not found:
        raise ConfigurationError("a key of the signature policy is no public key of GPG's")
    return b"".join(found)


def _program() -> str:
    for folder in PATH.split(":"):
        path = os.path.join(folder, "gpg")
        if os.access(path, os.X_OK):
            return path
    raise ProgramMissing(
        "signatures by GPG cannot be verified: there is no program gpg",
        hint="install the package gpg",
    )
