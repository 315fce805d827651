"""What each instruction comes to: rules 16, 17, 20, 27 to 32, 58, 66 to 77, 82."""

import pytest

from lamina.build.interpret import Scope, interpret
from lamina.build.operation import Copy, Edit, MakeDirectory, Run
from lamina.build.selection import Inline
from lamina.build.state import DEFAULT_PATH, State
from lamina.dockerfile import parse
from lamina.errors import DockerfileError
from lamina.spec.imageconfig import ImageConfig


class Stage:
    """A stage in which instructions are read one after the other."""

    def __init__(self, base=None, *, network="default", **build_args):
        self.warnings = []
        self.state = base or State.scratch(os_name="linux", architecture="amd64")
        self.actions = []
        self.scope = Scope(build_args, {"GLOBAL": "g"}, "\\", network, self.warnings.append)

    def read(self, text):
        """Interpret the lines; gives the last action."""
        for line in parse("FROM scratch\n" + text + "\n").stages[0].instructions:
            action = interpret(line, self.state, self.scope)
            self.actions.append(action)
            if isinstance(action, Edit | MakeDirectory):
                self.state = action.state
        return self.actions[-1]

    @property
    def config(self):
        return dict(self.state.config)

    @property
    def history(self):
        return [line.created_by for line in self.state.lines]


def config(text, base=None, **build_args):
    stage = Stage(base, **build_args)
    stage.read(text)
    return stage.config


def image(**fields):
    document = {
        "architecture": "amd64",
        "os": "linux",
        "config": fields,
        "rootfs": {"type": "layers", "diff_ids": []},
        "unknown": {"kept": True},
    }
    return State.over(ImageConfig.of(document))


def test_scratch_has_a_path_and_a_working_directory():
    assert Stage().config == {"Env": [f"PATH={DEFAULT_PATH}"], "WorkingDir": "/"}


def test_a_bases_unknown_fields_survive_and_its_triggers_do_not():
    state = image(OnBuild=["RUN x"], Future={"a": 1}, Env=["A=1", "PATH=/x"])
    assert state.config == {"Future": {"a": 1}, "Env": ["A=1", "PATH=/x"]}
    assert state.document["unknown"] == {"kept": True}


# --- variables --------------------------------------------------------------------------


def test_env_keeps_the_order_of_first_sight():
    base = image(Env=["PATH=/x", "A=1", "B=2"])
    assert config("ENV B=3 C=4\nENV A=5", base)["Env"] == ["PATH=/x", "A=5", "B=3", "C=4"]


def test_one_instruction_sees_one_snapshot():
    """20."""
    assert config("ENV a=1\nENV a=2 b=$a")["Env"][1:] == ["a=2", "b=1"]


def test_keys_are_expanded_too():
    """25."""
    assert config("ARG k=NAME\nENV ${k}_X=1\nLABEL $k=2")["Env"][1:] == ["NAME_X=1"]


def argument(text, **build_args):
    stage = Stage(**build_args)
    stage.read(text)
    return dict(stage.state.variables)


@pytest.mark.parametrize(
    ("text", "build_args", "expected"),
    [
        ("ARG X", {}, None),
        ("ARG X=", {}, ""),
        ("ARG X=1", {}, "1"),
        ("ARG X=1", {"X": "2"}, "2"),
        ("ARG X", {"X": "2"}, "2"),
        ("ARG X=${Y:?no}", {"X": "2"}, "2"),
        ('ARG X="a b"', {}, "a b"),
        ("ENV X=env\nARG X=arg", {}, "arg"),
        ("ARG X=arg\nENV X=env", {}, "env"),
        ("ARG Y=1\nARG X=$Y$Y", {}, "11"),
    ],
)
def test_arg(text, build_args, expected):
    assert argument(text, **build_args).get("X") == expected


def test_a_global_argument_must_be_declared_again():
    assert argument("ARG OTHER").get("GLOBAL") is None
    assert argument("ARG GLOBAL")["GLOBAL"] == "g"
    assert argument("ARG GLOBAL=own")["GLOBAL"] == "own"
    assert argument("ARG GLOBAL=own", GLOBAL="line")["GLOBAL"] == "line"


def test_an_argument_is_not_in_the_image():
    assert config("ARG X=1")["Env"] == [f"PATH={DEFAULT_PATH}"]


def test_a_required_argument_says_what_it_wants():
    with pytest.raises(DockerfileError, match="Dockerfile:2: Y: set it"):
        Stage().read('ARG X="${Y:?set it}"')


