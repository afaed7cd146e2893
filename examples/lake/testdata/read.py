# Reads a lake with DuckDB and prints its rows as JSON lines.
import json
import sys

import duckdb

duckdb.sql("SET TimeZone = 'UTC'")
rows = duckdb.execute(
    """SELECT target, date::VARCHAR, hour::VARCHAR, msgid, app_key, stream, target_type, msg_type, conversation_id,
              epoch_ms(time), from_id, target_id, text, event::VARCHAR, parse_filename(filename)
       FROM read_parquet(?, hive_partitioning = true, filename = true)""",
    [sys.argv[1] + "/**/*.parquet"],
)
names = ["target", "date", "hour", "msgid", "app_key", "stream", "target_type", "msg_type", "conversation_id",
         "time", "from_id", "target_id", "text", "event", "file"]
while row := rows.fetchone():
    print(json.dumps(dict(zip(names, row))))
