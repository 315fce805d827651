"""`lamina check`."""

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.session import engine

USAGE = Usage(
    "[OPTIONS]",
    "Compare what is on disk with what the database says (0: clean, 1: repaired, 2: not)",
    (
        Flag("full", "", "", "read every layer and compare it with its digest"),
        Flag("repair", "", "", "set strays aside into quarantine/; nothing is deleted"),
    ),
)


def run(context: Context, given: Parsed) -> int:
    """Check, and repair when asked to."""
    with engine(context) as opened:
        findings = opened.system.check(full=given.has("full"))
        for each in findings:
            print(f"{each.kind}: {each.subject}: {each.detail}")
        if not findings:
            print("clean")
            return 0
        if not given.has("repair"):
            return 2
        for path in opened.system.repair(findings):
            print(f"set aside: {path}")
        return 1 if all(each.path for each in findings) else 2
