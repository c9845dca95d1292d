#!/bin/sh
set -eu
# By the AWS CLI: a run needs no transaction on a table, so backfill has no command for one.

# Cancels an open order and puts the one that takes its place: both, or neither.
replace() {
  aws dynamodb transact-write-items --transact-items '[
    {"Update": {"TableName": "orders",
      "Key": {"customer_id": {"S": "c-farah"}, "order_id": {"S": "o-2001"}},
      "UpdateExpression": "SET #s = :cancelled REMOVE open_customer_id",
      "ConditionExpression": "#s = :open",
      "ExpressionAttributeNames": {"#s": "status"},
      "ExpressionAttributeValues": {":open": {"S": "open"}, ":cancelled": {"S": "cancelled"}}}},
    {"Put": {"TableName": "orders",
      "Item": {"customer_id": {"S": "c-farah"}, "order_id": {"S": "o-2005"},
        "order_date": {"S": "2025-11-06T10:00:00Z"}, "order_epoch": {"N": "1762423200"},
        "status": {"S": "open"}, "total_amount": {"N": "20"}, "open_customer_id": {"S": "c-farah"}},
      "ConditionExpression": "attribute_not_exists(order_id)"}}]'
}
replace
# The order is no longer open, so the transaction is cancelled as a whole.
replace 2>&1 | grep TransactionCanceledException >&2

# Two orders as they are at one moment.
aws dynamodb transact-get-items --output json --transact-items '[
  {"Get": {"TableName": "orders", "Key": {"customer_id": {"S": "c-farah"}, "order_id": {"S": "o-2001"}},
    "ProjectionExpression": "order_id, #s", "ExpressionAttributeNames": {"#s": "status"}}},
  {"Get": {"TableName": "orders", "Key": {"customer_id": {"S": "c-farah"}, "order_id": {"S": "o-2005"}},
    "ProjectionExpression": "order_id, #s", "ExpressionAttributeNames": {"#s": "status"}}}]'
