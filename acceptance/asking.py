"""Questions, and how they are asked: one after the other; a failure of one does not stop the others."""

import threading
import time
import traceback
from dataclasses import dataclass, field
from datetime import datetime, timezone
from typing import Callable

from .cloud import TAG, Cloud, with_index_by_gk
from .deployed import Stack, Workshop
from .items import Model
from .money import Meter, TooDear, Usage
from .results import NO_ANSWER, Answer


@dataclass
class Later:
    """An answer that has to wait: CloudWatch is late, an alarm needs its time. Others are asked meanwhile."""

    # Seconds from now.
    seconds: float
    finish: Callable[[], "Answer | Later"]
    # After all others, whatever its time.
    last: bool = False


@dataclass(frozen=True)
class Question:
    """Something that only the service can answer."""

    name: str
    asked: str
    cost: Usage
    ask: Callable[["Context"], Answer | Later]
    # Whether a stand-in on this machine answers it as expected.
    stand_in: bool
    # Whether it needs the stack.
    stack: bool


REGISTRY: dict[str, Question] = {}


def question(name: str, asked: str, cost: dict, *, stand_in: bool = False, stack: bool = False):
    """Makes a function a question. They are asked in the order in which they are declared."""

    def declare(ask):
        if name in REGISTRY:
            raise ValueError(f"two questions {name}")
        REGISTRY[name] = Question(name, asked, Usage(cost), ask, stand_in, stack)
        return ask

    return declare


def chosen(only: list[str], is_stand_in: bool) -> list[Question]:
    """The questions to be asked."""
    unknown = [name for name in only if name not in REGISTRY]
    if unknown:
        raise ValueError(f"only: there is no question {', '.join(unknown)}; --list names them")
    picked = [one for one in REGISTRY.values() if not only or one.name in only]
    if is_stand_in and not only:
        # Others can be named, to try the program: they get through, and may answer otherwise than the service.
        picked = [one for one in picked if one.stand_in]
    return picked


@dataclass
class Context:
    """What questions work with."""

    cloud: Cloud
    workshop: Workshop
    meter: Meter
    say: Callable[[str], None]
    # Items of the table that runs migrate.
    items: int
    began: datetime = field(default_factory=lambda: datetime.now(timezone.utc))
    # Every message of the topic, by the questions that need them.
    queue: str | None = None
    _stack: Stack | None = None
    _model: Model | None = None

    @property
    def is_stand_in(self) -> bool:
        """Whether this is a stand-in on this machine."""
        return self.cloud.place.is_stand_in

    def brief(self, seconds: float) -> float:
        """So many seconds on the service, where they matter; one in a stand-in, which nothing makes slow or late."""
        return min(seconds, 1) if self.is_stand_in else seconds

    def new_stack(self) -> Stack:
        """The stack before its first deployment, with its table, which is filled."""
        if self._stack is None:
            # Nothing is in its index, which takes next to nothing: the question about alarms is about it.
            little = {"MaxReadRequestUnits": 1, "MaxWriteRequestUnits": 1}
            index = with_index_by_gk(projection="KEYS_ONLY", OnDemandThroughput=little)
            table = self.cloud.table("target", **index)
            self._model = Model.filled(self.cloud, table, self.items)
            self._stack = Stack(self.workshop, self.cloud.name, table)
        return self._stack

    def stack(self) -> Stack:
        """The stack, deployed if it is not yet."""
        stack = self.new_stack()
        if stack.status() in ("", "REVIEW_IN_PROGRESS", "DELETE_COMPLETE"):
            self.say("deploying the stack")
            stack.deploy()
        if self.queue is None:
            self.queue = self.subscribe(stack, "messages")
        return stack

    @property
    def model(self) -> Model:
        """What must be in the stack's table."""
        self.new_stack()
        return self._model

    def subscribe(self, stack: Stack, suffix: str) -> str:
        """Subscribes a new queue to the topic of a stack, so that no message is missed."""
        sqs, name = self.cloud.client("sqs"), f"{self.cloud.name}-{suffix}"
        url = sqs.create_queue(QueueName=name, tags={TAG: self.cloud.name})["QueueUrl"]
        arn = sqs.get_queue_attributes(QueueUrl=url, AttributeNames=["QueueArn"])["Attributes"]["QueueArn"]
        topic = stack.outputs()["AlarmTopicArn"]
        policy = (
            '{"Version":"2012-10-17","Statement":[{"Effect":"Allow","Principal":{"Service":"sns.amazonaws.com"},'
            f'"Action":"sqs:SendMessage","Resource":"{arn}","Condition":{{"ArnEquals":{{"aws:SourceArn":"{topic}"}}}}}}]}}'
        )
        sqs.set_queue_attributes(QueueUrl=url, Attributes={"Policy": policy})
        self.cloud.client("sns").subscribe(TopicArn=topic, Protocol="sqs", Endpoint=arn)
        return url

    def drain(self, queue: str) -> list[str]:
        """What has come to a queue, as SNS has put it into envelopes."""
        client, bodies = self.cloud.client("sqs"), []
        while True:
            answer = client.receive_message(QueueUrl=queue, MaxNumberOfMessages=10, WaitTimeSeconds=2)
            for message in answer.get("Messages", []):
                bodies.append(message["Body"])
                client.delete_message(QueueUrl=queue, ReceiptHandle=message["ReceiptHandle"])
            if not answer.get("Messages"):
                return bodies

    def checkpoints(self, suffix: str) -> str:
        """A checkpoint table for a run of this process. The command would make it itself, and without our tag."""
        return self.cloud.table(f"{suffix}-checkpoints", {"run_id": "S", "record": "S"})

    def differences(self) -> list[str]:
        """What is otherwise in the stack's table than it must be."""
        return self.model.differences(self.cloud.all_items(self.new_stack().table))


