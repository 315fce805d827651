"""`lamina attach`."""

from lamina.cli.attachment import follow
from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.errors import UsageError
from lamina.values.detachkeys import DetachKeys

USAGE = Usage(
    "[OPTIONS] CONTAINER",
    "Show what a running container writes, and hand on what is typed",
    (
        Flag("detach-keys", "", "KEYS", "what leaves it running when typed (ctrl-p,ctrl-q)"),
        Flag("no-stdin", "", "", "do not hand standard input on"),
        Flag("sig-proxy", "", "BOOL", "hand signals on (true)"),
    ),
    1,
    1,
)


def run(context: Context, given: Parsed) -> int:
    """Attach until it ends; its exit status is ours."""
    keys = given.one("detach-keys")
    DetachKeys(keys)
    proxy = _is_true(given.one("sig-proxy") or "true")
    with engine(context) as opened:
        container = opened.containers.get(given.operands[0])
        stdin = container.settings.stdin_open and not given.has("no-stdin")
        with container.attached(stdin=stdin) as attached:
            proxy = proxy and not container.settings.tty  # one who only looks ends the looking
            code = follow(container, attached, stdin=stdin, keys=keys, proxy=proxy)
    return 0 if code is None else code


def _is_true(text: str) -> bool:
    if text not in ("true", "false"):
        raise UsageError(f"--sig-proxy {text!r} is neither true nor false")
    return text == "true"
