"""`lamina build` of contexts that are no directory: standard input, git daemons; and a kill."""

import signal
import socketserver
import subprocess
import tarfile

import pytest

from tests.cli import layouts
from tests.cli.rig import assert_complaint, nothing_left, untimed
from tests.serving import served

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

TEXT = b"FROM base\nCOPY a /a\nRUN cat /a\n"


@pytest.fixture
def folder(base):
    """A directory with a Dockerfile, an ignore file and what they speak of."""
    base.write("context/Dockerfile", TEXT)
    base.write("context/a", "hello\n")
    base.write("context/sub/Other", "FROM base\nCOPY sub/b /\n")
    base.write("context/sub/b", "b")
    return f"{base.folder}/context"


def packed(folder, *options):
    """What GNU tar makes of a directory."""
    words = ["tar", *options, "-C", folder, "-cf", "-", "."]
    return subprocess.run(words, stdout=subprocess.PIPE, check=True).stdout


@pytest.mark.parametrize("option", ["--no-xattrs", "-z", "-j", "-J", "--zstd"])
def test_a_tar_on_standard_input(base, folder, option):
    of_folder = base.ok("build", "-q", folder)
    assert base.ok("build", "-q", "-", stdin=packed(folder, option)) == of_folder
    said = base("build", "-", stdin=packed(folder, option))
    assert (said.code, said.err.count("CACHED")) == (0, 2)


def test_what_else_standard_input_may_be(base, folder):
    context = packed(folder)
    base.ok("build", "-q", "-t", "other", "-f", "sub/Other", "-", stdin=context)
    assert base.ok("cat", "other:/b") == "b"
    assert "Check complete, no warnings" in base.ok("build", "--check", "-", stdin=context)
    with nothing_left(base):
        both = base("build", "-f", "-", "-", stdin=context)
        assert_complaint(both, "standard input cannot be both the context and the Dockerfile")
        assert_complaint(base("build", "-f", "-", ".", stdin=context), "archive is no Dockerfile")
        missing = base("build", "-f", "nope", "-", stdin=context)
        assert_complaint(missing, "there is no Dockerfile nope in the context on standard input")
        assert_complaint(base("build", "-", stdin=b"PK\3\4" + bytes(600)), "this is zip")
        assert_complaint(base("build", "-", stdin=context[:3000]), "standard input: ")
    small = base("build", "-", stdin=b"FROM base\nRUN echo hi\n")
    assert (small.code, "#2 hi\n" in untimed(small.err)) == (0, True)


@pytest.mark.parametrize("end", [signal.SIGKILL, signal.SIGTERM, signal.SIGINT])
def test_a_build_that_ends_while_it_reads_leaves_nothing(base, end):
    member = tarfile.TarInfo("big")
    member.size = 2 << 20
    begun = member.tobuf() + bytes(1 << 20)
    with nothing_left(base):
        command = base.command("build", "-")
        building = subprocess.Popen(command, stdin=subprocess.PIPE, env=base.env, cwd=base.folder)
        # More than a pipe holds: when it is written, the first members are.
        building.stdin.write(begun)
        building.stdin.flush()
        building.send_signal(end)
        assert building.wait(30) == (130 if end == signal.SIGINT else -end)
        building.stdin.close()
        base.ok("images")


class GitDaemon(socketserver.ThreadingTCPServer):
    """Speaks git's own protocol; every connection is another `git daemon`."""

    daemon_threads = True

    def __init__(self, git, folder):
        super().__init__(("127.0.0.1", 0), Connection)
        self.words = [git, "daemon", "--inetd", "--export-all", f"--base-path={folder}"]


class Connection(socketserver.BaseRequestHandler):
    def handle(self):
        stream = self.request.fileno()
        subprocess.run(self.server.words, stdin=stream, stdout=stream, check=False)


