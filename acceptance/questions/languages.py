"""Whether a condition expression and the PartiQL of a batch mean the same, construct by construct, on items of all shapes."""

from botocore.exceptions import ClientError

from ..asking import Context, question, together
from ..cloud import code_of
from ..items import plain
from ..results import Answer, verdict

# What an item may hold in `a`, the attribute that conditions are about.
SHAPES = {
    "missing": None,
    "null": {"NULL": True},
    "number 1": {"N": "1"},
    "number 2": {"N": "2"},
    "number 1.0": {"N": "1.0"},
    "text 1": {"S": "1"},
    "text x": {"S": "x"},
    "empty text": {"S": ""},
    "true": {"BOOL": True},
    "binary x": {"B": b"x"},
    "set of texts": {"SS": ["x", "y"]},
    "set of numbers": {"NS": ["1", "2"]},
    "list": {"L": [{"S": "x"}, {"N": "1"}]},
    "empty list": {"L": []},
    "map": {"M": {"b": {"N": "1"}, "l": {"L": [{"S": "x"}]}}},
    "empty map": {"M": {}},
    "map with null": {"M": {"b": {"NULL": True}}},
}

ONE, X, TRUE, BINARY = {"N": "1"}, {"S": "x"}, {"BOOL": True}, {"B": b"x"}

# What batches carry or may carry: condition expression, PartiQL, values in the order of both. #a is "a".
CONSTRUCTS = [
    ("attribute_not_exists(#a)", '"a" IS MISSING', []),
    ("attribute_exists(#a)", '"a" IS NOT MISSING', []),
    ("attribute_not_exists(#a.#b)", '"a"."b" IS MISSING', []),
    ("attribute_exists(#a.#b)", '"a"."b" IS NOT MISSING', []),
    ("attribute_not_exists(#a[0])", '"a"[0] IS MISSING', []),
    ("attribute_not_exists(#a.#l[0])", '"a"."l"[0] IS MISSING', []),
    ("attribute_not_exists(#a.#l[7])", '"a"."l"[7] IS MISSING', []),
    ("#a = {0}", '"a" = {0}', [ONE]),
    ("#a = {0}", '"a" = {0}', [X]),
    ("#a = {0}", '"a" = {0}', [TRUE]),
    ("#a = {0}", '"a" = {0}', [BINARY]),
    ("#a.#b = {0}", '"a"."b" = {0}', [ONE]),
    ("#a[0] = {0}", '"a"[0] = {0}', [X]),
    ("#a <> {0}", '"a" <> {0}', [ONE]),
    ("#a.#b <> {0}", '"a"."b" <> {0}', [ONE]),
    ("NOT #a = {0}", 'NOT ("a" = {0})', [ONE]),
    ("NOT attribute_exists(#a)", 'NOT ("a" IS NOT MISSING)', []),
    ("NOT attribute_exists(#a.#b)", 'NOT ("a"."b" IS NOT MISSING)', []),
    ("NOT contains(#a, {0})", 'NOT (contains("a", {0}))', [X]),
    ("NOT (#a = {0} OR #a = {1})", 'NOT ("a" = {0} OR "a" = {1})', [ONE, X]),
    ("NOT #a = {0} AND #a <> {1}", 'NOT ("a" = {0}) AND "a" <> {1}', [ONE, X]),
    ("NOT (#a = {0} OR NOT #a IN ({1}, {2}))", 'NOT ("a" = {0} OR NOT ("a" IN [{1}, {2}]))', [ONE, {"N": "2"}, X]),
    ("#a < {0}", '"a" < {0}', [{"N": "2"}]),
    ("#a >= {0}", '"a" >= {0}', [X]),
    ("#a BETWEEN {0} AND {1}", '"a" BETWEEN {0} AND {1}', [ONE, {"N": "2"}]),
    ("#a IN ({0}, {1})", '"a" IN [{0}, {1}]', [ONE, X]),
    ("#a.#b IN ({0})", '"a"."b" IN [{0}]', [ONE]),
    ("begins_with(#a, {0})", 'begins_with("a", {0})', [X]),
    ("contains(#a, {0})", 'contains("a", {0})', [X]),
    ("contains(#a, {0})", 'contains("a", {0})', [ONE]),
    ("size(#a) = {0}", 'size("a") = {0}', [{"N": "1"}]),
    ("size(#a) > {0}", 'size("a") > {0}', [{"N": "0"}]),
    ("size(#a) <> {0}", 'size("a") <> {0}', [{"N": "1"}]),
    ("size(#a.#l) BETWEEN {0} AND {1}", 'size("a"."l") BETWEEN {0} AND {1}', [ONE, {"N": "2"}]),
    ("size(#a) IN ({0})", 'size("a") IN [{0}]', [{"N": "1"}]),
    ("attribute_not_exists(#dot)", '"a.b" IS MISSING', []),
    ("attribute_not_exists(#a) OR #a = {0} AND #z = {1}", '"a" IS MISSING OR "a" = {0} AND "z" = {1}', [ONE, X]),
    ("attribute_not_exists(#umlaut)", '"ä é 日" IS MISSING', []),
]

NAMES = {"#a": "a", "#b": "b", "#l": "l", "#z": "z", "#umlaut": "ä é 日", "#dot": "a.b"}

