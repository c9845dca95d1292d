#!/bin/sh
set -eu

# Runs a command whose condition is not to hold, which ends with 1 and writes nothing.
refused() {
  code=0
  "$@" || code=$?
  test "$code" = 1
}

# Batch write: 25 orders go out in a call, each in place of the one with its key, if there is one.
backfill table seed --table orders --confirm orders --file /dev/stdin <<'ORDERS'
{"customer_id": "c-farah", "order_id": "o-2001", "order_date": "2025-11-03T09:10:00Z", "order_epoch": 1762161000, "status": "open", "total_amount": 18.5, "open_customer_id": "c-farah"}
{"customer_id": "c-farah", "order_id": "o-2002", "order_date": "2025-11-03T09:12:00Z", "order_epoch": 1762161120, "status": "open", "total_amount": 240, "open_customer_id": "c-farah"}
{"customer_id": "c-goran", "order_id": "o-2003", "order_date": "2025-11-04T16:00:30Z", "order_epoch": 1762272030, "status": "open", "total_amount": 7, "open_customer_id": "c-goran"}
ORDERS

# Put if it is not there: whoever comes second creates no second order, and overwrites none.
create() {
  backfill item put --table orders --condition 'attribute_not_exists(order_id)' \
    --item '{"customer_id": "c-goran", "order_id": "o-2004", "order_date": "2025-11-05T08:00:00Z",
      "order_epoch": 1762329600, "status": "open", "total_amount": 99, "open_customer_id": "c-goran"}'
}
create
refused create

# Update if the status is what it was: an order is shipped once, and leaves the index of open orders.
ship() {
  backfill item update --table orders --key '{"customer_id": "c-goran", "order_id": "o-2004"}' \
    --update 'SET #s = :shipped REMOVE open_customer_id' --condition '#s = :open' \
    --name '#s=status' --value ':open="open"' --value ':shipped="shipped"'
}
ship
refused ship

# Delete if the status allows it: an open order stays.
refused backfill item delete --table orders --key '{"customer_id": "c-goran", "order_id": "o-2003"}' \
  --condition '#s = :cancelled' --name '#s=status' --value ':cancelled="cancelled"'

# Batch get: up to 100 orders in a call, printed in the order of the keys.
backfill item get --table orders --consistent --key '{"customer_id": "c-goran", "order_id": "o-2004"}' \
  --key '{"customer_id": "c-farah", "order_id": "o-2001"}' --key '{"customer_id": "c-goran", "order_id": "o-2003"}'
