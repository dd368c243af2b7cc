"""The plugin `chainoftrust`: a signed list of what a run has stored, so that nobody has to trust the store.

It is the last plugin to be heard in `finished`, as the list must hold what every other one has stored. Whoever has the
worker's public key can tell with `stagecall verify` whether a copy of the artifacts is what the worker has seen.
"""

from .document import CHAIN, SIGNATURE, VERSION, chain_document
from .keys import KeyFileError, read_public_key, read_signing_key
from .plugin import ChainOfTrustPlugin, ChainOfTrustProvider, provider
from .verification import ChainError, Verdict, verify_folder

__all__ = [
    "CHAIN",
    "SIGNATURE",
    "VERSION",
    "ChainError",
    "ChainOfTrustPlugin",
    "ChainOfTrustProvider",
    "KeyFileError",
    "Verdict",
    "chain_document",
    "provider",
    "read_public_key",
    "read_signing_key",
    "verify_folder",
]