class Asking:
    """Asks questions and keeps their answers."""

    def __init__(self, context: Context, questions: list[Question], keep: Callable[[Question, Answer], None]):
        self._context = context
        self._questions = questions
        self._keep = keep
        self._waiting: list[tuple[float, bool, Question, Later]] = []
        self._answered: set[str] = set()

    def run(self) -> None:
        """Asks them all. What is interrupted has no answer and is said to have none."""
        try:
            for one in self._questions:
                self._context.meter.refuse_next(one.name, one.cost)
                self._context.say(f"asking {one.name}")
                self._step(one, lambda one=one: one.ask(self._context))
            while self._waiting:
                self._waiting.sort(key=lambda waiting: (waiting[1], waiting[0]))
                at, _, one, later = self._waiting.pop(0)
                if (seconds := at - time.monotonic()) > 0:
                    self._context.say(f"waiting {seconds:.0f} s for {one.name}")
                    time.sleep(seconds)
                self._step(one, later.finish)
        except TooDear as error:
            self._context.say(str(error))
            for one in self._questions:
                if one.name not in self._answered:
                    self._answer(one, Answer(NO_ANSWER, {"refused": error}))

    def _step(self, one: Question, ask: Callable[[], Answer | Later]) -> None:
        try:
            answer = ask()
        except Exception as error:
            self._context.say("".join(traceback.format_exception(error)))
            answer = Answer(NO_ANSWER, {"failed": f"{type(error).__name__}: {str(error)[:600]}"})
        if isinstance(answer, Later):
            self._waiting.append((time.monotonic() + answer.seconds, answer.last, one, answer))
        else:
            self._answer(one, answer)

    def _answer(self, one: Question, answer: Answer) -> None:
        self._answered.add(one.name)
        self._context.say(f"{one.name}: {answer.verdict}")
        self._keep(one, answer)


def together(work: list[Callable[[], object]], at_once: int = 32) -> list:
    """Does all of it in threads, and returns what each came to. An exception is one of the results."""
    results: list = [None] * len(work)
    places = iter(range(len(work)))
    lock = threading.Lock()

    def some():
        while True:
            with lock:
                place = next(places, None)
            if place is None:
                return
            try:
                results[place] = work[place]()
            except Exception as error:
                results[place] = error

    threads = [threading.Thread(target=some, daemon=True) for _ in range(min(at_once, len(work)))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return results
