"""Programs of filters, as the kernel itself takes them: tried in a process of its own."""

import errno
import os
import subprocess
import sys

import pytest

from lamina.kernel import seccomp
from lamina.values.syscallfilter import Argument, Filter, Rule

_TRIAL = """
import ctypes, os, sys
program = bytes.fromhex(sys.argv[1])
class Program(ctypes.Structure):
    _fields_ = (("length", ctypes.c_ushort), ("instructions", ctypes.c_char_p))
libc = ctypes.CDLL(None, use_errno=True)
assert libc.prctl(38, 1, 0, 0, 0) == 0
assert libc.prctl(22, 2, ctypes.byref(Program(len(program) // 8, program)), 0, 0) == 0
for call in (lambda: os.mkdir("/proc/x"), lambda: os.umask(7), lambda: os.getpriority(0, 0),
             lambda: os.getpriority(1, 0)):
    try:
        call()
        print(0)
    except OSError as error:
        print(error.errno)
"""
ALLOW, REFUSE = "SCMP_ACT_ALLOW", "SCMP_ACT_ERRNO"


def answers(wanted: Filter) -> list[int]:
    program = seccomp.program(wanted)
    if program is None:
        pytest.skip("needs libseccomp")
    done = subprocess.run(
        [sys.executable, "-I", "-S", "-c", _TRIAL, program.hex()], capture_output=True, check=True
    )
    return [int(line) for line in done.stdout.split()]


def test_rules_are_about_calls_and_their_arguments():
    found = answers(
        Filter(
            ALLOW,
            None,
            (),
            (
                Rule(("mkdir", "mkdirat", "a call that is none"), REFUSE, errno.EDOM),
                Rule(("getpriority",), REFUSE, None, (Argument(0, "SCMP_CMP_EQ", 1),)),
            ),
        )
    )
    assert found == [errno.EDOM, 0, 0, errno.EPERM]


def test_rules_that_say_what_is_so_anyway_say_nothing():
    rules = (Rule(("mkdir",), ALLOW), Rule(("getpriority",), REFUSE, errno.EDOM))
    assert answers(Filter(ALLOW, None, (), rules))[2:] == [errno.EDOM, errno.EDOM]


def test_an_argument_that_is_compared_twice_may_be_one_or_the_other():
    """As runc takes it; libseccomp itself takes no two comparisons of one argument."""
    arguments = tuple(Argument(0, "SCMP_CMP_EQ", value) for value in (1, 2))
    rules = (Rule(("getpriority",), REFUSE, errno.EDOM, arguments),)
    assert answers(Filter(ALLOW, None, (), rules))[2:] == [0, errno.EDOM]


def test_a_filter_of_two_architectures_is_longer():
    plain = Filter(ALLOW, None, (), (Rule(("mkdir",), REFUSE),))
    more = plain._replace(architectures=("SCMP_ARCH_X86", "SCMP_ARCH_ARM", "SCMP_ARCH_MOON"))
    one, two = seccomp.program(plain), seccomp.program(more)
    if one is None or two is None:
        pytest.skip("needs libseccomp")
    assert len(one) < len(two)
    assert len(one) % 8 == len(two) % 8 == 0


@pytest.mark.parametrize(
    "wanted",
    [
        Filter(ALLOW, None, (), (), ("SECCOMP_FILTER_FLAG_LOG",)),
        Filter("SCMP_ACT_NOTIFY", None, (), ()),
        Filter(ALLOW, None, (), (Rule(("read",), "SCMP_ACT_NOTIFY"),)),
    ],
)
def test_what_a_program_alone_cannot_say_is_left_to_the_runtime(wanted):
    assert seccomp.program(wanted) is None


def test_nothing_stays_open():
    before = len(os.listdir("/proc/self/fd"))
    seccomp.program(Filter(ALLOW, None, (), ()))
    assert len(os.listdir("/proc/self/fd")) == before
