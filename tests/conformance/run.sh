# For scripts whose tests are functions: runs them and says how many passed. To be sourced.
#
# Needs $folder, for what a test prints.

# Ends what a test left running in its background.
end_children() {
    local child
    for child in $(jobs -p); do kill "$child" 2> /dev/null || true; done
}

# The last line is "N passed, N failed"; fails if a test did.
run_all() { # FUNCTION...
    local test status passed=0 failed=0
    for test in "$@"; do
        # A shell of its own, so that the first command that fails ends the test.
        set +o errexit
        (set -o errexit; trap end_children EXIT; "$test") > "$folder/output" 2>&1
        status=$?
        set -o errexit
        if [ "$status" -eq 0 ]; then
            passed=$((passed + 1))
            echo "ok ${test//_/ }"
        else
            failed=$((failed + 1))
            echo "FAILED ${test//_/ }:"
            cat "$folder/output"
        fi
    done
    echo "$passed passed, $failed failed"
    [ "$failed" -eq 0 ]
}
