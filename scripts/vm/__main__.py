"""`python -m scripts.vm COMMAND [ARGUMENT...]`: run it in a fresh guest, with its exit status."""

import sys

from scripts.apt import Missing, say
from scripts.vm.guest import Guest
from scripts.vm.kernel import kernel


def main(arguments: list[str]) -> int:
    """Run the command that is given."""
    if not arguments:
        say("usage: python -m scripts.vm COMMAND [ARGUMENT...]")
        return 2
    try:
        return Guest(kernel()).run(*arguments)
    except Missing as why:
        say(f"vm: {why}")
        return 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
