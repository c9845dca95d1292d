#!/usr/bin/env python3
"""Measures what a backfill costs its client, against the ways it is done otherwise. See README.md next to this file.

Only the standard library is used here; what the contenders need, `tools/install bench` has installed.
"""

import argparse
import contextlib
import datetime
import json
import os
import platform
import re
import signal
import ssl
import statistics
import subprocess
import sys
import time
import tomllib
import urllib.request
from dataclasses import dataclass, replace
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
BINARIES = ROOT / "target/release"
CONTENDERS_DIR = ROOT / "bench/contenders"
PYTHON = ROOT / ".tools/bench/bin/python"
WORK = ROOT / "target/bench"
RESULTS = ROOT / "bench/RESULTS.md"
# What follows this line in the results is written by hand and kept.
NOTES = "## Where the time goes"

REGION = "us-east-1"
# Longer than anything here takes on a slow machine.
TIMEOUT_SECONDS = 3600


class BenchError(Exception):
    """A sentence for the one who runs the benchmark."""


@dataclass(frozen=True)
class Contender:
    key: str
    title: str
    command: tuple
    slow: bool = False
    environment: tuple = ()

    def at(self, endpoint):
        return [str(part).replace("{endpoint}", endpoint) for part in self.command]


RUN = (BINARIES / "backfill", "run", "--table", "stuff", "--set", "test=1", "--yes", "--json")
WHERE = ("--endpoint-url", "{endpoint}", "--region", REGION)

CONTENDERS = [
    Contender("a", "boto3, scan then update_item", (PYTHON, CONTENDERS_DIR / "scan_then_update.py"), slow=True),
    Contender("b", "Node.js SDK v3, the same", ("node", CONTENDERS_DIR / "scan_then_update.mjs"), slow=True),
    Contender(
        "c",
        "boto3, parallel scan in 8 threads",
        (PYTHON, CONTENDERS_DIR / "thread_pool.py"),
        slow=True,
        environment=(("SEGMENTS", "8"),),
    ),
    Contender(
        "d",
        "shape of AWS's Step Functions sample, 2 segments",
        (PYTHON, CONTENDERS_DIR / "state_machine.py"),
        slow=True,
        environment=(("TABLE_NAME", "stuff"), ("TOTAL_SEGMENTS", "2"), ("PAGE_SIZE", "100")),
    ),
    Contender("e", "`backfill run --writer update-item`", (*RUN, "--writer", "update-item", *WHERE)),
    Contender("f", "`backfill run`", (*RUN, *WHERE)),
    Contender("bare", "bare HTTP client, batches only", (BINARIES / "bench-bare", *WHERE[:2])),
]
# On the stub: the same work for both, in a whole process.
ON_STUB = [
    Contender("f", "`backfill run`", (*RUN, *WHERE)),
    Contender("bare", "bare HTTP client", (BINARIES / "bench-bare", *WHERE[:2], "--count")),
]
# What (f) does on the stub as the table grows, and as it is cut into more segments: items and segments.
GROWTH_ON_STUB = [(100_000, None), (1_000_000, None), (10_000_000, None), (1_000_000, 1_000), (1_000_000, 10_000)]
# Milliseconds of a request, and whether by TLS, which the bare client does not speak.
STUBS = [(0, False), (5, False), (10, False), (0, True)]
VERIFY = Contender(
    "verify",
    "`backfill verify`",
    (BINARIES / "backfill", "verify", "--table", "stuff", "--set", "test=1", "--json", *WHERE),
)


def environment(endpoint, more=()):
    """All that a contender sees: nothing of the operator's own AWS configuration, no proxy."""
    return {
        "PATH": os.environ["PATH"],
        "LANG": "C.UTF-8",
        "AWS_ENDPOINT_URL": endpoint,
        "AWS_REGION": REGION,
        "AWS_DEFAULT_REGION": REGION,
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_CONFIG_FILE": "/dev/null",
        "AWS_SHARED_CREDENTIALS_FILE": "/dev/null",
        **dict(more),
    }


