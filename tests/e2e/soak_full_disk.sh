#!/usr/bin/env bash
# A disk that becomes full at every second page.
exec "$(dirname "$0")/test_full_disk.sh" 2
