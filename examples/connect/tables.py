"""Makes the Iceberg tables that the connectors of this folder write to, in any catalog that pyiceberg knows.

    python tables.py NAME uri=sqlite:////data/catalog.db warehouse=file:///data/warehouse type=sql

NAME is the catalog's, the rest are its properties. Tables that are there are left alone.
"""
import sys

from pyiceberg.catalog import load_catalog
from pyiceberg.partitioning import PartitionField, PartitionSpec
from pyiceberg.schema import Schema
from pyiceberg.transforms import DayTransform, IdentityTransform
from pyiceberg.types import BooleanType, IntegerType, LongType, NestedField, StringType, StructType, TimestamptzType


def fields(first, *columns):
    return [NestedField(first + i, name, kind, required=False) for i, (name, kind) in enumerate(columns)]


strings = lambda first, *names: StructType(*fields(first, *((name, StringType()) for name in names)))

# A column for each field of the event. What may have any form inside (media, location, msg_body, attributes) is JSON.
events = Schema(*fields(
    1,
    ("msgid", LongType()), ("app_key", StringType()), ("target_type", StringType()), ("msg_type", StringType()),
    ("conversation_id", StringType()), ("time", TimestamptzType()), ("time_source", StringType()),
    ("client_time", TimestamptzType()), ("from", strings(101, "id", "name", "type", "platform", "app_key")),
    ("target", strings(201, "id", "name", "app_key")), ("cross_app", BooleanType()), ("text", StringType()),
    ("media", StringType()), ("location", StringType()), ("msg_body", StringType()), ("attributes", StringType()),
))
events_by = PartitionSpec(
    PartitionField(source_id=6, field_id=1000, transform=DayTransform(), name="day"),
    PartitionField(source_id=3, field_id=1001, transform=IdentityTransform(), name="target_type"),
)
# The event as it was published, to the byte, and where it stands in Kafka.
exact = Schema(*fields(
    1, ("event", StringType()), ("topic", StringType()), ("partition", IntegerType()), ("offset", LongType()),
    ("published", TimestamptzType()),
))
exact_by = PartitionSpec(PartitionField(source_id=5, field_id=1000, transform=DayTransform(), name="day"))


def main():
    catalog = load_catalog(sys.argv[1], **dict(arg.split("=", 1) for arg in sys.argv[2:]))
    catalog.create_namespace_if_not_exists("jmessage")
    catalog.create_table_if_not_exists("jmessage.events", events, partition_spec=events_by)
    catalog.create_table_if_not_exists("jmessage.exact", exact, partition_spec=exact_by)


main()
