"""A filter of system calls as a value, in the words of libseccomp (seccomp_rule_add(3)).

Knows neither who is held to it nor how the kernel takes it.
"""

from typing import NamedTuple


class Argument(NamedTuple):
    """What an argument of a call is compared with, by its `place` from 0 on.

    `op` is a word as `SCMP_CMP_EQ`. For `SCMP_CMP_MASKED_EQ` the mask is `value`, and what is to
    be left of it `value_two`.
    """

    place: int
    op: str
    value: int
    value_two: int = 0


class Rule(NamedTuple):
    """What becomes of these calls when all arguments fit: an action, as `SCMP_ACT_ERRNO`.

    `error` is the number that a refused one gets (None: EPERM).
    """

    names: tuple[str, ...]
    action: str
    error: int | None = None
    arguments: tuple[Argument, ...] = ()


class Filter(NamedTuple):
    """Rules, and what becomes of a call that none is about.

    `architectures` are `SCMP_ARCH_...`, the machine's own among them; `flags` those of seccomp(2).
    """

    action: str
    error: int | None
    architectures: tuple[str, ...]
    rules: tuple[Rule, ...]
    flags: tuple[str, ...] = ()
