"""Whether an image may be taken: what the policy wants, held against who signed it, and where."""

from collections.abc import Callable, Iterator, Sequence
from functools import partial

from lamina.errors import NotTrusted
from lamina.registry import cosign, lookaside
from lamina.registry.policy import Policy, Reject, Signed, Unchecked
from lamina.registry.registriesd import Places
from lamina.registry.repository import Repository
from lamina.registry.simplesigning import COSIGN, GPG, Statement, statement
from lamina.registry.transport import Transport
from lamina.values.digest import Digest
from lamina.values.reference import Reference

Reader = Callable[[Signed], Statement | str]
"""Verifies a signature by one of some keys: what it says then, or why nothing."""


class Trust:
    """Holds images against one policy; `transport` fetches signatures that lie on web servers."""

    def __init__(self, policy: Policy, places: Callable[[], Places], transport: Transport) -> None:
        self._policy = policy
        self._places = places
        self._transport = transport

    def refuse_rejected(self, name: Reference) -> None:
        """Raise `NotTrusted` for what no signature can save; nobody need be asked then."""
        path = self._policy.path
        for wanted in self._policy.of_image(name):
            if isinstance(wanted, Reject):
                raise NotTrusted(f"{name.familiar} is rejected by {path}")
            if isinstance(wanted, Unchecked):
                raise NotTrusted(
                    f"{path} wants of {name.familiar} {wanted.what}, which is not checked here"
                )

    def held(self, name: Reference, at: Reference, place: Repository) -> "Held":
        """The policy for what a name means, found `at` a place that may be a mirror's."""
        self.refuse_rejected(name)
        wants = [each for each in self._policy.of_image(name) if isinstance(each, Signed)]
        return Held(self._policy.path, name, wants, _Kept(at, place, self._places, self._transport))


class Held:
    """What the documents of one name must be signed by, as its policy says."""

    def __init__(self, path: str, name: Reference, wants: Sequence[Signed], kept: "_Kept") -> None:
        self._path = path
        self._name = name
        self._wants = wants
        self._kept = kept
        self._known: dict[tuple[Signed, Digest], str | None] = {}

    def require(self, leading: Sequence[Digest]) -> None:
        """Raise `NotTrusted` unless all that the policy wants of a manifest is met.

        `leading` are the digests of the documents that lead to it, its own as the last. Who signs
        one of them for sigstore signs all that it names; by GPG each manifest is signed itself, as
        containers/image has it.
        """
        for wanted in self._wants:
            signed = leading[-1:] if wanted.by_gpg else leading
            reasons = [self._reason(wanted, digest) for digest in signed]
            if "" not in reasons:
                raise self._refusal(wanted, [each for each in reasons if each is not None])

    def _reason(self, wanted: Signed, digest: Digest) -> str | None:
        """Why no signature of a document does; "" where one does, None where it has none."""
        key = wanted, digest
        if key not in self._known:
            reason = None
            for read in self._kept.of(digest, wanted):
                reason = _objection(wanted, self._name, digest, read)
                if not reason:
                    break
            self._known[key] = reason
        return self._known[key]

    def _refusal(self, wanted: Signed, reasons: Sequence[str]) -> NotTrusted:
        name = self._name.familiar
        if reasons:
            brief = f"no signature of {name} is one that {self._path} wants: {reasons[-1]}"
            return NotTrusted(brief)
        brief = f"{name} is not signed, and {self._path} wants it to be"
        return NotTrusted(brief, hint=self._kept.hint(wanted))


def _objection(wanted: Signed, name: Reference, digest: Digest, read: Reader) -> str:
    """Why a signature does not do; "" when it does. Nothing it says is used before it is true."""
    said = read(wanted)
    if isinstance(said, str):
        return said
    if said.digest != digest:
        return f"it is for {said.digest[:80]!r}"
    if not wanted.identity.accepts(name, said.name):
        return f"it is for {said.name[:200]!r} (signedIdentity is {wanted.identity.kind})"
    return ""


class _Kept:
    """The signatures that are kept for a repository's manifests."""

    def __init__(
        self,
        at: Reference,
        place: Repository,
        places: Callable[[], Places],
        transport: Transport,
    ) -> None:
        self._at = at
        self._place = place
        self._places = places
        self._transport = transport

    def of(self, digest: Digest, wanted: Signed) -> Iterator[Reader]:
        """Those for a manifest of the kind that is wanted, one after the other."""
        if wanted.by_gpg:
            where = self._places().lookaside(self._at)
            for each in lookaside.signatures(where, digest, self._transport):
                yield partial(_read_gpg, each)
        elif not self._places().without_attachments(self._at):
            for signature in cosign.signatures(self._place, digest):
                yield partial(_read_cosign, signature)

    def hint(self, wanted: Signed) -> str:
        """Where signatures were looked for."""
        if wanted.by_gpg:
            return f"signatures are looked for at {self._places().lookaside(self._at)}@..."
        origin = self._places().without_attachments(self._at)
        return f"{origin} says use-sigstore-attachments: false" if origin else ""


def _read_gpg(signature: bytes, wanted: Signed) -> Statement | str:
    from lamina.registry import gpg

    payload, reason = gpg.verified(signature, wanted.public_keys())
    return reason or statement(payload, GPG) or "it is not about an image"


def _read_cosign(signature: cosign.Signature, wanted: Signed) -> Statement | str:
    if not any(cosign.is_by(signature, pem) for pem in wanted.public_keys()):
        return "it is by another key"
    return statement(signature.payload, COSIGN) or "it is not about an image"
