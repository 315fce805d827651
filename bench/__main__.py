"""`make bench`: rounds on fresh disks, contenders in turn, medians, ratios, bars.

python -m bench [--rounds N] [--only SCENARIO ...] [--base ARCHIVE]
"""

import argparse
import os
import sys
import time

from bench import fixtures, ground, report
from bench.clock import Failed, output_of, tidy_exit
from bench.contenders import assembled
from bench.round import Round, Scenario
from bench.scenarios import SCENARIOS
from scripts.apt import Missing, say

_ALL = tuple(scenario.name for scenario in SCENARIOS)


def main() -> int:
    """Measure, show, keep; status 1 when a bar is missed or a command failed."""
    asked = _arguments()
    chosen = [one for one in SCENARIOS if not asked.only or one.name in asked.only]
    results = report.Results(_machine(asked.rounds), {}, {})
    try:
        with tidy_exit():
            for number in range(asked.rounds):
                _round(number, chosen, asked.base, results)
    except (Failed, Missing) as why:
        say(f"bench: {why}")
        return 1
    report.save(results)
    print(report.table(results))
    return 0 if all(verdict.met for verdict in results.verdicts()) else 1


def _round(number: int, chosen: list[Scenario], base: str | None, results: report.Results) -> None:
    """One fresh disk, every chosen scenario on it."""

    def note(scenario: str, name: str, value: float) -> None:
        results.samples.setdefault(scenario, {}).setdefault(name, []).append(value)

    with ground.fresh() as here, assembled(here) as contenders:
        results.versions.update({one.name: one.version for one in contenders.values()})
        results.versions["tar"] = output_of(["tar", "--version"]).splitlines()[0].split()[-1]
        this = Round(number, here, contenders, fixtures.made(here, base), note)
        for scenario in chosen:
            if number == 0 or not scenario.once:
                say(f"bench: round {number + 1}: {scenario.title}")
                scenario.measure(this)


def _machine(rounds: int) -> dict[str, object]:
    return {
        "kernel": os.uname().release,
        "machine": os.uname().machine,
        "processors": len(os.sched_getaffinity(0)),
        "python": sys.version.split()[0],
        "rounds": rounds,
        "made": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
    }


def _arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="make bench", description=__doc__)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", nargs="*", choices=_ALL, help="scenarios by name")
    parser.add_argument("--base", help="another root filesystem's archive")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
