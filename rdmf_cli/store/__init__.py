"""Features on disk, keyed by content: SQLite catalogue and one FAISS file per feature set. No torch."""

from rdmf_cli.store.features import VideoFeatures
from rdmf_cli.store.folder import Store

__all__ = ["Store", "VideoFeatures"]
