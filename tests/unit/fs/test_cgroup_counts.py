"""What control groups count, read from files as kernels write them."""

from lamina.fs.cgroupcounts import Counts, counts, of_version_2


def test_a_group_of_version_2(tmp_path):
    for name, text in {
        "cpu.stat": "usage_usec 1500\nuser_usec 1000\nsystem_usec 500\n",
        "memory.current": "409600\n",
        "memory.stat": "anon 4096\nfile 8192\ninactive_file 4096\nactive_file 4096\n",
        "pids.current": "3\n",
        "io.stat": "8:0 rbytes=100 wbytes=200 rios=1 wios=2\n8:16 rbytes=1 wbytes=2\n",
    }.items():
        (tmp_path / name).write_text(text)
    assert of_version_2(str(tmp_path)) == Counts(1_500_000, 409600, 4096, 3, 101, 202)


def test_what_is_not_there_is_not_known(tmp_path):
    assert of_version_2(str(tmp_path)).memory is None
    assert of_version_2(str(tmp_path)).tasks is None


def test_a_process_in_no_group_of_that_name_tells_nothing():
    assert counts(1, "0" * 64) == Counts()
