#!/bin/sh
set -eu
# All versions of a thing, the newest first.
backfill table query --table stuff --descending --key-condition 'id = :id' --value ':id="chair-01"'
# Who has a test of another value than the backfill's.
backfill table scan --table stuff --filter 'test <> :one' --value ':one=1' --project 'id, test'
