"""How a bar is judged, and how results are kept and shown."""

import os
from pathlib import Path

from bench.bars import BARS, judged
from bench.report import Results, load, markdown, save, table

_SECONDS = {
    "import": {"lamina": 0.5, "docker": 2.0, "podman": 1.0},
    "apply": {"lamina": 1.4, "tar": 1.0},
    "cached-tiny": {"lamina": 0.130, "docker": 0.050},
    "two-sleeps": {"lamina": 6.1},
    "memory": {"small": 30e6, "2 GiB": 60e6, "100,000 entries": 45e6},
}


def _told() -> dict[tuple[str, str], tuple[float, bool]]:
    return {
        (verdict.bar.scenario, verdict.bar.against): (round(verdict.value, 3), verdict.met)
        for verdict in judged(_SECONDS, entries=100_000)
    }


def test_faster_is_their_time_over_ours() -> None:
    assert _told()["import", "docker"] == (4.0, True)
    assert _told()["import", "podman"] == (2.0, False)


def test_slower_is_our_time_over_theirs() -> None:
    assert _told()["apply", "tar"] == (1.4, True)


def test_a_difference_is_in_milliseconds() -> None:
    assert _told()["cached-tiny", "docker"] == (80.0, False)


def test_a_time_of_our_own_is_in_seconds() -> None:
    assert _told()["two-sleeps", "lamina"] == (6.1, False)


def test_memory_is_judged_whole_and_by_the_entry() -> None:
    assert _told()["memory", "2 GiB"] == (60.0, True)
    assert _told()["memory", "100,000 entries"] == (150.0, True)


def test_what_was_not_measured_is_not_judged() -> None:
    assert judged({}, entries=1) == []
    assert len(_told()) < len(BARS)


def test_results_are_read_back_as_they_were_kept_and_can_be_shown(tmp_path: Path) -> None:
    samples = {
        scenario: {name: [value, value, 9 * value] for name, value in by_name.items()}
        for scenario, by_name in _SECONDS.items()
    }
    results = Results({"kernel": "6"}, {"lamina": "0.1", "docker": "20.10"}, samples)
    path = os.path.join(tmp_path, "latest.json")
    save(results, path)
    assert load(path) == results
    assert "| import | 500 ms | 2.00 s |" in markdown(results)
    assert "MISSED  cached-tiny" in table(results)
