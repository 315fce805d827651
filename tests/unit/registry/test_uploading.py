"""Uploads in chunks, and on from where they broke off, against a registry that breaks to order."""

import io
import random
import re

import pytest

from lamina.errors import RegistryError, RegistryUnreachable, StoreDamaged
from lamina.registry.hosts import Settings
from lamina.registry.repository import Repository
from lamina.registry.session import Session
from lamina.registry.transport import Transport
from lamina.registry.uploading import _Bytes
from lamina.testing.fake_registry import fake_registry
from lamina.values.digest import BlobDigest

MIB = 1 << 20
BLOB = random.Random(1).randbytes(40 * MIB + 12345)
DIGEST = BlobDigest.of(BLOB)
UPLOAD = "/blobs/uploads/[0-9]"
PATH = "/v2/demo/blobs/uploads"


@pytest.fixture
def registry():
    with fake_registry() as made:
        yield made


def upload(registry, data=BLOB, **options):
    """Upload a blob; gives the pauses that were made, in seconds, none of them really."""
    settings, waited = Settings(timeout=20.0, certificates=()), []
    session = Session(registry.host, Transport(settings, "test"), settings, sleep=waited.append)
    place = Repository(session, "demo", **options)
    place.upload(BlobDigest.of(data), len(data), lambda: io.BytesIO(data))
    return waited


def sent(registry):
    """What was sent, as method, first byte and number of bytes."""
    found = []
    for each in registry.asked:
        if each.method in ("PUT", "PATCH"):
            begin = int(each.headers.get("content-range", "0-").partition("-")[0])
            found.append((each.method, begin, int(each.headers["content-length"])))
    return found


def breaking(count):
    return lambda exchange: exchange.break_off(count) is None


def answering(status, **headers):
    """A fault: take nothing, and say so much."""
    named = {name.replace("_", "-"): value for name, value in headers.items()}

    def fault(exchange):
        exchange.body()
        exchange.answer(status, b"", named)
        return True

    return fault


def test_a_blob_goes_whole_where_nothing_is_in_the_way(registry):
    upload(registry)
    assert sent(registry) == [("PUT", 0, len(BLOB))]
    assert registry.blobs == {DIGEST: BLOB}


def test_what_broke_off_goes_on_from_there(registry):
    registry.wrong(f"PUT .*{UPLOAD}", breaking(10 * MIB), times=1)
    registry.wrong(f"PATCH .*{UPLOAD}", breaking(5 * MIB), times=1)
    upload(registry)
    assert sent(registry) == [
        ("PUT", 0, len(BLOB)),
        ("PATCH", 10 * MIB, 16 * MIB),
        ("PATCH", 15 * MIB, 16 * MIB),
        ("PATCH", 31 * MIB, 9 * MIB + 12345),
        ("PUT", 0, 0),
    ]
    assert registry.count(f"GET .*{UPLOAD}") == 2
    assert registry.blobs == {DIGEST: BLOB}


@pytest.mark.parametrize("taken", [0, 3 * MIB])
def test_a_chunk_that_broke_off_goes_on_where_the_last_answer_led(registry, taken):
    """A registry may know a place no more that it has told another one after."""
    broken = []

    def third(exchange):
        if not exchange.headers["Content-Range"].startswith(f"{20 * MIB}-") or broken:
            return False
        broken.append(exchange.path)
        return breaking(taken)(exchange)

    registry.wrong("PATCH", third)
    upload(registry, chunk=10 * MIB)
    begins = [each[1] for each in sent(registry) if each[0] == "PATCH"]
    again = 20 * MIB + taken
    assert begins[:5] == [0, 10 * MIB, 20 * MIB, again, again + 10 * MIB]
    assert registry.count("POST") == 1
    assert registry.blobs == {DIGEST: BLOB}


def test_a_registry_that_took_nothing_says_so_as_dockers_does(registry):
    """Which is 0-0, as if it had one byte."""
    registry.wrong(f"PUT .*{UPLOAD}", breaking(0), times=1)
    upload(registry)
    assert sent(registry)[1] == ("PATCH", 0, 16 * MIB)
    assert registry.count("POST") == 1


@pytest.mark.parametrize("status", [429, 503])
def test_a_registry_that_wants_a_pause_gets_it(registry, status):
    registry.wrong(f"PATCH .*{UPLOAD}", answering(status, Retry_After="7"), times=1)
    assert upload(registry, chunk=20 * MIB) == [7.0]
    assert [each[1] for each in sent(registry)] == [0, 0, 20 * MIB, 40 * MIB, 0]
    registry.wrong(f"PUT .*{UPLOAD}", answering(status, Retry_After="3600"))
    with pytest.raises(RegistryError, match="left alone for 3600 seconds"):
        upload(registry)


