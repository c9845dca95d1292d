"""What Lambda, Step Functions, IAM and KMS do around the functions."""

import io
import json
import re
import zipfile

from botocore.exceptions import ClientError

from ..asking import Context, question
from ..cloud import code_of, eventually
from ..deployed import ROOT, Stack, architecture
from ..items import Model
from ..results import Answer, verdict
from .runs import counters, ended_well, run_cost

# A function of the same runtime as ours, which fails in the way that its environment says.
_BOOTSTRAP = """#!/bin/sh
set -u
api="http://$AWS_LAMBDA_RUNTIME_API/2018-06-01/runtime"
[ "$KIND" = "dies at its start" ] && exit 1
while true; do
    id=$(curl -sS -D - -o /dev/null "$api/invocation/next" | tr -d '\\r' | grep -i '^Lambda-Runtime-Aws-Request-Id:' | cut -d' ' -f2)
    case $KIND in
    "runs out of time") sleep 30 ;;
    "runs out of memory") head -c 400000000 /dev/zero | tail ;;
    "exits") exit 1 ;;
    esac
    curl -sS -o /dev/null -H 'Lambda-Runtime-Function-Error-Type: Throttled' \\
        -d '{"errorType":"Throttled","errorMessage":"of the acceptance run"}' "$api/invocation/$id/error"
done
"""

# Ways to fail, and the error names that the code reckons with.
_FAILURES = {
    "runs out of time": {"Sandbox.Timedout", "States.Timeout", "Lambda.Unknown"},
    "runs out of memory": {"Runtime.OutOfMemory", "Runtime.ExitError", "Lambda.Unknown"},
    "exits": {"Runtime.ExitError", "Lambda.Unknown"},
    "dies at its start": {"Runtime.ExitError", "Lambda.Unknown", "Runtime.Unknown"},
    "is throttled": {"Lambda.TooManyRequestsException"},
    "answers with an error of ours": {"Throttled"},
}


def zipped(name: str, text: str) -> bytes:
    """A zip with one program in it."""
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        entry = zipfile.ZipInfo(name)
        entry.external_attr = 0o755 << 16
        archive.writestr(entry, text)
    return packed.getvalue()


def role(context: Context, suffix: str, statements: list[dict]) -> str:
    """A role for Lambda and Step Functions that may do this; returns its ARN."""
    trust = {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"Service": ["lambda.amazonaws.com", "states.amazonaws.com"]},
                "Action": "sts:AssumeRole",
            }
        ],
    }
    iam, name = context.cloud.client("iam"), f"{context.cloud.name}-{suffix}"
    made = iam.create_role(RoleName=name, AssumeRolePolicyDocument=json.dumps(trust), Tags=context.cloud.tags())
    policy = {"Version": "2012-10-17", "Statement": statements}
    iam.put_role_policy(RoleName=name, PolicyName="probe", PolicyDocument=json.dumps(policy))
    return made["Role"]["Arn"]


def assumed(what: str, make):
    """Makes something with a role as soon as IAM has told everybody of it."""

    def attempt():
        try:
            return make()
        except ClientError as error:
            if "role" in str(error).lower() and code_of(error) in ("InvalidParameterValueException", "AccessDeniedException"):
                return None
            raise

    return eventually(what, attempt, 90, 5)


def retried_by_us() -> set[str]:
    """Error names that a retrier of the worker's state lists."""
    definition = json.loads((ROOT / "statemachine/backfill.asl.json").read_text())
    work = definition["States"]["Backfill"]["ItemProcessor"]["States"]["Work"]
    return {name for retrier in work["Retry"] for name in retrier["ErrorEquals"]}


