#!/bin/sh
set -eu
# What has failed. A line without Status is not in the index.
backfill table query --table Log --index Status --key-condition '#s = :failed' --name '#s=Status' --value ':failed="failed"'
# How many lines there are of each level.
for level in debug info error; do
  backfill table scan --table Log --count --filter '#l = :level' --name '#l=level' --value ":level=\"$level\""
done
