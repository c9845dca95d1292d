#!/bin/sh
set -eu
# What was delivered in summer, by date.
backfill table query --table orders --index StatusDateIndex \
  --key-condition '#s = :status AND order_date BETWEEN :from AND :to' --name '#s=status' \
  --value ':status="delivered"' --value ':from="2025-06-01"' --value ':to="2025-09-01"' --project 'order_id, order_date'
# The dearest orders of a customer.
backfill table query --table orders --index CustomerAmountIndex --descending --limit 2 --consistent \
  --key-condition 'customer_id = :customer' --value ':customer="c-dolores"' --project 'order_id, total_amount'
# The open orders of a customer: only open orders have open_customer_id, so only they are in this index.
backfill table query --table orders --index OpenOrdersIndex \
  --key-condition 'open_customer_id = :customer' --value ':customer="c-anders"'
# What the backfill cannot date: orders without order_epoch.
backfill table scan --table orders --filter 'attribute_not_exists(expiry_date) AND attribute_not_exists(order_epoch)' \
  --project 'customer_id, order_id, order_date'
