#!/bin/sh
set -eu
# One site by its address.
backfill item get --table Domain --key '{"url": "https://docs.example/"}'
# The sites that are crawled more often than every week.
backfill table scan --table Domain --filter 'crawl IN (:hourly, :daily)' \
  --value ':hourly="hourly"' --value ':daily="daily"' --name '#u=url' --project '#u, crawl'
