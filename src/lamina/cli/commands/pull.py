"""`lamina pull`."""

import sys

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, Transfers, verifies_tls
from lamina.values.events import ignore
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Pull an image from a registry",
    (
        Flag("all-tags", "a", "", "every tag of the repository"),
        Flag("platform", "", "OS/ARCH", "the image for that platform instead of this machine's"),
        Flag("quiet", "q", "", "print only the image's full name"),
        TLS_VERIFY,
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Pull, and say what came."""
    name = Reference.parse(given.operands[0])
    quiet = given.has("quiet")
    transfers = Transfers(sys.stdout)
    with engine(context) as opened:
        registries = opened.registries(verify_tls=verifies_tls(given))
        if given.has("all-tags"):
            names = [name._replace(tag=tag, digest=None) for tag in registries.tags(name)]
        else:
            if not quiet and name.tag is None and name.digest is None:
                print("Using default tag: latest")
            names = [name.with_default_tag()]
        for each in names:
            if not quiet:
                print(f"{each.tag or each.digest}: Pulling from {each.path}", flush=True)
            pulled = opened.images.pull(
                str(each),
                platform=given.one("platform"),
                registries=registries,
                events=ignore if quiet else transfers.show,
            )
            if not quiet:
                print(f"Digest: {pulled.digest}")
                state = "Downloaded newer image for" if pulled.fresh else "Image is up to date for"
                print(f"Status: {state} {each.familiar}")
            print(each)
    return 0
