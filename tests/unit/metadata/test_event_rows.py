"""Lifecycle events: bounded, in order, and gone with the transaction they are told in."""

import os
import threading

import pytest

import lamina
from lamina.errors import UsageError
from lamina.metadata import events


@pytest.fixture
def engine(tmp_path):
    with lamina.open(str(tmp_path / "root"), run_root=str(tmp_path / "run"), driver="vfs") as it:
        yield it


def tell(engine, name, **labels):
    with engine.root.database.write() as db:
        events.of_image(db, "tag", name, name, str(labels).replace("'", '"'))


def test_the_oldest_go(engine):
    with engine.root.database.write() as db:
        for number in range(3 * events.KEPT):
            events.tell(db, "image", "tag", str(number), {})
    with engine.root.database.read() as db:
        kept = [int(each.actor) for each in events.after(db, 0)]
    assert kept == list(range(kept[0], 3 * events.KEPT))
    assert events.KEPT <= len(kept) <= events.KEPT * 1.25


def test_what_is_taken_back_was_never_told(engine):
    def fail():
        with engine.root.database.write() as db:
            events.tell(db, "image", "tag", "a", {})
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    with engine.root.database.read() as db:
        assert not events.after(db, 0)
        assert events.newest(db) == 0


def test_a_strangers_labels_are_bounded(engine):
    tell(engine, "small", a="b")
    tell(engine, "large", a="b" * (1 << 20))
    with engine.root.database.read() as db:
        small, large = events.after(db, 0)
    assert small.attributes == {"a": "b", "name": "small"}
    assert large.attributes == {"name": "large"}


def test_from_now_on_means_what_happens_after_the_call(engine):
    tell(engine, "before")
    with engine.events() as stream:
        tell(engine, "after")
        assert next(stream).actor == "after"


def test_another_thread_ends_a_wait(engine):
    stream = engine.events()
    heard = []
    thread = threading.Thread(target=lambda: heard.extend(stream))
    thread.start()
    tell(engine, "one")
    stream.close()
    thread.join(20)
    assert not thread.is_alive()
    assert [each.actor for each in heard] in ([], ["one"])
    stream.close()


def test_a_stream_lets_go_of_all_that_it_held(engine):
    before = len(os.listdir("/proc/self/fd"))
    for _ in range(3):
        with engine.events(until=0) as stream:
            assert not list(stream)
    assert len(os.listdir("/proc/self/fd")) == before


def test_what_is_no_filter_is_refused(engine):
    with pytest.raises(UsageError, match="colour"):
        engine.events(filters={"colour": ["red"]})
