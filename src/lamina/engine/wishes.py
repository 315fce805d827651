"""What may be asked for of a container, under docker-py's names and in docker's spellings.

What each comes to is the business of lamina.engine.wishing.
"""

from collections.abc import Mapping, Sequence
from typing import TypedDict

from lamina.containers.health import Health
from lamina.containers.lasting import Lasting
from lamina.runtime.process import Volume


class Confined(TypedDict, total=False):
    """How far it is kept apart.

    `tmpfs` maps paths to mount options; `devices` are `HOST[:CONTAINER[:rwm]]`; `pid_mode`,
    `ipc_mode`, `uts_mode` and `userns_mode` are `host` or nothing; `shm_size` is in bytes or as
    docker spells sizes.
    """

    read_only: bool
    tmpfs: Mapping[str, str]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    privileged: bool
    devices: Sequence[str]
    group_add: Sequence[str | int]
    pid_mode: str
    ipc_mode: str
    uts_mode: str
    userns_mode: str
    shm_size: int | str | None
    init: bool


class Limited(TypedDict, total=False):
    """What it may use at most: sizes in bytes or as docker spells them, `cpus` as `1.5`.

    `ulimits` are `NAME=SOFT[:HARD]`; `pids_limit` below 1 is none, `memswap_limit` -1 unlimited.
    """

    mem_limit: int | str | None
    memswap_limit: int | str | None
    mem_reservation: int | str | None
    mem_swappiness: int | None
    cpus: float | str | None
    cpu_shares: int
    cpu_period: int
    cpu_quota: int
    cpuset_cpus: str
    cpuset_mems: str
    pids_limit: int
    blkio_weight: int
    oom_score_adj: int
    ulimits: Sequence[str]


class Around(TypedDict, total=False):
    """What RUN of a build is told besides its limits, in the same words."""

    shm_size: int | str | None
    extra_hosts: Sequence[str]
    dns: Sequence[str]
    dns_search: Sequence[str]
    dns_opt: Sequence[str]
    cap_add: Sequence[str]
    cap_drop: Sequence[str]
    security_opt: Sequence[str]
    cgroup_parent: str


class Named(TypedDict, total=False):
    """Whom it finds by which name, and what is noted of it.

    `extra_hosts` are `NAME:ADDRESS` or a mapping; `dns`, `dns_search` and `dns_opt` stand for what
    this machine's resolv.conf says; `expose` are `PORT[-PORT][/tcp|udp|sctp]`, merely noted.
    """

    extra_hosts: Mapping[str, str] | Sequence[str]
    dns: Sequence[str]
    dns_search: Sequence[str]
    dns_opt: Sequence[str]
    sysctls: Mapping[str, str]
    annotations: Mapping[str, str]
    expose: Sequence[str]


class Wanted(Confined, Limited, Named, total=False):
    """What may be asked for of a container, under docker-py's names.

    `environment` is a mapping or a list of `KEY=value`, a bare KEY being one that is not to be
    set; `network` is `host` or `none`;
    `storage_size` limits what it may write, in bytes; `volumes` are as `--volume` spells them, or
    values, `mounts` as `--mount` does, `volumes_from` names of containers (`NAME[:ro]`); `lasting`
    says how it is stopped and what is kept of its output, `health` how it is checked. Directories
    that are `missing_sources` of mounts are made once nothing else is amiss. With
    `stdin_once` its input ends when whoever is attached to it leaves.
    """

    name: str | None
    entrypoint: Sequence[str] | None
    environment: Mapping[str, str] | Sequence[str]
    working_dir: str | None
    user: str | None
    volumes: Sequence[Volume | str]
    mounts: Sequence[str]
    missing_sources: Sequence[str]
    volumes_from: Sequence[str]
    network: str
    hostname: str | None
    tty: bool
    stdin_open: bool
    stdin_once: bool
    labels: Mapping[str, str]
    storage_size: int | None
    lasting: Lasting
    health: Health
