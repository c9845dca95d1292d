"""Alarms, and the messages that the stack sends. They go last: alarms take the better part of an hour to be over."""

import json
import threading
import time
from datetime import datetime, timezone


from ..asking import Context, Later, question, together
from ..results import Answer, verdict
from .plane import item_key
from .runs import run_cost

# Seconds of throttling, by which three minutes of five are above the threshold.
_PRESSED = 270

# Minutes until every alarm is over: that on the worker's errors looks at two quarters of an hour.
_PATIENCE = 60


@question(
    "alarms",
    "Does every alarm go to ALARM, and back?",
    run_cost(0.1) | {"write units": 30_000, "read units": 20_000, "alarm hours": 24, "metric requests": 2_000},
    stack=True,
)
def alarms(context: Context) -> Later:
    """By what they watch for: executions that fail and are stopped, workers that fail, a throttled table and index. Only
    the lack of progress is made up, since it would take workers a quarter of an hour."""
    cloud, stack = context.cloud, context.stack()
    client, lambdas = cloud.client("cloudwatch"), cloud.client("lambda")
    began = datetime.now(timezone.utc)
    names = [
        alarm["AlarmName"]
        for page in client.get_paginator("describe_alarms").paginate(AlarmNamePrefix=f"{stack.name}-")
        for alarm in page["MetricAlarms"]
    ]
    stack.end_of(stack.execute({"table": stack.table, "no such field": 1}))
    stopped = stack.execute({"table": stack.table, "set": {"alarmed": 1}, "max_wcu": 1})
    cloud.client("stepfunctions").stop_execution(executionArn=stopped)
    for _ in range(4):
        lambdas.invoke(FunctionName=f"{stack.name}-worker", Payload=b'{"nothing": "of ours"}')

    def no_progress():
        # Three periods of five minutes, and the one in which the last run had progress.
        for _ in range(24):
            client.put_metric_data(
                Namespace="Backfill",
                MetricData=[
                    {"MetricName": "ItemsScanned", "Dimensions": [{"Name": "Table", "Value": stack.table}], "Value": 0}
                ],
            )
            time.sleep(context.brief(60))

    threading.Thread(target=no_progress, daemon=True).start()
    pressed = cloud.impatient()
    turn = iter(range(10**9))

    def write_to_index():
        # Its index takes one write unit a second (asking.py).
        pressed.update_item(
            TableName=stack.table,
            Key=item_key(90_000 + next(turn) % 50),
            UpdateExpression="SET gk = :g",
            ExpressionAttributeValues={":g": {"S": str(next(turn))}},
        )

    def read():
        pressed.scan(TableName=stack.table, Limit=50, ConsistentRead=True)

    def write():
        pressed.update_item(
            TableName=stack.table,
            Key=item_key(90_000 + next(turn) % 50),
            UpdateExpression="SET n = :n",
            ExpressionAttributeValues={":n": {"N": str(next(turn))}},
        )

    _press([write_to_index], context.brief(_PRESSED))
    limit = {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 1}
    cloud.dynamodb.update_table(TableName=stack.table, OnDemandThroughput=limit)
    cloud.wait_for_table(stack.table)
    _press([write, read], context.brief(_PRESSED))
    deadline = time.monotonic() + context.brief(_PATIENCE * 60)

    def look() -> Answer | Later:
        states = {name: _states(client, name, began) for name in names}
        over = all("ALARM" in seen and seen[-1] == "OK" for seen in states.values())
        if not over and time.monotonic() < deadline:
            return Later(context.brief(60), look)
        figures = {name.replace(stack.name, "").strip("-"): " → ".join(seen) or "no change" for name, seen in states.items()}
        return Answer(verdict(over and bool(names)), figures)

    return Later(context.brief(60), look)


def _press(work: list, seconds: float) -> None:
    """Keeps a table busy, at about thirty requests a second."""
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        together(work * 8, 8)
        time.sleep(0.2)


def _states(client, name: str, since: datetime) -> list[str]:
    """The states that an alarm has gone to, in order."""
    found = []
    for page in client.get_paginator("describe_alarm_history").paginate(
        AlarmName=name, HistoryItemType="StateUpdate", StartDate=since, EndDate=datetime.now(timezone.utc)
    ):
        for item in page["AlarmHistoryItems"]:
            state = json.loads(item["HistoryData"]).get("newState", {}).get("stateValue", "")
            found.append((item["Timestamp"], state))
    return [state for _, state in sorted(found)]


@question(
    "messages",
    "Can every message of the topic be parsed?",
    run_cost(0.1),
    stand_in=True,
    stack=True,
)
def messages(context: Context) -> Later:
    """One of each way in which an execution can end, with quotes and line breaks in what it says; and whatever has come
    since the queue was subscribed."""
    stack, client = context.stack(), context.cloud.client("stepfunctions")
    well = stack.execute({"table": stack.table, "set": {"told": 1}, "dry_run": True})
    stack.end_of(well)
    failed = stack.execute({"table": stack.table, 'a "field"\nthat \\ is none': 1})
    stack.end_of(failed)
    stopped = stack.execute({"table": stack.table, "set": {"told": 1}, "max_wcu": 1})
    client.stop_execution(executionArn=stopped, error="Quote\"s", cause='said "so"\non two lines')
    names = {arn.rsplit(":", 1)[1]: how for arn, how in ((well, "ended well"), (failed, "failed"), (stopped, "stopped"))}
    received: list[str] = []

    def look() -> Answer:
        kinds, bad = {}, []
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline and not set(names.values()) <= set(kinds):
            for body in context.drain(context.queue):
                received.append(body)
                kind, problem = _read(body, names)
                kinds[kind] = kinds.get(kind, 0) + 1
                if problem:
                    bad.append(problem)
        figures = {"messages": len(received)} | {f"of runs or alarms that {kind}": n for kind, n in sorted(kinds.items())}
        figures |= {f"wrong message {n}": text for n, text in enumerate(bad[:10])}
        return Answer(verdict(not bad and set(names.values()) <= set(kinds)), figures)

    return Later(5, look, last=True)


def _read(body: str, names: dict[str, str]) -> tuple[str, str]:
    """What a message is about, and what is wrong with it."""
    text = json.loads(body)["Message"]
    try:
        told = json.loads(text)
    except ValueError as error:
        return "cannot be parsed", f"{error}: {text[:200]}"
    if "AlarmName" in told:
        return "are alarms", ""
    execution = told.get("execution", "")
    kind = names.get(execution, "were of earlier questions")
    detail = told.get("detail")
    if not isinstance(detail, dict) or not detail.get("status"):
        return kind, f"its detail is no object with a status: {text[:200]}"
    said = {"SUCCEEDED": "output", "FAILED": "cause"}.get(detail["status"])
    if said and not detail.get(said):
        return kind, f"it lacks {said}: {text[:200]}"
    if said == "output":
        try:
            json.loads(detail["output"])
        except ValueError as error:
            return kind, f"its output is no JSON, {error}: {detail['output'][:200]}"
    missing = [name for name in ("Backfill", "execution", "ended") if not told.get(name)]
    return kind, f"{', '.join(missing)} missing" if missing else ""


