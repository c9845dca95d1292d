"""What the run costs: estimated before, counted while it goes on and afterwards.

Everything is counted in kinds of usage, at the list prices below. Free tiers are left out, so both figures are above the
bill rather than below it.
"""

import threading
from collections import Counter
from dataclasses import dataclass

# The most that a run may cost, in USD.
LIMIT_USD = 1.00

HOURS_OF_MONTH = 730

# USD for one of each kind of usage, in us-east-1 (aws.amazon.com/dynamodb/pricing, /lambda/pricing, /step-functions/pricing,
# /cloudwatch/pricing, /kms/pricing, /sns/pricing, /sqs/pricing, /s3/pricing; 2026-11). Look again before you rely on them.
PRICES = {
    "write units": 0.625e-6,
    "read units": 0.125e-6,
    "provisioned write unit hours": 0.00065,
    "provisioned read unit hours": 0.00013,
    "lambda requests": 0.20e-6,
    # x86_64, which costs a quarter more than arm64.
    "lambda GB-seconds": 0.0000166667,
    "state transitions": 0.025e-3,
    "alarm hours": 0.10 / HOURS_OF_MONTH,
    "custom metric hours": 0.30 / HOURS_OF_MONTH,
    "metric requests": 0.01e-3,
    "log GB": 0.50,
    "key hours": 1.00 / HOURS_OF_MONTH,
    "key requests": 0.03e-4,
    "messages": 0.50e-6,
    "bucket requests": 0.005e-3,
    "GB to the internet": 0.09,
}

# What the same costs elsewhere, at most. São Paulo, the dearest, asks one and a half times as much for write units.
CHEAPEST_REGIONS = ("us-east-1", "us-east-2", "us-west-2")
FACTOR_ELSEWHERE = 1.6


def factor_of(region: str) -> float:
    """By how much the prices of a region are above those of us-east-1, at most."""
    return 1.0 if region in CHEAPEST_REGIONS else FACTOR_ELSEWHERE


class Usage(Counter):
    """How much of each kind is used: Usage({"write units": 5000})."""

    def __init__(self, kinds: dict | None = None):
        super().__init__(kinds or {})
        unknown = set(self) - set(PRICES)
        if unknown:
            raise ValueError(f"usage without a price: {', '.join(sorted(unknown))}")

    def usd(self, region: str) -> float:
        """What this costs in a region, at most."""
        return factor_of(region) * sum(PRICES[kind] * count for kind, count in self.items())

    def lines(self, region: str) -> list[str]:
        """One line a kind, the dearest first."""
        factor = factor_of(region)
        dearest = sorted(self.items(), key=lambda used: -PRICES[used[0]] * used[1])
        return [f"{factor * PRICES[kind] * count:8.4f} USD  {count:,.6g} {kind}" for kind, count in dearest if count]


def table_hours(write_units: float, read_units: float) -> Usage:
    """One hour of a provisioned table, the least that is billed."""
    return Usage({"provisioned write unit hours": write_units, "provisioned read unit hours": read_units})


# What the run needs whatever it is asked: upload of the functions, their logs, the comparison of all items, a second hour
# of what is billed by the hour.
OVERHEAD = Usage(
    {
        "bucket requests": 200,
        "log GB": 0.01,
        "metric requests": 2_000,
        "messages": 2_000,
        "read units": 20_000,
        "GB to the internet": 0.05,
    }
)


@dataclass(frozen=True)
class Estimate:
    """What the chosen questions cost, by question, before anything is asked."""

    region: str
    by_question: dict[str, Usage]

    def usd(self) -> float:
        """All of it, in USD."""
        return OVERHEAD.usd(self.region) + sum(usage.usd(self.region) for usage in self.by_question.values())

    def lines(self) -> list[str]:
        """One line a question, and the sum."""
        rows = [(usage.usd(self.region), name) for name, usage in self.by_question.items()]
        rows.append((OVERHEAD.usd(self.region), "upload, logs, comparisons"))
        rows.append((self.usd(), f"in all, at the most in {self.region}"))
        return [f"{usd:8.4f} USD  {name}" for usd, name in rows]


class TooDear(Exception):
    """The run would cost more than it may."""


def refuse_over(limit: float, usd: float, what: str) -> None:
    """Refuses what costs more than the limit, which nobody can raise above 1 USD."""
    if limit > LIMIT_USD:
        raise TooDear(f"limit: expected at most {LIMIT_USD:.2f} USD, not {limit:.2f}")
    if usd > limit:
        raise TooDear(f"limit: {what} {usd:.4f} USD, and the limit is {limit:.4f} USD; ask fewer questions with --only")


class Meter:
    """Counts what is used. Threads may count at the same time."""

    def __init__(self, region: str, limit: float):
        self.region = region
        self.limit = limit
        self._usage = Usage()
        self._lock = threading.Lock()

    def add(self, kind: str, count: float) -> None:
        """Adds usage of one kind."""
        self.add_all(Usage({kind: count}))

    def add_all(self, usage: Usage) -> None:
        """Adds usage of many kinds."""
        with self._lock:
            self._usage.update(usage)

    def at_least(self, kind: str, count: float) -> None:
        """Puts the count of a kind to what the service itself has counted, if that is more."""
        with self._lock:
            self._usage[kind] = max(self._usage[kind], count)

    def usage(self) -> Usage:
        """What has been used up to now."""
        with self._lock:
            return Usage(dict(self._usage))

    def usd(self) -> float:
        """What that costs."""
        return self.usage().usd(self.region)

    def refuse_next(self, name: str, usage: Usage) -> None:
        """Refuses a question whose estimate no longer fits below the limit."""
        usd = self.usd() + usage.usd(self.region)
        refuse_over(self.limit, usd, f"with the question {name} the run would come to")
