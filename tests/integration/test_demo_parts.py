"""The demo's parts that need no minute: its props, its stage, and the two Dockerfiles."""

import os
from pathlib import Path

import pytest

from demo import props, thin
from demo.stage import CHECKOUT, Failure, Stage


def _dockerfile(name: str) -> str:
    with open(os.path.join(CHECKOUT, "demo", name, "Dockerfile"), encoding="ascii") as file:
        return file.read()


def _steps(name: str) -> list[str]:
    joined = _dockerfile(name).replace("\\\n", " ")
    return [" ".join(line.split()) for line in joined.splitlines()]


def test_the_two_images_share_their_second_step_and_differ_in_their_third() -> None:
    nginx, python = _steps("nginx"), _steps("python")
    assert nginx[:2] == python[:2]
    assert nginx[2] != python[2]
    assert "ca-certificates" in nginx[1]


def test_the_repair_keeps_the_archive_out_of_the_last_stage() -> None:
    last_stage = _dockerfile("repaired").rpartition("FROM ")[2]
    assert "app.tar.gz" not in last_stage
    assert "COPY app.tar.gz" in _dockerfile("mistake")


def test_a_prop_is_placed_again_only_when_it_differs(tmp_path: Path) -> None:
    source, target = (os.path.join(tmp_path, name) for name in ("source", "target"))
    for content in (b"one", b"another"):
        with open(source, "wb") as file:
            file.write(content)
        props.place(source, target)
        with open(target, "rb") as file:
            assert file.read() == content
    placed = os.stat(target)
    props.place(source, target)
    assert os.stat(target) == placed


def test_a_shown_command_can_be_typed_as_it_stands(capfd: pytest.CaptureFixture[str]) -> None:
    Stage(os.environ).run(["printf", "%s\n", "it's", "a b"])
    shown = capfd.readouterr().out
    assert shown == "$ printf '%s\n' \"it's\" 'a b'\nit's\na b\n"


def test_a_failing_command_fails_the_demo() -> None:
    with pytest.raises(Failure, match="`false` ended with status 1"):
        Stage(os.environ).run(["false"])


def test_only_the_demos_own_store_is_erased(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LAMINA_ROOT", "/nonexistent")
    assert props.store(fresh=False) == "/nonexistent"
    with pytest.raises(Failure, match="LAMINA_ROOT"):
        props.store(fresh=True)


def test_a_builds_chatter_is_thinned_and_its_end_is_kept_for_a_failure() -> None:
    step = ["#2 [2/3] RUN x", *(f"#2 line {number}" for number in range(20))]
    unshown = thin.keeper()
    shown = list(thin.thinned([*step, "#2 DONE 1.0s"], unshown))
    assert shown == [*step[:3], "#2 ... 18 lines more", "#2 DONE 1.0s"]
    assert not unshown

    failed = list(thin.thinned([*step], unshown))
    assert failed == step[:3]
    assert list(unshown) == step[-12:]
