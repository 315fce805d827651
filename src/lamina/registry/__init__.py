"""Images of a registry (OCI distribution 1.1, docker's v2): what it says, and asking it."""
