"""One process of a storm: open the lake, say so, do one thing, say what came of it.

``python -m tests.storm.worker ROOT URL VERB SEED OPTIONS``: prints ``ready``, then ``done``, ``said`` (a typed
error) or ``raw`` (any other) with its words.
"""

from __future__ import annotations

import json
import random
import sys
import traceback
import warnings
from collections.abc import Callable
from typing import Any

import cryptolake as cl

SYMBOLS = ("BTCUSDT", "ETHUSDT", "XRPUSDT")
QUERY = cl.query().markets("spot").klines("1h").symbols(*SYMBOLS)
QUERY = QUERY.between("2024-03-01", "2024-04-30")
QUICK = {"batch_size": 10, "engine_retries": 2, "backoff": 0.05}


def verbs(lake: cl.Lake, dice: random.Random) -> dict[str, Callable[[], Any]]:
    """What a storm does to a lake."""
    found: dict[str, Callable[[], Any]] = {
        "pull": lambda: lake.pull(
            QUERY, progress=False, refresh=dice.random() < 0.5, options=dict(QUICK)
        ),
        "build": lambda: lake.build(progress=False, force=dice.random() < 0.5),
        "update": lambda: lake.update(progress=False, options=dict(QUICK)),
        "heal": lambda: lake.heal(QUERY, progress=False).height,
        "repair": lambda: lake.verify(repair=True).height,
    }
    if hasattr(lake, "compact"):
        found["compact"] = lake.compact
    return found


def main() -> None:
    """Do it."""
    root, url, verb, seed, options = sys.argv[1:6]
    source = cl.Archive(endpoint_url=url, region="us-east-1")
    lake = cl.Lake(root, source=source, storage_options=json.loads(options) or None)
    work = verbs(lake, random.Random(int(seed)))[verb]
    warnings.simplefilter("ignore", cl.IncompleteWarning)
    print("ready", flush=True)
    try:
        print("done", " ".join(repr(work()).split())[:300], flush=True)
    except cl.CryptolakeError as error:
        print("said", type(error).__name__, " ".join(str(error).split())[:400], flush=True)
    except Exception as error:  # noqa: BLE001 - to be told of, whatever it is
        name = f"{type(error).__module__}.{type(error).__name__}"
        where = " < ".join(
            f"{frame.name} ({frame.filename.rsplit('cryptolake/', 1)[-1]}:{frame.lineno})"
            for frame in reversed(traceback.extract_tb(error.__traceback__)[-6:])
        )
        print("raw", name, " ".join(str(error).split())[:300], "|", where, flush=True)


if __name__ == "__main__":
    main()
