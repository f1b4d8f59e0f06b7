import { defineConfig, env } from 'lagoa'

// The same project on engines of their own. `lagoa services up --export` starts them on this machine and prints these variables.
export default defineConfig({
  title: 'Air quality, São Paulo',
  api: { alerts: 'sensor_alert' },
  database: { url: env('DATABASE_URL') },
  kafka: { brokers: env('KAFKA_BROKERS') },
  redis: { url: env('REDIS_URL') },
  rabbitmq: { url: env('RABBITMQ_URL') },
  objects: {
    store: 's3',
    endpoint: env('S3_ENDPOINT'),
    region: env('S3_REGION', 'us-east-1'),
    accessKeyId: env('S3_ACCESS_KEY_ID'),
    secretAccessKey: env('S3_SECRET_ACCESS_KEY'),
  },
})
