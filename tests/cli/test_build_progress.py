"""`lamina build` on a terminal: golden screens of a real one, times put out of sight."""

import json
import os
import re

import pytest

from lamina.cli.cells import width
from tests.cli.rig import untimed
from tests.cli.tmux import Terminal

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

HOSTILE = r"\033]0;evil\007\033[2J\033[H\033[31mstill here\033[0m\r\n"
WAITING = f"""\
FROM base AS one
RUN seq 1 9; printf '{HOSTILE}'; sleep 1000
FROM base AS two
RUN echo 漢字; sleep 1000
FROM base
COPY --from=one /a /a
COPY --from=two /b /b
"""
_TIME = re.compile(r" *\b\d+\.\d+s")


def golden(screen):
    """A screen without blank ends and without times."""
    lines = [_TIME.sub(" T", line).rstrip() for line in screen.rstrip().split("\n")]
    return "\n".join(lines)


def is_drawn_for(screen, columns):
    """Whether the newest list on a screen is of that width, by its last step."""
    newest = screen.rpartition("[+] Build")[2]
    room = max(columns - 1, 0)
    lines = [line for line in newest.splitlines() if line.startswith(" => [two 2/2]"[:room])]
    return any(width(line) == room for line in lines)


@pytest.fixture
def building(base, needs_program):
    """A function that builds a Dockerfile on a terminal; gives the terminal."""
    made = []

    def build(dockerfile, *words, size=(80, 24), env=None):
        base.write("context/Dockerfile", dockerfile)
        words = ("build", *words, f"{base.folder}/context")
        made.append(Terminal(needs_program("tmux"), base, *words, size=size, env=env))
        return made[-1]

    yield build
    for each in made:
        each.end()


def test_stages_go_on_side_by_side_and_a_ctrl_c_leaves_the_terminal_clean(building):
    terminal = building(WAITING, "--jobs", "2")
    terminal.shows("# still here", "# 漢字")
    title = terminal.ask("display-message", "-p", "#{pane_title}")
    screen = terminal.shows("# 9")
    order = [line.partition("]")[0] for line in screen.splitlines() if "] " in line]
    assert order[0] == "[+"
    assert sorted(order[1:]) == [
        " => [one 1/2",
        " => [one 2/2",
        " => [two 1/2",
        " => [two 2/2",
    ]
    tail = [*map(str, range(5, 10)), "still here"]
    assert "\n".join(f" => => # {each}" for each in tail) in screen
    assert "evil" not in title
    terminal.press("C-c")
    screen = terminal.shows("left: 130")
    assert screen.count("[+] Building") == 1
    assert screen.count("CANCELED [one 2/2] RUN seq") == screen.count("CANCELED [two 2/2]") == 1
    assert "# 9" not in screen
    assert "^C" not in screen
    assert terminal.ask("display-message", "-p", "#{cursor_flag}") == "1\n"


def test_a_terminal_may_change_its_size(building):
    terminal = building(WAITING, "--jobs", "2")
    terminal.shows("# still here", "# 漢字")
    for columns, rows in ((30, 24), (100, 8), (20, 5), (80, 24)):
        terminal.resize(columns, rows)
        terminal.until(lambda screen, wide=columns: is_drawn_for(screen, wide), columns)
    terminal.shows(" => [two 2/2] RUN echo 漢字; sleep 1000", "# still here")
    terminal.press("C-c")
    screen = terminal.shows("left: 130")
    assert "CANCELED [two 2/2] RUN echo 漢字; sleep 1000" in screen


def test_a_failure_shows_the_end_of_what_was_written(building):
    terminal = building(
        "FROM base\nRUN echo hello > /greeting\nRUN seq 1 3; printf 'no \\033[2Jway'; exit 3\n"
    )
    screen = terminal.shows("left: 1")
    assert golden(screen) == (
        "[+] Building T (2/3) FAILED\n"
        " => [1/3] FROM base T\n"
        " => [2/3] RUN echo hello > /greeting T\n"
        " => ERROR [3/3] RUN seq 1 3; printf 'no \\033[2Jway'; exit 3 T\n"
        "------\n"
        " > [3/3] RUN seq 1 3; printf 'no \\033[2Jway'; exit 3:\n"
        "1\n"
        "2\n"
        "3\n"
        "no way\n"
        "------\n"
        "Dockerfile:3\n"
        "--------------------\n"
        "   1 |     FROM base\n"
        "   2 |     RUN echo hello > /greeting\n"
        "   3 | >>> RUN seq 1 3; printf 'no \\033[2Jway'; exit 3\n"
        "--------------------\n"
        "lamina: Dockerfile:3: the command '/bin/sh -c seq 1 3; printf 'no \\033[2Jway'; e\n"
        "xit 3' ended with exit status 3\n"
        "left: 1"
    )


MADE = (
    "FROM base\nRUN dd if=/dev/zero of=/big bs=1000 count=7 2>/dev/null\n"
    'WORKDIR /srv\nRUN rm /big\nCMD ["true"]\n'
)


def test_a_build_ends_as_a_list_and_a_table_of_what_its_steps_added(building):
    screen = building(MADE, "-t", "made").shows("left: 0")
    screen = re.sub(r"built [0-9a-f]{12}", "built ID", golden(screen))
    assert screen == (
        "[+] Building T (5/5) FINISHED\n"
        " => [1/4] FROM base T\n"
        " => [2/4] RUN dd if=/dev/zero of=/big bs=1000 count=7 2>/dev/null T\n"
        " => [3/4] WORKDIR /srv T\n"
        " => [4/4] RUN rm /big T\n"
        "\n"
        "ADDED   WASTED   HIDES   STEP\n"
        "7kB     7kB      0B      RUN dd if=/dev/zero of=/big bs=1000 count=7 2>/…\n"
        "0B      0B       7kB     RUN rm /big\n"
        "(lamina waste made:latest names the files, and the repair)\n"
        "\n"
        "built ID, named made:latest\n"
        "left: 0"
    )
    screen = golden(building(MADE, "-t", "made").shows("left: 0"))
    assert " => CACHED [4/4] RUN rm /big T" in screen
    assert "ADDED" not in screen


