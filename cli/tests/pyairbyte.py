"""Read a source with PyAirbyte into a DuckDB cache in the current folder; say what is there then, as JSON."""

import json
import sys
from pathlib import Path

import airbyte
from airbyte.caches import DuckDBCache

task = json.loads(sys.argv[1])
source = airbyte.get_source("source-things", local_executable=Path(task["executable"]), config=task["config"])
source.check()
source.select_streams(task["streams"])
cache = DuckDBCache(db_path="cache.duckdb")
result = source.read(cache=cache)
rows = {name: len(cache[name].to_pandas()) for name in task["streams"]}
newest = int(cache["things"].to_pandas().sort_values("updated_at")["id"].iloc[-1])
print(json.dumps({"rows": rows, "newest": newest, "read": result.processed_records}))
