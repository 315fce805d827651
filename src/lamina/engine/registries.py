"""Registries, as one store's user meets them: pull, push, log in, list tags.

Puts together what a conversation needs (settings, credentials, connections) and hands it to the
transfer; is imported only by what speaks to a registry.
"""

import lamina
from lamina.engine.parts import Parts
from lamina.errors import InvalidReference
from lamina.registry import credentials
from lamina.registry.address import host_of
from lamina.registry.credentials import Credential
from lamina.registry.repository import Repository
from lamina.registry.session import Session
from lamina.registry.transport import Settings, Transport
from lamina.transfer.pull import Pulled, pull
from lamina.transfer.push import Pushed, push
from lamina.values.events import Sink
from lamina.values.reference import Reference

_PROXIES = ("http_proxy", "https_proxy", "all_proxy", "no_proxy")


class Registries:
    """What is done with registries; connections live as long as this object."""

    def __init__(self, store: Parts, *, verify_tls: bool = True) -> None:
        self._store = store
        config = store.config
        environ = config.environ
        names = [spelt for name in _PROXIES for spelt in (name, name.upper())]
        self._settings = Settings(
            insecure=frozenset(config.insecure_registries),
            proxies={name: environ[name] for name in names if environ.get(name)},
        )
        self._verify = verify_tls

    def _session(self, domain: str, credential: Credential) -> Session:
        host = host_of(domain)
        settings = self._settings
        if not self._verify:
            settings = settings._replace(insecure=settings.insecure | {host})
        transport = Transport(settings, f"lamina/{lamina.__version__}")
        return Session(host, transport, settings, credential)

    def repository(self, name: Reference) -> Repository:
        """The repository of an image's name, spoken to as whoever the user is there."""
        known = credentials.find(name.domain, name.path, self._store.config.environ)
        return Repository(self._session(name.domain, known), name.path)

    def pull(self, name: Reference, platform: tuple[str, ...], events: Sink) -> Pulled:
        """Pull what a name means; raises `ImageNotFound`, `RegistryError` or `BadInput`."""
        return pull(
            self.repository(name),
            name,
            self._store.image_store,
            self._store.layers,
            platform=platform,
            events=events,
        )

    def push(self, name: Reference, events: Sink) -> Pushed:
        """Push the image that a name means here; raises `ImageNotFound` or `RegistryError`."""
        if name.digest is not None:
            raise InvalidReference(f"{name.familiar} cannot be pushed: push it under a tag")
        image = self._store.image_store.resolve(str(name))
        images, layers = self._store.image_store, self._store.layers
        return push(self.repository(name), name, image, images, layers, events)

    def tags(self, name: Reference) -> list[str]:
        """The tags that a repository has; raises `ImageNotFound` or `RegistryError`."""
        return list(self.repository(name).tags())

    def login(self, domain: str, user: str, secret: str) -> str:
        """Have a registry confirm who one is, and remember it; gives where it is remembered.

        Raises `AccessRefused` or `RegistryError`.
        """
        credential = Credential(user, secret)
        session = self._session(domain, credential)
        with session.request("GET", "/v2/", scope="") as answer:
            answer.whole()
        return credentials.store(domain, credential, self._store.config.environ)

    def logout(self, domain: str) -> bool:
        """Forget who one is at a registry; whether anything was known."""
        return credentials.erase(domain, self._store.config.environ)
