# Reads a table of an Iceberg catalog in SQLite and prints its rows as JSON lines.
import json
import sys

from pyiceberg.catalog import load_catalog

uri, warehouse, table = sys.argv[1:]
rows = load_catalog("jmpub", type="sql", uri=uri, warehouse=warehouse).load_table(table).scan().to_arrow()
for row in rows.to_pylist():
    print(json.dumps(row, default=lambda time: time.isoformat(timespec="milliseconds").replace("+00:00", "Z")))
