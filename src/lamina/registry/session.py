"""A conversation with one registry: who one is, what is asked again, where it leads.

A token or a password goes to the registry that it is for and to nobody else: a redirect to
another host is followed without it (CVE-2022-23538), and never from TLS to none.
"""

import json
import threading
import time
from base64 import b64encode
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple
from urllib.parse import urlencode, urlsplit

from lamina.errors import AccessRefused, RegistryError, RegistryUnreachable
from lamina.registry.address import Address, is_loopback, joined, same_host
from lamina.registry.answers import complaint, seconds_to_wait
from lamina.registry.challenge import Challenge, parse, trusted_realm
from lamina.registry.credentials import ANONYMOUS, Credential
from lamina.registry.hosts import Settings, may_do_without_tls
from lamina.registry.transport import (
    Answer,
    Body,
    NoSuchHost,
    NoTls,
    Silent,
    Transport,
)

_HOPS = 5
_TRIES = 5
_SILENCES = 2  # tries that may end in silence: each has taken the whole of a timeout
_FIRST_PAUSE = 0.25  # seconds, doubled each time
_LONGEST_PAUSE = 60.0
_WELCOMES = (200, 401)
PASSING = (408, 429, 500, 502, 503, 504)
"""What may be otherwise when it is asked again."""
_REDIRECTS = (301, 302, 303, 307, 308)
_TOKEN_LIFE = 60.0  # seconds, where a service does not say

Sleep = Callable[[float], None]


class _Token(NamedTuple):
    text: str
    until: float