@pytest.mark.parametrize("status", [404, 400, 416])
def test_what_a_registry_has_lost_is_sent_from_the_start(registry, status):
    registry.wrong(f"PUT .*{UPLOAD}", breaking(10 * MIB), times=1)
    registry.wrong(f"GET .*{UPLOAD}", answering(status), times=1)
    upload(registry)
    assert [each[:2] for each in sent(registry)[:2]] == [("PUT", 0), ("PATCH", 0)]
    assert registry.count("POST") == 2
    assert registry.blobs == {DIGEST: BLOB}


def test_a_blob_that_came_whole_is_not_sent_again(registry):
    """Only the answer to it was lost."""

    def answer_lost(exchange):
        registry.add_blob(exchange.body())
        exchange.close_connection = True
        return True

    registry.wrong(f"PUT .*{UPLOAD}", answer_lost, times=1)
    registry.wrong(f"GET .*{UPLOAD}", answering(404))
    upload(registry)
    assert sent(registry) == [("PUT", 0, len(BLOB))]


def test_a_registry_that_keeps_breaking_is_given_up(registry):
    registry.wrong(f"(PUT|PATCH) .*{UPLOAD}", breaking(1000))
    with pytest.raises(RegistryUnreachable):
        upload(registry)
    assert len(sent(registry)) == 3
    assert registry.blobs == {}


def test_a_registry_that_loses_everything_each_time_is_given_up(registry):
    registry.wrong(f"(PUT|PATCH) .*{UPLOAD}", breaking(8 * MIB))
    registry.wrong(f"GET .*{UPLOAD}", answering(404))
    with pytest.raises(RegistryError):
        upload(registry)
    assert len(sent(registry)) == 3


@pytest.mark.parametrize(("limit", "first"), [(16 * MIB, 16 * MIB), (MIB, MIB), (300_000, 1 << 18)])
def test_what_is_too_large_at_once_goes_in_chunks(registry, limit, first):
    def refuse(exchange):
        if int(exchange.headers["Content-Length"]) <= limit:
            return False
        return answering(413)(exchange)

    registry.wrong(f"(PUT|PATCH) .*{UPLOAD}", refuse)
    data = BLOB[: 20 * MIB]
    upload(registry, data)
    taken = [each for each in sent(registry) if each[2] <= limit]
    assert taken[0] == ("PATCH", 0, first)
    assert sum(each[2] for each in taken) == len(data)
    assert registry.blobs == {BlobDigest.of(data): data}


def test_a_registry_that_takes_no_size_at_all_is_given_up(registry):
    registry.wrong(f"(PUT|PATCH) .*{UPLOAD}", answering(413))
    with pytest.raises(RegistryError, match="413"):
        upload(registry)
    assert len(sent(registry)) == 5


@pytest.mark.parametrize(("least", "chunk"), [(5 * MIB, 16 * MIB), (32 * MIB, 32 * MIB)])
def test_a_registry_that_names_a_least_chunk_gets_chunks(registry, least, chunk):
    registry.least_chunk = least
    upload(registry)
    assert sent(registry)[0] == ("PATCH", 0, chunk)
    assert registry.blobs == {DIGEST: BLOB}


def test_a_least_chunk_that_is_refused_for_its_size_is_an_error(registry):
    registry.least_chunk = 32 * MIB
    registry.wrong(f"(PUT|PATCH) .*{UPLOAD}", answering(413))
    with pytest.raises(RegistryError, match="413"):
        upload(registry)
    assert len(sent(registry)) == 1


@pytest.mark.parametrize("least", ["-1", "x", "٣", "9" * 30])
def test_a_least_chunk_that_is_none_is_not_believed(registry, least):
    where = {"Location": f"{PATH}/7", "OCI-Chunk-Min-Length": least.encode().decode("latin-1")}
    registry.uploads["7"] = b""
    registry.wrong("POST", lambda exchange: exchange.answer(202, b"", where) is None, times=1)
    upload(registry)
    assert sent(registry) == [("PUT", 0, len(BLOB))]


def test_chunks_may_be_asked_for(registry):
    upload(registry, chunk=10 * MIB)
    assert sent(registry) == [
        *(("PATCH", each * 10 * MIB, 10 * MIB) for each in range(4)),
        ("PATCH", 40 * MIB, 12345),
        ("PUT", 0, 0),
    ]
    ranges = [each.headers.get("content-range") for each in registry.asked]
    assert f"0-{10 * MIB - 1}" in ranges
    assert registry.blobs == {DIGEST: BLOB}
    registry.asked.clear()
    upload(registry, BLOB[: 10 * MIB], chunk=10 * MIB)
    assert sent(registry) == [("PUT", 0, 10 * MIB)]


