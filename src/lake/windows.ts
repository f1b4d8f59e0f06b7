/** Which windows of a model some rows of its driver fall into, and which rows of the driver those windows need. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { contract } from './contract.ts'
import type { Model } from './model.ts'
import { quoteName, quoteText } from './sql.ts'

export interface TouchedWindows {
  /** A condition on the model's rows. */
  readonly where: string
  /** A condition on the driver's rows: all that can belong to those windows. */
  readonly near: string
}

/** More windows than this are a rebuild. */
const MOST_WINDOWS = 2000

/**
 * Null when a rebuild is called for: too many windows, or rows without a time or a window, whose company could be anywhere. The windows
 * are what the model itself says about the rows, so any expression works, time zones included. `moved` must be bound as the driver.
 */
export async function touchedWindows(
  connection: DuckDBConnection,
  model: Model,
  mode: Extract<Model['mode'], { kind: 'window' }>,
  moved: string,
): Promise<TouchedWindows | null> {
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

const instant = (ms: number): string => `timestamptz ${quoteText(new Date(ms).toISOString())}`