class Session:
    """Requests to one registry, as one user; may be shared by threads.

    `sleep` waits so many seconds before something is asked again, at most `tries` times in all.
    """

    def __init__(
        self,
        host: str,
        transport: Transport,
        settings: Settings,
        credential: Credential = ANONYMOUS,
        sleep: Sleep = time.sleep,
        tries: int = _TRIES,
    ) -> None:
        self._transport = transport
        self._settings = settings
        self._credential = credential
        self._sleep = sleep
        self._tries = tries
        self._tokens: dict[str, _Token] = {}
        self._basic = False
        self._asking = threading.Lock()
        self.address = self._reach(host)

    def _reach(self, host: str) -> Address:
        """Whether the registry is there, with TLS or, where that is allowed, without.

        Its challenge is met when something is wanted of it. On this machine itself it is asked
        without TLS first, for that is allowed anyway, and most have none.
        """
        secure, plain = Address("https", host), Address("http", host)
        if is_loopback(plain.hostname):
            status = self._status_of(plain)
            if status in PASSING:
                self._greet(plain)
            if status in (*PASSING, *_WELCOMES):
                return plain
        try:
            self._greet(secure)
        except NoTls:
            if not may_do_without_tls(self._settings, host):
                raise
            self._greet(plain)
            return plain
        return secure

    def _status_of(self, address: Address) -> int:
        """What a registry answers when it is asked once; 0 for nothing."""
        try:
            with self._transport.ask("GET", f"{address.base}/v2/", {}) as said:
                return said.status
        except RegistryUnreachable:
            return 0

    def _greet(self, address: Address) -> None:
        with self._patiently(lambda: self._transport.ask("GET", f"{address.base}/v2/", {})) as said:
            if said.status not in _WELCOMES:
                raise RegistryError(f"{address.host} is no registry: it answers {said.reason}")

    def give_up(self) -> None:
        """End whatever is asked, from any thread; nothing can be asked afterwards."""
        self._transport.give_up()

    def request(
        self,
        method: str,
        path: str,
        *,
        scope: str,
        expected: Collection[int] = (200,),
        headers: Mapping[str, str] | None = None,
        body: Callable[[], Body] | None = None,
        repeat: bool = True,
    ) -> Answer:
        """Ask for a path or URL of this registry; gives an answer of one of the `expected` states.

        `scope` is what a token must be for. `body` is called for each try. What must not happen
        twice is asked with `repeat=False`. Raises `AccessRefused`, `RegistryUnreachable` or
        `RegistryError`, in the registry's words.
        """
        url = joined(self.address.base, path)
        if not same_host(url, self.address.base):
            raise RegistryError(f"{self.address.host} leads to {urlsplit(url).netloc}")

        def once() -> Answer:
            return self._authorised(method, url, scope, dict(headers or {}), body)

        answer = self._patiently(once) if repeat else once()
        if answer.status in expected:
            return answer
        with answer:
            raise self.refusal(method, answer)

    def refusal(self, method: str, answer: Answer) -> RegistryError:
        """The error that an answer is, in the registry's words."""
        words = complaint(answer.whole(), answer.reason) if method != "HEAD" else answer.reason
        host = urlsplit(answer.url).netloc
        if answer.status in (401, 403):
            hint = f"log in with `lamina login {self.address.host}`"
            return AccessRefused(f"{host} refuses access: {words}", hint=hint)
        if answer.status == 429:
            return RegistryError(f"{host} takes no more requests for now: {words}")
        return RegistryError(f"{host} answers {answer.reason}: {words}")

    # --- again, and elsewhere -----------------------------------------------------------

    def _patiently(self, once: Callable[[], Answer]) -> Answer:
        """Ask until something is said that lasts; what passes is waited for."""
        pause, silences = _FIRST_PAUSE, 0
        for left in range(self._tries - 1, -1, -1):
            try:
                answer = once()
            except (NoTls, NoSuchHost):
                raise
            except RegistryUnreachable as error:
                silences += isinstance(error, Silent)
                if not left or silences == _SILENCES:
                    raise
                self._sleep(pause)
            else:
                if answer.status not in PASSING or not left:
                    return answer
                answer.close()
                self.wait(answer, pause)
            pause *= 2
        raise AssertionError("the last try returns or raises")

    def wait(self, answer: Answer, pause: float = _FIRST_PAUSE) -> None:
        """Wait for as long as an answer asks, else for `pause` seconds, before asking again.

        Raises `RegistryError` where it asks for too long.
        """
        wanted = seconds_to_wait(answer.headers.get("Retry-After"))
        if wanted is not None and wanted > _LONGEST_PAUSE:
            raise RegistryError(
                f"{urlsplit(answer.url).netloc} answers {answer.reason} and asks to be"
                f" left alone for {wanted:.0f} seconds"
            )
        self._sleep(pause if wanted is None else wanted)

    def _authorised(
        self,
        method: str,
        url: str,
        scope: str,
        headers: dict[str, str],
        body: Callable[[], Body] | None,
    ) -> Answer:
        """Ask as whoever one is; when the registry wants to know, find out how, and ask again."""
        proof = self._proof(scope)
        answer = self._following(method, url, proof, headers, body)
        if answer.status != 401 or not same_host(answer.url, self.address.base):
            return answer
        with self._asking:  # one gets the token, and the others use it
            better = self._better_proof(parse(answer.all_of("WWW-Authenticate")), scope, proof)
        if better is None:
            return answer
        answer.whole()
        answer.close()
        return self._following(method, url, better, headers, body)

    def _following(
        self,
        method: str,
        url: str,
        proof: str | None,
        headers: dict[str, str],
        body: Callable[[], Body] | None,
    ) -> Answer:
        for _ in range(_HOPS + 1):
            sent = dict(headers)
            if proof is not None and same_host(url, self.address.base):
                sent["Authorization"] = proof
            answer = self._transport.ask(method, url, sent, body() if body is not None else None)
            if answer.status not in _REDIRECTS or method not in ("GET", "HEAD"):
                return answer
            with answer:
                url = self._next_hop(answer)
        raise RegistryError(f"{self.address.host} redirects in circles")

    def _next_hop(self, answer: Answer) -> str:
        target = joined(answer.url, answer.headers.get("Location", ""))
        parts = urlsplit(target)
        if not parts.netloc:
            raise RegistryError(f"{self.address.host} redirects to {target[:200]!r}")
        if parts.scheme == "http" and urlsplit(answer.url).scheme == "https":
            raise RegistryError(
                f"{self.address.host} redirects to {parts.netloc}, which is without TLS"
            )
        return target

    # --- who one is ---------------------------------------------------------------------

    def _proof(self, scope: str) -> str | None:
        """What is known to open the door, as an Authorization header."""
        token = self._tokens.get(scope)
        if token is not None and token.until > time.monotonic():
            return f"Bearer {token.text}"
        return self._password() if self._basic else None

    def _password(self) -> str:
        pair = f"{self._credential.user}:{self._credential.secret}".encode()
        return f"Basic {b64encode(pair).decode()}"

    def _better_proof(
        self, challenges: list[Challenge], scope: str, refused: str | None
    ) -> str | None:
        """What the registry asks for, unless that is what it has just refused."""
        known = self._proof(scope)
        if known is not None and known != refused:
            return known  # somebody else has got it meanwhile
        for challenge in challenges:
            if challenge.scheme == "bearer" and challenge.realm:
                self._tokens[scope] = self._token(challenge, scope)
            elif challenge.scheme == "basic" and self._credential.user:
                self._basic = True
            else:
                continue
            found = self._proof(scope)
            return found if found != refused else None
        return None

    def _token(self, challenge: Challenge, scope: str) -> _Token:
        realm = trusted_realm(challenge.realm, self.address)
        wanted = [("service", challenge.service)] if challenge.service else []
        wanted += [("scope", each) for each in scope.split()]
        with self._patiently(lambda: self._ask_for_token(realm, wanted)) as answer:
            body = answer.whole()
            if answer.status in (400, 401, 403):
                raise AccessRefused(
                    f"{urlsplit(realm).netloc} gives no token: {complaint(body, answer.reason)}",
                    hint=f"log in with `lamina login {self.address.host}`",
                )
            if answer.status != 200:
                raise RegistryError(
                    f"{urlsplit(realm).netloc} gives no token: {complaint(body, answer.reason)}"
                )
        return _token_of(body, realm)

    def _ask_for_token(self, realm: str, wanted: list[tuple[str, str]]) -> Answer:
        if (
            self._credential.identity_token
        ):  # https://distribution.github.io/distribution/spec/auth/oauth/
            form = urlencode(
                [
                    ("grant_type", "refresh_token"),
                    ("client_id", "lamina"),
                    ("refresh_token", self._credential.identity_token),
                    *((key, value) for key, value in wanted if key == "service"),
                    ("scope", " ".join(value for key, value in wanted if key == "scope")),
                ]
            ).encode()
            kind = {"Content-Type": "application/x-www-form-urlencoded"}
            return self._transport.ask("POST", realm, kind, form)
        joint = "&" if urlsplit(realm).query else "?"
        headers = {"Authorization": self._password()} if self._credential.user else {}
        return self._transport.ask("GET", f"{realm}{joint}{urlencode(wanted)}", headers)


def _token_of(body: bytes, realm: str) -> _Token:
    try:
        document = json.loads(body)
        text = document.get("token") or document.get("access_token")
        life = float(document.get("expires_in") or _TOKEN_LIFE)
    except (ValueError, AttributeError, TypeError, RecursionError, OverflowError):
        text, life = None, 0.0
    if not isinstance(text, str) or not text.isascii() or not text.isprintable():
        raise RegistryError(f"{urlsplit(realm).netloc} gave something that is no token")
    return _Token(text, time.monotonic() + max(life, _TOKEN_LIFE) - 10)
