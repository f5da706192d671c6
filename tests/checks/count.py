"""count.py JUNIT_FILE: prints "passed failed skipped" of one ctest run, counting the cases inside a Catch2 program one by one."""
import re
import sys
import xml.etree.ElementTree

CASES = re.compile(r"^test cases: +(\d+)(.*)$", re.M)  # test cases: 12 | 10 passed | 1 failed | 1 skipped
ALL_PASSED = re.compile(r"^All tests passed \(.* in (\d+) test cases?\)", re.M)


def cases(output):
    """(passed, failed, skipped) as a Catch2 program's last words say, or None."""
    if match := ALL_PASSED.search(output):
        return int(match.group(1)), 0, 0
    if match := CASES.search(output):
        said = {word: int(number) for number, word in re.findall(r"(\d+) (passed|failed|skipped)", match.group(2))}
        return said.get("passed", 0), said.get("failed", 0), said.get("skipped", 0)
    return None


def count(report):
    total = [0, 0, 0]
    for test in xml.etree.ElementTree.parse(report).getroot().iter("testcase"):
        failed, skipped = test.find("failure") is not None, test.get("status") in ("notrun", "disabled")
        found = cases(test.findtext("system-out") or "")
        if found is None or (failed and found[1] == 0):  # no Catch2 program, or one that did not live to say it
            found = (0, 1, 0) if failed else (0, 0, 1) if skipped else (1, 0, 0)
        total = [a + b for a, b in zip(total, found)]
    return total


if __name__ == "__main__":
    print(*count(sys.argv[1]))
