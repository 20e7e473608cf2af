"""How much memory this process has needed at most."""

from __future__ import annotations

import sys


def peak_kib() -> int:
    """Highest resident memory so far, KiB; 0 where the system does not tell (Windows), so that differences are 0."""
    try:
        import resource
    except ImportError:
        return 0
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak // 1024 if sys.platform == "darwin" else peak