@pytest.mark.parametrize("size", [0, 1, 2])
def test_the_smallest_blobs(registry, size):
    upload(registry, BLOB[:size], chunk=1)
    assert registry.blobs == {BlobDigest.of(BLOB[:size]): BLOB[:size]}


# --- what is not believed -----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("0-99999999", "has 100000000 bytes of a blob, and got"),
        ("0-41955385", "has 41955386 bytes of a blob, and got"),
        ("0-9", "has 10 bytes of a blob, of which it had 10485760"),
        ("5-9", "says '5-9'"),
        ("all of it", "says 'all of it'"),
        ("0-" + "9" * 500, "says '0-9"),
    ],
)
def test_a_range_that_cannot_be_is_an_error(registry, text, words):
    told = answering(202, Range=text, Location=f"{PATH}/1")
    registry.wrong(f"PATCH .*{UPLOAD}", lambda e: registry.count("PATCH") > 1 and told(e))
    with pytest.raises(RegistryError, match=re.escape(words)):
        upload(registry, chunk=10 * MIB)
    assert registry.count("PATCH") == 2
    assert registry.blobs == {}


def test_the_same_of_where_it_says_it_is(registry):
    registry.wrong(f"PUT .*{UPLOAD}", breaking(10 * MIB), times=1)
    registry.wrong(f"GET .*{UPLOAD}", answering(204, Range="0-41955384"))
    with pytest.raises(RegistryError, match="has 41955385 bytes of a blob, and got"):
        upload(registry)


@pytest.mark.parametrize("status", [202, 416, 500])
def test_a_registry_that_takes_nothing_for_ever_is_given_up(registry, status):
    told = answering(status, Range="0-0", Location=f"{PATH}/1")
    registry.uploads["1"] = b""
    registry.wrong("PATCH", told)
    registry.wrong(f"GET .*{UPLOAD}", answering(204, Range="0-0", Location=f"{PATH}/1"))
    with pytest.raises(RegistryError):
        upload(registry, chunk=10 * MIB)
    assert registry.count("PATCH") == 3


def test_a_registry_that_takes_a_byte_at_a_time_is_given_up(registry):
    def sip(exchange):
        exchange.body()
        session = re.search(r"uploads/(\d+)", exchange.path)[1]
        registry.uploads[session] += BLOB[len(registry.uploads[session])].to_bytes(1)
        registry._tell_upload(exchange, "demo", session, 202)
        return True

    registry.wrong("PATCH", sip)
    with pytest.raises(RegistryError, match="bytes of a blob, of which"):
        upload(registry, chunk=10 * MIB)
    assert registry.count("PATCH") == 3


@pytest.mark.parametrize("method", ["PATCH", "GET"])
def test_a_chunk_leads_nowhere_else(registry, method):
    away = answering(204 if method == "GET" else 202, Range="0-9", Location="http://127.0.0.1:1/x")
    registry.wrong(f"{method} .*{UPLOAD}", away)
    registry.wrong(f"PUT .*{UPLOAD}", breaking(10 * MIB))
    with pytest.raises(RegistryError, match=r"wants uploads at 127\.0\.0\.1:1"):
        upload(registry, chunk=0 if method == "GET" else MIB)
    assert registry.count("PUT|PATCH") == 1


def test_an_end_that_is_put_off_is_no_end(registry):
    registry.wrong("PUT", answering(202))
    with pytest.raises(RegistryError, match="202"):
        upload(registry)
    assert len(sent(registry)) == 1


def test_a_registry_whose_copy_is_another_says_so(registry):
    """What it kept of a broken try was damaged: its own digest finds that out."""

    def damage(exchange):
        exchange.break_off(10 * MIB)
        session = re.search(r"uploads/(\d+)", exchange.path)[1]
        registry.uploads[session] = bytes(10 * MIB)
        return True

    registry.wrong(f"PUT .*{UPLOAD}", damage, times=1)
    with pytest.raises(RegistryError, match="digest invalid"):
        upload(registry)
    assert registry.blobs == {}


@pytest.mark.parametrize("said", [4, 6])
def test_never_more_and_never_fewer_bytes_than_announced(said):
    with pytest.raises(StoreDamaged, match="another size"):
        list(_Bytes(lambda: io.BytesIO(b"12345"), said).pieces(0, said))
    exact = _Bytes(lambda: io.BytesIO(b"12345"), 5)
    assert [*exact.pieces(0, 2), *exact.pieces(2, 3)] == [b"12", b"345"]
    assert [*exact.pieces(1, 2), *exact.pieces(3, 2)] == [b"23", b"45"]
