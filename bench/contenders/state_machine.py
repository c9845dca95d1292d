"""Stands for the state machine of the sample: invokes its function once for each segment, each invocation in a
process of its own as in Lambda, at most ten at a time as the sample does by default."""

import os
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

FUNCTION = Path(__file__).with_name("step_functions_sample.py")
CONCURRENCY = 10


def invoke(segment):
    subprocess.run([sys.executable, FUNCTION, str(segment)], check=True)


def main():
    segments = int(os.environ["TOTAL_SEGMENTS"])
    with ThreadPoolExecutor(max_workers=CONCURRENCY) as pool:
        list(pool.map(invoke, range(segments)))


if __name__ == "__main__":
    main()
