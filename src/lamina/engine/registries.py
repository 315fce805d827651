"""Registries, as one store's user meets them: pull, push, log in, list tags.

Puts together what a conversation needs (settings, credentials, connections, mirrors) and hands it
to the transfer; is imported only by what speaks to a registry.
"""

import os
from collections.abc import Callable, Mapping
from functools import cache, cached_property, partial
from typing import TYPE_CHECKING, TypeVar

import lamina
from lamina.archive.packing import Packing
from lamina.engine.parts import Parts
from lamina.errors import (
    AccessRefused,
    DigestMismatch,
    ImageNotFound,
    InvalidReference,
    NotTrusted,
    RegistryError,
)
from lamina.registry import credentials, registriesconf
from lamina.registry.address import host_of
from lamina.registry.credentials import ANONYMOUS, Credential
from lamina.registry.hosts import Settings
from lamina.registry.repository import Found, Repository
from lamina.registry.session import Session
from lamina.registry.sources import Rules, Source, hub_mirrors, meant, sources, target
from lamina.registry.transport import Transport
from lamina.spec import mediatypes
from lamina.values.events import Caution, Sink
from lamina.values.reference import Reference

if TYPE_CHECKING:  # each way to use a registry is loaded when it is gone
    from lamina.registry.trusting import Trust
    from lamina.spec.manifest import Descriptor
    from lamina.transfer.ends.api import Trust as Trusts
    from lamina.transfer.pull import Pulled
    from lamina.transfer.push import Pushed

T = TypeVar("T")
Logins = Mapping[str, tuple[str, str, str]]
"""User, secret and identity token, empty where there is none, by the domain of a registry."""

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")
_TRIES = 5
_TRIES_OF_A_MIRROR = 2  # there is another place to ask


