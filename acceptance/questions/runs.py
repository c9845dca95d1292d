"""Runs of the deployed stack, as an operator makes them."""

import json
import time
from datetime import datetime, timedelta, timezone
from pathlib import Path

from .. import leftovers
from ..asking import Context, Later, question
from ..cloud import METRICS_ARE_LATE, TAG, with_index_by_gk
from ..deployed import Broken, Stack
from ..items import Application, Model
from ..results import UNDECIDED, Answer, verdict

# CloudWatch's sums begin so much before the time that they are asked for.
_MARGIN = timedelta(minutes=2)

# What one run over the items costs: all of them written once, at two units for the largest, swept and counted.
MOST_ITEMS = 20_000


def run_cost(runs: float) -> dict:
    """Usage of so many runs over the table."""
    return {
        "write units": runs * MOST_ITEMS * 1.2,
        "read units": runs * 6_000,
        "lambda requests": runs * 100,
        "lambda GB-seconds": runs * 60,
        "state transitions": runs * 150,
        # Whatever the size: a run has about thirty series, and may begin in one hour and end in the next.
        "custom metric hours": 35,
    }


def pace(context: Context) -> int:
    """A budget at which a run takes two minutes, so that it can be caught in its middle; `free` ends it soon."""
    return max(1, context.items // 120)


# Arguments of a run that is to be caught in its middle; its name follows.
SLOW = ("--segments", "8", "--run-id")


def slow(context: Context, attribute: str) -> dict:
    """The input of such a run, which has the name of its attribute."""
    table = context.new_stack().table
    return {"table": table, "set": {attribute: 1}, "max_wcu": pace(context), "total_segments": 8, "run_id": attribute}


def ended_well(told: dict) -> bool:
    """Whether a run proved that nothing is pending, and accounts for each item."""
    parts = sum(told[name] for name in ("updated", "raced", "vanished", "rejected", "contended"))
    return told["status"] == "succeeded" and told["remaining"] == 0 and told["matched"] == parts


def compared(context: Context) -> tuple[bool, str]:
    """Whether the stack's table is as the model says, and a word about it."""
    wrong = context.differences()
    return not wrong, f"{len(context.model.items)} items as they must be" if not wrong else "; ".join(wrong[:5])


def counters(told: dict) -> str:
    """The counters of a run in a line."""
    names = ("updated", "raced", "vanished", "rejected", "remaining")
    return f"{told['status']}, " + ", ".join(f"{told.get(name)} {name}" for name in names)


@question(
    "deployment",
    "Does the stack deploy, does a failed deployment roll back, and does the next one succeed?",
    {"write units": 30_000, "lambda requests": 10, "alarm hours": 24, "bucket requests": 100, "custom metric hours": 35},
    stand_in=True,
    stack=True,
)
def deployment(context: Context) -> Answer:
    """The first deployment fails at its end, and so does a change later."""
    figures, stack, lambdas = {}, context.new_stack(), context.cloud.client("lambda")
    cannot = context.workshop.changed_copy(resource=_CANNOT)
    figures["a first deployment that cannot succeed"] = first = _failing(stack, cannot)
    if stack.status():
        # As everybody has to.
        stack.delete()
    left = _left(context)
    figures["left of it"] = ", ".join(left) or "nothing"
    started = time.monotonic()
    stack.deploy()
    figures["the next"] = created = stack.status()
    figures["seconds for it"] = round(time.monotonic() - started)
    context.stack()
    figures["a change that cannot succeed"] = changed = _failing(stack, cannot, WorkerMemorySize="320")
    memory = lambdas.get_function_configuration(FunctionName=f"{stack.name}-worker")["MemorySize"]
    figures["memory of a worker after it"] = f"{memory} MB"
    dry = stack.start("deployed", "--dry-run").expect(0, 3).json()
    figures["a dry run after it"] = f"{dry['status']}, {dry['remaining']} pending"
    arn = context.cloud.dynamodb.describe_table(TableName=stack.checkpoints)["Table"]["TableArn"]
    tags = context.cloud.dynamodb.list_tags_of_resource(ResourceArn=arn)["Tags"]
    is_tagged = any((tag["Key"], tag["Value"]) == (TAG, context.cloud.name) for tag in tags)
    figures["the stack's tag on its table"] = "there" if is_tagged else "missing"
    stack.deploy()
    figures["deployed again, unchanged"] = unchanged = stack.status()
    is_expected = (
        first == "ROLLBACK_COMPLETE"
        and not left
        and created == "CREATE_COMPLETE"
        and changed == "UPDATE_ROLLBACK_COMPLETE"
        and memory == 256
        and is_tagged
        and dry["remaining"] == len(context.model.items)
        and unchanged in ("UPDATE_ROLLBACK_COMPLETE", "UPDATE_COMPLETE")
    )
    return Answer(verdict(is_expected), figures)


# A resource that cannot be made, after those that matter: it waits a second for a signal that nobody sends.
_CANNOT = """  NobodySignals:
    Type: AWS::CloudFormation::WaitConditionHandle
  Cannot:
    Type: AWS::CloudFormation::WaitCondition
    DependsOn: [WorkerFunction, CheckpointTable, BackfillStateMachine]
    Properties:
      Handle: !Ref NobodySignals
      Timeout: "1"
      Count: 1
"""


def _failing(stack: Stack, template: Path, **parameters: str) -> str:
    """How the stack stands after a deployment that cannot succeed."""
    try:
        stack.deploy(template, **parameters)
    except Broken:
        return stack.status()
    return f"succeeded: {stack.status()}"


def _left(context: Context) -> list[str]:
    """What there is of the stack although it is deleted, also a minute later: IAM lists a role for a while."""
    left = _left_now(context)
    for _ in range(6):
        if not left:
            break
        time.sleep(context.brief(10))
        left = _left_now(context)
    return left


def _left_now(context: Context) -> list[str]:
    known = {context.new_stack().table, f"{context.cloud.name}-artefacts"}
    found, unknown = leftovers.find(context.cloud, context.cloud.name)
    ours = {str(thing).replace(context.cloud.name, "…") for thing in found if thing.name not in known}
    # Tables of questions that wait for their answer.
    ours -= {f"table {name.replace(context.cloud.name, '…')}" for name in context.cloud.tables}
    return sorted(ours) + unknown


@question(
    "full-run",
    "After a dry run, a canary and a full run beside a live writer: is every item as it should be?",
    run_cost(1.5),
    stand_in=True,
    stack=True,
)
def full_run(context: Context) -> Answer:
    """As the runbook has it, with an application that counts, sets the attribute itself, deletes and adds items."""
    stack, model = context.stack(), context.model
    pending = model.pending("test")
    figures = {}
    dry = stack.start("test", "--dry-run").expect(3).json()
    figures["dry run"] = f"{dry['remaining']} of {pending} counted as pending"
    segments = ("--segments", "20")
    canary = stack.start("test", *segments, "--only-segments", "0").expect(4).json()
    figures["canary"] = counters(canary)
    with Application(context.cloud, stack.table, model) as application:
        time.sleep(1)
        full = stack.start("test", *segments, "--max-wcu", str(20 * pace(context))).expect(0).json()
        time.sleep(1)
    model.migrated("test")
    figures["full run"] = counters(full)
    figures["live writer"] = f"{application.writes} writes, errors: {', '.join(sorted(set(application.errors))) or 'none'}"
    record = stack.record(full["run_id"])
    figures["status"] = record["status"]
    again = context.workshop.backfill("verify", "--table", stack.table, "--set", "test=1", "--json")
    figures["verify"] = f"exit code {again.code}, {again.json().get('remaining')} pending"
    is_same, figures["comparison"] = compared(context)
    is_expected = (
        dry["remaining"] == pending
        and canary["status"] == "paused"
        and 0 < canary["updated"] < pending
        and ended_well(full)
        and not application.errors
        and application.writes > 0
        and record["status"] == "succeeded"
        and again.code == 0
        and is_same
    )
    return Answer(verdict(is_expected), figures)


@question(
    "consumed-units",
    "Do the counters agree with CloudWatch's consumed units within 2 %?",
    run_cost(1.0) | {"write units": 60_000, "custom metric hours": 0},
    stack=True,
)
def consumed_units(context: Context) -> Later:
    """A table of its own with an index, to which nobody else writes once it is filled; migrated by this process, since the
    stack's functions may touch no other table. Half of the items grow over a border of 1 KB."""
    cloud, figures, tables = context.cloud, {}, {}
    count = 5_000
    for name, more in (("plain", {}), ("with an index", with_index_by_gk())):
        table = cloud.table(f"counted-{name.replace(' ', '-')}", **more)
        model = Model.filled(cloud, table, count)
        if more:
            for key in list(model.items)[::2]:
                cloud.dynamodb.update_item(
                    TableName=table,
                    Key={"id": {"S": key[0]}, "created": {"N": key[1]}},
                    UpdateExpression="SET gk = :g",
                    ExpressionAttributeValues={":g": {"S": key[0]}},
                )
        tables[name] = table
    checkpoints = context.checkpoints("counted")
    # What was written before is to be in minutes of its own.
    time.sleep(context.brief(90))
    began = datetime.now(timezone.utc)
    told = {
        name: context.workshop.backfill(
            *("run", "--table", table, "--set", "test=1", "--yes", "--json"),
            *("--checkpoint-table", checkpoints),
        )
        .expect(0)
        .json()
        for name, table in tables.items()
    }

    def finish() -> Answer:
        # Minus the margin of two minutes that the sum has at its beginning.
        sums = cloud.consumed(list(tables.values()), began + _MARGIN)
        worst = 0.0
        for name, table in tables.items():
            for kind in ("Write", "Read"):
                ours = told[name][f"consumed_{kind[0].lower()}cu"]
                theirs = sums[table, kind]
                share = abs(ours - theirs) / max(1.0, theirs)
                worst = max(worst, share)
                figures[f"{name}, {kind.lower()} units"] = f"{ours:g} by us, {theirs:g} by CloudWatch ({share:.2%} apart)"
        return Answer(verdict(worst <= 0.02), figures)

    return Later(context.brief(METRICS_ARE_LATE), finish)


@question(
    "stop",
    "Does a stopped execution leave a run that the next start goes on with?",
    run_cost(1.2),
    stand_in=True,
    stack=True,
)
def stop(context: Context) -> Answer:
    """Stopped in its middle, as in the console, past our command."""
    stack, client = context.stack(), context.cloud.client("stepfunctions")
    execution = stack.execute(slow(context, "stopped"))
    stack.wait_for_updates("stopped", context.items // 100)
    client.stop_execution(executionArn=execution, cause="the acceptance run stops it")
    status = stack.end_of(execution)["status"]
    done = context.model.pending("stopped") - _pending_now(context, "stopped")
    stack.free("stopped")
    again = stack.start("stopped", *SLOW, "stopped", "--take-over").expect(0).json()
    context.model.migrated("stopped")
    is_same, words = compared(context)
    figures = {
        "the first execution": f"{status} after {done} of {len(context.model.items)} items",
        "the next start": counters(again),
        "comparison": words,
    }
    return Answer(verdict(status == "ABORTED" and ended_well(again) and is_same), figures)


def _pending_now(context: Context, attribute: str) -> int:
    return sum(attribute not in one for one in context.cloud.all_items(context.new_stack().table))


@question(
    "redrive",
    "Does a redriven execution go on from the checkpoints?",
    run_cost(1.2),
    stack=True,
)
def redrive(context: Context) -> Answer:
    """Stopped in its middle, and redriven."""
    stack, client = context.stack(), context.cloud.client("stepfunctions")
    execution = stack.execute(slow(context, "redriven"))
    stack.wait_for_updates("redriven", context.items // 100)
    client.stop_execution(executionArn=execution, cause="the acceptance run stops it")
    status = stack.end_of(execution)["status"]
    # Functions that are at work finish their chunk, and then the claim of the redriven one fences nobody off.
    time.sleep(context.brief(10))
    stack.free("redriven")
    client.redrive_execution(executionArn=execution)
    ended = stack.end_of(execution)
    output = json.loads(ended.get("output") or "{}")
    context.model.migrated("redriven")
    is_same, words = compared(context)
    figures = {
        "stopped": status,
        "redriven": f"{ended['status']}, {ended.get('error', 'no error')}, {output.get('remaining')} pending",
        "redrives": ended.get("redriveCount"),
        "comparison": words,
    }
    is_expected = status == "ABORTED" and ended["status"] == "SUCCEEDED" and output.get("remaining") == 0 and is_same
    return Answer(verdict(is_expected), figures)


_CHANGED = "Changed in the middle of a run."


@question(
    "deployment-mid-run",
    "Does a run end well if a new version is deployed in its middle?",
    run_cost(1.0) | {"bucket requests": 100},
    stand_in=True,
    stack=True,
)
def deployment_mid_run(context: Context) -> Answer:
    """A changed definition, and functions with other memory, while workers are at work; and a run of the new version."""
    stack, machines = context.stack(), context.cloud.client("stepfunctions")
    running = stack.begin_start("deployed", *SLOW, "deployed", "--max-wcu", str(pace(context)))
    stack.wait_for_updates("deployed", 1)
    stack.deploy(context.workshop.changed_copy(_CHANGED), WorkerMemorySize="320")
    execution = stack.latest_execution()
    at_work = machines.describe_execution(executionArn=execution)["status"]
    figures = {"after the deployment": f"{stack.status()}, the execution {at_work}"}
    # What runs goes on by what it began with.
    of_execution = machines.describe_state_machine_for_execution(executionArn=execution)["definition"]
    is_old = _CHANGED not in of_execution
    is_new = _CHANGED in machines.describe_state_machine(stateMachineArn=stack.machine)["definition"]
    figures["definition"] = f"{'the old' if is_old else 'the new'} one of the execution, {'new' if is_new else 'old'} ones begin"
    stack.free("deployed")
    told = running.end().expect(0).json()
    context.model.migrated("deployed")
    is_same, figures["comparison"] = compared(context)
    figures["the run"] = counters(told)
    after = stack.start("deployed", "--dry-run").expect(0).json()
    figures["a dry run of the new version"] = f"{after['status']}, {after['remaining']} pending"
    well = ended_well(told) and is_same and after["remaining"] == 0 and stack.status() == "UPDATE_COMPLETE"
    # A stand-in shows the new definition, and works by the old one.
    well &= is_new and (is_old or context.is_stand_in)
    if well and at_work != "RUNNING":
        return Answer(UNDECIDED, figures)
    return Answer(verdict(well), figures)