class Database:
    """A database process with a fresh table, stopped when the block ends, however it does."""

    program = ("bench-database",)
    environment = ()

    def __init__(self, items, log):
        self.items = items
        self.log = log

    def __enter__(self):
        program, *flags = self.program
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                [BINARIES / program, "--items", str(self.items), *flags],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=log,
            )
        try:
            line = self.process.stdout.readline()
            if not line:
                raise BenchError(f"the database did not start, see {self.log.relative_to(ROOT)}")
            self.endpoint = json.loads(line)["endpoint"]
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    def cpu_seconds(self):
        # The second field, the name of the program, is in parentheses and may contain blanks.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def count(self, predicate=None):
        """Items for which a condition is true."""
        request = {"TableName": "stuff", "Select": "COUNT", "Limit": 10_000, "ConsistentRead": True}
        if predicate:
            request["FilterExpression"] = predicate
            if ":one" in predicate:
                request["ExpressionAttributeValues"] = {":one": {"N": "1"}}
        total = 0
        while True:
            page = self.call("Scan", request)
            total += page["Count"]
            if "LastEvaluatedKey" not in page:
                return total
            request["ExclusiveStartKey"] = page["LastEvaluatedKey"]

    def call(self, operation, request):
        # The database wants a signature but does not verify it.
        authorization = f"AWS4-HMAC-SHA256 Credential=test/20200101/{REGION}/dynamodb/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20200101T000000Z",
            "Authorization": f"{authorization}, SignedHeaders=host, Signature=0",
        }
        opener = urllib.request.build_opener(urllib.request.ProxyHandler({}))
        http = urllib.request.Request(self.endpoint, json.dumps(request).encode(), headers)
        with opener.open(http, timeout=600) as response:
            return json.load(response)

    def check(self):
        """Refuses a result that is not the one that all contenders were to reach."""
        items, pending = self.count(), self.count("attribute_not_exists(test)")
        updated = self.count("test = :one")
        if (items, pending, updated) != (self.items, 0, self.items):
            raise BenchError(f"of {self.items} items {items} are there, {pending} are pending, {updated} have test = 1")


class Stub(Database):
    """The stub in the database's place: it costs next to nothing, and its requests take as long as is said."""

    def __init__(self, items, log, latency_ms, tls):
        super().__init__(items, log)
        self.program = ("bench-stub", "--latency-ms", str(latency_ms))
        self.environment = ()
        if tls:
            certificate = log.with_suffix(".pem")
            self.program += ("--tls", str(certificate))
            self.environment = (("AWS_CA_BUNDLE", str(certificate)),)

    def check(self):
        report = json.loads(self.report())
        if report["pending"]:
            raise BenchError(f"of {self.items} items {report['pending']} are pending")

    def report(self):
        # Its certificate is of no authority that Python knows, and what is asked is no secret.
        context = ssl._create_unverified_context()
        handlers = (urllib.request.ProxyHandler({}), urllib.request.HTTPSHandler(context=context))
        with urllib.request.build_opener(*handlers).open(self.endpoint, timeout=60) as response:
            return response.read()


def run(contender, database, name):
    """Runs a contender to its end. Returns what it took, and what it printed."""
    out, log, usage = (name.with_name(f"{name.name}.{kind}") for kind in ("out", "log", "usage"))
    with open(out, "wb") as stdout, open(log, "wb") as stderr:
        process = subprocess.Popen(
            [BINARIES / "bench-measure", usage, *contender.at(database.endpoint)],
            env=environment(database.endpoint, (*contender.environment, *database.environment)),
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            # In a group of its own, so that its children can be stopped with it.
            start_new_session=True,
        )
        try:
            code = process.wait(TIMEOUT_SECONDS)
        except BaseException:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()
            raise
    if code != 0:
        raise BenchError(f"{contender.title} failed, see {log.relative_to(ROOT)}")
    return json.loads(usage.read_text()), out.read_text()


