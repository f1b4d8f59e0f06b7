import { simulate, stream, t } from 'lagoa'

/** Seven fields as the air-quality example has them, made as cheaply as may be: the subject is what comes after. */
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
  source: ({ seed, count, stations = 1000 }) =>
    simulate({
      devices: Array.from({ length: stations }, (_, i) => `station-${i}`),
      seed,
      count,
      start: Date.UTC(2026, 0, 1),
      reading: ({ n, index, random }) => ({
        co: Math.round(random(1) * 1004) / 100,
        no2: Math.round(random(2) * 2004) / 10,
        temperature: 20 + (n % 100) / 10,
        relative_humidity: 50 + (index % 100) / 4,
        absolute_humidity: 0.75,
      }),
    }),
})