@question(
    "lambda-errors",
    "Under which error names do Lambda's failures (time limit, memory, throttling, exit) reach the state machine?",
    {"lambda requests": 30, "lambda GB-seconds": 30, "state transitions": 40},
)
def lambda_errors(context: Context) -> Answer:
    """A function for each way to fail, called as the state machine calls ours, without a retrier."""
    cloud = context.cloud
    lambdas, machines = cloud.client("lambda"), cloud.client("stepfunctions")
    functions_of_ours = f"arn:*:lambda:*:*:function:{cloud.name}-*"
    arn = role(context, "probe", [{"Effect": "Allow", "Action": "lambda:InvokeFunction", "Resource": functions_of_ours}])
    functions = {}
    for n, kind in enumerate(_FAILURES):
        name = f"{cloud.name}-probe-{n}"
        made = assumed(
            "the role of the functions",
            lambda name=name, kind=kind: lambdas.create_function(
                FunctionName=name,
                Runtime="provided.al2023",
                Handler="bootstrap",
                Role=arn,
                Architectures=[architecture()],
                Code={"ZipFile": zipped("bootstrap", _BOOTSTRAP)},
                Timeout=3,
                MemorySize=128,
                Environment={"Variables": {"KIND": kind}},
                Tags={tag["Key"]: tag["Value"] for tag in cloud.tags()},
            ),
        )
        functions[kind] = made["FunctionArn"]
        lambdas.get_waiter("function_active_v2").wait(FunctionName=name)
        if kind == "is throttled":
            lambdas.put_function_concurrency(FunctionName=name, ReservedConcurrentExecutions=0)
    definition = {
        "StartAt": "Call",
        "States": {
            "Call": {
                "Type": "Task",
                "Resource": "arn:aws:states:::lambda:invoke",
                "Parameters": {"FunctionName.$": "$.function", "Payload": {}},
                "End": True,
            }
        },
    }
    machine = assumed(
        "the role of the state machine",
        lambda: machines.create_state_machine(
            name=f"{cloud.name}-probe",
            definition=json.dumps(definition),
            roleArn=arn,
            tags=[{"key": tag["Key"], "value": tag["Value"]} for tag in cloud.tags()],
        ),
    )["stateMachineArn"]
    figures, known, retried = {}, 0, retried_by_us()
    watcher = Stack(context.workshop, cloud.name, "")
    for kind, function in functions.items():
        started = machines.start_execution(stateMachineArn=machine, input=json.dumps({"function": function}))
        ended = watcher.end_of(started["executionArn"], minutes=3)
        error = ended.get("error", "")
        known += error in _FAILURES[kind] and error in retried
        note = "tried again by ours" if error in retried else "NOT tried again by ours"
        figures[kind] = f"{error or ended['status']}, {note}: {ended.get('cause', '')[:120]}"
    return Answer(verdict(known == len(_FAILURES)), figures)


# Tries to write as the role that it runs with, and answers with a code for each way.
_WRITER = """
import json, boto3
from botocore.exceptions import ClientError

def handler(event, context):
    client = boto3.client("dynamodb")
    table, key = event["table"], {"id": {"S": "denied"}, "created": {"N": "0"}}
    ways = {
        "PutItem": lambda: client.put_item(TableName=table, Item=key),
        "UpdateItem": lambda: client.update_item(TableName=table, Key=key),
        "DeleteItem": lambda: client.delete_item(TableName=table, Key=key),
        "BatchWriteItem": lambda: client.batch_write_item(RequestItems={table: [{"PutRequest": {"Item": key}}]}),
        "TransactWriteItems": lambda: client.transact_write_items(
            TransactItems=[{"Put": {"TableName": table, "Item": key}}]),
        "PartiQLInsert": lambda: client.execute_statement(
            Statement=f"INSERT INTO \\"{table}\\" VALUE {{'id': 'denied', 'created': 0}}"),
        "PartiQLUpdate": lambda: client.execute_statement(
            Statement=f"UPDATE \\"{table}\\" SET x = 1 WHERE id = 'denied' AND created = 0"),
        "the read that it may do": lambda: client.scan(TableName=table, Limit=1)
            if event["may"] == "Scan" else client.describe_table(TableName=table),
    }
    told = {}
    for name, way in ways.items():
        try:
            way()
            told[name] = "allowed"
        except ClientError as error:
            told[name] = error.response["Error"]["Code"]
    return told
"""


@question(
    "denied-writes",
    "Is a write of the planner's and the verifier's roles to the table denied?",
    {"lambda requests": 4, "lambda GB-seconds": 10, "write units": 20},
    stand_in=True,
    stack=True,
)
def denied_writes(context: Context) -> Answer:
    """A function of ours with their roles tries every way to write. What they may read shows that it works at all."""
    cloud, stack = context.cloud, context.stack()
    lambdas = cloud.client("lambda", read_timeout=90)
    figures, right = {}, True
    for which, may in (("planner", "DescribeTable"), ("verifier", "Scan")):
        theirs = lambdas.get_function_configuration(FunctionName=f"{stack.name}-{which}")["Role"]
        name = f"{cloud.name}-as-{which}"
        lambdas.create_function(
            FunctionName=name,
            Runtime="python3.13",
            Handler="index.handler",
            Role=theirs,
            Code={"ZipFile": zipped("index.py", _WRITER)},
            Timeout=60,
            MemorySize=256,
            Tags={tag["Key"]: tag["Value"] for tag in cloud.tags()},
        )
        lambdas.get_waiter("function_active_v2").wait(FunctionName=name)
        answer = lambdas.invoke(FunctionName=name, Payload=json.dumps({"table": stack.table, "may": may}))
        told = json.loads(answer["Payload"].read())
        figures[which] = ", ".join(f"{way}: {outcome}" for way, outcome in told.items())
        read = told.pop("the read that it may do", "")
        right &= bool(told) and read == "allowed" and set(told.values()) == {"AccessDeniedException"}
    return Answer(verdict(right), figures)


