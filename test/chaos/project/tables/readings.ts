import { sql, t, table } from 'lagoa'
import { readings } from '../streams/readings.ts'

export const raw = table('bronze.readings', { from: readings, every: '500ms' })
export const clean = table('silver.readings', {
  from: raw,
  merge: ['sensor', 'n'],
  columns: { sensor: t.string(), n: t.int(), co: t.double() },
  sql: sql`select ${raw.c.sensor}, ${raw.c.n}, ${raw.c.co} from ${raw}`,
})
