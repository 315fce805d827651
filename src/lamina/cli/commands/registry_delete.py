"""`lamina registry delete`."""

from lamina.cli.flags import Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, verifies_tls
from lamina.errors import UsageError
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME:TAG|NAME@DIGEST",
    "Delete a tag, or a manifest with all its tags, at a registry",
    (TLS_VERIFY,),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Delete, and say what went."""
    name = Reference.parse(given.operands[0])
    if name.tag is None and name.digest is None:
        raise UsageError(f"{name.familiar} names no image", hint="give its tag or its digest")
    with engine(context) as opened:
        opened.registries(verify_tls=verifies_tls(given)).delete(name)
    print(f"Deleted: {name}")
    return 0
