"""A process of its own that transfers a folder's files, for tests that kill it.

``python -m tests.transfer.pull FOLDER ENDPOINT LAKE [OPTIONS [BUCKET [MODE [FIRST COUNT]]]]``
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import cryptolake as cl
from cryptolake.listing.context import LakeContext
from cryptolake.storage.files import open_storage
from cryptolake.transfer.engine import transfer
from tests.transfer.archives import plan_of


def main(
    folder: str,
    endpoint: str,
    lake: str,
    options: str = "{}",
    bucket: str = "",
    mode: str = "auto",
    first: str = "0",
    count: str = "",
) -> None:
    archive = cl.Archive(bucket=bucket or Path(folder).name, endpoint_url=endpoint)
    plan = plan_of(Path(folder), archive)
    plan.files = plan.files.slice(int(first), int(count) if count else None)
    print("ready", flush=True)
    report = transfer(
        plan,  # type: ignore[arg-type]
        LakeContext.of(open_storage(lake), archive),
        mode=mode,
        progress=False,
        options={"workers": 16, **json.loads(options)},
    )
    print(report.summary(), flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