def test_a_debug_shell_has_the_terminal_to_itself(building):
    terminal = building("FROM base\nRUN echo so far; exit 3\n", "--debug-shell")
    terminal.shows("the step failed: this is a shell", "/ #")
    terminal.press("echo in the sh''ell", "Enter")
    screen = terminal.shows("in the shell")
    assert golden(screen).startswith(
        "[+] Building T (1/2)\n => [1/2] FROM base T\n => [2/2] RUN echo"
    )
    terminal.press("exit", "Enter")
    screen = terminal.shows("left: 1")
    assert "in the shell" in screen
    assert "ERROR [2/2] RUN echo so far; exit 3" in screen


def test_a_long_list_on_a_small_terminal_ends_whole(building):
    lines = "".join(f"RUN echo {number}\n" for number in range(20))
    terminal = building(f"FROM base\n{lines}RUN echo up; sleep 1000\n", size=(40, 8))
    screen = terminal.shows("[22/22] RUN echo up", "# up", "[18/22]", lacking=["[15/22]"])
    assert screen.startswith("[+] Building")
    terminal.press("C-c")
    terminal.shows("left: 130")
    whole = terminal.screen("-S", "-100")
    for number in range(1, 23):
        assert len(re.findall(rf"\[ *{number}/22\]", whole)) == 1


def test_colours_are_left_out_when_nobody_wants_them(building):
    words = "FROM base\nRUN true\n"
    terminal = building(words)
    terminal.shows("left: 0")
    assert "\x1b[36m" in terminal.screen("-e")
    terminal = building(words, env={"NO_COLOR": "1"})
    terminal.shows("left: 0", "CACHED")
    assert "\x1b" not in terminal.screen("-e")


def test_a_terminal_that_cannot_move_its_cursor_gets_lines(building):
    screen = building("FROM base\nRUN echo hi\n", env={"TERM": "dumb"}).shows("left: 0")
    assert "#2 [2/2] RUN echo hi" in screen
    assert "#2 hi" in untimed(screen)


def test_plain_lines_are_harmless_on_a_terminal(building):
    screen = building(f"FROM base\nRUN printf 'x{HOSTILE}'\n", "--progress", "plain").shows(
        "left: 0"
    )
    assert "#2 xstill here" in untimed(screen)


def test_what_a_quiet_build_shows_of_a_failure_is_harmless_on_a_terminal(building):
    screen = building(f"FROM base\nRUN printf 'x{HOSTILE}'; exit 3\n", "-q").shows("left: 1")
    assert screen.startswith("xstill here\n")


def test_a_screen_is_not_drawn_where_there_is_none(base):
    base.write("Dockerfile", "FROM base\n")
    said = base("build", "--progress", "tty", base.folder)
    assert (said.code, "needs a terminal" in said.err) == (1, True)


def test_a_failed_step_is_an_event(base):
    base.write("Dockerfile", "FROM base\nRUN echo so; exit 4\n")
    said = base("build", "--progress", "json", base.folder)
    events = [json.loads(line) for line in said.err.splitlines() if line.startswith("{")]
    erred, failed = (each for each in events if each["event"] in ("StepErred", "Failed"))
    assert (erred["step"], erred["output"], failed["status"]) == (2, "so", 1)
    assert erred["excerpt"] == failed["excerpt"]
    assert "   2 | >>> RUN echo so; exit 4\n" in failed["excerpt"]
    assert said.err.endswith(f"lamina: {failed['error']}\n")
    assert failed["error"] == erred["error"]


def test_a_build_that_never_begins_is_an_event_too(base):
    base.write("Dockerfile", "FROM base\nRUM x\n")
    said = base("build", "--progress", "json", base.folder)
    (line, *_) = said.err.splitlines()
    assert '{"event":"Failed","error":"Dockerfile:2: unknown instruction: RUM;' in line


def test_a_failed_step_is_said_in_plain_words(base):
    base.write("Dockerfile", "FROM base\nRUN exit 4\n")
    assert "#2 ERROR: Dockerfile:2: the command '/bin/sh -c exit 4' ended with exit status 4" in (
        base("build", base.folder).err
    )
    said = "echo 'it'\\''s \"so\"'; printf '\\t\t'; exit 5"
    base.write("Dockerfile", f"FROM base\nRUN {said}\n")
    told = said.replace("\t", "\\t")
    assert f"the command '/bin/sh -c {told}' ended with" in base("build", base.folder).err


def test_a_quiet_build_tells_no_sizes(base):
    base.write("Dockerfile", "FROM base\nRUN echo new > /new\n")
    assert len(base.ok("build", "-q", base.folder).split()) == 1
    said = base("build", "--no-cache", base.folder)
    assert "4B      0B       0B      RUN echo new > /new" in said.err


def test_a_build_whose_sizes_cannot_be_told_is_built(base):
    folder = f"{base.root}/index"
    for name in os.listdir(folder):
        os.truncate(f"{folder}/{name}", 20)
    base.write("Dockerfile", "FROM base\nCOPY Dockerfile /new\n")
    said = base("build", "--iidfile", f"{base.folder}/id", base.folder)
    assert said.code == 0
    assert "warning: what each step added cannot be told: the layer index" in said.err
    assert os.path.getsize(f"{base.folder}/id") == 71
