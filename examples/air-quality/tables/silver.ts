import { between, fail, notNull, quarantine, sql, t, table, warn } from 'lagoa'
import { raw } from './bronze.ts'

export const readings = table('silver.readings', {
  description: 'Clean readings, one row per station and time; -200 is null',
  from: raw,
  merge: ['sensor', 'at'],
  columns: {
    sensor: t.string(),
    at: t.timestamp(),
    co: t.double().nullable().unit('mg/m³'),
    no2: t.double().nullable().unit('µg/m³'),
    temperature: t.double().nullable().unit('°C'),
    relative_humidity: t.double().nullable().unit('%'),
    absolute_humidity: t.double().nullable().unit('g/m³'),
  },
  sql: sql`
    select ${raw.c.sensor}, ${raw.c.at}, nullif(${raw.c.co}, -200) as co, nullif(${raw.c.no2}, -200) as no2, nullif(${raw.c.temperature}, -200) as temperature,
      nullif(${raw.c.relative_humidity}, -200) as relative_humidity, nullif(${raw.c.absolute_humidity}, -200) as absolute_humidity
    from ${raw}`,
  expect: {
    at_known: fail(notNull('at')),
    co_plausible: quarantine(between('co', 0, 500)),
    no2_plausible: quarantine(between('no2', 0, 5000)),
    temperature_plausible: warn(between('temperature', -30, 60)),
  },
})
