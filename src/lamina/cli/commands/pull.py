"""`lamina pull`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.platformflag import platform_of
from lamina.cli.progressflag import JSON, PROGRESS, is_quiet
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, transferring, verifies_tls
from lamina.engine.registries import Registries
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG|@DIGEST]",
    "Pull an image from a registry",
    (
        Flag("all-tags", "a", "", "every tag of the repository"),
        JSON,
        Flag(
            "platform",
            "",
            "OS/ARCH",
            "the image for that platform (DOCKER_DEFAULT_PLATFORM; this machine's)",
        ),
        PROGRESS,
        Flag("quiet", "q", "", "print only the image's full name"),
        TLS_VERIFY,
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Pull, and say what came."""
    quiet = is_quiet(given)
    with engine(context) as opened:
        registries = opened.registries(verify_tls=verifies_tls(given))
        for each in _wanted(given, registries, quiet):
            if not quiet:
                name = Reference.parse(each).with_default_tag()
                print(f"{name.tag or name.digest}: Pulling from {name.path}", flush=True)
            with transferring(given) as events:
                pulled = opened.images.pull(
                    each, platform=platform_of(given), registries=registries, events=events
                )
            if not quiet:
                print(f"Digest: {pulled.digest}")
                state = "Downloaded newer image for" if pulled.fresh else "Image is up to date for"
                print(f"Status: {state} {pulled.name.familiar}")
            print(pulled.name)
    return 0


def _wanted(given: Parsed, registries: Registries, quiet: bool) -> list[str]:
    text = given.operands[0]
    if given.has("all-tags"):
        name = registries.names(text)[0]
        return [str(name._replace(tag=tag, digest=None)) for tag in registries.tags(name)]
    if not quiet and Reference.parse(text)[2:] == (None, None):
        print("Using default tag: latest")
    return [text]
