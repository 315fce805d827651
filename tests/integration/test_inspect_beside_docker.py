"""`inspect` beside dockerd's: a container's HostConfig and Mounts, of the same flags."""

import json

import pytest

from tests.cli.rig import in_process

pytestmark = pytest.mark.usefixtures("needs_root", "needs_mounts")

FLAGS = {
    "nothing": [],
    "rights": [
        "--cap-add",
        "NET_ADMIN",
        "--cap-drop",
        "CHOWN",
        "--security-opt",
        "no-new-privileges",
    ],
    "privileged": ["--privileged"],
    "walls": ["--read-only", "--tmpfs", "/t:size=1m,exec", "--init", "--shm-size", "1g"],
    "the host's": ["--ipc", "host", "--pid", "host", "--uts", "host"],
    "devices": ["--device", "/dev/null:/dev/x:rw", "--group-add", "5"],
    "memory": ["-m", "64m", "--memory-reservation", "32m"],
    "memory and swap": ["-m", "64m", "--memory-swap", "-1", "--oom-score-adj", "5"],
    "processors": ["--cpus", "0.5", "-c", "512", "--cpuset-cpus", "0"],
    "a quota": ["--cpu-period", "50000", "--cpu-quota", "25000", "--pids-limit", "50"],
    "each process": ["--ulimit", "core=0", "--ulimit", "nofile=100:200"],
    "names": [
        "--add-host",
        "db:10.0.0.5",
        "--dns",
        "1.1.1.1",
        "--dns-search",
        "a.b",
        "--dns-option",
        "x",
    ],
    "parameters": ["--sysctl", "kernel.shmmax=1234"],
    "mounts": ["-v", "/tmp:/x:ro", "-v", "named:/y", "--volume", "/z"],
}
# docker fills these in at the first start, or of its daemon's own settings
_OURS = frozenset(("NetworkMode", "CgroupnsMode", "Annotations", "MaskedPaths", "LogConfig"))


@pytest.fixture(scope="module")
def both(docker, busybox_tar, tmp_path_factory):
    """The same image in docker and in a Lamina store; a function that gives both documents."""
    root = str(tmp_path_factory.mktemp("store"))
    docker("import", busybox_tar, "base")

    ours = in_process(root)
    ours("import", busybox_tar, "base")

    def inspected(*flags):
        found = []
        for run in (docker, ours):
            name = run("create", "--network", "host", *flags, "base", "true").split()[-1]
            (document,) = json.loads(run("inspect", "--type", "container", name))
            run("rm", "-v", name)
            found.append(document)
        return found

    return inspected


@pytest.mark.parametrize("case", FLAGS)
def test_the_host_config(both, case):
    theirs, ours = (each["HostConfig"] for each in both(*FLAGS[case]))
    told = {key: value for key, value in ours.items() if key in theirs and key not in _OURS}
    expected = {key: theirs[key] for key in told}
    for key in ("CapAdd", "CapDrop"):  # a newer docker spells them as we do
        expected[key] = [f"CAP_{name}" for name in expected[key] or ()] or None
    if expected["SecurityOpt"] == [
        "label=disable"
    ]:  # said by docker itself: no label is given here
        expected["SecurityOpt"] = None
    for binds in filter(None, (told["Binds"], expected["Binds"])):
        binds.sort()  # docker lists them in any order
    assert told == expected


def test_what_is_mounted(both):
    def plain(document):
        mounts = sorted(document["Mounts"], key=lambda mount: mount["Destination"])
        return [
            (each["Type"], each["Destination"], each["RW"], each.get("Driver", ""))
            for each in mounts
        ]

    theirs, ours = both(*FLAGS["mounts"])
    assert plain(ours) == plain(theirs)
