"""`lamina update`."""

from lamina.cli.each import for_each
from lamina.cli.flags import Parsed, Usage
from lamina.cli.lastingflags import RESTART
from lamina.cli.limitflags import FLAGS, limited
from lamina.cli.main import Context
from lamina.cli.session import engine
from lamina.engine.wishes import Limited
from lamina.errors import UsageError

_NAMES = {
    "blkio-weight": "blkio_weight",
    "cpu-period": "cpu_period",
    "cpu-quota": "cpu_quota",
    "cpu-shares": "cpu_shares",
    "cpus": "cpus",
    "cpuset-cpus": "cpuset_cpus",
    "cpuset-mems": "cpuset_mems",
    "memory": "mem_limit",
    "memory-reservation": "mem_reservation",
    "memory-swap": "memswap_limit",
    "pids-limit": "pids_limit",
}
USAGE = Usage(
    "[OPTIONS] CONTAINER [CONTAINER...]",
    "Hold containers to other limits and restart policies, also while they run",
    (*(flag for flag in FLAGS if flag.name in _NAMES), RESTART),
    1,
    None,
)


def run(context: Context, given: Parsed) -> int:
    """Update each; go on after an error."""
    said = limited(given)
    wanted = Limited()
    for flag, name in _NAMES.items():
        if given.one(flag) is not None:
            wanted[name] = said[name]  # type: ignore[literal-required]  # names of its own
    restart = given.one("restart")
    if not wanted and restart is None:
        raise UsageError("nothing is to be changed", hint="give a limit, as --memory 512m")
    with engine(context) as opened:

        def update(name: str) -> None:
            opened.containers.get(name).update(restart=restart, **wanted)
            print(name, flush=True)

        return for_each(given.operands, update)