@question(
    "customer-keys",
    "Does a run work with customer-managed keys on all tables and logs?",
    {
        "write units": 3_000,
        "read units": 1_000,
        "lambda requests": 50,
        "lambda GB-seconds": 30,
        "state transitions": 100,
        "key hours": 2,
        "key requests": 5_000,
        "alarm hours": 24,
        "custom metric hours": 35,
    },
    stand_in=True,
    stack=True,
)
def customer_keys(context: Context) -> Answer:
    """A second stack with one key for its table and for every parameter of the template that takes a key."""
    cloud = context.cloud
    key = cloud.client("kms").create_key(
        Policy=json.dumps(_key_policy(context)), Tags=[{"TagKey": tag["Key"], "TagValue": tag["Value"]} for tag in cloud.tags()]
    )["KeyMetadata"]
    table = cloud.table(
        "keys-target", SSESpecification={"Enabled": True, "SSEType": "KMS", "KMSMasterKeyId": key["Arn"]}
    )
    model = Model.filled(cloud, table, min(1_000, context.items))
    stack = Stack(context.workshop, f"{cloud.name}-keys", table)
    section = re.split(r"\n(?=\w)", context.workshop.parameters().partition("\nParameters:")[2])[0]
    parameters = re.findall(r"^  (\w*(?:Key|Kms)\w*):\s*$", section, re.MULTILINE)
    stack.deploy(**dict.fromkeys(parameters, key["Arn"]))
    queue = context.subscribe(stack, "keys-messages")
    told = stack.start("keyed").expect(0).json()
    model.migrated("keyed")
    wrong = model.differences(cloud.all_items(table))
    received = eventually("the message of the run's end", lambda: context.drain(queue) or None, 120)
    message = json.loads(json.loads(received[0])["Message"])
    said = message.get("detail", {}).get("output")
    of_table = cloud.dynamodb.describe_table(TableName=stack.checkpoints)["Table"].get("SSEDescription", {})
    groups = [
        group
        for page in cloud.client("logs").get_paginator("describe_log_groups").paginate(
            logGroupNamePrefix=f"/aws/lambda/{stack.name}-"
        )
        for group in page["logGroups"]
    ]
    encrypted = sum("kmsKeyId" in group for group in groups)
    figures = {
        "parameters given the key": ", ".join(parameters) or "none",
        "the run": counters(told),
        "comparison": "; ".join(wrong[:5]) or f"{len(model.items)} items as they must be",
        "key of the checkpoint table": of_table.get("SSEType", "AWS owned"),
        "log groups with the key": f"{encrypted} of {len(groups)}",
        "message of its end": "with what the run said" if said else "without what the run said",
    }
    # A stand-in encrypts nothing.
    has_keys = context.is_stand_in or (of_table.get("SSEType") == "KMS" and encrypted == len(groups))
    return Answer(verdict(ended_well(told) and not wrong and has_keys), figures)


def _key_policy(context: Context) -> dict:
    """As docs/deploy.md asks for it."""
    services = ["cloudwatch", "events", f"logs.{context.cloud.place.region}", "delivery.logs"]
    return {
        "Version": "2012-10-17",
        "Statement": [
            {
                "Effect": "Allow",
                "Principal": {"AWS": f"arn:aws:iam::{context.cloud.place.account}:root"},
                "Action": "kms:*",
                "Resource": "*",
            },
            {
                "Effect": "Allow",
                "Principal": {"Service": [f"{service}.amazonaws.com" for service in services]},
                "Action": ["kms:Encrypt*", "kms:Decrypt*", "kms:ReEncrypt*", "kms:GenerateDataKey*", "kms:Describe*"],
                "Resource": "*",
            },
        ],
    }
