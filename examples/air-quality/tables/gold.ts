import { sql, table } from 'lagoa'
import { readings } from './silver.ts'

const { at, co, no2, sensor } = readings.c

export const hourly = table('gold.air_hourly', {
  description: 'Mean, maximum and 95th percentile per station and hour',
  window: { column: 'hour', source: 'at', size: '1h' },
  sql: sql`
    select ${sensor}, date_trunc('hour', ${at}) as hour, count(*) as readings,
      avg(${co}) as co_mean, max(${co}) as co_max, quantile_cont(${co}, 0.95) as co_p95,
      avg(${no2}) as no2_mean, max(${no2}) as no2_max, quantile_cont(${no2}, 0.95) as no2_p95
    from ${readings} group by all`,
})

export const exceedances = table('gold.daily_exceedances', {
  description: 'Readings above the limits per station and day (UTC)',
  window: { column: 'day', source: 'at', size: '1d' },
  sql: sql`
    select ${sensor}, date_trunc('day', ${at})::date as day, count(*) as readings, count(*) filter (where ${co} > 10) as co_above_10, count(*) filter (where ${no2} > 200) as no2_above_200
    from ${readings} group by all`,
})
