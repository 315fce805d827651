"""What RUN has around it besides its Dockerfile: limits, /dev/shm, hosts; and docker's flags."""

import os
import subprocess

import pytest

import lamina as library
from lamina.fs.cgroups import hierarchies
from tests.cli.rig import assert_complaint, nothing_left, until, untimed

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

LOOK = "RUN ulimit -n; ulimit -Hn; df -k /dev/shm | tail -n 1; grep -wE 'db|six|gw' /etc/hosts\n"


def seen(said):
    """What the second step wrote."""
    assert said.code == 0, said
    lines = [untimed(line) for line in said.err.splitlines() if line[:3] == "#2 "]
    return [" ".join(line.split()[1:3]) for line in lines[1:-1]]


def test_a_command_has_what_was_asked_for(base):
    base.write("Dockerfile", "FROM base\n" + LOOK)
    words = ["--add-host", "db:10.1.2.3", "--add-host=six=[::1]", "--add-host=gw:host-gateway"]
    limits = ["--ulimit", "nofile=77:88", "--shm-size", "1m", "-c", "512", "-m", "64m"]
    said = base("build", *words, *limits, base.folder)
    if "control group" in said.err:
        pytest.skip(said.err.splitlines()[-1])
    soft, hard, shm, *hosts = seen(said)
    assert (soft, hard, shm.split()[1]) == ("77", "88", "1024")
    assert hosts == ["10.1.2.3 db", "::1 six", "127.0.0.1 gw"]


def test_of_these_a_result_is_known_by_the_limits_of_processes_alone(base):
    base.write("Dockerfile", "FROM base\nRUN echo hi > /x\n")

    def told(*words):
        said = base("build", "--explain", *words, base.folder)
        assert said.code == 0, said
        return [line for line in said.err.splitlines() if line.startswith("#2 ")][-1]

    told()
    assert "CACHED" in told("--add-host", "db:10.1.2.3", "--shm-size=32m")
    assert "ulimits changed" in told("--ulimit", "nofile=77")
    assert "CACHED" in told("--ulimit", "nofile=77:77", "--add-host", "db:10.1.2.4")
    assert "ulimits changed" in told("--ulimit", "nofile=78")


RIGHTS = "RUN grep -E '^(NoNewPrivs|CapBnd|Seccomp):' /proc/self/status; cat /etc/resolv.conf\n"


def test_how_far_a_command_is_kept_apart(by_each):
    """By the words of containers; what it is allowed is in the key of what comes of it."""
    by_each.write("Dockerfile", "FROM base\n" + RIGHTS)

    def rights(*words):
        return dict(row.split(maxsplit=1) for row in seen(by_each("build", *words, by_each.folder)))

    plain = rights("--no-cache")
    assert (plain["NoNewPrivs:"], plain["Seccomp:"]) == ("0", "2")
    few = rights("--security-opt", "no-new-privileges", "--cap-drop", "ALL", "--cap-add=chown")
    assert (few["NoNewPrivs:"], int(few["CapBnd:"], 16)) == ("1", 1)
    assert rights("--security-opt", "seccomp=unconfined")["Seccomp:"] == "0"
    said = by_each("build", "--explain", "--cap-drop=ALL", by_each.folder).err
    assert "rights changed" in said
    names = rights("--no-cache", "--dns", "10.0.0.1", "--dns-search=x.example", "--dns-option", "a")
    assert [names[key] for key in ("nameserver", "search", "options")] == [
        *("10.0.0.1", "x.example", "a"),
    ]


@pytest.mark.parametrize("kind", ["chroot", "oci", "runc", "default", ""])
def test_what_keeps_it_apart_may_be_said(base, kind, needs_program):
    needs_program("runc")
    base.env["LAMINA_ISOLATION"] = "crun"
    base.write("Dockerfile", "FROM base\nRUN tr '\\0' ' ' < /proc/1/cmdline\n")
    (first,) = seen(base("build", f"--isolation={kind}", base.folder))
    assert first.startswith("tr") == (kind != "chroot")


