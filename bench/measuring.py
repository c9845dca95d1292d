"""What every part measures with: servers with a fresh table, clients whose CPU, time and memory are the kernel's."""

import contextlib
import http.client
import json
import os
import signal
import ssl
import statistics
import subprocess
import time
from dataclasses import dataclass, replace
from pathlib import Path
from urllib.parse import urlsplit

ROOT = Path(__file__).resolve().parent.parent
BINARIES = ROOT / "target/release"

REGION = "us-east-1"
# Longer than anything here takes on a slow machine.
TIMEOUT_SECONDS = 3600


class BenchError(Exception):
    """A sentence for the one who runs the benchmark."""


@dataclass(frozen=True)
class Client:
    """A program that works on the table."""

    key: str
    title: str
    # With {endpoint} in place of where the table is.
    command: tuple
    environment: tuple = ()

    def with_flags(self, *flags):
        return replace(self, command=(*self.command, *map(str, flags)))

    def at(self, endpoint):
        return [str(part).replace("{endpoint}", endpoint) for part in self.command]


WHERE = ("--endpoint-url", "{endpoint}", "--region", REGION)
WHAT = ("--table", "stuff", "--set", "test=1", "--json", *WHERE)
OURS = Client("f", "`backfill run`", (BINARIES / "backfill", "run", "--yes", *WHAT))
VERIFY = Client("verify", "`backfill verify`", (BINARIES / "backfill", "verify", *WHAT))
# It does the work of a run, and says what its writes alone took.
BARE = Client("bare", "bare HTTP client", (BINARIES / "bench-bare", *WHERE[:2], "--count"))


def environment(endpoint, more=()):
    """All that a client sees: nothing of the operator's own AWS configuration, no proxy."""
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


class Server:
    """A process that has a table, stopped when the block ends, however it does."""

    # What its clients see besides.
    environment = ()

    def __init__(self, items, log, program, *flags):
        self.items = items
        self.log = log
        self.command = [BINARIES / program, *map(str, flags)]
        self.connection = None

    def __enter__(self):
        with open(self.log, "wb") as log:
            self.process = subprocess.Popen(
                self.command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log
            )
        try:
            line = self.process.stdout.readline()
            if not line:
                raise BenchError(f"{self.command[0].name} did not start, see {self.log.relative_to(ROOT)}")
            self.endpoint = self.endpoint_in(line.decode())
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_):
        if self.connection:
            self.connection.close()
        self.process.terminate()
        try:
            self.process.wait(30)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        self.process.stdout.close()

    @staticmethod
    def endpoint_in(line):
        return json.loads(line)["endpoint"]

    def cpu_seconds(self):
        # The second field, the name of the program, is in parentheses and may contain blanks.
        fields = Path(f"/proc/{self.process.pid}/stat").read_text().rpartition(")")[2].split()
        return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")

    def peak_bytes(self):
        lines = Path(f"/proc/{self.process.pid}/status").read_text().splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("VmHWM:"))

    def connect(self):
        url = urlsplit(self.endpoint)
        if url.scheme == "http":
            return http.client.HTTPConnection(url.hostname, url.port, timeout=600)
        # The stub's certificate is of no authority that Python knows, and what is asked is no secret.
        context = ssl._create_unverified_context()
        return http.client.HTTPSConnection(url.hostname, url.port, timeout=600, context=context)

    def kept(self):
        self.connection = self.connection or self.connect()
        return self.connection

    @staticmethod
    def answer(connection, method, body, headers):
        connection.request(method, "/", body, dict(headers))
        return connection.getresponse()

    def ask(self, method, body=None, headers=(), connection=None):
        """An answer as JSON, over one kept connection if there is no other."""
        try:
            response = self.answer(connection or self.kept(), method, body, headers)
        except (ConnectionError, http.client.BadStatusLine):
            # A server ends a connection over which nothing was asked for long.
            if connection:
                raise
            self.connection = None
            response = self.answer(self.kept(), method, body, headers)
        answer = response.read()
        if response.status != 200:
            raise BenchError(f"{self.command[0].name} answered {response.status}: {answer.decode(errors='replace')}")
        return json.loads(answer)

    def call(self, operation, request, connection=None):
        # A signature is wanted but not verified.
        authorization = f"AWS4-HMAC-SHA256 Credential=test/20200101/{REGION}/dynamodb/aws4_request"
        headers = {
            "Content-Type": "application/x-amz-json-1.0",
            "X-Amz-Target": f"DynamoDB_20120810.{operation}",
            "X-Amz-Date": "20200101T000000Z",
            "Authorization": f"{authorization}, SignedHeaders=host, Signature=0",
        }
        return self.ask("POST", json.dumps(request).encode(), headers, connection)

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

    def check(self):
        """Refuses a result that is not the one that all clients were to reach."""
        items, pending = self.count(), self.count("attribute_not_exists(test)")
        updated = self.count("test = :one")
        if (items, pending, updated) != (self.items, 0, self.items):
            raise BenchError(f"of {self.items} items {items} are there, {pending} are pending, {updated} have test = 1")


class Database(Server):
    """The embedded database in memory, with made-up items."""

    def __init__(self, items, log):
        super().__init__(items, log, "bench-database", "--items", items)


