"""`rdmf index` without its start-up: a process that indexes places with the fake encoder, for tests that kill it.

python -m tests.pipeline.index_driver STORE JOBS PLACE...      one line of JSON per file; "started" comes first
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

from rdmf_cli.pipeline.indexing import Indexer
from rdmf_cli.pipeline.planning import IndexOptions
from rdmf_cli.store import Store
from tests.fakes import FakeEncoder


def main() -> None:
    folder, jobs, *places = sys.argv[1:]
    print("started", flush=True)
    with Store.open(Path(folder)) as store:
        encoder, options = FakeEncoder(), IndexOptions(jobs=int(jobs))

        def tell(event: object) -> None:
            print(json.dumps(event.to_json()), flush=True)  # type: ignore[attr-defined]

        Indexer(encoder=encoder, store=store, options=options, on_event=tell).run(map(Path, places))


if __name__ == "__main__":
    main()
