"""Counts at the end what the clients could not count themselves: what functions, executions and tables have used, in the
service's own figures, before they are removed."""

import json
import re
from datetime import datetime, timezone

from .asking import Context
from .cloud import Cloud
from .leftovers import KINDS


def settle(context: Context) -> None:
    """Adds to the meter what the service itself has counted."""
    cloud, meter = context.cloud, context.meter
    hours = max(1.0, (datetime.now(timezone.utc) - context.began).total_seconds() / 3600)
    for_lambda(cloud, meter)
    for_machines(cloud, meter)
    find = {kind.name: kind.find for kind in KINDS}
    meter.add("alarm hours", hours * len(list(find["alarm"](cloud, cloud.name))))
    meter.add("key hours", hours * len(list(find["key"](cloud, cloud.name))))
    tables = sorted({name for name, _ in find["table"](cloud, cloud.name)} | set(cloud.tables))
    # Provisioned tables count their hours when they are made, and here as on demand once more: above the bill.
    if not context.is_stand_in:
        sums = cloud.consumed(tables, context.began)
        for kind in ("Write", "Read"):
            meter.at_least(f"{kind.lower()} units", sum(units for (_, of), units in sums.items() if of == kind))


def for_lambda(cloud: Cloud, meter) -> None:
    """What Lambda bills, as it says itself at the end of each invocation."""
    series: set[tuple] = set()
    for group in _log_groups(cloud):
        stored = 0
        pages = cloud.client("logs").get_paginator("filter_log_events").paginate(logGroupName=group)
        for page in pages:
            for event in page["events"]:
                stored += len(event["message"])
                found = re.search(r"Billed Duration: (\d+) ms.*Memory Size: (\d+) MB", event["message"])
                if found:
                    meter.add("lambda requests", 1)
                    meter.add("lambda GB-seconds", int(found[1]) / 1000 * int(found[2]) / 1024)
                series |= _series(event["message"])
        meter.add("log GB", stored / 1e9)
    # Billed by the hours in which something was sent, and no run takes two.
    meter.add("custom metric hours", 2 * len(series))


def _series(line: str) -> set[tuple]:
    """The metrics that a line of the embedded metric format sends to."""
    if '"_aws"' not in line:
        return set()
    told = json.loads(line)
    return {
        (one["Namespace"], tuple((name, told.get(name)) for name in dimensions), metric["Name"])
        for one in told["_aws"]["CloudWatchMetrics"]
        for dimensions in one["Dimensions"]
        for metric in one["Metrics"]
    }


def _log_groups(cloud: Cloud) -> list[str]:
    found = {kind.name: kind.find for kind in KINDS}["log group"](cloud, cloud.name)
    return [name for name, _ in found if name.startswith("/aws/lambda/")]


def for_machines(cloud: Cloud, meter) -> None:
    """Every state that was entered, and every task that was tried again, of executions and of the children of Maps."""
    client = cloud.client("stepfunctions")
    for _, machine in list({kind.name: kind.find for kind in KINDS}["state machine"](cloud, cloud.name)):
        for execution in _executions(client, stateMachineArn=machine):
            meter.add("state transitions", _transitions(client, execution))
            for run in client.list_map_runs(executionArn=execution).get("mapRuns", []):
                for child in _executions(client, mapRunArn=run["mapRunArn"]):
                    meter.add("state transitions", _transitions(client, child))


def _executions(client, **of) -> list[str]:
    pages = client.get_paginator("list_executions").paginate(**of)
    return [execution["executionArn"] for page in pages for execution in page["executions"]]


def _transitions(client, execution: str) -> int:
    pages = client.get_paginator("get_execution_history").paginate(executionArn=execution)
    kinds = [event["type"] for page in pages for event in page["events"]]
    entered = sum(kind.endswith("StateEntered") for kind in kinds)
    tasks = sum(kind == "TaskStateEntered" for kind in kinds)
    tried = sum(kind in ("TaskScheduled", "LambdaFunctionScheduled") for kind in kinds)
    return entered + max(0, tried - tasks)
