#!/usr/bin/env bash
# A hundred logins a second against bcrypt hashes of cost 11, and what a flow that was there before
# feels of them: prints the p99 of its round trips without and with the storm, and how many logins
# were judged in time. Then thousands of clients that say nothing: what each of them costs.
#
# usage: scripts/logins.sh [SECONDS]    20 seconds of storm if not told
set -euo pipefail
cd "$(dirname "$0")/.."

STORM_SECONDS="${1:-20}" \
    exec cargo test --profile quick --test faults -- logins:: --nocapture --test-threads 1
