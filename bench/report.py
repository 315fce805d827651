"""The result of a bench: kept as JSON, shown as a table, and as Markdown for the README.

python -m bench.report          the README's table from the last results
"""

import json
import os
import statistics
import sys
from typing import Any, NamedTuple

from bench.bars import Medians, Verdict, judged
from bench.fixtures import ENTRIES

LATEST = os.path.join(os.path.dirname(os.path.abspath(__file__)), "results", "latest.json")
_ORDER = ("lamina", "docker", "docker buildkit", "podman", "tar", "python")


class Results(NamedTuple):
    """`samples`: scenario -> contender -> seconds, or peak bytes for `memory`."""

    machine: dict[str, Any]
    versions: dict[str, str]
    samples: dict[str, dict[str, list[float]]]

    def medians(self) -> Medians:
        """The middle sample of each."""
        return {
            scenario: {name: statistics.median(taken) for name, taken in by_name.items()}
            for scenario, by_name in self.samples.items()
        }

    def verdicts(self) -> list[Verdict]:
        """Each bar that can be judged."""
        return judged(self.medians(), ENTRIES)


def save(results: Results, path: str = LATEST) -> None:
    """Write the results, medians and verdicts beside the samples."""
    os.makedirs(os.path.dirname(path), exist_ok=True)
    verdicts = [{**v.bar._asdict(), "value": v.value, "met": v.met} for v in results.verdicts()]
    document = {**results._asdict(), "medians": results.medians(), "bars": verdicts}
    with open(path, "w", encoding="utf-8") as file:
        json.dump(document, file, indent=1)
        file.write("\n")


def load(path: str = LATEST) -> Results:
    """Read what `save` wrote."""
    with open(path, encoding="utf-8") as file:
        document = json.load(file)
    return Results(document["machine"], document["versions"], document["samples"])


def table(results: Results) -> str:
    """For the terminal: medians with their spread, then the bars."""
    lines = [", ".join(f"{name} {version}" for name, version in results.versions.items()), ""]
    for scenario, by_name in results.samples.items():
        for name, taken in sorted(by_name.items(), key=_rank):
            middle, low, high = statistics.median(taken), min(taken), max(taken)
            lines.append(
                f"{scenario:<16} {name:<16} {_quantity(scenario, middle):>10}"
                f"   {_quantity(scenario, low)} to {_quantity(scenario, high)}, {len(taken)} runs"
            )
    return "\n".join([*lines, "", *(verdict.sentence() for verdict in results.verdicts())])


def markdown(results: Results) -> str:
    """For the README: a row per scenario, a column per contender."""
    medians = results.medians()
    names = [name for name in _ORDER if any(name in of for of in medians.values())]
    heads = [f"{name} {results.versions.get(name.split()[0], '')}".strip() for name in names]
    lines = [f"| median | {' | '.join(heads)} |", f"|---|{'---|' * len(names)}"]
    for scenario, of in medians.items():
        if not scenario.startswith("memory"):
            cells = [_quantity(scenario, of[name]) if name in of else "" for name in names]
            lines.append(f"| {scenario} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _rank(item: tuple[str, object]) -> int:
    return _ORDER.index(item[0]) if item[0] in _ORDER else len(_ORDER)


def _quantity(scenario: str, value: float) -> str:
    if scenario.startswith(("memory", "disk")):
        return f"{value / 1e6:.1f} MB"
    return f"{value:.2f} s" if value >= 1 else f"{value * 1e3:.0f} ms"


if __name__ == "__main__":
    print(markdown(load(sys.argv[1] if len(sys.argv) > 1 else LATEST)))
