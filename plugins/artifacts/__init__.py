"""The plugin `artifacts`: files and folders that a task leaves behind are kept under names until they expire.

It is a plugin of its own because the rules are the protocol's, not an engine's: what is missing becomes an
error artifact, so that whoever waits for the artifact learns why there is none; what cannot be stored is
never passed over.
"""

from .plugin import ArtifactsPlugin, ArtifactsProvider, provider

__all__ = ["ArtifactsPlugin", "ArtifactsProvider", "provider"]
