"""Counts the words of a text in PySpark on two cores: prints the seconds. Arguments: text, folder."""

import json
import sys
import time

from pyspark.sql import SparkSession

text, folder = sys.argv[1:3]
spark = (
    SparkSession.builder.master("local[2]")
    .config("spark.driver.memory", "2g")
    .config("spark.driver.bindAddress", "127.0.0.1")
    .config("spark.driver.host", "127.0.0.1")
    .config("spark.ui.enabled", "false")
    .config("spark.sql.shuffle.partitions", "4")
    .config("spark.local.dir", folder)
    .getOrCreate()
)
spark.sparkContext.setLogLevel("ERROR")
# The JVM is warm before the clock runs: this is about the work, not about the start.
spark.range(1000).selectExpr("cast(id as string) w").groupBy("w").count().write.mode("overwrite").parquet(f"{folder}/warm")
began = time.time()
spark.read.text(text).createOrReplaceTempView("lines")
spark.sql(
    r"""select lower(word) word, count(*) count
    from (select explode(regexp_extract_all(value, r"[\p{L}\p{M}\p{N}]+(?:['’][\p{L}\p{M}\p{N}]+)*", 0)) word from lines)
    group by 1 order by count desc, word"""
).write.mode("overwrite").parquet(f"{folder}/words")
seconds = time.time() - began
counted = spark.read.parquet(f"{folder}/words")
first = counted.orderBy(counted["count"].desc(), counted["word"]).first()
print(json.dumps({"seconds": seconds, "words": counted.count(), "first": {"word": first["word"], "count": first["count"]}}), flush=True)
spark.stop()
