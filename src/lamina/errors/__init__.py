"""Every error of Lamina, drawn once. Each is one sentence and carries its exit code.

LaminaError
├── UsageError                you asked wrongly
│   ├── InvalidDigest, InvalidReference, InvalidName, InvalidSize
│   └── TemplateError, ConfigurationError
├── NotFound
│   └── ImageNotFound, ContainerNotFound, LayerNotFound, PathNotFound,
│       VolumeNotFound
├── Conflict
│   └── NameTaken, InUse, LockHeld, NotRunning
├── BadInput                  the peer answered wrongly
│   ├── BadArchive ── UnknownCompression
│   └── BadDocument, DigestMismatch, NotTrusted, DockerfileError
├── BuildError ── StepFailed
├── StorageError              the disk or the kernel disagrees
│   ├── DiskFull, ReadOnlyStore, PermissionRefused
│   ├── StoreDamaged, ForeignStore, KernelError
│   └── DriverError ── DriverUnknown, DriverNotSupported, DriverConflict
├── RegistryError             a registry refuses, fails or cannot be reached
│   └── RegistryUnreachable, AccessRefused
└── RuntimeFailure (125) ── ProgramMissing, CommandNotExecutable (126), CommandNotFound (127)
"""

from lamina.errors.base import LaminaError
from lamina.errors.input import (
    AccessRefused,
    BadArchive,
    BadDocument,
    BadInput,
    BuildError,
    DigestMismatch,
    DockerfileError,
    NotTrusted,
    RegistryError,
    RegistryUnreachable,
    StepFailed,
    UnknownCompression,
)
from lamina.errors.runtime import (
    CommandNotExecutable,
    CommandNotFound,
    ProgramMissing,
    RuntimeFailure,
)
from lamina.errors.storage import (
    DiskFull,
    DriverConflict,
    DriverError,
    DriverNotSupported,
    DriverUnknown,
    ForeignStore,
    KernelError,
    PermissionRefused,
    ReadOnlyStore,
    StorageError,
    StoreDamaged,
    from_oserror,
    hint_of,
)
from lamina.errors.usage import (
    ConfigurationError,
    Conflict,
    ContainerNotFound,
    ImageNotFound,
    InUse,
    InvalidDigest,
    InvalidName,
    InvalidReference,
    InvalidSize,
    LayerNotFound,
    LockHeld,
    NameTaken,
    NotFound,
    NotRunning,
    PathNotFound,
    TemplateError,
    UsageError,
    VolumeNotFound,
)

__all__ = [
    "AccessRefused",
    "BadArchive",
    "BadDocument",
    "BadInput",
    "BuildError",
    "CommandNotExecutable",
    "CommandNotFound",
    "ConfigurationError",
    "Conflict",
    "ContainerNotFound",
    "DigestMismatch",
    "DiskFull",
    "DockerfileError",
    "DriverConflict",
    "DriverError",
    "DriverNotSupported",
    "DriverUnknown",
    "ForeignStore",
    "ImageNotFound",
    "InUse",
    "InvalidDigest",
    "InvalidName",
    "InvalidReference",
    "InvalidSize",
    "KernelError",
    "LaminaError",
    "LayerNotFound",
    "LockHeld",
    "NameTaken",
    "NotFound",
    "NotRunning",
    "NotTrusted",
    "PathNotFound",
    "PermissionRefused",
    "ProgramMissing",
    "ReadOnlyStore",
    "RegistryError",
    "RegistryUnreachable",
    "RuntimeFailure",
    "StepFailed",
    "StorageError",
    "StoreDamaged",
    "TemplateError",
    "UnknownCompression",
    "UsageError",
    "VolumeNotFound",
    "from_oserror",
    "hint_of",
]
