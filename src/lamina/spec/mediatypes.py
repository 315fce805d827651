"""Media types of the OCI image-spec and of docker's schema 2."""

OCI_MANIFEST = "application/vnd.oci.image.manifest.v1+json"
OCI_INDEX = "application/vnd.oci.image.index.v1+json"
OCI_CONFIG = "application/vnd.oci.image.config.v1+json"
OCI_EMPTY = "application/vnd.oci.empty.v1+json"
OCI_LAYER = "application/vnd.oci.image.layer.v1.tar"
OCI_LAYER_GZIP = OCI_LAYER + "+gzip"
OCI_LAYER_ZSTD = OCI_LAYER + "+zstd"
DOCKER_MANIFEST = "application/vnd.docker.distribution.manifest.v2+json"
DOCKER_LIST = "application/vnd.docker.distribution.manifest.list.v2+json"
DOCKER_CONFIG = "application/vnd.docker.container.image.v1+json"
DOCKER_LAYER_GZIP = "application/vnd.docker.image.rootfs.diff.tar.gzip"

MANIFESTS = (OCI_MANIFEST, DOCKER_MANIFEST)
INDEXES = (OCI_INDEX, DOCKER_LIST)
CONFIGS = (OCI_CONFIG, DOCKER_CONFIG)
# What old registries called the config of a docker manifest (docker/distribution issue 1621).
_OLD_CONFIGS = ("application/octet-stream", "application/json", "text/html", "")

_LAYER_KINDS = (OCI_LAYER, "application/vnd.oci.image.layer.nondistributable.v1.tar")
_DOCKER_LAYER_KINDS = (
    "application/vnd.docker.image.rootfs.diff.tar",
    "application/vnd.docker.image.rootfs.foreign.diff.tar",
)


def layer(compression: str = "") -> str:
    """The OCI type of a layer that is compressed by `gzip` or `zstd`, or ("") not at all."""
    return f"{OCI_LAYER}+{compression}" if compression else OCI_LAYER


def is_image(manifest: str, config: str) -> bool:
    """Whether a manifest of one media type with a config of another is a container image's."""
    return config in CONFIGS or (manifest == DOCKER_MANIFEST and config in _OLD_CONFIGS)


def is_layer(media_type: str) -> bool:
    """Whether it is a file system layer that is not encrypted, compressed in whatever way.

    The way itself is told by content. An absent type is believed to be a layer's.
    """
    kind, _, suffix = media_type.partition("+")
    if kind in _LAYER_KINDS:
        return suffix in ("", "gzip", "zstd", "bzip2", "xz")
    base = kind.removesuffix(".gzip").removesuffix(".zstd")
    return not media_type or (base in _DOCKER_LAYER_KINDS and suffix in ("", "gzip", "zstd"))