def test_an_undefined_variable_is_warned_of():
    stage = Stage()
    stage.read("ENV VERSION=1\nLABEL v=$VERSON")
    assert stage.warnings == ["line 3: $VERSON is not defined here; did you mean VERSION?"]


# --- RUN --------------------------------------------------------------------------------


def run(text, *, network="default", base=None, **build_args):
    action = Stage(base, network=network, **build_args).read(text)
    assert isinstance(action, Run)
    return action


def test_run_forms():
    assert run("RUN echo $X  'y'").argv == ("/bin/sh", "-c", "echo $X  'y'")
    assert run('RUN ["echo", "$X"]').argv == ("echo", "$X")
    assert run('SHELL ["/bin/bash", "-lc"]\nRUN x').argv == ("/bin/bash", "-lc", "x")
    assert run("RUN x", base=image(Shell=["/sh"])).argv == ("/sh", "x")


def test_run_sees_env_and_args_and_its_user_and_directory():
    found = run("ENV A=1\nARG B=2\nARG C\nUSER 5:6\nWORKDIR /w\nRUN x")
    assert found.env == (f"PATH={DEFAULT_PATH}", "A=1", "B=2")
    assert (found.user, found.cwd) == ("5:6", "/w")


@pytest.mark.parametrize(
    ("line", "build", "expected"),
    [
        ("RUN x", "default", "host"),
        ("RUN x", "none", "none"),
        ("RUN --network=none x", "host", "none"),
        ("RUN --network=host x", "none", "host"),
        ("RUN --network=default x", "none", "none"),
    ],
)
def test_networks(line, build, expected):
    assert run(line, network=build).network == expected


def test_proxies_reach_run_but_not_its_key_or_history():
    found = run("RUN x", http_proxy="http://me:secret@p", VERSION="1")
    assert found.proxies == ("http_proxy=http://me:secret@p",)
    assert found.env == (f"PATH={DEFAULT_PATH}",)
    assert found.created_by == "RUN /bin/sh -c x # buildkit"


def test_a_declared_proxy_counts_and_stays_out_of_history():
    stage = Stage(http_proxy="http://me:secret@p")
    found = stage.read("ARG http_proxy\nRUN x")
    assert found.env[-1] == "http_proxy=http://me:secret@p"
    assert not any("secret" in text for text in [*stage.history, found.created_by])


@pytest.mark.parametrize(
    ("text", "script"),
    [
        ("RUN <<EOF\necho $X\n  two\nEOF", "echo $X\n  two\n"),
        ("RUN <<-EOF\n\techo\n\tEOF", "echo\n"),
        ('RUN <<"EOF"\na\nEOF', "a\n"),
        ("RUN cat <<EOF > /x\na\nEOF", "cat <<EOF > /x\na\nEOF\n"),
        ("RUN cat <<A <<B\n1\nA\n2\nB", "cat <<A <<B\n1\nA\n2\nB\n"),
        ("RUN 3<<IN cat <&3\na\nIN", "3<<IN cat <&3\na\nIN\n"),
    ],
)
def test_here_documents(text, script):
    """17: never expanded here."""
    assert run(text).argv == ("/bin/sh", "-c", script)


def test_run_history():
    found = run("ARG A=1\nARG B=x\nARG A=2\nARG NO\nRUN echo hi")
    assert found.created_by == "RUN |2 A=2 B=x /bin/sh -c echo hi # buildkit"


@pytest.mark.parametrize(
    ("text", "what"),
    [
        ("RUN --device=vendor.com/gpu y", "RUN --device"),
    ],
)
def test_what_is_not_supported_yet_is_refused_by_name(text, what):
    with pytest.raises(DockerfileError) as caught:
        Stage().read("ENV A=1\n" + text)
    assert what in str(caught.value)
    assert "is not supported yet" in str(caught.value)
    assert caught.value.line == 3


def test_a_mention_of_device_in_the_command_is_no_flag():
    assert run("RUN mount --device=x").argv[-1] == "mount --device=x"


def test_unknown_networks():
    with pytest.raises(DockerfileError, match="no network 'bridge' for RUN; use default, host"):
        run("RUN --network=bridge x")


# --- COPY and ADD -----------------------------------------------------------------------


