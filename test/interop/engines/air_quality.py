"""
The clients that the air-quality documents show: kafka-python, redis, pika, boto3 and requests, each called as they call it. What they found
is printed as one line of JSON; the test knows what it must be.
"""

import json
import sys

import boto3
import pandas as pd
import pika
import redis
import requests
from kafka import KafkaConsumer, KafkaProducer

places = json.loads(sys.argv[2])


def produce():
    data = pd.read_csv(places["csv"], sep=";")
    producer = KafkaProducer(bootstrap_servers=places["kafka"], value_serializer=lambda value: json.dumps(value).encode("utf-8"))
    numbers = ["CO", "NO2", "Temperature", "Relative_Humidity", "Absolute_Humidity"]
    for _, row in data.iterrows():
        producer.send("sensor_raw", value={"date": row["Date"], "time": row["Time"], **{name: float(row[name]) for name in numbers}})
    producer.flush()
    producer.close()
    return len(data)


def consume():
    consumer = KafkaConsumer(
        "sensor_raw",
        bootstrap_servers=places["kafka"],
        value_deserializer=lambda value: json.loads(value.decode("utf-8")),
        auto_offset_reset="earliest",
        enable_auto_commit=True,
        group_id="another-reader",
        consumer_timeout_ms=5000,
    )
    found = [message.value for message in consumer]
    consumer.close()
    return found


def cache():
    client = redis.StrictRedis(host=places["redis"]["host"], port=places["redis"]["port"], password=places["redis"]["password"], db=0)
    keys = [form.format(**reading) for reading in places["readings"] for form in ("sensor_{date}_{time}", "sensor:{date}:{time}")]
    return {key: {name.decode(): value.decode() for name, value in client.hgetall(key).items()} for key in keys}


def alerts():
    at = places["rabbitmq"]
    credentials = pika.PlainCredentials(at["user"], at["password"])
    connection = pika.BlockingConnection(pika.ConnectionParameters(host=at["host"], port=at["port"], credentials=credentials))
    channel = connection.channel()
    channel.queue_declare(queue="sensor_alert")
    bodies = []
    while len(bodies) < places["take"]:
        frame, _, body = channel.basic_get(queue="sensor_alert")
        if frame is None:
            break
        channel.basic_ack(frame.delivery_tag)
        bodies.append(body.decode())
    connection.close()
    return bodies


def objects():
    at = places["s3"]
    client = boto3.client(
        "s3", endpoint_url=at["endpoint"], region_name=at["region"], aws_access_key_id=at["access"], aws_secret_access_key=at["secret"]
    )
    buckets = [bucket["Name"] for bucket in client.list_buckets().get("Buckets", [])]
    names = ["processed/{date}_{time}.json".format(**reading) for reading in places["readings"]]
    return {
        "buckets": buckets,
        "objects": {name: json.loads(client.get_object(Bucket="air-quality", Key=name)["Body"].read().decode("utf-8")) for name in names},
    }


def api():
    answers = [requests.get(places["url"] + path, timeout=10) for path in places["paths"]]
    return [{"status": answer.status_code, "body": answer.json()} for answer in answers]


step = {"produce": produce, "consume": consume, "cache": cache, "alerts": alerts, "objects": objects, "api": api}[sys.argv[1]]
print(json.dumps(step()))
