"""`make demo`: the textbook case with real software, from nothing, narrated.

python -m demo [--base ARCHIVE] [--fresh]
"""

import argparse
import os
import sys

from demo import props
from demo.stage import Failure, Stage
from demo.story import Story
from scripts.apt import Missing, say
from scripts.rootfs import archive


def main() -> int:
    """Run the five steps; status 1 as soon as one of them fails."""
    asked = _arguments()
    try:
        if os.geteuid() != 0:
            raise Failure("the demo makes a root filesystem and runs containers: it needs root")
        with props.alone():
            _perform(asked.base, asked.fresh)
    except (Failure, Missing) as why:
        say(f"demo: {why}")
        return 1
    except KeyboardInterrupt:
        say("demo: interrupted")
        return 130
    return 0


def _perform(base: str | None, fresh: bool) -> None:
    rootfs = archive(base)
    props.runtime()
    root = props.store(fresh)
    repeated = os.path.exists(os.path.join(root, "lamina.db"))
    stage = Stage({**props.environment(), "LAMINA_ROOT": root})
    driver = _prologue(stage, root, repeated)
    story = Story(stage, root, driver)
    story.base(rootfs)
    story.images()
    story.strata()
    story.containers()
    story.mistake()
    stage.show("")
    stage.tell(
        f"All five steps held, in {stage.seconds():.0f} s. The store stays; look around with\n"
        f"  export LAMINA_ROOT={root}\n"
        "  .venv/bin/lamina images"
    )


def _prologue(stage: Stage, root: str, repeated: bool) -> str:
    """Say where and how; the storage driver."""
    driver = stage.ask("info", "--format", "{{.Driver}}")
    isolation = stage.ask("info", "--format", "{{.Isolation}} ({{.IsolationReason}})")
    stage.tell(f"The store is {root}\nStorage driver: {driver}\nIsolation: {isolation}")
    if repeated:
        stage.tell(
            "It is there from an earlier demo: steps in its cache are not done again\n"
            "(make demo FRESH=1 begins anew)."
        )
    if driver == "vfs":
        stage.tell("No union mounts here, so every layer is a full copy. In Lamina's words:")
        stage.lamina("info", "--why")
    return driver


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make demo", description=__doc__)
    parser.add_argument("--base", help="another root filesystem's archive")
    parser.add_argument("--fresh", action="store_true", help="erase the demo's store first")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
