"""schema_suite.py --driver PROGRAM --sdist FILE: the JSON-Schema-Test-Suite that the sdist of PyPI's jsonschema holds.

No invalid instance may be accepted. Valid ones that are rejected are counted and must not be more than was known when this was written.
"""
import argparse
import collections
import json
import subprocess
import sys
import tarfile

DRAFTS = {
    "draft4": "http://json-schema.org/draft-04/schema#",
    "draft6": "http://json-schema.org/draft-06/schema#",
    "draft7": "http://json-schema.org/draft-07/schema#",
    "draft2019-09": "https://json-schema.org/draft/2019-09/schema",
    "draft2020-12": "https://json-schema.org/draft/2020-12/schema",
}
# Known and wanted: formats are asserted though they may be annotations, integers have no point, leap seconds and quoted
# local parts are left out.
MOST_REJECTED = 65
# The draft leaves it open whether contentEncoding and contentMediaType are asserted; here they are annotations.
NOT_ASSERTED = "draft7/optional/content.json"


def groups(sdist):
    with tarfile.open(sdist) as archive:
        for member in archive.getmembers():
            parts = member.name.split("/")
            if "tests" not in parts or not member.name.endswith(".json"):
                continue
            draft = parts[parts.index("tests") + 1]
            if draft in DRAFTS:
                for group in json.load(archive.extractfile(member)):
                    yield draft, "/".join(parts[parts.index("tests") + 1:]), group


def main():
    args = argparse.ArgumentParser()
    args.add_argument("--driver", required=True)
    args.add_argument("--sdist", required=True)
    options = args.parse_args()
    driver = subprocess.Popen([options.driver], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    seen, accepted, rejected, refused = 0, [], [], collections.Counter()
    for draft, place, group in groups(options.sdist):
        schema = group["schema"]
        if isinstance(schema, dict):
            schema.setdefault("$schema", DRAFTS[draft])
        documents = [test["data"] for test in group["tests"]]
        driver.stdin.write(json.dumps({"schema": schema, "documents": documents}) + "\n")
        driver.stdin.flush()
        answer = json.loads(driver.stdout.readline())
        seen += 1
        if not answer.get("compiled"):
            why = answer.get("error") or answer["refused"][0]["keyword"] + ": " + answer["refused"][0]["why"]
            refused[why[:70]] += 1
            continue
        for test, valid in zip(group["tests"], answer["valid"]):
            if valid != test["valid"] and not (valid and place == NOT_ASSERTED):
                (accepted if valid else rejected).append(f"{place}: {group['description']}: {test['description']}")
    driver.stdin.close()
    driver.wait()
    for why, count in refused.most_common():
        print(f"refused {count}: {why}")
    for what in rejected:
        print("valid, rejected:", what)
    for what in accepted:
        print("INVALID, ACCEPTED:", what)
    print(f"{seen} groups, {sum(refused.values())} refused, {len(rejected)} valid rejected, {len(accepted)} invalid accepted")
    sys.exit(1 if accepted or len(rejected) > MOST_REJECTED or seen < 500 else 0)


main()
