"""Packages as dpkg, apk, rpm and pip write them down, beside the programs themselves."""

import os
import sqlite3
import struct
import subprocess
from importlib import metadata

import pytest
from hypothesis import given
from hypothesis import strategies as st

from lamina.analyze.packages import Package, from_apk, from_dpkg, from_python, from_rpm


def test_dpkgs_status_is_read_as_dpkg_reads_it(needs_program):
    form = "-f=${db:Status-Abbrev}\t${Package}\t${Architecture}\t${Version}\n"
    said = subprocess.run(
        [needs_program("dpkg-query"), "-W", form], capture_output=True, text=True, check=True
    )
    rows = (line.split("\t") for line in said.stdout.splitlines())
    wanted = {Package("deb", *facts) for state, *facts in rows if state[1] == "i"}
    with open("/var/lib/dpkg/status", "rb") as file:
        assert set(from_dpkg(file.read())) == wanted


def test_what_dpkg_removed_is_not_installed():
    stanza = b"Package: a\nStatus: deinstall ok config-files\nVersion: 1\n"
    assert list(from_dpkg(stanza)) == []
    assert list(from_dpkg(b"Package: a\nVersion: 1\n")) == [Package("deb", "a", "", "1")]


def test_apks_database_is_read():
    text = b"C:Q1x=\nP:musl\nV:1.2.4-r2\nA:x86_64\nF:lib\nR:ld.so\n\nP:zlib\nV:1.3\nA:x86_64\n\n"
    assert list(from_apk(text)) == [
        Package("apk", "musl", "x86_64", "1.2.4-r2"),
        Package("apk", "zlib", "x86_64", "1.3"),
    ]


def test_python_distributions_are_told_by_their_names():
    found = [each for each in metadata.distributions() if isinstance(each.metadata["Name"], str)]
    folders = [os.path.basename(str(each._path)).encode() for each in found]
    told = {(each.name.replace("-", ""), each.version) for each in from_python(folders)}
    for each in found:
        name = each.metadata["Name"].lower()
        assert (name.replace("-", "").replace("_", "").replace(".", ""), each.version) in told
    assert list(from_python([b"x.dist-info", b"-.egg-info", b"x", b"\xff-1.dist-info"])) == []
    assert list(from_python([b"PyYAML-6.0-py3.11.egg-info"])) == [
        Package("pip", "pyyaml", "", "6.0")
    ]


def header(*entries):
    """An rpm header of (tag, type, bytes)."""
    index, data = b"", b""
    for tag, kind, value in entries:
        index += struct.pack(">IIII", tag, kind, len(data), 1)
        data += value
    return struct.pack(">II", len(entries), len(data)) + index + data


def database(tmp_path, *blobs):
    path = tmp_path / "rpmdb.sqlite"
    with sqlite3.connect(path) as made:
        made.execute("CREATE TABLE Packages (hnum INTEGER PRIMARY KEY, blob BLOB NOT NULL)")
        made.executemany("INSERT INTO Packages (blob) VALUES (?)", [(each,) for each in blobs])
    made.close()
    return path.read_bytes()


BASH = (
    (1000, 6, b"bash\0"),
    (1001, 6, b"5.1\0"),
    (1002, 6, b"2.el9\0"),
    (1003, 4, struct.pack(">I", 1)),
    (1022, 6, b"x86_64\0"),
)


def test_rpms_database_is_read(tmp_path):
    key = header((1000, 6, b"gpg-pubkey\0"), (1001, 6, b"1\0"))
    torn = header(*BASH)[:30]
    made = database(tmp_path, header(*BASH), key, torn, header(*BASH[:2], (1002, 6, b"endless")))
    assert from_rpm(made) == [Package("rpm", "bash", "x86_64", "1:5.1-2.el9")]


def test_an_rpm_database_of_rpm_itself_is_read(tmp_path, needs_program):
    (tmp_path / "x.spec").write_text(
        "Name: hello-x\nVersion: 1.2\nRelease: 3\nEpoch: 4\nSummary: x\nLicense: none\n"
        "BuildArch: noarch\n%description\nx\n%files\n"
    )
    spec, root = str(tmp_path / "x.spec"), str(tmp_path / "root")
    top = ["--define", f"_topdir {tmp_path}", "--define", f"_dbpath {root}"]
    build = [needs_program("rpmbuild"), *top, "-bb", spec]
    subprocess.run(build, capture_output=True, check=True)
    package = str(tmp_path / "RPMS/noarch/hello-x-1.2-3.noarch.rpm")
    rpm = [needs_program("rpm"), *top, "-i", "--justdb", "--nodeps", "--force-debian", package]
    subprocess.run(rpm, capture_output=True, check=True)
    with open(f"{root}/rpmdb.sqlite", "rb") as file:
        assert from_rpm(file.read()) == [Package("rpm", "hello-x", "noarch", "4:1.2-3")]


def test_a_database_that_would_never_end_is_left(tmp_path):
    path = tmp_path / "endless"
    with sqlite3.connect(path) as made:
        made.execute(
            "CREATE VIEW Packages AS WITH RECURSIVE n(x) AS (SELECT 1 UNION ALL SELECT x + 1"
            " FROM n) SELECT x AS blob FROM n WHERE length(x) > 1000"
        )
    made.close()
    assert from_rpm(path.read_bytes()) == []


@given(st.binary(max_size=300))
def test_whatever_the_files_hold_nothing_breaks(data):
    list(from_dpkg(data)), list(from_apk(data)), list(from_python(data.split(b"\n")))
    from_rpm(data)
    from_rpm(b"SQLite format 3\0" + data)


@pytest.mark.parametrize("cut", range(0, 120, 7))
def test_a_torn_header_is_left(tmp_path, cut):
    assert len(from_rpm(database(tmp_path, header(*BASH)[:cut]))) <= 1
