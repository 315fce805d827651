"""`lamina push`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.progressflag import JSON, PROGRESS, is_quiet
from lamina.cli.session import engine
from lamina.cli.transfers import TLS_VERIFY, transferring, verifies_tls
from lamina.errors import ImageNotFound, UsageError
from lamina.values.reference import Reference

USAGE = Usage(
    "[OPTIONS] NAME[:TAG]",
    "Push an image to a registry",
    (
        Flag("all-tags", "a", "", "every tag of the repository that is here"),
        Flag(
            "compression", "", "KIND", "compress every layer as gzip or zstd, whatever it came as"
        ),
        Flag("compression-level", "", "LEVEL", "of gzip (1 to 9) or zstd (1 to 19)"),
        JSON,
        PROGRESS,
        Flag("quiet", "q", "", "print only the image's full name"),
        TLS_VERIFY,
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Push, and say what is there now."""
    name = Reference.parse(given.operands[0])
    quiet = is_quiet(given)
    with engine(context) as opened:
        registries = opened.registries(verify_tls=verifies_tls(given))
        names = [name.with_default_tag()]
        if given.has("all-tags"):
            tagged = [tag for image in opened.images.list(name.name) for tag in image.tags]
            names = [each for each in map(Reference.parse, tagged) if each.name == name.name]
            if not names:
                raise ImageNotFound(f"no image here has the name {name.familiar_name}")
        if not quiet:
            print(f"The push refers to repository [{name.name}]", flush=True)
        for each in names:
            with transferring(given) as events:
                pushed = opened.images.push(
                    str(each),
                    compression=given.one("compression"),
                    compression_level=_level(given.one("compression-level")),
                    registries=registries,
                    events=events,
                )
            if quiet:
                print(each)
            else:
                print(f"{each.tag}: digest: {pushed.digest} size: {pushed.size}")
    return 0


def _level(text: str | None) -> int | None:
    if text is None:
        return None
    if not text.isascii() or not text.isdigit() or len(text) > 3:
        raise UsageError(f"{text[:20]!r} is no level of compression")
    return int(text)
