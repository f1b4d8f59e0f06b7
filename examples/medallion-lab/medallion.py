"""The same medallion on Spark, over the tables that Lagoa made: bronze from Lagoa, silver and gold written here, all of them open to both.

The store and its credentials come from the environment: S3_ENDPOINT, AWS_ACCESS_KEY_ID, AWS_SECRET_ACCESS_KEY."""

import os

from pyspark.sql import SparkSession
from pyspark.sql.functions import col, current_date, desc
from pyspark.sql.functions import sum as total

spark = (
    SparkSession.builder.appName("medallion")
    .config("spark.sql.extensions", "io.delta.sql.DeltaSparkSessionExtension")
    .config("spark.sql.catalog.spark_catalog", "org.apache.spark.sql.delta.catalog.DeltaCatalog")
    .config("spark.hadoop.fs.s3a.endpoint", os.environ["S3_ENDPOINT"])
    .config("spark.hadoop.fs.s3a.path.style.access", "true")
    .getOrCreate()
)

bronze = spark.read.format("delta").load("s3a://bronze/raw_data_source1/table1").drop("_file", "_ingested_at")
silver = bronze.dropDuplicates().filter(col("valor") > 0).withColumn("processed_date", current_date())
silver.write.format("delta").mode("overwrite").save("s3a://silver/clean_data_domain1/table1")
gold = silver.groupBy("categoria", "região").agg(total("valor").alias("valor_total")).orderBy(desc("valor_total"))
gold.write.format("delta").mode("overwrite").save("s3a://gold/analytics_domain1/dashboard1")
spark.stop()
