"""rdmf: type a sentence, get the moment in the video."""

__version__ = "0.1.0"
