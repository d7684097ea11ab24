"""An archive of hourly klines in a bucket that a test can add to and rewrite, and a bucket for lakes beside it.

The server is moto's, in a process of its own, so that the lakes under test do not share its interpreter.
"""

from __future__ import annotations

import hashlib
import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from typing import Any

import boto3

from tests.transfer.archives import zipped
from tests.transfer.servers import free_port, wait_for

KEY_ID, SECRET = "k", "s"
REGION = "us-east-1"
LAKES = "lakes"

Row = tuple[int, float]
"""An hour's open time in milliseconds, and its close."""


def key_of(symbol: str, day: date) -> str:
    return f"data/spot/daily/klines/{symbol}/1h/{symbol}-1h-{day}.zip"


def csv_of(symbol: str, day: date, version: int = 0, hours: int = 24) -> str:
    """The text of a day as the archive publishes it; another version has other prices."""
    dice = random.Random(f"{symbol} {day} {version}")
    start = int(datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()) * 1000
    lines = []
    for hour in range(hours):
        opened = start + hour * 3_600_000
        price, volume = dice.randint(10_000, 99_999) / 100, dice.randint(1, 9999) / 100
        lines.append(
            f"{opened},{price},{price + 2:.2f},{price - 2:.2f},{price + 1:.2f},{volume},"
            f"{opened + 3_599_999},{price * volume:.4f},{dice.randint(1, 999)},1.0,2.0,0\n"
        )
    return "".join(lines)


def rows_in(text: str) -> list[Row]:
    """The rows of a day's text, read without cryptolake."""
    cells = (line.split(",") for line in text.splitlines() if line[:1].isdigit())
    return [(int(row[0]), float(row[4])) for row in cells]


def zip_of(key: str, text: str) -> bytes:
    return zipped(key.rsplit("/", 1)[1].replace(".zip", ".csv"), text)


@dataclass
class Publisher:
    """A bucket in the archive's layout. ``texts`` has what each key holds now."""

    client: Any
    url: str
    bucket: str
    texts: dict[str, str] = field(default_factory=dict)
    versions: dict[str, int] = field(default_factory=dict)
    held: dict[str, bytes] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.client.create_bucket(Bucket=self.bucket, ACL="public-read")

    def publish(self, symbol: str, day: date, hours: int = 24) -> str:
        """Publish a day, or rewrite it: other bytes, another CHECKSUM, another ETag."""
        key = key_of(symbol, day)
        version = self.versions[key] = self.versions.get(key, -1) + 1
        self.texts[key] = csv_of(symbol, day, version, hours)
        self.put(key, zip_of(key, self.texts[key]))
        return key

    def put(self, key: str, data: bytes) -> None:
        """Store a zip and its right CHECKSUM."""
        name = key.rsplit("/", 1)[1]
        self.held[key] = data
        self.held[f"{key}.CHECKSUM"] = f"{hashlib.sha256(data).hexdigest()}  {name}\n".encode()
        for which in (key, f"{key}.CHECKSUM"):
            self.client.put_object(
                Bucket=self.bucket, Key=which, Body=self.held[which], ACL="public-read"
            )

    def rows(self, symbol: str, last: date | None = None) -> list[Row]:
        """A symbol's rows, oldest first, up to a day."""
        mine = [key for key in sorted(self.texts) if f"/{symbol}/" in key]
        wanted = [key for key in mine if last is None or key[-14:-4] <= f"{last}"]
        return [row for key in wanted for row in rows_in(self.texts[key])]


@contextmanager
def s3_server() -> Iterator[tuple[str, Any]]:
    """Run an S3 server; yield its URL and a client. It has the bucket for lakes."""
    port = free_port()
    command = [sys.executable, "-m", "moto.server", "-H", "127.0.0.1", "-p", str(port)]
    child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        wait_for(port)
        url = f"http://127.0.0.1:{port}"
        client = boto3.client(
            "s3",
            endpoint_url=url,
            region_name=REGION,
            aws_access_key_id=KEY_ID,
            aws_secret_access_key=SECRET,
        )
        client.create_bucket(Bucket=LAKES)
        yield url, client
    finally:
        child.terminate()
        child.wait()


def options(url: str) -> dict[str, Any]:
    """What opens a lake in the bucket for lakes."""
    return {
        "key": KEY_ID,
        "secret": SECRET,
        "endpoint_url": url,
        "client_kwargs": {"region_name": REGION},
    }
