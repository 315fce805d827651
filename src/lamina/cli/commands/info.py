"""`lamina info`."""

import textwrap

from lamina.cli.flags import Flag, Parsed, Usage
from lamina.cli.main import Context
from lamina.cli.output import document
from lamina.cli.session import engine
from lamina.engine import Engine
from lamina.values.size import human_binary
from lamina.views.system import info

USAGE = Usage(
    "[OPTIONS]",
    "Show this store and its driver",
    (
        Flag("format", "f", "FORMAT", "json, or a Go template"),
        Flag("why", "", "", "say of each driver why it was or was not taken"),
    ),
)


def run(context: Context, given: Parsed) -> int:
    """Show."""
    with engine(context) as opened:
        if given.has("why"):
            print(_why(opened), end="")
            return 0
        shown = info(opened)
    if given.one("format"):
        print(document(shown, given.one("format")), end="")
    else:
        print(_text(shown), end="")
    return 0


def _text(shown: dict[str, object]) -> str:
    rows = [
        ("Containers", shown["Containers"]),
        (" Running", shown["ContainersRunning"]),
        (" Paused", shown["ContainersPaused"]),
        (" Stopped", shown["ContainersStopped"]),
        ("Images", shown["Images"]),
        ("Lamina Version", shown["ServerVersion"]),
        ("Storage Driver", shown["Driver"]),
    ]
    status = shown["DriverStatus"]
    assert isinstance(status, list)
    rows += [(f" {name}", value) for name, value in status]
    rows += [
        ("Isolation", f"{shown['Isolation']} ({shown['IsolationReason']})"),
        ("Seccomp Profile", _profile(shown["SecurityOptions"])),
        ("Kernel Version", shown["KernelVersion"]),
        ("Operating System", shown["OperatingSystem"]),
        ("Architecture", shown["Architecture"]),
        ("CPUs", shown["NCPU"]),
        ("Total Memory", human_binary(int(str(shown["MemTotal"])))),
        ("Name", shown["Name"]),
        ("ID", shown["ID"]),
        ("Lamina Root Dir", shown["DockerRootDir"]),
    ]
    return "".join(f"{name}: {value}\n" for name, value in rows)


def _profile(options: object) -> str:
    assert isinstance(options, list)
    names = [str(each).removeprefix("name=seccomp,profile=") for each in options]
    return ", ".join(names) or "none: system calls cannot be filtered here"


def _why(opened: Engine) -> str:
    lines = [f"{opened.driver.name} is used: {opened.choice.reason}.", ""]
    for verdict in opened.system.why():
        mark = "taken" if verdict.taken else "works" if verdict.works else "no"
        lines.append(f"{verdict.name:<16}{mark:<7}{verdict.standing}")
        for text in (verdict.reason, f"disk: {verdict.cost}"):
            lines += textwrap.wrap(text, 96, initial_indent=" " * 16, subsequent_indent=" " * 16)
    kernel = opened.system.facts()["KernelVersion"]
    lines += ["", f"Tried on kernel {kernel}; a version is shown here and decides nothing."]
    return "\n".join(lines) + "\n"
