"""Spark with Delta as a worker; see worker.py for the requests' form. Arguments: the folder of jars, a folder for what it leaves behind,
further settings as JSON."""

import json
import sys
from pathlib import Path

from worker import encode, row_dicts, serve

from pyspark.sql import Row, SparkSession
from pyspark.sql.types import StructType

jars, scratch, further = sys.argv[1:]
java = f"-Djava.io.tmpdir={scratch} -Dderby.system.home={scratch} -Duser.timezone=UTC -XX:+UseSerialGC -XX:TieredStopAtLevel=1"
settings = {
    "spark.driver.memory": "1200m",
    "spark.driver.extraClassPath": ":".join(sorted(str(jar) for jar in Path(jars).glob("*.jar"))),
    "spark.driver.extraJavaOptions": java,
    "spark.driver.host": "127.0.0.1",
    "spark.driver.bindAddress": "127.0.0.1",
    "spark.local.dir": scratch,
    "spark.sql.warehouse.dir": f"{scratch}/warehouse",
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.databricks.delta.snapshotPartitions": "1",
    "spark.sql.sources.parallelPartitionDiscovery.parallelism": "2",
    # A few rows at a time: planning and compiling would take most of the time.
    "spark.sql.codegen.wholeStage": "false",
    "spark.sql.codegen.factoryMode": "NO_CODEGEN",
    "spark.sql.adaptive.enabled": "false",
    "spark.sql.session.timeZone": "UTC",
    # Spark 3.5 by itself asks before it writes dates of before 1582.
    "spark.sql.parquet.int96RebaseModeInWrite": "CORRECTED",
    "spark.sql.parquet.datetimeRebaseModeInWrite": "CORRECTED",
    "spark.sql.extensions": "io.delta.sql.DeltaSparkSessionExtension",
    "spark.sql.catalog.spark_catalog": "org.apache.spark.sql.delta.catalog.DeltaCatalog",
}
settings |= json.loads(further)
builder = SparkSession.builder.master("local[2]").appName("interop")
for key, value in settings.items():
    builder = builder.config(key, value)
spark = builder.getOrCreate()
spark.sparkContext.setLogLevel("ERROR")


def at(path):
    return f"delta.`{path}`"


def rows_of(frame):
    schema = json.loads(frame.schema.json())
    # Two columns may differ in a way that Row's keys cannot tell, so fields go by position.
    return {"schema": schema, "rows": [[encode(plain(cell), field["type"]) for cell, field in zip(row, schema["fields"])] for row in frame.collect()]}


def plain(value):
    if isinstance(value, Row):
        return {name: plain(item) for name, item in value.asDict(recursive=False).items()}
    if isinstance(value, list):
        return [plain(item) for item in value]
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    return value


def relation(request):
    schema = StructType.fromJson(request["schema"])
    rows = [tuple(ordered(row, schema)) for row in row_dicts(request)]
    return spark.createDataFrame(rows, schema)


def ordered(row, schema):
    return [row[field.name] for field in schema.fields]


def read(request):
    reader = spark.read.format("delta")
    if request.get("version") is not None:
        reader = reader.option("versionAsOf", request["version"])
    frame = reader.load(request["path"])
    return rows_of(frame.where(request["where"]) if request.get("where") else frame)


def changes(request):
    reader = spark.read.format("delta").option("readChangeFeed", "true")
    frame = reader.option("startingVersion", request["from"]).option("endingVersion", request["to"]).load(request["path"])
    return rows_of(frame.drop("_commit_timestamp"))


def write(request):
    mode = request.get("mode", "append")
    writer = relation(request).coalesce(request.get("files", 1)).write.format("delta").mode(mode)
    if request.get("partitionBy"):
        writer = writer.partitionBy(*request["partitionBy"])
    if request.get("where"):
        writer = writer.option("replaceWhere", request["where"])
    for key, value in (request.get("properties") or {}).items():
        writer = writer.option(key, value)
    if request.get("schemaMode") == "overwrite":
        writer = writer.option("overwriteSchema", "true")
    if request.get("schemaMode") == "merge":
        writer = writer.option("mergeSchema", "true")
    writer.save(request["path"])


def merge(request):
    relation(request).createOrReplaceTempView("merge_source")
    on = " and ".join(f"t.`{key}` <=> s.`{key}`" for key in request["keys"])
    spark.sql(f"merge into {at(request['path'])} t using merge_source s on {on} when matched then update set * when not matched then insert *")


def update(request):
    sets = ", ".join(f"`{column}` = {value}" for column, value in request["set"].items())
    where = f" where {request['where']}" if request.get("where") else ""
    spark.sql(f"update {at(request['path'])} set {sets}{where}")


def delete(request):
    where = f" where {request['where']}" if request.get("where") else ""
    spark.sql(f"delete from {at(request['path'])}{where}")


def checkpoint(request):
    log = spark._jvm.org.apache.spark.sql.delta.DeltaLog.forTable(spark._jsparkSession, request["path"])
    nothing = spark._jvm.scala.Option.empty()
    log.checkpoint(log.update(False, nothing, nothing), nothing)


def create_generated(request):
    """SQL has no words for these in every version."""
    builders = spark._jvm.io.delta.tables.DeltaTable
    column = builders.columnBuilder(spark._jsparkSession, request["column"]).dataType("bigint")
    column = column.generatedAlwaysAsIdentity() if request["expression"] is None else column.generatedAlwaysAs(request["expression"])
    builders.create(spark._jsparkSession).location(request["path"]).addColumn("id", "bigint").addColumn(column.build()).execute()


def vacuum(request):
    """Deletes every file that the newest version does not name."""
    spark.conf.set("spark.databricks.delta.retentionDurationCheck.enabled", "false")
    spark.sql(f"vacuum {at(request['path'])} retain 0 hours").collect()


def sql(request):
    """The rows of the last statement come back."""
    for key, value in (request.get("settings") or {}).items():
        spark.conf.set(key, value)
    try:
        found = [spark.sql(statement) for statement in request["statements"]]
        return rows_of(found[-1])
    finally:
        for key in request.get("settings") or {}:
            spark.conf.unset(key)


operations = {
    "read": read,
    "changes": changes,
    "write": write,
    "merge": merge,
    "delete": delete,
    "update": update,
    "optimize": lambda request: spark.sql(f"optimize {at(request['path'])}").collect() and None,
    "checkpoint": checkpoint,
    "restore": lambda request: spark.sql(f"restore table {at(request['path'])} to version as of {request['version']}").collect() and None,
    "history": lambda request: [row["operation"] for row in spark.sql(f"describe history {at(request['path'])}").collect()],
    "addConstraint": lambda request: [spark.sql(f"alter table {at(request['path'])} add constraint {name} check ({check})") for name, check in request["constraint"].items()] and None,
    "forget": lambda request: spark._jvm.org.apache.spark.sql.delta.DeltaLog.clearCache(),
    "vacuum": vacuum,
    "createGenerated": create_generated,
    "sql": sql,
    "versions": lambda request: {"spark": spark.version},
}

try:
    serve(operations)
finally:
    spark.stop()