# Updates: update expression, clause of PartiQL, value.
UPDATES = [
    ("SET #t = :v", 'SET "t" = ?', {"N": "1"}),
    ("SET #t = :v", 'SET "t" = ?', {"SS": ["p", "q"]}),
    ("SET #t = :v", 'SET "t" = ?', {"M": {"c": {"L": [{"NULL": True}]}}}),
    ("SET #a.#b = :v", 'SET "a"."b" = ?', {"N": "7"}),
    ("SET #a.#z = :v", 'SET "a"."z" = ?', {"N": "7"}),
    ("SET #a[0] = :v", 'SET "a"[0] = ?', {"N": "7"}),
    ("SET #a[9] = :v", 'SET "a"[9] = ?', {"N": "7"}),
    ("REMOVE #a", 'REMOVE "a"', None),
    ("REMOVE #a.#b", 'REMOVE "a"."b"', None),
    ("REMOVE #a[0]", 'REMOVE "a"[0]', None),
    ("SET #umlaut = :v", 'SET "ä é 日" = ?', {"S": "ü"}),
]

_KEY = '"id" = ? AND "created" = ?'


@question(
    "equal-languages",
    "Does each construct that batches carry mean the same in PartiQL as in a condition expression?",
    # Each pair puts two items and updates both.
    {"write units": 4 * len(SHAPES) * (len(CONSTRUCTS) + len(UPDATES)) * 1.2},
)
def equal_languages(context: Context) -> Answer:
    """Each construct on each shape: two items of this shape, one updated by each language; outcome and item compared."""
    table = context.cloud.table("languages")
    # One shape of each kind in a stand-in, which is slow.
    shapes = dict(list(SHAPES.items())[:: 3 if context.is_stand_in else 1])
    cases = []
    for condition, where, values in CONSTRUCTS:
        pair = ("SET #t = :v", 'SET "t" = ?', {"N": "1"})
        cases += [(name, pair, (condition, where, values)) for name in shapes]
    for pair in UPDATES:
        cases += [(name, pair, ("attribute_not_exists(#z)", '"z" IS MISSING', [])) for name in shapes]
    compared = together([lambda n=n, case=case: _compare(context, table, n, *case) for n, case in enumerate(cases)], 16)
    differ: dict[str, list[str]] = {}
    for (shape, pair, condition), outcome in zip(cases, compared):
        if isinstance(outcome, Exception):
            raise outcome
        if outcome:
            what = condition[0] if pair[0] == "SET #t = :v" else pair[0]
            shown = what.format(*map(_shown, condition[2])).replace("#", "")
            differ.setdefault(shown, []).append(f"{shape} ({outcome})")
    figures = {"compared": f"{len(CONSTRUCTS)} conditions and {len(UPDATES)} updates on {len(shapes)} shapes"}
    figures |= {f"differs: {what}": "; ".join(shapes) for what, shapes in differ.items()}
    return Answer(verdict(not differ), figures)


def _shown(value: dict) -> str:
    return str(next(iter(value.values())))


def _compare(context: Context, table: str, n: int, shape: str, pair: tuple, condition: tuple) -> str:
    """Nothing if both languages did the same, else what each did."""
    outcomes = []
    for language, do in (("c", _by_condition), ("p", _by_partiql)):
        key = {"id": {"S": f"{language}{n}"}, "created": {"N": "0"}}
        item = key | ({} if SHAPES[shape] is None else {"a": SHAPES[shape]})
        context.cloud.dynamodb.put_item(TableName=table, Item=item)
        outcome = do(context.cloud.impatient(), table, key, pair, condition)
        after = context.cloud.dynamodb.get_item(TableName=table, Key=key, ConsistentRead=True)["Item"]
        rest = {name: plain(value) for name, value in after.items() if name not in key}
        outcomes.append((outcome, rest))
    (first, one), (second, two) = outcomes
    if first != second:
        return f"{first} by UpdateItem, {second} in a batch"
    return "" if one == two else "other items come out"


def _by_condition(client, table: str, key: dict, pair: tuple, condition: tuple) -> str:
    expression, _, value = pair
    text, _, values = condition
    text = text.format(*(f":c{n}" for n in range(len(values))))
    bound = {f":c{n}": one for n, one in enumerate(values)} | ({":v": value} if value else {})
    guarded = f"attribute_exists(#id) AND ({text})"
    names = {"#id": "id", "#t": "t"} | NAMES
    used = {name: real for name, real in names.items() if _names(name, expression + " " + guarded)}
    try:
        client.update_item(
            TableName=table,
            Key=key,
            UpdateExpression=expression,
            ConditionExpression=guarded,
            ExpressionAttributeNames=used,
            **({"ExpressionAttributeValues": bound} if bound else {}),
        )
        return "updated"
    except ClientError as error:
        return {"ConditionalCheckFailedException": "not pending"}.get(code_of(error), "refused")


def _names(name: str, text: str) -> bool:
    """Whether a text has this placeholder, and not only a longer one."""
    return any(word == name for word in _words(text))


def _words(text: str) -> list[str]:
    return "".join(one if one.isalnum() or one == "#" else " " for one in text).split()


def _by_partiql(client, table: str, key: dict, pair: tuple, condition: tuple) -> str:
    _, clause, value = pair
    _, text, values = condition
    where = text.format(*("?" for _ in values))
    parameters = [*([value] if value else []), *key.values(), *values]
    one = {"Statement": f'UPDATE "{table}" {clause} WHERE {_KEY} AND ({where})', "Parameters": parameters}
    try:
        answer = client.batch_execute_statement(Statements=[one])["Responses"][0]
    except ClientError as error:
        return "refused" if code_of(error) == "ValidationException" else code_of(error)
    code = answer.get("Error", {}).get("Code")
    return {None: "updated", "ConditionalCheckFailed": "not pending", "ValidationError": "refused"}.get(code, code)
