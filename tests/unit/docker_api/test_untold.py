"""What has no bytes, or no words: it is refused where it comes, and no answer fails for it."""

import base64
import io

import pytest

from lamina.docker_api.backend import logins_of
from lamina.docker_api.failures import UNTOLD, told
from lamina.docker_api.replies import to_json
from lamina.docker_api.request import Query, Request
from lamina.errors import UsageError

HALF = '{"Image":"\\ud800","label":["\\udfff"]}'


class Dumb(Exception):
    """It cannot say what it is."""

    def __str__(self):
        raise RecursionError


def asked(body):
    return Request("POST", "/", (1, 51), Query(""), {}, io.BytesIO(body), {})


@pytest.mark.parametrize("body", [HALF.encode(), b'{"\xed\xa0\x80":1}', b"[" * 100_000])
def test_a_body_with_half_a_pair_is_refused(body):
    with pytest.raises(UsageError, match="the body is no JSON"):
        asked(body).document()


def test_a_whole_pair_is_a_character():
    assert asked(b'{"a":"\\ud83d\\ude00"}').document() == {"a": "\N{GRINNING FACE}"}


def test_a_parameter_and_a_filter_with_half_a_pair_are_refused():
    query = Query(f"filters={HALF}&labels={HALF}")
    for ask in (query.filters, lambda: query.document("labels")):
        with pytest.raises(UsageError):
            ask()


@pytest.mark.parametrize("text", ["[" * 100_000, HALF.replace("Image", "username")])
def test_credentials_that_cannot_be_read_are_refused(text):
    header = base64.urlsafe_b64encode(text.encode()).decode()
    with pytest.raises(UsageError, match="X-Registry-Config"):
        logins_of(header)


def test_what_is_stored_already_is_told_with_a_question_mark():
    assert to_json({"a": "x\ud800y"}) == b'{"a":"x?y"}\n'


def test_an_error_without_words_has_a_reply():
    assert told(Dumb()) == UNTOLD
    assert told(UsageError("\ud800 is none")).status == 400
