#!/usr/bin/env python3
"""Adds up test runs: test-summary.py LOG.json... -- WHAT_BROKE...

Each log is what `meson test` writes, an object a line. A suite counts as many tests as Check reports ("100%: Checks: 12,
Failures: 0, Errors: 0"), any other program as one; a suite that crashed or ran out of time has one failure more. What
broke before any test could run counts as a failure. The last line is "N passed, N failed".
"""

import json
import re
import sys

CHECK = re.compile(r"^\d+%: Checks: (\d+), Failures: (\d+), Errors: (\d+)", re.MULTILINE)


def count(test):
    """(passed, failed, skipped) of one program."""
    if test["result"] == "SKIP":
        return 0, 0, 1
    good = test["result"] in ("OK", "EXPECTEDFAIL")
    reports = CHECK.findall(test.get("stdout", ""))
    checks = sum(int(report[0]) for report in reports)
    failed = sum(int(report[1]) + int(report[2]) for report in reports)
    passed = checks - failed
    if not reports and good:
        passed = 1
    if not good and failed == 0:
        failed = 1
    return passed, failed, 0


def main(arguments):
    split = arguments.index("--")
    passed = failed = skipped = 0
    complaints = list(arguments[split + 1 :])
    failed += len(complaints)
    for log in arguments[:split]:
        programs = 0
        try:
            with open(log, encoding="utf-8") as lines:
                for line in lines:
                    test = json.loads(line)
                    programs += 1
                    ok, bad, left_out = count(test)
                    passed, failed, skipped = passed + ok, failed + bad, skipped + left_out
                    if bad:
                        complaints.append(f"{log}: {test['name']}: {test['result']}, {bad} failed")
                    if left_out:
                        print(f"skipped: {log}: {test['name']}")
        except OSError as error:
            complaints.append(f"{log}: {error.strerror}")
            failed += 1
            continue
        if programs == 0:
            complaints.append(f"{log}: no test ran")
            failed += 1
    for complaint in complaints:
        print(f"FAILED: {complaint}")
    if skipped:
        print(f"{skipped} skipped")
    print(f"{passed} passed, {failed} failed")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
