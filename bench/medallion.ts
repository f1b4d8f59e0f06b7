/** The medallion benchmark's data and SQL: readings of 2,000 stations with repeats and missing values, cleaned, then summed up by the hour. */
import { DuckDBInstance } from '@duckdb/node-api'

export const MEMORY = '1GB'

/** 5 % of the readings come twice, -200 stands for a missing value, as in the Air Quality data. */
export async function writeReadings(file: string, rows: number): Promise<void> {
  const instance = await DuckDBInstance.create(':memory:', { memory_limit: MEMORY })
  const connection = await instance.connect()
  await connection.run(`copy (
    select 'station-' || (n % 2000)::varchar as station, strftime(timestamp '2026-01-01' + to_seconds((n // 2000) * 60), '%Y-%m-%dT%H:%M:%SZ') as "at",
      case when hash(n) % 50 = 0 then -200 else round((hash(n, 1) % 1200) / 100.0, 2) end as co,
      case when hash(n) % 40 = 0 then -200 else round((hash(n, 2) % 24000) / 100.0, 1) end as no2,
      round((hash(n, 3) % 4000) / 100.0 - 5, 1) as temperature
    from (select case when i % 20 = 19 then i - 1 else i end as n from range(${rows}) r(i))
  ) to '${file}' (format csv, header)`)
  connection.closeSync()
  instance.closeSync()
}

/** One reading a station and minute, without the mark for missing. */
export const SILVER_SQL = (
  from: string,
): string => `select station, "at", max(nullif(co, -200)) as co, max(nullif(no2, -200)) as no2, max(temperature) as temperature
from ${from} group by station, "at"`

export const GOLD_SQL = (
  from: string,
): string => `select date_trunc('hour', "at") as "hour", station, avg(co) as co_mean, max(co) as co_max, avg(no2) as no2_mean, count(*) as readings
from ${from} group by 1, 2`
