"""The adapter of `node.ports.volumes`: folders on disks."""

from node.volumes.pool import DiskVolumes

__all__ = ["DiskVolumes"]
