/** Which windows of a model some rows of its driver fall into, and which rows of the driver those windows need. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { contract, withInputs } from './contract.ts'
import type { Model } from './model.ts'
import { quoteName, quoteText } from './sql.ts'

export interface TouchedWindows {
  /** A condition on the model's rows. */
  readonly where: string
  /** A condition on the driver's rows: all that can belong to those windows. */
  readonly near: string
}

type WindowMode = Extract<Model['mode'], { kind: 'window' }>

/** More windows than this are a rebuild. */
const MOST_WINDOWS = 2000

/**
 * Null when a rebuild is called for: too many windows, or rows without a time or a window, whose company could be anywhere. The windows
 * are what the model's SQL itself says about the rows, so any expression works, time zones included. `inputs` binds the rows as the driver.
 */
export function touchedWindows(
  connection: DuckDBConnection,
  model: Model,
  mode: WindowMode,
  inputs: ReadonlyMap<string, string>,
): Promise<TouchedWindows | null> {
  return withInputs(connection, model, inputs, () => windowsOf(connection, model, mode, inputs.get(mode.driver) ?? ''))
}

async function windowsOf(connection: DuckDBConnection, model: Model, mode: WindowMode, moved: string): Promise<TouchedWindows | null> {
  const column = quoteName(mode.column)
  const source = quoteName(mode.source)
  const span =
    (
      await connection.runAndReadAll(
        `select epoch_ms(min(${source})), epoch_ms(max(${source})), count(*) filter (where ${source} is null or not isfinite(${source})) from (${moved}\n)`,
      )
    ).getRows()[0] ?? []
  const [from, until, timeless] = span.map((value) => (value === null ? null : Number(value)))
  const probe = await contract(connection, model, model.probe)
  const found = await connection.runAndReadAll(`select distinct ${column}::varchar, typeof(${column}) from (${probe}\n) limit ${MOST_WINDOWS + 1}`)
  const windows = found.getRows()
  if (windows.length === 0) return { where: 'false', near: 'false' }
  if (windows.length > MOST_WINDOWS || windows.some(([value]) => value === null)) return null
  if (typeof from !== 'number' || typeof until !== 'number' || timeless !== 0) return null
  return {
    where: `${column} in (${windows.map(([value, type]) => `${quoteText(String(value))}::${String(type)}`).join(', ')})`,
    near: `${source} >= ${instant(from - mode.sizeMs)} and ${source} <= ${instant(until + mode.sizeMs + 1)}`,
  }
}

/**
 * The same for rows that no SQL tells the windows of: every window whose time is within one window's length of a row that moved. It holds
 * for each way to name a window by a time in it or at one of its ends.
 */
export async function spansAround(connection: DuckDBConnection, mode: WindowMode, moved: string): Promise<TouchedWindows | null> {
  const source = quoteName(mode.source)
  const column = quoteName(mode.column)
  const found = await connection.runAndReadAll(
    `select distinct case when isfinite(${source}) then floor(epoch_ms(${source}) / ${mode.sizeMs})::bigint end from (${moved}\n) order by 1 nulls last limit ${MOST_WINDOWS + 1}`,
  )
  const buckets = found.getRows().map(([bucket]) => (bucket === null ? null : Number(bucket)))
  if (buckets.length === 0) return { where: 'false', near: 'false' }
  if (buckets.length > MOST_WINDOWS || buckets.includes(null)) return null
  const spans: [number, number][] = []
  for (const bucket of buckets) {
    if (bucket === null) continue
    const last = spans.at(-1)
    if (last && bucket <= last[1] + 2) last[1] = bucket
    else spans.push([bucket, bucket])
  }
  const within = (expression: string, wider: number): string =>
    spans
      .map(([from, to]) => `(${expression} >= ${instant((from - wider) * mode.sizeMs)} and ${expression} < ${instant((to + 1 + wider) * mode.sizeMs)})`)
      .join(' or ')
  return { where: `(${within(column, 1)})`, near: `(${within(source, 2)})` }
}

const instant = (ms: number): string => `timestamptz ${quoteText(new Date(ms).toISOString())}`