@pytest.fixture
def few_processes():
    """A control group that may have 40 processes; its name, and its path."""
    found = hierarchies()
    place = found.of.get("pids", found.unified)
    name = f"lamina-test-{os.getpid()}/inner"
    path = os.path.join(place, name)
    try:
        os.makedirs(path)
        with open(f"{path}/pids.max", "w") as file:
            file.write("40")  # runc alone has some ten threads
    except OSError as error:
        pytest.skip(f"no control group can be made here: {error}")
    yield name, path
    for each in dict.fromkeys([place, *found.places]):
        for folder in (name, os.path.dirname(name)):
            if os.path.isdir(os.path.join(each, folder)):
                os.rmdir(os.path.join(each, folder))


def groups_in(path):
    return [each for each in os.listdir(path) if os.path.isdir(os.path.join(path, each))]


@pytest.mark.parametrize("limits", [(), ("-m", "64m", "-c", "512")])
def test_a_control_group_that_its_own_lies_below(by_each, few_processes, limits):
    """What that may have counts; and nothing is left in it."""
    name, path = few_processes
    by_each.write(
        "Dockerfile", "FROM base\nRUN for i in $(seq 60); do sleep 30 & done; echo all of them\n"
    )
    assert "#2 all of them\n" in untimed(by_each("build", *limits, by_each.folder).err)
    words = ("--no-cache", "--cgroup-parent", f"/{name}", *limits)
    said = by_each("build", *words, by_each.folder)
    assert said.code != 0
    assert "an't fork" in said.err
    assert groups_in(path) == []
    by_each.write("Dockerfile", "FROM base\nRUN true\n")
    by_each.ok("build", "-q", *words, by_each.folder)
    assert groups_in(path) == []


def test_after_a_kill_the_next_command_clears_it(base, few_processes, needs_program):
    name, path = few_processes
    needs_program("crun")
    base.env["LAMINA_ISOLATION"] = "crun"
    base.write("Dockerfile", "FROM base\nRUN sleep 60\n")
    command = base.command("build", "--cgroup-parent", name, base.folder)
    with open(os.devnull, "w") as nothing:
        building = subprocess.Popen(command, env=base.env, cwd=base.folder, stderr=nothing)
    try:
        until(lambda: groups_in(path))
    finally:
        building.kill()
        building.wait(30)
    base.write("Dockerfile", "FROM base\nRUN true\n")
    base.ok("build", "-q", base.folder)
    until(lambda: not groups_in(path))


def test_limits_by_another_name(base):
    base.write(
        "Dockerfile", "FROM base\nRUN cat /sys/fs/cgroup/memory/memory.limit_in_bytes; true\n"
    )
    said = base("build", "--resource", "memory=64m,cpu-shares=512", base.folder)
    if "control group" in said.err or "No such file" in said.err:
        pytest.skip(said.err.splitlines()[-1])
    assert seen(said) == [str(64 << 20)]


@pytest.mark.parametrize(
    ("words", "complaint"),
    [
        (["--add-host", "db"], "invalid host 'db'"),
        (["--add-host", "db:10.1.2"], "invalid IP address '10.1.2'"),
        (["--add-host", "a\nb:10.1.2.3"], "NAME:ADDRESS"),
        (["--ulimit", "what=1"], "unknown limit 'what'"),
        (["--memory", "1k"], "a memory limit must be 6m at least"),
        (["--shm-size", "large"], "large"),
        (["--cpu-quota", "much"], "--cpu-quota 'much' is no whole number"),
        (["--resource", "memory=1k"], "a memory limit must be 6m at least"),
        (["--resource", "disk=1g"], "--resource 'disk=1g' is unknown; it is KEY=VALUE: cpu-period"),
        (["--resource", "memory"], "--resource 'memory' is unknown"),
        (["--security-opt", "seccomp=none.json"], "the seccomp profile none.json: No such file"),
        (["--security-opt", "what=ever"], "unknown security option 'what=ever'"),
        (["--cap-add", "FLY"], "FLY"),
        (["--dns", "here"], "invalid IP address 'here'"),
        (["--isolation", "hyperv"], "no isolation is called 'hyperv'"),
        (["--cgroup-parent", "/a/../b"], "invalid control group '/a/../b'; write it as /NAME"),
        (["--cgroup-parent", "a b"], "invalid control group 'a b'"),
    ],
)
def test_what_means_nothing(base, words, complaint):
    base.write("Dockerfile", "FROM base\nRUN true\n")
    with nothing_left(base):
        assert_complaint(base("build", *words, base.folder), complaint)


