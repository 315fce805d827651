"""OCI and docker documents as typed values, with the original bytes kept beside them. Pure."""
