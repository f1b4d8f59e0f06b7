"""The medallion benchmark in PySpark with Delta on two cores: prints the seconds of each layer. Arguments: jars folder, CSV, folder."""

import glob
import json
import sys
import time

from pyspark.sql import SparkSession

jars, csv, folder = sys.argv[1:4]
classpath = ":".join(sorted(glob.glob(jars + "/*.jar")))
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "2g")
    .config("spark.driver.extraClassPath", classpath)
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "4")
    .config("spark.sql.session.timeZone", "UTC")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.local.dir", folder)
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
seconds = {}


def timed(layer, frame):
    began = time.time()
    frame().write.format("delta").mode("overwrite").save(f"{folder}/{layer}")
    seconds[layer] = time.time() - began


# The JVM and Delta are warm before the clock runs: this is about the work, not about the start.
spark.range(1000).write.format("delta").mode("overwrite").save(f"{folder}/warm")
schema = "station string, at timestamp, co double, no2 double, temperature double"
timed("bronze", lambda: spark.read.csv(csv, header=True, schema=schema))
spark.read.format("delta").load(f"{folder}/bronze").createOrReplaceTempView("bronze")
timed(
    "silver",
    lambda: spark.sql(
        "select station, at, max(nullif(co, -200)) co, max(nullif(no2, -200)) no2, max(temperature) temperature from bronze group by station, at"
    ),
)
spark.read.format("delta").load(f"{folder}/silver").createOrReplaceTempView("silver")
timed(
    "gold",
    lambda: spark.sql(
        "select date_trunc('hour', at) hour, station, avg(co) co_mean, max(co) co_max, avg(no2) no2_mean, count(*) readings from silver group by 1, 2"
    ),
)
print(json.dumps({"seconds": seconds, "rows": spark.table("silver").count()}), flush=True)
spark.stop()