class Registries:
    """What is done with registries; connections live as long as this object."""

    def __init__(
        self,
        store: Parts,
        *,
        verify_tls: bool = True,
        tries: int = _TRIES,
        logins: Logins | None = None,
    ) -> None:
        """See `Engine.registries`."""
        self._store = store
        self._logins = logins
        config = store.config
        self._environ = environ = config.environ
        names = [spelt for name in _PROXIES for spelt in (name, name.upper())]
        self._settings = Settings(
            insecure=frozenset(config.insecure_registries),
            proxies={name: environ[name] for name in names if environ.get(name)},
            timeout=config.registry_timeout,
        )
        self._verify = verify_tls
        self._tries = tries

    @cached_property
    def _rules(self) -> Rules:
        return registriesconf.read(self._environ)

    @cached_property
    def _trust(self) -> "Trust":
        from lamina.registry import policy, registriesd, trusting

        places = cache(partial(registriesd.read, self._environ, os.geteuid()))
        return trusting.Trust(policy.read(self._environ), places, self._transport(self._settings))

    # --- whom one speaks to -------------------------------------------------------------

    def _session(
        self, domain: str, credential: Credential, *, insecure: bool = False, tries: int = _TRIES
    ) -> Session:
        host = host_of(domain)
        settings = self._settings
        if insecure or not self._verify:
            settings = settings._replace(insecure=settings.insecure | {host})
        return Session(host, self._transport(settings), settings, credential, tries=tries)

    def _transport(self, settings: Settings) -> Transport:
        return Transport(settings, f"lamina/{lamina.__version__}")

    def _place(self, domain: str, credential: Credential) -> Session:
        """A registry as a whole; raises `InvalidReference` for what is none."""
        place = target(Reference.within(domain, "any"), self._rules.rules)
        return self._session(domain, credential, insecure=place.insecure)

    def _repository(self, source: Source) -> Repository:
        """A place to ask, spoken to as whoever the user is there, and nowhere else."""
        name = source.name
        known = self._known(name.domain, name.path)
        tries = _TRIES_OF_A_MIRROR if source.is_mirror else self._tries
        session = self._session(name.domain, known, insecure=source.insecure, tries=tries)
        return Repository(session, name.path, chunk=self._store.config.registry_chunk_size)

    def _known(self, domain: str, path: str) -> Credential:
        """Who one is at a registry: as the caller says, else as files do."""
        if self._logins is None:
            return credentials.find(domain, path, self._environ)
        return Credential(*self._logins.get(domain, ANONYMOUS))

    def repository(self, name: Reference) -> Repository:
        """The repository that an image's name itself means."""
        return self._repository(target(name, self._rules.rules))

    def names(self, text: str) -> tuple[Reference, ...]:
        """What a user's text may mean: one name, or one for each registry that is to be searched.

        Only where registries.conf says so; else docker.io is meant. Raises `InvalidReference`.
        """
        return meant(text, self._rules.search)

    # --- what is done there -------------------------------------------------------------

    def pull(
        self,
        name: Reference,
        platform: tuple[str, ...],
        events: Sink,
        under: Reference | None = None,
    ) -> "Pulled":
        """Pull what a name means, to be called so or `under` another name.

        The first place that has it gives it: mirrors, then its registry. Raises `ImageNotFound`,
        `RegistryError` or `BadInput`.
        """
        from lamina.transfer.pull import pull

        images, layers = self._store.image_store, self._store.layers

        def pulled(place: Repository, at: Reference) -> "Pulled":
            return pull(
                place,
                name,
                images,
                layers,
                platform=platform,
                under=under,
                trust=self._trust.held(name, at, place).require,
                events=events,
            )

        return self._first(name, events, pulled)

    def found(self, name: Reference, events: Sink) -> "tuple[Repository, Found, Trusts]":
        """The first place that has what a name means, what that is there, and what it needs.

        Raises `ImageNotFound`, `RegistryError` or `BadInput`.
        """
        wanted = name.digest if name.digest is not None else name.tag or "latest"

        def found(place: Repository, at: Reference) -> "tuple[Repository, Found, Trusts]":
            document, trust = place.manifest(wanted), self._trust.held(name, at, place).require
            if document.media_type not in mediatypes.INDEXES:
                trust([document.digest])  # else whoever chooses from it asks
            return place, document, trust

        return self._first(name, events, found)

    def _first(self, name: Reference, events: Sink, ask: Callable[[Repository, Reference], T]) -> T:
        self._trust.refuse_rejected(name)
        mirrors = hub_mirrors(name, self._store.config.registry_mirrors)
        *before, last = [*mirrors, *sources(name, self._rules.rules)]
        for source in before:
            try:
                return ask(self._repository(source), source.name)
            except (ImageNotFound, RegistryError, DigestMismatch, NotTrusted) as error:
                events(Caution(f"the mirror {source.name.domain} is passed over: {error.brief}"))
        return ask(self._repository(last), last.name)

    def search(
        self, text: str, platform: tuple[str, ...], events: Sink
    ) -> "tuple[Reference, Pulled]":
        """Pull the first of the `names` of a text that is there; gives which, and what came."""
        *before, last = self.names(text)
        for name in before:
            try:
                return name, self.pull(name, platform, events)
            except (ImageNotFound, RegistryError) as error:
                events(Caution(f"{name.familiar} is passed over: {error.brief}"))
        return last, self.pull(last, platform, events)

    def push(self, name: Reference, events: Sink, packing: Packing | None = None) -> "Pushed":
        """Push the image that a name means here; raises `ImageNotFound` or `RegistryError`."""
        from lamina.images.telling import announce
        from lamina.transfer.push import push

        if name.digest is not None:
            raise InvalidReference(f"{name.familiar} cannot be pushed: push it under a tag")
        image = self._store.image_store.resolve(str(name))
        images, layers = self._store.image_store, self._store.layers
        pushed = push(self.repository(name), name, image, images, layers, events, packing)
        announce(images.root, "push", image, name)
        return pushed

    def tags(self, name: Reference) -> list[str]:
        """The tags that a repository has, as the first place that knows it tells them.

        Raises `ImageNotFound` or `RegistryError`.
        """
        return self._first(name, self._store.sink, lambda place, _at: list(place.tags()))

    def catalog(self, domain: str) -> list[str]:
        """The repositories of a registry; raises `AccessRefused` or `RegistryError`."""
        from lamina.registry.listing import catalog

        return catalog(self._place(domain, self._known(domain, "")))

    def referrers(self, name: Reference, kind: str = "") -> "list[Descriptor]":
        """What refers to the manifest that a name means, all or of one artifact type.

        Raises `ImageNotFound`, `RegistryError` or `BadInput`.
        """
        from lamina.registry.referring import referrers

        place = self.repository(name)
        subject = name.digest or place.manifest(name.tag or "latest").digest
        return [each for each in referrers(place, subject) if kind in ("", each.artifact_type)]

    def delete(self, name: Reference) -> None:
        """Delete a manifest of a registry by its digest with all its tags, or one tag alone.

        Raises `ImageNotFound` or `RegistryError`, also where a registry deletes no tags.
        """
        place = self.repository(name)
        if name.digest is not None:
            place.delete(name.digest)
            return
        try:
            place.delete(name.tag or "latest")
        except AccessRefused:
            raise
        except RegistryError as error:
            digest = place.manifest(name.tag or "latest").digest
            hint = f"{name.familiar_name}@{digest} names the manifest, which goes with all its tags"
            raise RegistryError(error.brief, hint=hint) from error

    def login(self, domain: str, user: str, secret: str) -> str:
        """Have a registry confirm who one is, and remember it; gives where it is remembered.

        Raises `AccessRefused` or `RegistryError`.
        """
        self.confirm(domain, user, secret)
        return credentials.store(domain, Credential(user, secret), self._environ)

    def confirm(self, domain: str, user: str, secret: str, token: str = "") -> None:
        """Have a registry confirm who one is; raises `AccessRefused` or `RegistryError`."""
        session = self._place(domain, Credential(user, secret, token))
        with session.request("GET", "/v2/", scope="") as answer:
            answer.whole()

    def logout(self, domain: str) -> bool:
        """Forget who one is at a registry; whether anything was known."""
        return credentials.erase(domain, self._environ)
