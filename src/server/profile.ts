/** Column profiles for the header of a table's preview: computed by the query engine, kept per version. */
import { quoteName, quoteTable, type Snapshot } from '../lake/index.ts'
import type { Query } from '../query/index.ts'
import type { ProfileShape } from './wire.ts'

const BARS = 20
/** Larger tables are profiled on a sample. */
const SAMPLE_ABOVE = 1_000_000
/** Up to this many rows the distinct values are counted, above they are estimated. */
const EXACT_DISTINCT = 200_000
const KEPT = 64
const MOST_COLUMNS = 60

export function createProfiles(query: Query): (name: string, snapshot: Snapshot) => Promise<ProfileShape> {
  const kept = new Map<string, Promise<ProfileShape>>()
  return (name, snapshot) => {
    const key = `${name}@${snapshot.version}`
    const known = kept.get(key)
    if (known) return known
    const made = profile(query, name, snapshot)
    kept.set(key, made)
    made.catch(() => kept.delete(key))
    for (const oldest of kept.keys()) {
      if (kept.size <= KEPT) break
      kept.delete(oldest)
    }
    return made
  }
}

async function profile(query: Query, name: string, snapshot: Snapshot): Promise<ProfileShape> {
  const sampled = (snapshot.rowCount ?? 0) > SAMPLE_ABOVE
  const source = `(select * from ${quoteTable(name)}${sampled ? ` using sample ${SAMPLE_ABOVE} rows` : ''})`
  const versions = new Map([[name, snapshot.version]])
  const fields = snapshot.metadata.fields.filter(({ type }) => typeof type === 'string').slice(0, MOST_COLUMNS)
  const rows = async (sql: string): Promise<readonly (readonly unknown[])[]> => (await query.run(sql, { versions, limit: 10_000 })).rows

  const distinct = (snapshot.rowCount ?? Number.POSITIVE_INFINITY) <= EXACT_DISTINCT ? 'count(distinct ' : 'approx_count_distinct('
  const facts = fields.map(
    ({ name: column }) =>
      `count(*) filter (where ${quoteName(column)} is null), ${distinct}${quoteName(column)}), min(${quoteName(column)}), max(${quoteName(column)})`,
  )
  const [row = []] = await rows(`select count(*), ${facts.join(', ')} from ${source}`)
  const count = Number(row[0] ?? 0)
  const columns = await Promise.all(
    fields.map(async ({ name: column, type }, index) => {
      const [nulls, values, min, max] = row.slice(1 + index * 4, 5 + index * 4)
      return {
        name: column,
        type: String(type),
        nullShare: count === 0 ? 0 : Number(nulls ?? 0) / count,
        distinct: Number(values ?? 0),
        min: min ?? null,
        max: max ?? null,
        bars: count === 0 || min === null ? [] : await bars(rows, source, column, String(type), min, max),
      }
    }),
  )
  return { version: snapshot.version, sampled, columns }
}

async function bars(
  rows: (sql: string) => Promise<readonly (readonly unknown[])[]>,
  source: string,
  column: string,
  type: string,
  min: unknown,
  max: unknown,
): Promise<number[]> {
  const quoted = quoteName(column)
  const time = type === 'timestamp' || type === 'date'
  const number = time ? `epoch_ms(${quoted}::timestamp)` : quoted
  const from = time ? Date.parse(String(min)) : Number(min)
  const until = time ? Date.parse(String(max)) : Number(max)
  if (!time && !['integer', 'long', 'double', 'float', 'short', 'byte'].includes(type) && !type.startsWith('decimal')) {
    const counts = await rows(`select count(*) from ${source} where ${quoted} is not null group by ${quoted} order by 1 desc limit ${BARS}`)
    return counts.map(([value]) => Number(value))
  }
  if (!Number.isFinite(from) || !Number.isFinite(until) || from === until) return [1]
  const counts = Array.from<number>({ length: BARS }).fill(0)
  const found = await rows(
    `select least(${BARS - 1}, floor((${number} - ${from}) * ${BARS}.0 / ${until - from}))::int as bar, count(*) from ${source} where ${quoted} is not null group by 1`,
  )
  for (const [bar, value] of found) if (typeof bar === 'number' && bar >= 0) counts[bar] = Number(value)
  return counts
}
