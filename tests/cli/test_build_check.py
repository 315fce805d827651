"""`build --check`: docker's words and docker's exit code."""

import pytest

from tests.cli.rig import Lamina

TEXT = "FROM scratch AS One\nWORKDIR app\nCOPY secret $NO \\\n  /\nCMD run\n"
SCREEN = """\
Check complete, 5 warnings have been found!

WARNING: StageNameCasing - https://docs.docker.com/go/dockerfile/rule/stage-name-casing/
Stage name 'One' should be lowercase
Dockerfile:1
--------------------
   1 | >>> FROM scratch AS One
   2 |     WORKDIR app
   3 |     COPY secret $NO \\
--------------------

WARNING: WorkdirRelativePath - https://docs.docker.com/go/dockerfile/rule/workdir-relative-path/
Relative workdir "app" can have unexpected results if the base image changes
Dockerfile:2
--------------------
   1 |     FROM scratch AS One
   2 | >>> WORKDIR app
   3 |     COPY secret $NO \\
   4 |       /
--------------------

WARNING: CopyIgnoredFile - https://docs.docker.com/go/dockerfile/rule/copy-ignored-file/
Attempting to Copy file "secret" that is excluded by .dockerignore
Dockerfile:3
--------------------
   2 |     WORKDIR app
   3 | >>> COPY secret $NO \\
   4 | >>>   /
   5 |     CMD run
--------------------

WARNING: UndefinedVar - https://docs.docker.com/go/dockerfile/rule/undefined-var/
Usage of undefined variable '$NO'
Dockerfile:3
--------------------
   2 |     WORKDIR app
   3 | >>> COPY secret $NO \\
   4 | >>>   /
   5 |     CMD run
--------------------

WARNING: JSONArgsRecommended - https://docs.docker.com/go/dockerfile/rule/json-args-recommended/
JSON arguments recommended for CMD to prevent unintended behavior related to OS signals
Dockerfile:5
--------------------
   3 |     COPY secret $NO \\
   4 |       /
   5 | >>> CMD run
--------------------
"""


@pytest.fixture
def made(tmp_path):
    (tmp_path / "lamina").mkdir()
    return Lamina(str(tmp_path / "lamina"), "vfs")


def put(tmp_path, text, ignore=""):
    folder = tmp_path / "context"
    folder.mkdir(exist_ok=True)
    (folder / "Dockerfile").write_text(text)
    (folder / ".dockerignore").write_text(ignore)
    return str(folder)


def test_what_is_printed(made, tmp_path):
    done = made("build", "--check", put(tmp_path, TEXT, "secret\n"))
    assert (done.code, done.out, done.err) == (1, SCREEN, "")
    assert made.ok("images", "-a", "-q") == ""


def test_nothing_to_say(made, tmp_path):
    out = made.ok("build", "--check", put(tmp_path, 'FROM scratch\nCMD ["x"]\n'))
    assert out == "Check complete, no warnings found.\n"


def test_one_warning_before_an_error(made, tmp_path):
    done = made("build", "--check", put(tmp_path, "FROM scratch AS X\nBADCMD\n"))
    assert done.code != 0
    assert done.out.startswith("Check complete, 1 warning has been found!\n")
    assert "unknown instruction: BADCMD" in done.err


def test_a_warning_may_end_a_build(made, tmp_path):
    text = "# check=error=true;skip=JSONArgsRecommended\nFROM scratch AS X\nCMD x\n"
    done = made("build", put(tmp_path, text))
    assert done.code != 0
    assert "lint violation found for rules: StageNameCasing" in done.err
    made.ok("build", "--build-arg", "BUILDKIT_DOCKERFILE_CHECK=skip=all", put(tmp_path, text))
    made.ok("build", put(tmp_path, text.replace("AS X", "AS x")))


def test_an_ordinary_build_mentions_what_the_checks_say(made, tmp_path):
    folder = put(tmp_path, 'FROM scratch AS One\nWORKDIR /a\nLABEL a b\nCMD ["x"]\n')
    for _ in range(2):
        assert made("build", folder).err.endswith(
            "\n 2 warnings found (use lamina build --check to expand):\n"
            " - StageNameCasing: Stage name 'One' should be lowercase (line 1)\n"
            ' - LegacyKeyValueFormat: "LABEL key=value" should be used instead of legacy'
            ' "LABEL key value" format (line 3)\n'
        )
    assert made("build", "-q", folder).err == ""
    put(tmp_path, "# check=skip=StageNameCasing\nFROM scratch AS One\nWORKDIR /a\n")
    assert "found" not in made("build", folder).err


def test_a_base_for_another_platform_is_mentioned(made, tmp_path):
    made.ok("build", "-t", "far", put(tmp_path, "FROM --platform=linux/s390x scratch\nENV a=b\n"))
    text = "FROM far AS one\nFROM --platform=linux/s390x far\n"
    detail = 'Base image far was pulled with platform "linux/s390x", expected "linux/'
    for said in (
        made("build", "--target", "one", put(tmp_path, text)).err,
        made("build", "--check", put(tmp_path, text)).out,
    ):
        assert said.count("InvalidBaseImagePlatform") == 1
        assert detail in said
