"""check_exports.py --driver METER_DRIVER: other people's readers of what frugal writes.

The OpenMetrics text goes through prometheus_client's strict parser, the trace through DuckDB.
"""
import argparse
import pathlib
import subprocess
import sys
import tempfile

import duckdb
from prometheus_client.openmetrics.parser import text_string_to_metric_families


def metrics(driver):
    for scheme, ttft, model in [("metrics", "frugal_ttft_seconds", "model"), ("otel", "gen_ai_server_time_to_first_token_seconds", "gen_ai_response_model")]:
        text = subprocess.run([driver, scheme], capture_output=True, text=True, check=True).stdout
        families = {f.name: f for f in text_string_to_metric_families(text)}
        assert len(families) > 20, sorted(families)
        family = families[ttft]
        assert family.type == "histogram" and family.unit == "seconds" and family.documentation
        counts = [s for s in family.samples if s.name.endswith("_count")]
        assert sorted(s.value for s in counts) == [1, 1000], counts
        assert all(s.labels[model] == "m" for s in counts)
        assert any("odd \"\\\n" in s.labels.values() for s in counts), "label escapes"
        buckets = [s for s in family.samples if s.name.endswith("_bucket") and "chat" in s.labels.values()]
        for s in buckets:  # 1 to 1000 ms, evenly
            true = min(float(s.labels["le"]) * 1000, 1000)
            assert abs(s.value - true) <= 0.011 * true + 1, s
        print(f"{scheme}: {len(families)} families")


def trace(driver):
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([driver, "trace", str(pathlib.Path(folder) / "trace.jsonl")], check=True)
        files = sorted(p.name for p in pathlib.Path(folder).iterdir())
        assert len(files) > 3 and files[0] == "trace.000001.jsonl", files
        db = duckdb.connect()
        db.execute(f"create view trace as select * from read_json('{folder}/*.jsonl', union_by_name = true)")
        types = {name: kind for name, kind, *_ in db.execute("describe trace").fetchall()}
        assert types["prefix_blocks"] == "BIGINT[]", types
        assert types["timestamp"] == "DOUBLE", types
        row = db.execute("""select count(*), sum(prompt_tokens), sum(cached_tokens), quantile_disc(ttft_ms, 0.5), max(prefix_blocks[3]),
                            sum(attempts[1].usage.output), count(distinct id) from trace where type = 'chat'""").fetchone()
        assert row == (1000, 100_000, 40_000, 500.0, 2**63 - 1, 11_000, 1000), row
        assert db.execute("select type from trace where finish = 'length'").fetchone() == ('odd "\\\n',)
        print(f"trace: {len(files)} files, {len(types)} columns")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--driver", required=True)
    options = parser.parse_args()
    metrics(options.driver)
    trace(options.driver)
    sys.exit(0)
