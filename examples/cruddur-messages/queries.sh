#!/bin/sh
set -eu
# The last messages of a conversation in a year, the newest first.
backfill table query --table cruddur-messages --descending --limit 20 \
  --key-condition 'pk = :conversation AND begins_with(sk, :year)' \
  --value ':conversation="MSG#g-babylon"' --value ':year="2025"' --project 'sk, user_handle, message'
# The conversations of a user, the one with the latest message first.
backfill table query --table cruddur-messages --descending \
  --key-condition 'pk = :user' --value ':user="GRP#u-andrew"' --project 'sk, user_display_name, message'
# All that shows a conversation: its messages, and the line of it that each of its users has.
backfill table query --table cruddur-messages --index message-group-sk-index \
  --key-condition 'message_group_uuid = :group' --value ':group="g-londo"' --project 'pk, sk'