def busy_cores():
    """Cores that others keep busy, over a second in which nothing of ours runs."""

    def ticks():
        values = [int(value) for value in Path("/proc/stat").read_text().split("\n")[0].split()[1:9]]
        return sum(values), values[3] + values[4]

    total, idle = ticks()
    time.sleep(1)
    total_after, idle_after = ticks()
    return (1 - (idle_after - idle) / (total_after - total)) * os.cpu_count()


def measure(contender, items, name):
    """One measurement: fresh database, contender, check. Its files begin with this name."""
    with Database(items, name.with_name(f"{name.name}.database.log")) as database:
        busy, before = busy_cores(), database.cpu_seconds()
        taken, printed = run(contender, database, name)
        record = {
            "contender": contender.key,
            "items": items,
            "cpu_seconds": taken["cpu_seconds"],
            "wall_seconds": taken["wall_seconds"],
            "peak_bytes": taken["peak_bytes"],
            "database_cpu_seconds": database.cpu_seconds() - before,
            "busy_before": busy,
        }
        if contender.key in ("e", "f"):
            # A run ends with a verification. The same again tells how much of the run that was.
            verified, _ = run(VERIFY, database, name.with_name(f"{name.name}.verify"))
            record["verify_cpu_seconds"] = verified["cpu_seconds"]
            record["verify_wall_seconds"] = verified["wall_seconds"]
        if contender.key == "bare":
            # Reading the keys is not what it is there for.
            written = json.loads(printed)
            record["cpu_seconds"] = written["write_cpu_seconds"]
            record["wall_seconds"] = written["write_seconds"]
        database.check()
    return record


def ramp_and_tail(seconds):
    """Seconds from the first write to 90 % of the middle rate, and the last 5 % of the writes' part of the time."""
    tenths = [units for second in seconds for units in second["wcu_by_tenth"]]
    while tenths and not tenths[-1]:
        tenths.pop()
    while tenths and not tenths[0]:
        tenths.pop(0)
    if not tenths:
        return 0, 0
    reached = next(n for n, units in enumerate(tenths) if units >= 0.9 * statistics.median(tenths))
    written, most, last = 0, sum(tenths), 0
    for units in tenths:
        written += units
        last += written > 0.95 * most
    return reached / 10, last / len(tenths)


def measure_on_stub(contender, items, latency_ms, tls, name):
    """One measurement of a whole run on the stub: scan, writes and count."""
    with Stub(items, name.with_name(f"{name.name}.stub.log"), latency_ms, tls) as stub:
        busy, before = busy_cores(), stub.cpu_seconds()
        taken, _ = run(contender, stub, name)
        stub.check()
        ramp, tail = ramp_and_tail(json.loads(stub.report())["seconds"])
        return {
            "ramp_seconds": ramp,
            "tail_share": tail,
            "contender": contender.key,
            "items": items,
            "latency_ms": latency_ms,
            "tls": tls,
            "cpu_seconds": taken["cpu_seconds"],
            "wall_seconds": taken["wall_seconds"],
            "peak_bytes": taken["peak_bytes"],
            "database_cpu_seconds": stub.cpu_seconds() - before,
            "busy_before": busy,
        }


def with_segments(contender, segments):
    """The contender, with its table cut into so many segments."""
    if segments is None:
        return contender
    flags = ("--segments", str(segments))
    return replace(contender, key=f"{contender.key}-{segments}", command=(*contender.command, *flags))


class Series:
    """The measurements of one contender at one size."""

    def __init__(self, records):
        self.records = records
        self.items = records[0]["items"]

    def median(self, field, per=None):
        values = [record[field] for record in self.records]
        return statistics.median(values) * (per / self.items if per else 1)

    def cpu(self):
        """Client CPU seconds per 100,000 items."""
        return self.median("cpu_seconds", 100_000)

    def cpu_range(self):
        values = sorted(record["cpu_seconds"] * 100_000 / self.items for record in self.records)
        return f"{number(values[0])} to {number(values[-1])}"

    def rate(self, without_verification=False):
        """Items per second."""
        return statistics.median(
            self.items / (record["wall_seconds"] - (record["verify_wall_seconds"] if without_verification else 0))
            for record in self.records
        )


