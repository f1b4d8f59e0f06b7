import { fail, quarantine, sql, t, table, warn } from 'lagoa'
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
    at_known: fail('at is not null'),
    co_plausible: quarantine('co between 0 and 500'),
    no2_plausible: quarantine('no2 between 0 and 5000'),
    temperature_plausible: warn('temperature between -30 and 60'),
  },
})
