"""The stack and the command: built, deployed by sam, and driven as an operator does."""

import json
import os
import platform
import re
import shutil
import signal
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from botocore.exceptions import ClientError

from .cloud import TAG, Cloud, eventually
from .leftovers import delete_stack

ROOT = Path(__file__).resolve().parent.parent
SAM = ROOT / ".tools/sam/bin/sam"


class Broken(Exception):
    """A program of ours, or sam, ended as it must not."""


def architecture() -> str:
    """The one that this machine builds without a second toolchain."""
    return "arm64" if platform.machine() in ("arm64", "aarch64") else "x86_64"


def _tail(text: str, lines: int = 15) -> str:
    return "\n".join(text.strip().splitlines()[-lines:])


@dataclass
class Workshop:
    """What is deployed and driven, and where its files are."""

    cloud: Cloud
    folder: Path
    # The folder of `sam build`, and the command; built if they are not given.
    built: Path | None
    command: Path | None
    say: callable
    _is_ready: bool = field(default=False)
    _begun: list["Running"] = field(default_factory=list)

    def prepare(self) -> None:
        """Builds what is missing. Needs no account, and is done before anything is made in one."""
        if self._is_ready:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self._run([ROOT / "tools/install", "sam"], "tools/install", dict(os.environ))
        if self.built is None:
            self.say("building the functions (some minutes, unless they are there already)")
            self.built = ROOT / "target/acceptance/sam"
            self._run(
                [SAM, "build", "--build-dir", self.built, "--parameter-overrides", f"Architecture={architecture()}"],
                "sam build",
                os.environ | {"PATH": f"{SAM.parent}:{os.environ['PATH']}", "AWS_DEFAULT_REGION": self.cloud.place.region},
            )
        if self.command is None:
            self.say("building the command (some minutes, unless it is there already)")
            cargo = os.environ.get("CARGO", "cargo")
            self._run([cargo, "build", "--release", "--locked", "--package", "backfill-cli"], "cargo build", dict(os.environ))
            self.command = Path(os.environ.get("CARGO_TARGET_DIR", ROOT / "target")) / "release/backfill"
        if not self.command.exists() or not (self.built / "template.yaml").exists():
            raise Broken(f"{self.command} or {self.built}/template.yaml is not there")
        self._is_ready = True

    def _run(self, command: list, what: str, environment: dict) -> str:
        log = self.folder / f"{what.replace(' ', '-').replace('/', '-')}.log"
        with log.open("a") as file:
            ended = subprocess.run(
                [str(word) for word in command],
                cwd=ROOT,
                env=environment,
                stdin=subprocess.DEVNULL,
                stdout=file,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        if ended.returncode != 0:
            raise Broken(f"{what} ended with {ended.returncode}: {_tail(log.read_text())}")
        return log.read_text()

    # Deployments.

    def bucket(self) -> str:
        """The bucket of artefacts: ours, because the one that sam makes by itself would stay."""
        name = f"{self.cloud.name}-artefacts"
        client = self.cloud.client("s3")
        if name not in [bucket["Name"] for bucket in client.list_buckets()["Buckets"]]:
            region = self.cloud.place.region
            where = {} if region == "us-east-1" else {"CreateBucketConfiguration": {"LocationConstraint": region}}
            client.create_bucket(Bucket=name, **where)
            client.put_bucket_tagging(Bucket=name, Tagging={"TagSet": self.cloud.tags()})
        return name

    def deploy(self, stack: str, parameters: dict[str, str], template: Path | None = None) -> None:
        """Deploys a stack, or changes one."""
        self.prepare()
        home = self.folder / "home"
        home.mkdir(exist_ok=True)
        if self.cloud.place.is_stand_in:
            # Its CloudFormation knows neither query definitions nor alarms on queries.
            parameters = {"SavedQueries": "false", "WatchIndexes": "false"} | parameters
        known = (template or self.built / "template.yaml").read_text()
        parameters = {"Architecture": architecture()} | {k: v for k, v in parameters.items() if f"{k}:" in known}
        self._run(
            [SAM, "deploy", "--template-file", template or self.built / "template.yaml", "--stack-name", stack]
            + ["--s3-bucket", self.bucket(), "--region", self.cloud.place.region]
            + ["--capabilities", "CAPABILITY_IAM", "CAPABILITY_NAMED_IAM", "--tags", f"{TAG}={self.cloud.name}"]
            + ["--no-confirm-changeset", "--no-fail-on-empty-changeset", "--parameter-overrides"]
            + [f"{name}={value}" for name, value in parameters.items()],
            f"sam deploy {stack}",
            self.cloud.environment() | ({"HOME": str(home)} if self.cloud.place.is_stand_in else {}),
        )

    def parameters(self) -> str:
        """The text of the template, in which a question looks for the parameters that it is about."""
        self.prepare()
        return (self.built / "template.yaml").read_text()

    def changed_copy(self, comment: str = "", resource: str = "") -> Path:
        """A copy of what was built with another comment in the state machine's definition, or with one resource more.
        Returns its template."""
        self.prepare()
        copy = self.folder / "changed"
        shutil.rmtree(copy, ignore_errors=True)
        shutil.copytree(self.built, copy)
        definition = json.loads((ROOT / "statemachine/backfill.asl.json").read_text())
        if comment:
            definition["Comment"] = comment
        (copy / "changed.asl.json").write_text(json.dumps(definition))
        template = copy / "template.yaml"
        text, found = re.subn(r"(Definition(?:Uri|S3Location):) .*", r"\1 changed.asl.json", template.read_text())
        if not found:
            raise Broken(f"{template} does not say where the definition of the state machine is")
        template.write_text(text.replace("\nResources:\n", f"\nResources:\n{resource}", 1))
        return template

    # The command.

    def backfill(self, *arguments: str) -> "Ended":
        """The command, to its end."""
        return self.begin(*arguments).end()

    def begin(self, *arguments: str) -> "Running":
        """The command at work beside us."""
        self.prepare()
        environment = {name: value for name, value in self.cloud.environment().items() if name != "AWS_ENDPOINT_URL"}
        endpoint = ["--endpoint-url", self.cloud.place.endpoint] if self.cloud.place.is_stand_in else []
        words = [str(self.command), *arguments, *endpoint, "--region", self.cloud.place.region]
        self._begun.append(Running(words, environment))
        return self._begun[-1]

    def end_all(self) -> None:
        """Ends the commands that nobody has waited for, because a question failed. Of the files only the logs stay."""
        for running in self._begun:
            running.kill()
        shutil.rmtree(self.folder / "changed", ignore_errors=True)


@dataclass
class Ended:
    """How a command ended."""

    words: list[str]
    code: int
    stdout: str
    stderr: str

    def json(self) -> dict:
        """The one object on its stdout."""
        try:
            return json.loads(self.stdout)
        except ValueError:
            raise Broken(f"{' '.join(self.words[1:3])} ended with {self.code}: {_tail(self.stderr or self.stdout)}") from None

    def expect(self, *codes: int) -> "Ended":
        """Itself, if it ended with one of these codes."""
        if self.code not in codes:
            raise Broken(
                f"{' '.join(self.words[1:])} ended with {self.code}, expected {' or '.join(map(str, codes))}:"
                f" {_tail(self.stderr or self.stdout)}"
            )
        return self


class Running:
    """A command at work. It is in a session of its own, so that a ctrl-C for us does not end it beside us."""

    def __init__(self, words: list[str], environment: dict):
        self._words = words
        self._process = subprocess.Popen(
            words,
            env=environment,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            start_new_session=True,
        )

    def end(self, seconds: float = 1800) -> Ended:
        """Waits for its end; it is killed if that does not come."""
        try:
            stdout, stderr = self._process.communicate(timeout=seconds)
        except BaseException:
            self.kill()
            raise
        return Ended(self._words, self._process.returncode, stdout, stderr)

    def kill(self) -> None:
        """Ends it, if it has not ended."""
        if self._process.poll() is None:
            self._process.kill()
            self._process.communicate()

    def interrupt(self) -> None:
        """Ctrl-C for the command alone."""
        self._process.send_signal(signal.SIGINT)


class Stack:
    """A deployed stack, and the table that it migrates."""

    def __init__(self, workshop: Workshop, name: str, table: str):
        self.workshop = workshop
        self.cloud = workshop.cloud
        self.name = name
        self.table = table

    def deploy(self, template: Path | None = None, **parameters: str) -> None:
        """Deploys it for its table, or changes it."""
        always = {"TableName": self.table, "LogRetentionDays": "1", "CheckpointTableName": self.checkpoints}
        self.workshop.deploy(self.name, always | parameters, template)

    def delete(self) -> None:
        """Deletes it; what it retains stays."""
        delete_stack(self.cloud, self.name)

    def status(self) -> str:
        """What CloudFormation says of it, or nothing if there is none."""
        try:
            return self.cloud.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]["StackStatus"]
        except ClientError:
            return ""

    def outputs(self) -> dict[str, str]:
        """Its outputs by name."""
        stack = self.cloud.client("cloudformation").describe_stacks(StackName=self.name)["Stacks"][0]
        return {output["OutputKey"]: output["OutputValue"] for output in stack.get("Outputs", [])}

    @property
    def machine(self) -> str:
        """The ARN of its state machine."""
        return self.outputs()["StateMachineArn"]

    @property
    def checkpoints(self) -> str:
        """Its checkpoint table."""
        return f"{self.name}-checkpoints"

    def start(self, attribute: str, *more: str) -> Ended:
        """`backfill start` of `attribute = 1`, followed to its end."""
        return self.begin_start(attribute, *more).end()

    def begin_start(self, attribute: str, *more: str) -> Running:
        """`backfill start` beside us."""
        spec = ["--table", self.table, "--set", f"{attribute}=1"]
        dry = "--dry-run" in more
        return self.workshop.begin("start", "--stack-name", self.name, *spec, "--json", *([] if dry else ["--yes"]), *more)

    def record(self, run_id: str) -> dict:
        """What `backfill status` says of a run."""
        arguments = ["status", "--json", "--checkpoint-table", self.checkpoints, "--run-id", run_id]
        return self.workshop.backfill(*arguments).expect(0, 1, 3, 4).json()

    def free(self, run_id: str) -> None:
        """Takes the budget of a run away, which was only to make it last."""
        words = ("rate", "--run-id", run_id, "--max-wcu", "none", "--checkpoint-table", self.checkpoints)
        self.workshop.backfill(*words).expect(0)

    # Executions, past our command.

    def execute(self, request: dict) -> str:
        """Starts an execution as the AWS CLI does; returns its ARN."""
        started = self.cloud.client("stepfunctions").start_execution(stateMachineArn=self.machine, input=json.dumps(request))
        return started["executionArn"]

    def latest_execution(self) -> str | None:
        """The execution that was started last."""
        found = self.cloud.client("stepfunctions").list_executions(stateMachineArn=self.machine, maxResults=10)["executions"]
        found.sort(key=lambda execution: execution["startDate"])
        return found[-1]["executionArn"] if found else None

    def end_of(self, execution: str, minutes: float = 30) -> dict:
        """Waits until an execution has ended, and describes it."""

        def ended():
            described = self.cloud.client("stepfunctions").describe_execution(executionArn=execution)
            return described if described["status"] not in ("RUNNING", "PENDING_REDRIVE") else None

        return eventually("the end of an execution", ended, minutes * 60)

    def history(self, execution: str) -> list[dict]:
        """All events of an execution."""
        pages = self.cloud.client("stepfunctions").get_paginator("get_execution_history").paginate(executionArn=execution)
        return [event for page in pages for event in page["events"]]

    def wait_for_updates(self, attribute: str, at_least: int, seconds: float = 300) -> None:
        """Waits until a run is in its middle: so many items have the attribute."""

        def begun():
            found = 0
            for page in self.cloud.dynamodb.get_paginator("scan").paginate(
                TableName=self.table,
                Select="COUNT",
                FilterExpression="attribute_exists(#a)",
                ExpressionAttributeNames={"#a": attribute},
            ):
                found += page["Count"]
            return True if found >= at_least else None

        eventually(f"{at_least} items to be updated", begun, seconds, 0.5)


