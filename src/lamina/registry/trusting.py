"""Whether an image may be taken: what the policy wants, held against what its registry keeps."""

from collections.abc import Sequence

from lamina.errors import NotTrusted
from lamina.registry import cosign
from lamina.registry.cosign import Signature
from lamina.registry.policy import Policy, Reject, Signed, Unchecked
from lamina.registry.repository import Repository
from lamina.values.digest import Digest
from lamina.values.reference import Reference


class Trust:
    """Holds images against one policy."""

    def __init__(self, policy: Policy) -> None:
        self._policy = policy

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

    def require(self, name: Reference, place: Repository, leading: Sequence[Digest]) -> None:
        """Raise `NotTrusted` unless all that the policy wants is met.

        `leading` are the digests of the documents that lead to the image, an index before what
        it names: who signs one of them signs all that it names.
        """
        self.refuse_rejected(name)
        wants = [each for each in self._policy.of_image(name) if isinstance(each, Signed)]
        if not wants:
            return
        path = self._policy.path
        found = [(digest, each) for digest in leading for each in cosign.signatures(place, digest)]
        if not found:
            raise NotTrusted(f"{name.familiar} is not signed, and {path} wants it to be")
        for wanted in wants:
            reasons = [_objection(wanted, name, digest, each) for digest, each in found]
            if all(reasons):
                raise NotTrusted(
                    f"no signature of {name.familiar} is one that {path} wants: {reasons[-1]}"
                )


def _objection(wanted: Signed, name: Reference, digest: Digest, signature: Signature) -> str:
    """Why a signature does not do; "" when it does. Nothing it says is used before it is true."""
    if not any(cosign.is_by(signature, pem) for pem in wanted.pems()):
        return "it is by another key"
    said = cosign.statement(signature.payload)
    if said is None:
        return "it is not about an image"
    if said.digest != digest:
        return f"it is for {said.digest[:80]!r}"
    if not wanted.identity.accepts(name, said.name):
        return f"it is for {said.name[:200]!r} (signedIdentity is {wanted.identity.kind})"
    return ""
