import { stream, t } from 'lagoa'

/** Written into Kafka by the benchmark. */
export const readings = stream('readings', {
  key: 'sensor',
  eventTime: 'at',
  live: { by: 'sensor' },
  schema: {
    sensor: t.string(),
    at: t.timestamp(),
    co: t.double().nullable().missing(-200),
    no2: t.double().nullable().missing(-200),
    temperature: t.double().nullable(),
    relative_humidity: t.double().nullable(),
    absolute_humidity: t.double().nullable(),
  },
})
