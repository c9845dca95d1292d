"""What (f) costs as the table grows, on the embedded database, beside the bare client."""

from measuring import BARE, OURS, Database, goal, grouped, measure as measure_one, number, table

SIZES = [20_000, 1_000_000]
# A million items take three minutes a turn.
TURNS = 2


def measure(bench):
    for turn in bench.turns(most=TURNS):
        for size in SIZES:
            for client in (OURS, BARE):
                items = bench.scaled(size)
                name = bench.file(f"sizes-{client.key}-{items}-{turn}")
                with Database(items, name.with_suffix(".database.log")) as database:
                    bench.keep(measure_one(client, database, name), turn)


def by_size(records):
    """Our series and the bare client's, from the smallest table to the largest."""
    series = grouped(records, "items", "client")
    return [(series[items, "f"], series[items, "bare"]) for items in sorted({items for items, _ in series})]


def goals(records):
    pairs = by_size(records)
    most = max(larger.cpu() / smaller.cpu() for (smaller, _), (larger, _) in zip(pairs, pairs[1:]))
    ours, bare = pairs[-1]
    share = ours.rate() / bare.rate()
    return [
        goal(
            "client CPU of (f) per item, from one size to the next",
            "at most 1.1 times (room for noise)",
            f"at most {number(most)} times",
            most <= 1.1,
        ),
        goal(
            f"rate of (f) to that of the bare client for the same work, {ours.items:,} items",
            "at least 85 %",
            f"{share * 100:.0f} %",
            share >= 0.85,
        ),
    ]


def section(records):
    rows = [
        (
            f"{ours.items:,}",
            number(ours.cpu()),
            ours.cpu_range(),
            f"{ours.rate():,.0f}",
            f"{bare.rate():,.0f}",
            f"{ours.rate() / bare.rate() * 100:.0f} %",
            ours.peak_mb(),
            number(ours.median("server_cpu_seconds", 100_000)),
            number(bare.median("server_cpu_seconds", 100_000)),
        )
        for ours, bare in by_size(records)
    ]
    header = (
        "items",
        "client CPU s per 100,000",
        "lowest to highest",
        "items/s",
        "bare client's items/s",
        "of that",
        "peak MB",
        "database CPU s per 100,000",
        "the same, bare client",
    )
    return [
        "## Sizes of (f)",
        "On the embedded database. Both clients read the keys, write every item, and count what is pending; everything is that of the "
        "whole process.",
        table(header, rows),
    ]
