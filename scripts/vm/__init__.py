"""A virtual machine with Debian's own kernel, in which this machine's files lie.

For what the kernel at hand has not (device-mapper, project quotas), for the ways round what an
older one lacks, and for cutting the power.
"""