class Stub(Server):
    """The stub: it costs next to nothing, and its requests take as long as is said."""

    def __init__(self, items, log, latency_ms, tls=False, more=()):
        flags = ["--items", items, "--latency-ms", latency_ms, *more]
        if tls:
            certificate = log.with_suffix(".pem")
            flags += ["--tls", certificate]
            self.environment = (("AWS_CA_BUNDLE", str(certificate)),)
        super().__init__(items, log, "bench-stub", *flags)

    def check(self):
        pending = self.report()["pending"]
        if pending:
            raise BenchError(f"of {self.items} items {pending} are pending")

    def report(self):
        """What has happened, second by second."""
        return self.ask("GET")


class Sandbox(Server):
    """`backfill sandbox`, in memory or in a file."""

    def __init__(self, items, log, file=None):
        flags = ["sandbox", "--port", "0", *(["--file", file] if file else [])]
        super().__init__(items, log, "backfill", *flags)

    @staticmethod
    def endpoint_in(line):
        return line.split()[-1]


def run(client, server, name):
    """Runs a client to its end. Returns what it took, and what it printed."""
    out, log, usage = (name.with_name(f"{name.name}.{kind}") for kind in ("out", "log", "usage"))
    endpoint = server.endpoint if server else ""
    more = server.environment if server else ()
    with open(out, "wb") as stdout, open(log, "wb") as stderr:
        process = subprocess.Popen(
            [BINARIES / "bench-measure", usage, *client.at(endpoint)],
            env=environment(endpoint, (*client.environment, *more)),
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
        raise BenchError(f"{client.title} failed, see {log.relative_to(ROOT)}")
    return json.loads(usage.read_text()), out.read_text()


def cores():
    """Those that the benchmark may use: taskset takes some away."""
    return os.sched_getaffinity(0)


def busy_cores():
    """How many of them others keep busy, over a second in which nothing of ours runs."""

    def ticks():
        idle = total = 0
        for line in Path("/proc/stat").read_text().splitlines():
            name, *values = line.split()
            if name.startswith("cpu") and name[3:].isdigit() and int(name[3:]) in cores():
                values = [int(value) for value in values[:8]]
                idle, total = idle + values[3] + values[4], total + sum(values)
        return idle, total

    idle, total = ticks()
    time.sleep(1)
    idle_after, total_after = ticks()
    return (1 - (idle_after - idle) / (total_after - total)) * len(cores())


def measure(client, server, name):
    """What a client takes for a fresh table, as a record: checked afterwards."""
    busy, before = busy_cores(), server.cpu_seconds()
    taken, printed = run(client, server, name)
    record = {
        "client": client.key,
        "items": server.items,
        "cpu_seconds": taken["cpu_seconds"],
        "wall_seconds": taken["wall_seconds"],
        "peak_bytes": taken["peak_bytes"],
        "server_cpu_seconds": server.cpu_seconds() - before,
        "busy_before": busy,
    }
    if client.key == BARE.key:
        written = json.loads(printed)
        record["write_cpu_seconds"] = written["write_cpu_seconds"]
        record["write_seconds"] = written["write_seconds"]
    server.check()
    return record


class Series:
    """The measurements of the same in all rounds."""

    def __init__(self, records):
        self.records = records
        self.items = records[0]["items"]

    def median(self, field, per=None):
        values = [record[field] for record in self.records]
        return statistics.median(values) * (per / self.items if per else 1)

    def cpu(self, field="cpu_seconds"):
        """Client CPU seconds per 100,000 items."""
        return self.median(field, 100_000)

    def cpu_range(self):
        values = sorted(record["cpu_seconds"] * 100_000 / self.items for record in self.records)
        return f"{number(values[0])} to {number(values[-1])}"

    def rate(self, field="wall_seconds", without=None):
        """Items per second."""
        return statistics.median(
            self.items / (record[field] - (record[without] if without else 0)) for record in self.records
        )

    def peak_mb(self):
        return number(self.median("peak_bytes") / 1e6)


def grouped(records, *fields):
    """The series of all records that have the same in these fields, by that."""
    series = {}
    for record in records:
        series.setdefault(tuple(record[field] for field in fields), []).append(record)
    return {key: Series(records) for key, records in series.items()}


def number(value):
    """Three significant digits, no more."""
    if value >= 100:
        return f"{value:,.0f}"
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}" if value >= 1 else f"{value:.3f}"


def table(header, rows):
    lines = ["| " + " | ".join(header) + " |", "|" + "---|" * len(header)]
    return "\n".join(lines + ["| " + " | ".join(str(cell) for cell in row) + " |" for row in rows])


def goal(what, wanted, measured, met):
    """A row of the table of goals."""
    return what, wanted, measured, "met" if met else "**missed**"


def at_most(what, most, ratio):
    return goal(what, f"at most {most} times", f"{number(ratio)} times", ratio <= most)


def beside_bare(where, ours, bare):
    """The goals of our CPU, held against that of the bare client."""
    same, writes = ours.cpu() / bare.cpu(), ours.cpu() / bare.cpu("write_cpu_seconds")
    return [
        at_most(f"client CPU of (f), {where}, to that of the bare client for the same work", 1.6, same),
        at_most(f"client CPU of (f), {where}, to that of the bare client's writes alone", 2.5, writes),
    ]