@pytest.fixture
def daemon(base, folder, needs_program):
    """The directory as a repository, and where it is served."""
    git = needs_program("git")
    identity = ["-c", "user.name=n", "-c", "user.email=e"]
    for words in (("init", "-q", "-b", "main"), ("add", "."), ("commit", "-q", "-m", "first")):
        subprocess.run([git, *identity, "-C", folder, *words], check=True)
    server = GitDaemon(git, base.folder)
    with served(server):
        yield f"git://127.0.0.1:{server.server_address[1]}/context/.git"


def test_a_repository_by_gits_own_protocol(base, folder, daemon):
    of_folder = base("build", "--explain", "-t", "one", folder).err
    assert "hello" in of_folder
    said = base("build", "--explain", "-t", "two", f"{daemon}#main")
    assert f"the context is {daemon} at " in said.err
    assert "#2 CACHED: nothing it reads changed" in said.err
    assert "#3 CACHED: " in said.err
    for name in ("-f", "--file"):
        base.ok("build", "-q", "-t", "other", name, "sub/Other", daemon)
        assert base.ok("cat", "other:/b") == "b"
    given = ["--build-context", f"base={daemon}#:sub"]
    base.ok("build", "-q", "-t", "named", *given, "-", stdin=b"FROM base\nLABEL a=b\n")
    assert sorted(base.ok("ls", "named:/").split()) == ["Other", "b"]
    with nothing_left(base):
        assert_complaint(base("build", f"{daemon}#nope"), "has no 'nope'; it has main")


def test_provenance_names_the_commit(base, folder, daemon, needs_program):
    """Of the context, and of what is added from a repository or stands for a name."""
    git = [needs_program("git"), "-C", folder, "rev-parse", "HEAD"]
    commit = subprocess.run(git, stdout=subprocess.PIPE, text=True, check=True).stdout.strip()
    at = {"uri": daemon, "digest": {"sha1": commit}}
    text = f"FROM scratch\nADD {daemon} /a\n"
    for context, words, stdin, source in (
        (daemon, [], None, {"path": "Dockerfile", **at}),
        ("-", [], text.encode(), {"path": "Dockerfile"}),
        ("-", ["--build-context", f"x={daemon}"], b"FROM x\n", {"path": "Dockerfile"}),
    ):
        path = f"{base.folder}/layout{context[:1]}{len(words)}"
        output = f"type=oci,tar=false,dest={path}"
        base.ok("build", "-o", output, "--provenance", *words, context, stdin=stdin)
        ((_, said),) = layouts.said(path)
        definition = said["https://slsa.dev/provenance/v1"]["predicate"]["buildDefinition"]
        assert definition["externalParameters"]["configSource"] == source
        assert at in definition["resolvedDependencies"]


def test_an_ignore_file_that_is_named_stands_for_the_contexts_own(base, folder):
    """Of a directory and of a tar; docker's is then not asked."""
    base.write("context/.dockerignore", "a\n")
    base.write("context/Dockerfile", "FROM base\nCOPY . /x/\n")
    named = ["--ignorefile", base.write("mine", "sub\n.*\n")]
    for context, stdin in ((folder, None), ("-", packed(folder))):
        said = base("build", "-t", "made", *named, context, stdin=stdin)
        assert said.code == 0, said
        assert sorted(base.ok("ls", "made:/x").split()) == ["Dockerfile", "a"]
    base.ok("build", "-q", "-t", "made", folder)
    assert sorted(base.ok("ls", "made:/x").split()) == [".dockerignore", "Dockerfile", "sub"]
    said = base("build", "--ignorefile", "absent", folder)
    assert_complaint(said, "there is no ignore file absent")


def test_a_time_that_no_file_is_later_than(base, folder):
    epoch = ["--timestamp", "1000000000"]
    image = base.ok("build", "-q", "-t", "made", *epoch, folder)
    assert base.ok("inspect", "--format", "{{.Created}}", "made") == "2001-09-09T01:46:40Z\n"
    assert base.ok("build", "-q", "--no-cache", *epoch, folder) == image
    assert_complaint(base("build", "--timestamp", "now", folder), "number of seconds is expected")