def test_a_command_that_needs_more_memory_says_so(base):
    base.write("Dockerfile", "FROM base\nRUN exec dd if=/dev/zero of=/dev/null bs=60M count=1\n")
    said = base("build", "-m", "16m", base.folder)
    if "control group" in said.err:
        pytest.skip(said.err.splitlines()[-1])
    assert_complaint(said, "Dockerfile:2: ", "ended with exit status 137: out of memory: ", "16MiB")


def test_the_library_has_them_as_of_containers(base):
    text = "FROM base\nRUN ulimit -n > /n; grep -w db /etc/hosts > /h; grep NoNew /proc/1/status > /p\n"
    base.write("Dockerfile", text)
    with library.open(base.root, run_root=base.env["LAMINA_RUN_ROOT"]) as engine:
        wishes = {"ulimits": ["nofile=99"], "extra_hosts": ["db:10.1.2.3"]}
        wishes |= {"security_opt": ["no-new-privileges"], "isolation": "oci"}
        engine.images.build(base.folder, tags=["made"], **wishes)
    assert base.ok("cat", "made:/n") == "99\n"
    assert base.ok("cat", "made:/p").split() == ["NoNewPrivs:", "1"]
    assert base.ok("cat", "made:/h").split() == ["10.1.2.3", "db"]


def test_a_build_argument_without_a_value_is_the_environments_or_none(base):
    base.write("Dockerfile", "FROM base\nARG A=default\nRUN echo $A\n")
    said = base("build", "--build-arg", "A", base.folder).err
    assert "#3 default\n" in untimed(said)
    said = base("build", "--build-arg", "A", base.folder, env={"A": "given"}).err
    assert "#3 given\n" in untimed(said)
    assert "#3 \n" in untimed(base("build", "--build-arg", "A=", base.folder).err)


PROXIES = (
    '{"proxies": {"default": {"httpProxy": "http://me:pass@p:3128", "noProxy": "a,b"},'
    ' "tcp://x": {"httpsProxy": "http://other"}}}'
)


def test_dockers_configuration_names_proxies(base):
    base.env["DOCKER_CONFIG"] = base.folder
    base.write("config.json", PROXIES)
    base.write("Dockerfile", "FROM base\nRUN env | grep -i _proxy | sort > /p; echo $https_proxy\n")
    said = base("build", "-t", "made", base.folder)
    assert (said.code, "pass" in said.err, "warning" in said.err) == (0, False, False)
    proxy = "http://me:pass@p:3128"
    lines = [f"HTTP_PROXY={proxy}", "NO_PROXY=a,b", f"http_proxy={proxy}", "no_proxy=a,b"]
    assert base.ok("cat", "made:/p").splitlines() == lines
    assert "pass" not in base.ok("history", "--no-trunc", "made") + base.ok("inspect", "made")
    given = ["--build-arg", "http_proxy=http://given", "--no-cache"]
    base.ok("build", "-q", "-t", "made", *given, base.folder)
    lines[2] = "http_proxy=http://given"
    assert base.ok("cat", "made:/p").splitlines() == lines


@pytest.mark.parametrize(
    "text", ["", "[]", '{"proxies": 1}', '{"proxies": {"default": [1]}}', "\0"]
)
def test_a_configuration_of_dockers_that_is_none_names_no_proxies(base, text):
    base.env["DOCKER_CONFIG"] = base.folder
    base.write("config.json", text)
    base.write("Dockerfile", "FROM base\nLABEL a=b\n")
    base.ok("build", "-q", base.folder)


def test_flags_of_dockers_that_mean_nothing_here(base):
    base.write("Dockerfile", "FROM base\nLABEL a=b\n")
    words = ["--compress", "--disable-content-trust", "-D", "--builder", "default", "--rm=false"]
    base.ok("build", "-q", *words, "--cgroup-parent=", "--isolation", "default", base.folder)
