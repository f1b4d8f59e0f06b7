/** JSON: an array of objects, objects one after the other, or one a line. Lines that are no objects are kept aside. */
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { interruptible } from '../interrupt.ts'
import { isNode } from '../tree.ts'
import { quoteText } from '../sql.ts'
import type { FileFormat } from './declare.ts'
import { firstBytes } from './format.ts'
import { LONGEST_LINE, sortLines } from './lines.ts'

/** Files up to this size have their structure read from all of their objects at once. */
const SNIFF_WHOLE = 64 * 1024 * 1024
const SAMPLE = 200_000

export interface JsonSource {
  /** SELECTs that read it, the quick one first; the next is for objects whose types the sample did not show. */
  readonly reads: readonly string[]
  /** A SELECT of `line, byte, columns, error, raw` of the lines that are no objects; null when all are. */
  readonly bad: string | null
  /** Counts the JSON values in it, whatever they are. */
  readonly values: string
}

type Layout = 'array' | 'newline_delimited' | 'unstructured'

export async function openJson(
  connection: DuckDBConnection,
  file: string,
  bytes: number,
  format: FileFormat,
  work: string,
  signal: AbortSignal | undefined,
): Promise<JsonSource> {
  const layout = format === 'ndjson' ? 'newline_delimited' : await layoutOf(file)
  let bad: string | null = null
  let source = file
  if (layout === 'newline_delimited' && (await interruptible(connection, signal, () => hasBadLines(connection, file)))) {
    source = join(work, 'objects.ndjson')
    const others = join(work, 'others.ndjson')
    if ((await sortLines(file, source, others, signal)) > 0)
      bad = `select * from read_json(${quoteText(others)}, format='newline_delimited', maximum_object_size=${LONGEST_LINE}, columns={line: 'BIGINT', byte: 'BIGINT', columns: 'VARCHAR', error: 'VARCHAR', raw: 'VARCHAR'})`
  }
  const of = `${quoteText(source)}, format=${quoteText(layout)}, maximum_object_size=${LONGEST_LINE}`
  const read = (sample: number): string => `select * from read_json(${of}, records='true', sample_size=${sample})`
  const values = `select count(*) from read_json(${of}, records='false', columns={json: 'JSON'})`
  return { reads: bytes <= SNIFF_WHOLE ? [read(-1)] : [read(SAMPLE), read(-1)], bad, values }
}

/** A first line that is an object of its own is taken for one of many. */
async function layoutOf(file: string): Promise<Layout> {
  const start = (await firstBytes(file, 1024 * 1024))
    .toString('utf8')
    .replace(/^\ufeff/, '')
    .trimStart()
  if (start.startsWith('[')) return 'array'
  try {
    return isNode(JSON.parse(start.split('\n', 1)[0] ?? '')) ? 'newline_delimited' : 'unstructured'
  } catch {
    return 'unstructured'
  }
}

/** U+001F cannot stand in JSON, so each line is one value of this CSV. */
async function hasBadLines(connection: DuckDBConnection, file: string): Promise<boolean> {
  const lines = `read_csv(${quoteText(file)}, auto_detect=false, header=false, delim='\u001f', quote='', escape='', strict_mode=false, max_line_size=${LONGEST_LINE}, buffer_size=${2 * LONGEST_LINE}, columns={'line': 'VARCHAR'})`
  try {
    const reader = await connection.runAndReadAll(
      `select 1 from ${lines} where trim(line) <> '' and (not json_valid(line) or json_type(case when json_valid(line) then line else '0' end) <> 'OBJECT') limit 1`,
    )
    return reader.currentRowCount > 0
  } catch {
    // What DuckDB cannot even split into lines is looked at line by line.
    return true
  }
}
