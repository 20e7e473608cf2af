"""One process of fuzz_media.py: takes case numbers on stdin, searches the mutated file, tells one line of JSON each.

The worker itself is limited (memory, size of files it writes, core dumps); whatever it does, it can't hurt its
parent, which bounds its time.
"""

from __future__ import annotations

import contextlib
import json
import os
import sys
import time
from pathlib import Path

MEMORY_BYTES = 6 << 30
OUTPUT_BYTES = 64 << 20


def limit() -> None:
    """Memory, files and core dumps of this process and its children."""
    with contextlib.suppress(ImportError):
        import resource

        resource.setrlimit(resource.RLIMIT_AS, (MEMORY_BYTES, MEMORY_BYTES))
        resource.setrlimit(resource.RLIMIT_FSIZE, (OUTPUT_BYTES, OUTPUT_BYTES))
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))


def children() -> list[int]:
    """Ids of our running child processes, where /proc tells."""
    found = []
    for task in Path(f"/proc/{os.getpid()}/task").glob("*/children"):
        with contextlib.suppress(OSError):
            found += [int(pid) for pid in task.read_text().split()]
    return found


class Search:
    """What `rdmf search` does with one file, with an encoder that costs nothing and no store."""

    def __init__(self) -> None:
        from benchmarks.workloads import StubEncoder
        from rdmf_cli.pipeline.answer import SearchOptions
        from rdmf_cli.pipeline.calibration import calibrate
        from rdmf_cli.pipeline.query import encode_queries

        self._encoder = StubEncoder(32)
        self._options = SearchOptions()
        self._calibration = calibrate(self._encoder, None)
        self._queries = encode_queries(["something red"], self._encoder, self._calibration, None)

    def __call__(self, path: Path) -> dict[str, object]:
        """`outcome`: answered, refused (with what is said to the user) or bug."""
        from rdmf_cli.errors import RdmfError
        from rdmf_cli.pipeline.answer import answer_to_json
        from rdmf_cli.pipeline.index import index_video
        from rdmf_cli.pipeline.modes import PATTERN_MODE

        try:
            indexed = index_video(path, encoder=self._encoder, store=None, options=self._options)
            [answers] = PATTERN_MODE.answer([indexed], self._queries, self._calibration)
            text = json.dumps([answer_to_json(answer) for answer in answers], allow_nan=False)
            wrong = _impossible(indexed.features.times_s, answers)
            if wrong:
                return {"outcome": "bug", "said": wrong}
            return {"outcome": "answered", "said": " | ".join(indexed.features.warnings)[:300], "bytes": len(text)}
        except RdmfError as error:
            said = str(error)
            is_clean = error.exit_code == 3 and "\n" not in said.replace(str(path), "")
            return {"outcome": "refused" if is_clean else "bug", "said": f"{error.exit_code}: {said}"[-300:]}
        except Exception as error:
            import traceback

            where = traceback.extract_tb(error.__traceback__)[-1]
            return {
                "outcome": "bug",
                "said": f"{type(error).__name__}: {error} ({where.filename}:{where.lineno})"[:400],
            }


def _impossible(times_s: object, answers: list[object]) -> str:
    """What is wrong with an answer, whatever the file was; "" if nothing."""
    import numpy as np

    times = np.asarray(times_s)
    if not np.all(np.isfinite(times)) or np.any(np.diff(times) <= 0) or times[0] != 0:
        return f"times do not grow from 0: {times[:4]}"
    for answer in answers:
        for moment in answer.moments:  # type: ignore[attr-defined]
            if not 0 <= moment.start_s < moment.end_s:
                return f"a moment from {moment.start_s} to {moment.end_s}"
    return ""


def main() -> None:
    """Lines `CASE`; first argument: folder of the seeds, second: folder for the mutated file, third: seed."""
    from benchmarks.fuzz_mutations import mutated
    from benchmarks.media_seeds import make_seeds

    seed_folder, folder, seed = Path(sys.argv[1]), Path(sys.argv[2]), int(sys.argv[3])
    limit()
    seeds = make_seeds(seed_folder)
    contents = [path.read_bytes() for path in seeds]
    search = Search()
    print("ready", flush=True)
    for line in sys.stdin:
        case = int(line)
        index, kinds, data = mutated(contents, case, seed)
        path = folder / f"mutated-{case}{seeds[index].suffix}"
        path.write_bytes(data)
        began = time.monotonic()
        answer = search(path)
        took_s = time.monotonic() - began
        path.unlink()
        told = {"case": case, "file": seeds[index].name, "kinds": kinds, **answer, "took_s": round(took_s, 3)}
        print(json.dumps({**told, "leaked": len(children()), **memory()}), flush=True)


def memory() -> dict[str, float]:
    """Highest resident memory so far, MiB: of this process and of the largest child."""
    with contextlib.suppress(ImportError):
        import resource

        own, child = (resource.getrusage(who).ru_maxrss for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN))
        return {"own_mib": round(own / 1024), "child_mib": round(child / 1024)}
    return {}


if __name__ == "__main__":
    main()