def copy(text, **build_args):
    action = Stage(**build_args).read(text)
    assert isinstance(action, Copy)
    return action


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        ("/a", "/a"),
        ("/a/", "/a/"),
        ("a", "/w/a"),
        ("a/", "/w/a/"),
        (".", "/w/"),
        ("./", "/w/"),
        ("..", "/"),
        ("$empty", "/w/"),
        ("/a/../b", "/b"),
        ("/", "/"),
        ("//a", "/a"),
    ],
)
def test_destinations(target, expected):
    """58."""
    assert copy(f"ENV empty=\nWORKDIR /w\nCOPY x {target}").destination == expected


def test_copy_flags_and_words_are_expanded():
    found = copy(
        "ENV A=a O=1:2 M=640\nCOPY --chown=$O --chmod=$M --exclude=*.o --link $A ${A}b /$A/"
    )
    assert found.sources == ("a", "ab")
    assert (found.owner, found.mode, found.exclude) == ("1:2", 0o640, ("*.o",))
    assert found.created_by == ("COPY --chown=1:2 --chmod=640 --exclude=*.o a ab /a/ # buildkit")


def test_copy_json_form():
    assert copy('COPY ["a b", "c"]').sources == ("a b",)


def test_here_documents_as_files():
    """16."""
    found = copy('ENV A=1\nCOPY <<EOF <<"RAW" /x/\n"$A" \\$A\nEOF\n$A\nRAW')
    assert found.sources == (Inline("EOF", b'"1" $A\n'), Inline("RAW", b"$A\n"))
    assert found.created_by == "COPY <<EOF <<RAW /x/ # buildkit"


def test_add_unpacks_and_copy_does_not():
    assert copy("ADD a b").unpacks
    assert not copy("ADD --unpack=false a b").unpacks
    assert not copy("COPY a b").unpacks
    assert copy("ADD a b").created_by == "ADD a b # buildkit"


@pytest.mark.parametrize("mode", ["9", "77777", "rwx", "", "0x1ff"])
def test_bad_modes(mode):
    if mode == "":
        assert copy("COPY --chmod=$none a b").mode is None
        return
    with pytest.raises(DockerfileError, match="chmod"):
        copy(f"COPY --chmod={mode} a b")


# --- WORKDIR and the config -------------------------------------------------------------


def test_workdir():
    stage = Stage()
    assert stage.read("WORKDIR /a").path == "/a"
    assert stage.read("WORKDIR b/../c/").path == "/a/c"
    assert stage.read("ENV X=/x\nWORKDIR $X/y").path == "/x/y"
    assert stage.config["WorkingDir"] == "/x/y"
    assert stage.actions[-1].created_by == "WORKDIR /x/y"
    assert isinstance(stage.read("WORKDIR /"), Edit)


def test_workdir_belongs_to_the_user():
    stage = Stage()
    assert stage.read("USER app\nWORKDIR /a").user == "app"


@pytest.mark.parametrize(
    ("text", "field", "value"),
    [
        ("USER a:b", "User", "a:b"),
        ("EXPOSE 80 53/UDP 90-92/sctp", "ExposedPorts", "53/udp 80/tcp 90/sctp 91/sctp 92/sctp"),
        ("ENV P='1 2'\nEXPOSE $P", "ExposedPorts", "1/tcp 2/tcp"),
        ("EXPOSE 127.0.0.1:80:8080", "ExposedPorts", "8080/tcp"),
        ("VOLUME /a /b/", "Volumes", "/a /b/"),
        ('VOLUME ["/a b"]', "Volumes", "/a b"),
        ("STOPSIGNAL SIGTERM", "StopSignal", "SIGTERM"),
        ("STOPSIGNAL 9", "StopSignal", "9"),
        ("STOPSIGNAL RTMIN+3", "StopSignal", "RTMIN+3"),
        ('CMD ["a", "b"]', "Cmd", ["a", "b"]),
        ("CMD a  b", "Cmd", ["/bin/sh", "-c", "a  b"]),
        ('SHELL ["/x"]\nCMD a', "Cmd", ["/x", "a"]),
        ('ENTRYPOINT ["e"]', "Entrypoint", ["e"]),
        ("ONBUILD RUN  x $y", "OnBuild", ["RUN  x $y"]),
        ("HEALTHCHECK NONE", "Healthcheck", {"Test": ["NONE"]}),
        ("HEALTHCHECK CMD a b", "Healthcheck", {"Test": ["CMD-SHELL", "a b"]}),
    ],
)
def test_config(text, field, value):
    found = config(text)[field]
    if isinstance(found, dict) and isinstance(value, str):
        found = " ".join(sorted(found))
    assert found == value


