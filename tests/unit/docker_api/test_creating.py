"""What a request to create comes to in the engine's words, and what is refused of it."""

import pytest

from lamina.docker_api.creating import ordered
from lamina.docker_api.fields import Fields
from lamina.docker_api.limits import of_container
from lamina.errors import UsageError


def order(host=None, **said):
    return ordered(Fields({"Image": "base", **said, "HostConfig": host or {}}), None)


# what docker's client 20.10 sends with every container, as seen on the wire
NEUTRAL = {
    "Env": None,
    "Entrypoint": None,
    "Volumes": {},
    "OnBuild": None,
    "Labels": {},
    "Domainname": "",
}
NEUTRAL_HOST = {
    "Binds": None,
    "CgroupnsMode": "",
    "ShmSize": 0,
    "MemorySwappiness": -1,
    "PidsLimit": 0,
    "MaskedPaths": None,
    "RestartPolicy": {"Name": "no", "MaximumRetryCount": 0},
    "Devices": [],
    "BlkioWeightDevice": [],
    "OomKillDisable": False,
    "NetworkMode": "default",
    "PortBindings": {},
    "Links": None,
}


def test_what_says_nothing_asks_for_nothing():
    made = order(NEUTRAL_HOST, **NEUTRAL)
    assert (made.image, made.command, made.auto_remove) == ("base", None, False)
    assert made.wanted["network"] == "host"
    assert "mem_limit" not in made.wanted
    assert of_container(Fields(NEUTRAL_HOST)) == {}


def test_an_entrypoint_may_be_taken_away():
    assert order(Entrypoint=[""]).wanted["entrypoint"] == ()
    assert order(Entrypoint=[]).wanted["entrypoint"] is None
    assert order(Entrypoint="sh").wanted["entrypoint"] == ("sh",)


def test_a_network_is_never_passed_over_in_silence():
    assert len(order({"NetworkMode": "host"}).warnings) == 0
    assert len(order({"NetworkMode": ""}).warnings) == 1
    assert len(order({"PortBindings": {"80/tcp": []}}).warnings) == 2
    with pytest.raises(UsageError):
        order({"NetworkMode": "none", "PortBindings": {"80/tcp": []}})
    with pytest.raises(UsageError, match="network mine not found"):
        order({"NetworkMode": "mine"})
    with pytest.raises(UsageError, match="network other not found"):
        order(NetworkingConfig={"EndpointsConfig": {"other": {}}})


@pytest.mark.parametrize(
    "host",
    [
        {"RestartPolicy": {"Name": "sometimes"}},
        {"Links": ["a:b"]},
        {"CgroupParent": "/x"},
        {"DeviceRequests": [{"Count": -1}]},
        {"DeviceCgroupRules": ["c 1:1 rwm"]},
        {"BlkioDeviceReadBps": [{"Path": "/dev/x", "Rate": 1}]},
        {"OomKillDisable": True},
        {"VolumeDriver": "other"},
        {"Isolation": "hyperv"},
        {"StorageOpt": {"colour": "red"}},
        {"LogConfig": {"Type": "syslog"}},
    ],
)
def test_what_cannot_be_had_is_refused(host):
    with pytest.raises(UsageError):
        order(host)


def test_mounts_are_spelled_for_the_engine():
    host = {
        "Mounts": [
            {"Type": "bind", "Source": '/a,"b', "Target": "/t", "ReadOnly": True},
            {"Type": "tmpfs", "Target": "/m", "TmpfsOptions": {"SizeBytes": 1024, "Mode": 448}},
            {"Target": "/v", "Source": "name", "VolumeOptions": {"NoCopy": True}},
        ]
    }
    bind, memory, kept = order(host).wanted["mounts"]
    assert bind == 'type=bind,"target=/t","source=/a,""b",readonly'
    assert memory == 'type=tmpfs,"target=/m",tmpfs-size=1024,tmpfs-mode=700'
    assert kept == 'type=volume,"target=/v","source=name",volume-nocopy'


def test_a_volume_without_a_name_gives_way_to_what_is_said_to_be_there():
    made = order(
        {"Binds": ["/tmp:/a/"], "Tmpfs": {"/b": ""}}, Volumes={"/a": {}, "/b": {}, "/c": {}}
    )
    assert made.wanted["volumes"] == ("/tmp:/a/", "/c")


def test_the_missing_sources_of_binds_are_to_be_made_and_are_not_yet(tmp_path):
    asked = {"Source": f"{tmp_path}/asked", "BindOptions": {"CreateMountpoint": True}}
    mounts = [
        {"Type": "bind", "Target": "/x", **asked},
        {"Type": "bind", "Target": "/y", "Source": f"{tmp_path}/typo"},
    ]
    made = order(
        {"Binds": [f"{tmp_path}/new/folder:/x", f"{tmp_path}:/z", "v:/v"], "Mounts": mounts}
    )
    assert made.wanted["missing_sources"] == [f"{tmp_path}/new/folder", f"{tmp_path}/asked"]
    assert list(tmp_path.iterdir()) == []


def test_limits_that_are_said_are_passed_on():
    host = {
        "Memory": 1 << 20,
        "NanoCpus": 1_500_000_000,
        "Ulimits": [{"Name": "nofile", "Soft": 1, "Hard": 2}],
    }
    assert of_container(Fields(host)) == {
        "mem_limit": 1 << 20,
        "cpus": 1.5,
        "ulimits": ["nofile=1:2"],
    }
