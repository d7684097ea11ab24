"""Each command's place in the help, and a line that shows it."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import typer

BEGIN, FETCH, LOOK, KEEP, READ = (
    *("Begin", "Ask and fetch", "Look", "Keep whole and fresh", "Read and hand on"),
)
BTC = "-m spot -i 1h -s BTCUSDT --from 2024-12 --to 2025-01"

COMMANDS: dict[str, tuple[str, str]] = {
    "demo": (BEGIN, "cryptolake demo"),
    "sample": (BEGIN, "cryptolake sample archive --days 2024-12-30..2025-01-03 --defects"),
    "serve-archive": (BEGIN, "cryptolake serve-archive archive"),
    "matrix": (BEGIN, "cryptolake matrix -m futures_um"),
    "describe": (BEGIN, "cryptolake describe futures_um metrics"),
    "symbols": (FETCH, "cryptolake symbols -m futures_um --quote USDT --contract perpetual"),
    "plan": (FETCH, f"cryptolake plan {BTC}"),
    "pull": (FETCH, "cryptolake pull -m futures_um -i 1h -s 'ETH*' --last 90d"),
    "transfer": (FETCH, f"cryptolake transfer {BTC} --profile cost_optimized"),
    "run": (FETCH, "cryptolake run selection.json network_resilient.json --plan"),
    "build": (FETCH, "cryptolake build"),
    "frame": (FETCH, f"cryptolake frame {BTC} --output btc.parquet"),
    "datasets": (LOOK, "cryptolake datasets"),
    "status": (LOOK, "cryptolake status --root s3://my-bucket/cryptolake"),
    "freshness": (LOOK, "cryptolake freshness"),
    "runs": (LOOK, "cryptolake runs --json"),
    "quality": (LOOK, f"cryptolake quality {BTC} --fail-on missing --page quality.html"),
    "gaps": (LOOK, f"cryptolake gaps {BTC}"),
    "ids": (LOOK, "cryptolake ids -m spot -t trades -s BTCUSDT --from 2025-01-01"),
    "update": (KEEP, "cryptolake update core --quiet"),
    "save-query": (KEEP, "cryptolake save-query core -m futures_um -i 1h -s '*' --last 90d"),
    "verify": (KEEP, "cryptolake verify --repair"),
    "compact": (KEEP, "cryptolake compact"),
    "heal": (KEEP, f"cryptolake heal {BTC}"),
    "fill": (KEEP, f"cryptolake fill {BTC} --against trades"),
    "freeze": (KEEP, f"cryptolake freeze paper.lock.json {BTC}"),
    "diff": (KEEP, "cryptolake diff paper.lock.json"),
    "thaw": (KEEP, "cryptolake thaw paper.lock.json --root paper --donor ~/cryptolake"),
    "locks": (KEEP, "cryptolake locks"),
    "unlock": (KEEP, "cryptolake unlock 3f9c1e2a"),
    "views": (READ, "cryptolake views"),
    "sql": (READ, "cryptolake sql 'select max(high) from silver.spot_klines_1h'"),
    "export": (READ, f"cryptolake export {BTC} --folder out --format csv"),
}
"""By command: the panel of the help that it stands in, and its example."""


def explain(app: typer.Typer) -> None:
    """Give every command its panel and its example."""
    for command in app.registered_commands:
        name = command.name or getattr(command.callback, "__name__", "").replace("_", "-")
        panel, example = COMMANDS[name]
        command.rich_help_panel = panel
        command.epilog = f"Example: {example}"
