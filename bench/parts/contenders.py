"""What a backfill costs its client, against the ways it is done otherwise, on the embedded database."""

from measuring import (
    BARE,
    BINARIES,
    OURS,
    ROOT,
    VERIFY,
    Client,
    Database,
    beside_bare,
    goal,
    grouped,
    measure as measure_one,
    number,
    run,
    table,
)

FOLDER = ROOT / "bench/contenders"
PYTHON = ROOT / ".tools/bench/bin/python"

CONTENDERS = [
    Client("a", "boto3, scan then update_item", (PYTHON, FOLDER / "scan_then_update.py")),
    Client("b", "Node.js SDK v3, the same", ("node", FOLDER / "scan_then_update.mjs")),
    Client("c", "boto3, parallel scan in 8 threads", (PYTHON, FOLDER / "thread_pool.py"), (("SEGMENTS", "8"),)),
    Client(
        "d",
        "shape of AWS's Step Functions sample, 2 segments",
        (PYTHON, FOLDER / "state_machine.py"),
        (("TABLE_NAME", "stuff"), ("TOTAL_SEGMENTS", "2"), ("PAGE_SIZE", "100")),
    ),
    Client("e", "`backfill run --writer update-item`", OURS.with_flags("--writer", "update-item").command),
    OURS,
    BARE,
]
# They take minutes.
SLOW = ("a", "b", "c", "d")
ITEMS, SLOW_ITEMS = 100_000, 20_000


def measure(bench):
    for turn in bench.turns():
        for client in CONTENDERS:
            if client.key not in bench.only:
                continue
            items = bench.scaled(SLOW_ITEMS if client.key in SLOW else ITEMS)
            name = bench.file(f"contenders-{client.key}-{turn}")
            with Database(items, name.with_suffix(".database.log")) as database:
                record = measure_one(client, database, name)
                if client.key in ("e", "f"):
                    # A run ends with a verification. The same again tells how much of the run that was.
                    verified, _ = run(VERIFY, database, name.with_name(f"{name.name}.verify"))
                    record["verify_cpu_seconds"] = verified["cpu_seconds"]
                    record["verify_seconds"] = verified["wall_seconds"]
            bench.keep(record, turn)


def by_client(records):
    return {key: series for (key,), series in grouped(records, "client").items()}


def goals(records):
    by_key, rows = by_client(records), []
    ours, bare = by_key.get("f"), by_key.get("bare")
    for other, times in (("a", 100), ("b", 45), ("e", 6)):
        if ours and other in by_key:
            ratio = by_key[other].cpu() / ours.cpu()
            what = f"client CPU of ({other}) to that of (f)"
            rows.append(goal(what, f"at least {times} times", f"{number(ratio)} times", ratio >= times))
    if ours and bare:
        rows += beside_bare("on the embedded database", ours, bare)
        share = ours.rate(without="verify_seconds") / bare.rate("write_seconds")
        what = "rate of (f), without its verification, to that of the bare client's writes alone"
        rows.append(goal(what, "at least 90 %", f"{share * 100:.0f} %", share >= 0.9))
    return rows


def section(records):
    by_key = by_client(records)
    ours = by_key["f"].cpu() if "f" in by_key else None
    titles = {client.key: client.title for client in CONTENDERS}
    rows = []

    def row(key, title, s, cpu, lowest_to_highest, seconds, server):
        rows.append(
            (
                f"({key})" if len(key) == 1 else "",
                title,
                f"{s.items:,}",
                number(s.cpu(cpu)),
                lowest_to_highest,
                number(s.cpu(cpu) / ours) if ours else "",
                number(s.median(seconds, 100_000)),
                f"{s.rate(seconds):,.0f}",
                s.peak_mb(),
                number(s.median("server_cpu_seconds", 100_000)) if server else "",
            )
        )

    for key, s in by_key.items():
        row(key, titles[key], s, "cpu_seconds", s.cpu_range(), "wall_seconds", True)
        if key == BARE.key:
            row(key, "of which its writes", s, "write_cpu_seconds", "", "write_seconds", False)
    header = (
        "",
        "contender",
        "items",
        "client CPU s per 100,000",
        "lowest to highest",
        "times (f)",
        "wall s per 100,000",
        "items/s",
        "peak MB",
        "database CPU s per 100,000",
    )
    parts = [
        "## Contenders",
        "On the embedded database. CPU is user and system of the contender and its children, start-up included; the slow ones work on "
        "fewer items, and all are given per 100,000. Ours includes scan, checkpoints and the final verification; the bare client "
        "reads the keys, writes, and counts what is pending.",
        table(header, rows),
    ]
    split = [
        (
            f"({key})",
            number(by_key[key].cpu()),
            number(by_key[key].cpu("verify_cpu_seconds")),
            f"{by_key[key].rate():,.0f}",
            f"{by_key[key].rate(without='verify_seconds'):,.0f}",
        )
        for key in ("e", "f")
        if key in by_key
    ]
    if split:
        parts += [
            "Of which verification, measured by `backfill verify` after the run; its start-up is counted with it:",
            table(("", "CPU s per 100,000", "of which verification", "items/s", "items/s without verification"), split),
        ]
    return parts


def missing():
    """What the contenders need and is not there."""
    if not PYTHON.exists() or not (FOLDER / "node_modules").exists():
        return "the contenders' packages are missing: tools/install bench installs them"
    for program in ("backfill", "bench-database", "bench-stub", "bench-bare", "bench-measure", "examples/matrix"):
        if not (BINARIES / program).exists():
            return f"target/release/{program} is missing: make bench builds it"
    return None
