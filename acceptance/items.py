"""Items of all types, an application that writes to them meanwhile, and what must be there in the end."""

import random
import threading
from dataclasses import dataclass, field

from botocore.exceptions import ClientError

from .cloud import Cloud, code_of

KEYS = ("id", "created")


def item(n: int) -> dict:
    """The nth item: every type of DynamoDB, sizes from 0.2 to 6 KB. Every fifth has `test` already."""
    dice = random.Random(n)
    made = {
        "id": {"S": f"item-{n:06}"},
        "created": {"N": str(1_700_000_000 + n)},
        "hits": {"N": "0"},
        "price": {"N": "0.10000000000000000001"},
        "name": {"S": "é—" + "x" * dice.randrange(10, 200)},
        "blob": {"B": dice.randbytes(dice.randrange(8, 64))},
        "none": {"NULL": True},
        "yes": {"BOOL": n % 2 == 0},
        "tags": {"SS": sorted({f"t{dice.randrange(9)}" for _ in range(3)})},
        "sizes": {"NS": ["1", "2.5"]},
        "place": {"M": {"city": {"S": "Köln"}, "at": {"L": [{"N": "50.9"}, {"NULL": True}]}}},
    }
    if n % 5 == 0:
        made["test"] = {"S": "mine"}
    if n % 40 == 0:
        made["text"] = {"S": "y" * dice.randrange(1000, 6000)}
    return made


def key_of(one: dict) -> tuple[str, str]:
    """The key of an item, comparable."""
    return tuple(next(iter(one[name].values())) for name in KEYS)


def key_as_item(key: tuple[str, str]) -> dict:
    """The key as DynamoDB wants it."""
    return {"id": {"S": key[0]}, "created": {"N": key[1]}}


def plain(value):
    """A value with its sets in order, which DynamoDB does not keep."""
    if isinstance(value, dict):
        return {name: sorted(inner) if name in ("SS", "NS", "BS") else plain(inner) for name, inner in value.items()}
    return [plain(one) for one in value] if isinstance(value, list) else value


@dataclass
class Model:
    """What must be in the table: what was put, what the application did, and what the runs have set."""

    items: dict[tuple[str, str], dict] = field(default_factory=dict)

    @staticmethod
    def filled(cloud: Cloud, table: str, count: int) -> "Model":
        """Puts items into an empty table."""
        made = [item(n) for n in range(count)]
        cloud.put_all(table, made)
        return Model({key_of(one): one for one in made})

    def pending(self, attribute: str) -> int:
        """How many lack an attribute."""
        return sum(attribute not in one for one in self.items.values())

    def migrated(self, attribute: str) -> None:
        """A run has set this attribute to 1 if it was missing."""
        for one in self.items.values():
            one.setdefault(attribute, {"N": "1"})

    def differences(self, found: list[dict]) -> list[str]:
        """What is otherwise in the table, a sentence each; empty if every item is as it must be."""
        there = {key_of(one): plain(one) for one in found}
        wrong = []
        for key, expected in self.items.items():
            expected = plain(expected)
            if key not in there:
                wrong.append(f"{key[0]} is gone")
            elif there[key] != expected:
                names = [name for name in expected | there[key] if expected.get(name) != there[key].get(name)]
                wrong.append(f"{key[0]} differs in {', '.join(names)}")
        wrong += [f"{key[0]} was created again" for key in there if key not in self.items]
        return wrong


class Application:
    """A live writer: counts, sets `test` itself, deletes and adds items, in threads that own their items."""

    def __init__(self, cloud: Cloud, table: str, model: Model, threads: int = 4, pause: float = 0.02):
        self._cloud, self._table, self._model, self._pause = cloud, table, model, pause
        self._stop = threading.Event()
        self._lock = threading.Lock()
        self.writes = 0
        self.throttled = 0
        self.errors: list[str] = []
        keys = list(model.items)
        self._threads = [
            threading.Thread(target=self._work, args=(n, keys[n::threads]), daemon=True) for n in range(threads)
        ]

    def __enter__(self):
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_):
        self._stop.set()
        for thread in self._threads:
            thread.join()

    def _work(self, number: int, keys: list) -> None:
        dice = random.Random(number)
        added = 0
        while not self._stop.wait(self._pause):
            try:
                kind = dice.choices(("count", "set", "delete", "add"), (6, 2, 1, 1))[0]
                if kind == "add":
                    added += 1
                    self._add(item(1_000_000 * (number + 1) + added))
                elif keys:
                    key = dice.choice(keys)
                    getattr(self, f"_{kind}")(key)
                    if kind == "delete":
                        keys.remove(key)
                with self._lock:
                    self.writes += 1
            except ClientError as error:
                with self._lock:
                    self.errors.append(code_of(error))
            except Exception as error:
                with self._lock:
                    self.errors.append(type(error).__name__)

    def _update(self, key, expression, **values) -> None:
        self._cloud.dynamodb.update_item(
            TableName=self._table,
            Key=key_as_item(key),
            UpdateExpression=expression,
            ConditionExpression="attribute_exists(id)",
            ExpressionAttributeValues=values,
        )

    def _count(self, key) -> None:
        # Counting is no update that may be tried twice, so it sets what it knows to be the next.
        one = self._model.items[key]
        hits = {"N": str(int(one["hits"]["N"]) + 1)}
        self._update(key, "SET hits = :h", **{":h": hits})
        one["hits"] = hits

    def _set(self, key) -> None:
        self._update(key, "SET test = :t", **{":t": {"S": "live"}})
        self._model.items[key]["test"] = {"S": "live"}

    def _delete(self, key) -> None:
        self._cloud.dynamodb.delete_item(TableName=self._table, Key=key_as_item(key))
        with self._lock:
            del self._model.items[key]

    def _add(self, one: dict) -> None:
        one["test"] = {"S": "live"}
        self._cloud.dynamodb.put_item(TableName=self._table, Item=one)
        with self._lock:
            self._model.items[key_of(one)] = one