def number(value):
    """Three significant digits, no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def grouped(records):
    keys = dict.fromkeys((record["contender"], record["items"]) for record in records)
    return {key: Series([r for r in records if (r["contender"], r["items"]) == key]) for key in keys}


def goals(by_key, growth):
    """Rows of the table of goals: goal, wanted, measured, met."""
    rows = []

    def row(goal, wanted, measured, met):
        rows.append((goal, wanted, measured, "met" if met else "**missed**"))

    def have(*keys):
        return all(key in by_key for key in keys)

    for other, times in (("a", 100), ("b", 45), ("e", 6)):
        goal, wanted = f"client CPU of ({other}) to that of (f)", f"at least {times} times"
        if have(other, "f"):
            ratio = by_key[other].cpu() / by_key["f"].cpu()
            row(goal, wanted, f"{number(ratio)} times", ratio >= times)
        else:
            rows.append((goal, wanted, "not measured", ""))
    if have("f", "bare"):
        ratio = by_key["f"].cpu() / by_key["bare"].cpu()
        row("client CPU of (f) to that of the bare client", "at most 3 times", f"{number(ratio)} times", ratio <= 3)
        bare = by_key["bare"].rate()
        for what, without in (("without its verification", True), ("with its verification", False)):
            share = by_key["f"].rate(without) / bare
            goal = f"rate of (f), {what}, to that of the bare client"
            row(goal, "at least 90 %", f"{share * 100:.0f} %", share >= 0.9)
    else:
        rows.append(("(f) and the bare client", "", "not measured", ""))
    if len(growth) > 1:
        steps = list(zip(growth, growth[1:]))
        most = max(larger.cpu() / smaller.cpu() for smaller, larger in steps)
        goal = "client CPU of (f) per item, from one size to the next"
        row(goal, "at most 1.1 times (room for noise)", f"at most {number(most)} times", most <= 1.1)
    return rows


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def report(records, growth_records, stub_records, missing, machine, rounds):
    series = grouped(records)
    by_key = {key: value for (key, _), value in series.items()}
    growth = sorted(grouped(growth_records).values(), key=lambda s: s.items)
    titles = {contender.key: contender.title for contender in CONTENDERS}
    ours = by_key["f"].cpu() if "f" in by_key else None
    rows = []
    for key, s in by_key.items():
        rows.append(
            (
                f"({key})" if len(key) == 1 else "",
                titles[key],
                f"{s.items:,}",
                number(s.cpu()),
                s.cpu_range(),
                number(s.cpu() / ours) if ours else "",
                number(s.median("wall_seconds", 100_000)),
                f"{s.rate():,.0f}",
                number(s.median("peak_bytes") / 1e6),
                number(s.median("database_cpu_seconds", 100_000)) if key != "bare" else "",
            )
        )
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
        "# Results",
        "Written by `make bench` ([how it measures](README.md)); everything from "
        f'"{NOTES.removeprefix("## ")}" on by hand.',
        "\n".join(f"- {line}" for line in machine),
        f"Medians of {rounds} {'round' if rounds == 1 else 'rounds'}, in each of which every contender had its turn. "
        "CPU is user and system of the contender and its children, start-up included; the slow ones work on fewer "
        "items, and all are given per 100,000. The bare client's CPU and time are those of its writes alone; ours "
        "include scan, checkpoints and the final verification.",
        "## Contenders",
        table(header, rows),
    ]
    if missing:
        parts.append("\n".join(f"Not measured: ({key}): {why}." for key, why in missing.items()))
    parts += ["## Goals", table(("goal", "wanted", "measured", ""), goals(by_key, growth))]
    split = []
    for key in ("e", "f"):
        if key in by_key:
            s = by_key[key]
            split.append(
                (
                    f"({key})",
                    number(s.cpu()),
                    number(s.median("verify_cpu_seconds", 100_000)),
                    f"{s.rate():,.0f}",
                    f"{s.rate(without_verification=True):,.0f}",
                )
            )
    if split:
        parts += [
            "## Of which verification",
            "The verification is measured by `backfill verify` after the run; its start-up is counted with it.",
            table(
                ("", "CPU s per 100,000", "of which verification", "items/s", "items/s without verification"), split
            ),
        ]
    if growth:
        rows = [
            (
                f"{s.items:,}",
                number(s.cpu()),
                s.cpu_range(),
                number(s.median("wall_seconds", 100_000)),
                f"{s.rate():,.0f}",
                number(s.median("peak_bytes") / 1e6),
            )
            for s in growth
        ]
        header = ("items", "client CPU s per 100,000", "lowest to highest", "wall s per 100,000", "items/s", "peak MB")
        parts += ["## Growth of (f) with the table", table(header, rows)]
    if stub_records:
        parts += on_stub([record for record in stub_records if record["purpose"] == "stub"])
        growing = [record for record in stub_records if record["purpose"] == "growth on stub"]
        parts += growth_on_stub(growing) if growing else []
    return "\n\n".join(parts) + "\n"


def on_stub(records):
    """The part about the stub."""
    series = {}
    for record in records:
        key = (record["latency_ms"], record["tls"], record["contender"])
        series.setdefault(key, []).append(record)
    series = {key: Series(records) for key, records in series.items()}
    titles = {contender.key: contender.title for contender in ON_STUB}
    rows = []
    for (latency, tls, key), s in series.items():
        bare = series.get((latency, tls, "bare"))
        rows.append(
            (
                f"{latency} ms" + (", TLS" if tls else ""),
                titles[key],
                f"{s.items:,}",
                number(s.cpu()),
                s.cpu_range(),
                number(s.cpu() / bare.cpu()) if bare else "",
                f"{s.rate():,.0f}",
                number(s.median("peak_bytes") / 1e6),
                number(s.median("database_cpu_seconds", 100_000)),
            )
        )
    header = (
        "a request takes",
        "client",
        "items",
        "client CPU s per 100,000",
        "lowest to highest",
        "times bare",
        "items/s",
        "peak MB",
        "stub CPU s per 100,000",
    )
    return [
        "## On the stub",
        "The stub answers at once, or after the time given, and never throttles here. Both clients read the keys, "
        "write every item with its condition, and count what is pending at the end; everything is that of the whole "
        "process.",
        table(header, rows),
    ]


def growth_on_stub(records):
    """The part about size and segments."""
    series = {}
    for record in records:
        series.setdefault((record["items"], record["segments"]), []).append(record)
    rows = []
    for (items, segments), of_size in series.items():
        s = Series(of_size)
        rows.append(
            (
                f"{items:,}",
                f"{segments:,}" if segments else "as planned",
                number(s.cpu()),
                number(s.median("cpu_seconds") * 1000 / segments) if segments else "",
                f"{s.rate():,.0f}",
                number(s.median("peak_bytes") / 1e6),
                f"{s.median('ramp_seconds'):.1f}",
                f"{s.median('tail_share') * 100:.0f} %",
            )
        )
    header = (
        "items",
        "segments",
        "client CPU s per 100,000",
        "CPU ms a segment",
        "items/s",
        "peak MB",
        "s to 90 % of the rate",
        "time of the last 5 %",
    )
    return [
        "## Growth of (f) on the stub",
        "At 5 ms a request. The rate is that of the middle tenth of a second; its beginning is counted from the first "
        "write.",
        table(header, rows),
    ]


def first_line(*command):
    try:
        return subprocess.run(command, check=True, capture_output=True, text=True, cwd=ROOT).stdout.split("\n")[0]
    except (OSError, subprocess.CalledProcessError) as error:
        raise BenchError(f"{command[0]}: {error}") from error


def machine():
    """Where and with what it was measured, without names of machines or folders."""
    cpuinfo = Path("/proc/cpuinfo").read_text()
    model = re.search(r"^model name\s*: (.*)$", cpuinfo, re.MULTILINE)
    memory = re.search(r"^MemTotal:\s*(\d+) kB", Path("/proc/meminfo").read_text(), re.MULTILINE)
    locked = tomllib.loads((ROOT / "Cargo.lock").read_text())["package"]
    crates = {package["name"]: package["version"] for package in locked}
    node_sdk = json.loads((CONTENDERS_DIR / "node_modules/@aws-sdk/client-dynamodb/package.json").read_text())
    commit = first_line("git", "rev-parse", "--short", "HEAD")
    if first_line("git", "status", "--porcelain", "--untracked-files=no", "--", ".", ":!bench/RESULTS.md"):
        commit += " with changes"
    return [
        f"{datetime.date.today()}, commit {commit}",
        f"{os.cpu_count()}-core {platform.system()} machine, {model[1] if model else platform.machine()}, "
        f"{int(memory[1]) / 1024**2:.0f} GiB, kernel {re.match(r'[0-9.]+', platform.release())[0]}; client and "
        "database share it",
        f"Python {first_line(PYTHON, '--version').split()[1]}, "
        f"boto3 {first_line(PYTHON, '-c', 'import boto3; print(boto3.__version__)')}, "
        f"Node.js {first_line('node', '--version').removeprefix('v')}, AWS SDK for JavaScript {node_sdk['version']}, "
        f"Rust {first_line('rustc', '--version').split()[1]}, aws-sdk-dynamodb {crates['aws-sdk-dynamodb']}, "
        f"database dynoxide {crates['dynoxide-rs']} in memory",
    ]


def arguments():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--items", type=int, default=100_000, help="items for the fast contenders [%(default)s]")
    parser.add_argument("--slow-items", type=int, default=20_000, help="items for (a) to (d) [%(default)s]")
    parser.add_argument("--rounds", type=int, default=3, help="turns of each contender [%(default)s]")
    parser.add_argument("--only", default="", metavar="KEYS", help="contenders to measure, such as e,f,bare")
    parser.add_argument(
        "--sizes",
        default="20000,200000,1000000",
        metavar="N,…",
        help="sizes for the growth of (f); empty: none [%(default)s]",
    )
    parser.add_argument(
        "--stub-items", type=int, default=1_000_000, metavar="N", help="items on the stub; 0: without [%(default)s]"
    )
    parser.add_argument("--out", type=Path, default=RESULTS, help="where the results go [bench/RESULTS.md]")
    args = parser.parse_args()
    keys = [contender.key for contender in CONTENDERS]
    args.only = args.only.split(",") if args.only else keys
    if unknown := set(args.only) - set(keys):
        parser.error(f"--only: no contender {', '.join(sorted(unknown))} (there are {', '.join(keys)})")
    try:
        args.sizes = [int(size) for size in args.sizes.split(",")] if args.sizes else []
    except ValueError:
        parser.error("--sizes: expected numbers with commas between them")
    if min(args.items, args.slow_items, args.rounds, *args.sizes) < 1:
        parser.error("items, sizes and rounds are at least 1")
    args.slow_items = min(args.slow_items, args.items)
    return args


def main():
    args = arguments()
    # A terminated benchmark stops what it has started, as an interrupted one does.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("bench: terminated"))
    for program in ("backfill", "bench-database", "bench-stub", "bench-bare", "bench-measure"):
        if not (BINARIES / program).exists():
            raise BenchError(f"target/release/{program} is missing: make bench builds it")
    if not PYTHON.exists() or not (CONTENDERS_DIR / "node_modules").exists():
        raise BenchError("the contenders' packages are missing: tools/install bench installs them")
    about = machine()

    contenders, missing = [c for c in CONTENDERS if c.key in args.only], {}
    usage = subprocess.run([BINARIES / "backfill", "run", "--help"], check=True, capture_output=True, text=True).stdout
    if "e" in args.only and "--writer" not in usage:
        missing["e"] = "this build of `backfill` has one writer only"
        contenders = [c for c in contenders if c.key != "e"]
    if not contenders:
        raise BenchError("there is nothing to measure")

    folder = WORK / datetime.datetime.now().strftime("%Y%m%d-%H%M%S")
    folder.mkdir(parents=True)
    records, growth_records, stub_records = [], [], []
    with open(folder / "measurements.jsonl", "w", buffering=1) as raw:

        def turn(purpose, contender, items, turn_number, into):
            begin = time.monotonic()
            record = measure(contender, items, folder / f"{purpose}-{contender.key}-{items}-{turn_number}")
            record = {"purpose": purpose, "round": turn_number, **record}
            raw.write(json.dumps(record) + "\n")
            into.append(record)
            per = 100_000 / items
            print(
                f"{purpose} round {turn_number}: {contender.key:>4} {items:>9,} items: "
                f"{number(record['cpu_seconds'] * per):>6} CPU s per 100,000, "
                f"{items / record['wall_seconds']:>7,.0f} items/s, {number(record['peak_bytes'] / 1e6):>5} MB "
                f"({record['busy_before']:.1f} cores busy before; {time.monotonic() - begin:.0f} s in all)",
                flush=True,
            )

        def turn_on_stub(contender, latency_ms, tls, turn_number):
            scheme = "tls" if tls else "plain"
            name = folder / f"stub-{contender.key}-{latency_ms}-{scheme}-{turn_number}"
            record = measure_on_stub(contender, args.stub_items, latency_ms, tls, name)
            record = {"purpose": "stub", "round": turn_number, "segments": None, **record}
            raw.write(json.dumps(record) + "\n")
            stub_records.append(record)
            per = 100_000 / args.stub_items
            print(
                f"stub round {turn_number}: {contender.key:>4} {latency_ms:>2} ms {scheme:>5}: "
                f"{number(record['cpu_seconds'] * per):>6} CPU s per 100,000, "
                f"{args.stub_items / record['wall_seconds']:>7,.0f} items/s, "
                f"{number(record['peak_bytes'] / 1e6):>5} MB "
                f"({record['busy_before']:.1f} cores busy before)",
                flush=True,
            )

        for turn_number in range(1, args.rounds + 1):
            for contender in contenders:
                items = args.slow_items if contender.slow else args.items
                turn("contenders", contender, items, turn_number, records)
        if "f" in args.only:
            ours = next(c for c in CONTENDERS if c.key == "f")
            for turn_number in range(1, args.rounds + 1):
                for size in args.sizes:
                    turn("growth", ours, size, turn_number, growth_records)

        on_it = [c for c in ON_STUB if c.key in args.only and args.stub_items]
        for turn_number in range(1, args.rounds + 1):
            for latency_ms, tls in STUBS:
                for contender in on_it:
                    if not (tls and contender.key == "bare"):
                        turn_on_stub(contender, latency_ms, tls, turn_number)

        for items, segments in GROWTH_ON_STUB if "f" in args.only and args.stub_items else []:
            # Once each: what grows, grows tenfold.
            contender = with_segments(ON_STUB[0], segments)
            items = items * args.stub_items // 1_000_000
            record = measure_on_stub(contender, items, 5, False, folder / f"growth-{contender.key}-{items}")
            record = {"purpose": "growth on stub", "round": 1, "segments": segments, **record}
            raw.write(json.dumps(record) + "\n")
            stub_records.append(record)
            what = f"{items:,} items, {segments or 'planned'} segments"
            print(f"growth on stub: {what}: {record['cpu_seconds']:.2f} CPU s", flush=True)

    busy = statistics.median(record["busy_before"] for record in records + growth_records + stub_records)
    about.append(f"in the second before each measurement, others kept {busy:.1f} cores busy (median)")
    text = report(records, growth_records, stub_records, missing, about, args.rounds)
    if args.out.exists():
        _, heading, notes = args.out.read_text().partition(NOTES)
        text += f"\n{heading}{notes}" if heading else ""
    args.out.parent.mkdir(parents=True, exist_ok=True)
    args.out.write_text(text)
    print(f"results in {args.out}, raw figures and logs in {folder.relative_to(ROOT)}")


if __name__ == "__main__":
    try:
        main()
    except BenchError as error:
        sys.exit(f"bench: {error}")
    except subprocess.TimeoutExpired:
        sys.exit(f"bench: a contender was not finished after {TIMEOUT_SECONDS} s")
    except KeyboardInterrupt:
        sys.exit("bench: interrupted")
