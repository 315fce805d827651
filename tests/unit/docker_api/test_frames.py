"""docker's frames: what comes out is what was wanted, however the bytes were cut."""

from hypothesis import given
from hypothesis import strategies as st

from lamina.docker_api.frames import STDERR, STDOUT, Sieve, framed

WORDS = st.lists(st.tuples(st.sampled_from((STDOUT, STDERR)), st.binary(max_size=50)), max_size=20)


@given(WORDS, st.sets(st.sampled_from((STDOUT, STDERR))), st.lists(st.integers(1, 40)))
def test_a_sieve_passes_whole_frames_of_what_is_wanted(words, wanted, cuts):
    stream = b"".join(framed(number, data) for number, data in words)
    sieve, passed = Sieve(frozenset(wanted)), b""
    for cut in cuts:
        passed += sieve.passed(stream[:cut])
        stream = stream[cut:]
    passed += sieve.passed(stream)
    assert passed == b"".join(framed(number, data) for number, data in words if number in wanted)
