#!/usr/bin/env python3
"""Sizes of the Lambda functions, and what a cold start costs.

    python3 bench/lambda_start.py target/sam

takes what `sam build` has put into a directory (`make lambdas`: target/sam), starts each function against a Runtime API
of its own, and prints a Markdown table:

- zip: the bootstrap in a zip file, as it is uploaded
- binary: the bootstrap itself
- init: from just before the process is started until its first request for work arrives
- RSS: resident memory of the process at that moment

Sizes can be measured for every architecture (--sizes-only), the rest only for that of this machine. 1 MB is 1,000,000
bytes. Nothing is written outside a temporary directory.
"""

import argparse
import io
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import zipfile

# What --check holds the functions to.
ZIP_GOAL_MB = 2.0
INIT_GOAL_MS = 10.0
RSS_GOAL_MB = 10.0

NEXT = b"GET /2018-06-01/runtime/invocation/next "
# The first starts read the program from the disk, and are not counted.
WARM_UP = 3
PATIENCE_SECONDS = 10


def main():
    arguments = parse_arguments()
    functions = sorted(path.parent for path in arguments.build.glob("*/bootstrap"))
    if not functions:
        sys.exit(f"no function in {arguments.build}: run make lambdas, or sam build")
    columns = ["function", "zip MB", "binary MB"]
    if not arguments.sizes_only:
        columns += ["init median ms", "init p90 ms", "RSS MB"]
    print(f"| {' | '.join(columns)} |")
    print(f"|---|{'--:|' * (len(columns) - 1)}")
    missed = []

    def goal(function, what, value, limit):
        if value > limit:
            missed.append(f"{function.name}: {what} is {value:.2f}, the goal is {limit}")

    for function in functions:
        bootstrap = function / "bootstrap"
        zipped = zip_size(bootstrap) / 1e6
        row = [f"{zipped:.2f}", f"{bootstrap.stat().st_size / 1e6:.2f}"]
        goal(function, "zip MB", zipped, ZIP_GOAL_MB)
        if not arguments.sizes_only:
            starts = measure(bootstrap, arguments.runs)
            times = [milliseconds for milliseconds, _ in starts]
            median = statistics.median(times)
            memory = statistics.median(megabytes for _, megabytes in starts)
            row += [f"{median:.1f}", f"{percentile_90(times):.1f}", f"{memory:.1f}"]
            goal(function, "init median ms", median, INIT_GOAL_MS)
            goal(function, "RSS MB", memory, RSS_GOAL_MB)
        print(f"| {function.name} | {' | '.join(row)} |", flush=True)
    if arguments.check and missed:
        sys.exit("\n".join(missed))


def parse_arguments():
    summary, _, details = __doc__.partition("\n")
    parser = argparse.ArgumentParser(
        description=summary, epilog=details, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("build", type=pathlib.Path, help="the directory that sam build has filled")
    parser.add_argument("--runs", type=int, default=40, help="starts of each function (default: %(default)s)")
    parser.add_argument("--sizes-only", action="store_true", help="start nothing")
    parser.add_argument(
        "--check",
        action="store_true",
        help=f"fail if a zip is over {ZIP_GOAL_MB} MB, a median init over {INIT_GOAL_MS:.0f} ms, "
        f"or the RSS over {RSS_GOAL_MB:.0f} MB",
    )
    arguments = parser.parse_args()
    if arguments.runs < 1:
        parser.error("--runs: expected at least 1")
    return arguments


def zip_size(bootstrap):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as archive:
        archive.write(bootstrap, "bootstrap")
    return len(file.getvalue())


def measure(bootstrap, runs):
    """Milliseconds and megabytes of each start."""
    with socket.create_server(("127.0.0.1", 0)) as server, tempfile.TemporaryDirectory() as folder:
        server.settimeout(PATIENCE_SECONDS)
        starts = [start(bootstrap.resolve(), server, folder) for _ in range(WARM_UP + runs)]
    return starts[WARM_UP:]


def start(bootstrap, server, folder):
    host, port = server.getsockname()
    environment = lambda_environment(f"{host}:{port}")
    with open(os.path.join(folder, "log"), "w+b") as log:
        begin = time.perf_counter()
        try:
            process = subprocess.Popen(
                [bootstrap], env=environment, cwd=folder, stdin=subprocess.DEVNULL, stdout=log, stderr=log
            )
        except OSError as error:
            sys.exit(f"cannot start {bootstrap}: {error}; is it built for this machine's architecture?")
        try:
            with server.accept()[0] as connection:
                connection.settimeout(PATIENCE_SECONDS)
                request = connection.recv(65536)
                milliseconds = (time.perf_counter() - begin) * 1e3
                megabytes = resident_megabytes(process.pid)
        except TimeoutError:
            request = b""
        finally:
            process.kill()
            process.wait()
        if not request.startswith(NEXT):
            log.seek(0)
            said = (request + log.read()).decode(errors="replace").strip()
            sys.exit(f"{bootstrap} did not ask for work: {said or 'it said nothing'}")
    return milliseconds, megabytes


def resident_megabytes(pid):
    for line in pathlib.Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024 / 1e6
    sys.exit(f"process {pid} has no VmRSS: it has ended")


def lambda_environment(runtime_api):
    """What Lambda and template.yaml set, and nothing of this machine's."""
    return {
        "AWS_ACCESS_KEY_ID": "test",
        "AWS_SECRET_ACCESS_KEY": "test",
        "AWS_SESSION_TOKEN": "test",
        "AWS_DEFAULT_REGION": "us-east-1",
        "AWS_REGION": "us-east-1",
        "AWS_EXECUTION_ENV": "AWS_Lambda_provided.al2023",
        "AWS_LAMBDA_FUNCTION_MEMORY_SIZE": "256",
        "AWS_LAMBDA_FUNCTION_NAME": "backfill",
        "AWS_LAMBDA_FUNCTION_VERSION": "$LATEST",
        "AWS_LAMBDA_INITIALIZATION_TYPE": "on-demand",
        "AWS_LAMBDA_LOG_GROUP_NAME": "/aws/lambda/backfill",
        "AWS_LAMBDA_LOG_STREAM_NAME": "stream",
        "AWS_LAMBDA_RUNTIME_API": runtime_api,
        "CHECKPOINT_TABLE": "backfill-checkpoints",
        "LAMBDA_TASK_ROOT": "/var/task",
        "LANG": "en_US.UTF-8",
        "PATH": "/usr/local/bin:/usr/bin:/bin",
        "RUST_LOG": "info",
        "TABLE_NAME": "stuff",
        "TZ": ":UTC",
        "_HANDLER": "bootstrap",
    }


def percentile_90(values):
    return sorted(values)[max(0, -(-len(values) * 9 // 10) - 1)]


if __name__ == "__main__":
    main()
