"""`lamina version`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.views.system import version

USAGE = Usage(
    "[OPTIONS]",
    "Show the version",
    (Flag("format", "f", "FORMAT", "json, or a Go template"),),
)


def run(context: Context, given: Parsed) -> int:
    """Show."""
    shown = version()
    if given.one("format"):
        print(document(shown, given.one("format")), end="")
        return 0
    client = shown["Client"]
    assert isinstance(client, dict)
    print("Lamina")
    for key, value in client.items():
        print(f" {key + ':':<10}{value}")
    return 0