def test_labels_merge():
    base = image(Labels={"a": "1", "b": "2"})
    assert config('LABEL b=3 "c d"="e f"', base)["Labels"] == {"a": "1", "b": "3", "c d": "e f"}


def test_sets_merge():
    base = image(ExposedPorts={"1/tcp": {}}, Volumes={"/x": {}})
    found = config("EXPOSE 2\nVOLUME /y", base)
    assert list(found["ExposedPorts"]) == ["1/tcp", "2/tcp"]
    assert list(found["Volumes"]) == ["/x", "/y"]


@pytest.mark.parametrize(
    ("text", "command"),
    [
        ('ENTRYPOINT ["e"]', None),
        ('CMD ["own"]\nENTRYPOINT ["e"]', ["own"]),
        ('ENTRYPOINT ["e"]\nCMD ["own"]', ["own"]),
        ("CMD []", None),
        ("RUN x", ["inherited"]),
    ],
)
def test_entrypoint_clears_an_inherited_command(text, command):
    """71."""
    assert config(text, image(Cmd=["inherited"])).get("Cmd") == command


def test_a_stage_upon_a_stage_inherits_the_command():
    """30: set here counts anew."""
    stage = Stage()
    stage.read('ARG A=1\nCMD ["own"]\nONBUILD RUN x')
    below = Stage(stage.state.continued())
    assert dict(below.state.variables)["A"] == "1"
    assert "OnBuild" not in below.config
    below.read('ENTRYPOINT ["e"]')
    assert "Cmd" not in below.config


def test_healthcheck_durations():
    found = config(
        "HEALTHCHECK --interval=1m30s --timeout=0.5s --start-period=2h --start-interval=5ms"
        ' --retries=3 CMD ["x"]'
    )["Healthcheck"]
    assert found == {
        "Test": ["CMD", "x"],
        "Interval": 90 * 10**9,
        "Timeout": 500_000_000,
        "StartPeriod": 7200 * 10**9,
        "StartInterval": 5_000_000,
        "Retries": 3,
    }


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("HEALTHCHECK --interval=5 CMD x", "invalid duration '5'"),
        ("HEALTHCHECK --interval=10us CMD x", "less than the 1 ms"),
        ("HEALTHCHECK --retries=x CMD x", "--retries=x is not a number"),
        ("EXPOSE 0", "invalid port"),
        ("EXPOSE 70000", "invalid port"),
        ("EXPOSE 80/http", "invalid protocol"),
        ("EXPOSE 9-8", "runs backwards"),
        ("STOPSIGNAL SIGNOPE", "no signal 'SIGNOPE'"),
        ("STOPSIGNAL 0", "no signal '0'"),
        ("ENV a=${x", "missing '}'"),
    ],
)
def test_bad_values(text, message):
    with pytest.raises(DockerfileError) as caught:
        Stage().read(text)
    assert message in str(caught.value)
    assert caught.value.line == 2


def test_history():
    """82."""
    stage = Stage()
    stage.read(
        "\n".join(
            [
                "ENV a=1 b='2 3'",
                "LABEL l=$a",
                "ARG A=1",
                "ARG B",
                "EXPOSE 80 53/udp",
                "VOLUME /v",
                'CMD ["x", "y \\"z\\""]',
                "ENTRYPOINT e",
                "USER u",
                'SHELL ["/bin/bash", "-c"]',
                "STOPSIGNAL 9",
                "MAINTAINER me",
                "WORKDIR /",
                "ONBUILD RUN x",
            ]
        )
    )
    assert stage.history == [
        "ENV a=1 b=2 3",
        "LABEL l=1",
        "ARG A=1",
        "ARG B",
        "EXPOSE [53/udp 80/tcp]",
        "VOLUME [/v]",
        'CMD ["x" "y \\"z\\""]',
        'ENTRYPOINT ["/bin/sh" "-c" "e"]',
        "USER u",
        "SHELL [/bin/bash -c]",
        "STOPSIGNAL 9",
        "MAINTAINER me",
        "WORKDIR /",
    ]
    assert stage.state.document["author"] == "me"


def test_the_escape_character_of_the_file_counts():
    lines = parse("# escape=`\nFROM scratch\nENV a=`$x b=\\y\n").stages[0].instructions
    scope = Scope({}, {}, "`", "default", lambda _text: None)
    action = interpret(lines[0], State.scratch(os_name="linux", architecture="amd64"), scope)
    assert action.state.environment["a"] == "$x"
    assert action.state.environment["b"] == "\\y"
