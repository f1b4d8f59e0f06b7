/** A log of very many files, made by DuckDB in seconds: what a table looks like after years of small appends. */
import { mkdir, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'

/** One checkpoint at version 10 with this many files: five columns, partitioned by day, 500 files a day since 2020; no data files. */
export async function makeManyFiles(connection: DuckDBConnection, table: string, files: number): Promise<void> {
  const log = join(table, '_delta_log')
  await mkdir(log, { recursive: true })
  const schema = JSON.stringify({ type: 'struct', fields: COLUMNS.map(([name, type]) => ({ name, type, nullable: true, metadata: {} })) })
  const hour = `strftime(day, '%Y-%m-%dT') || lpad((i % 24)::varchar, 2, '0')`
  const sensor = (n: string): string => `'sensor-' || lpad((${n})::varchar, 4, '0')`
  await connection.run(`copy (
    with f as (select i, date '2020-01-01' + (i // 500)::integer as day from range(${files}) r(i))
    select {
        'path': 'day=' || day || '/part-' || lpad((i % 500)::varchar, 5, '0') || '-' || uuid() || '.c000.snappy.parquet',
        'partitionValues': map {'day': day::varchar}, 'size': 100000 + (i * 7919) % 5000000, 'modificationTime': 1700000000000 + i, 'dataChange': false,
        'tags': null::map(varchar, varchar),
        'stats': '{"numRecords":1000,"minValues":{"id":' || (i * 1000) || ',"at":"' || ${hour} || ':00:00.000Z","sensor":"' || ${sensor('i * 31 % 1000')}
          || '","co":' || (i * 17 % 1000) / 1000.0 || '},"maxValues":{"id":' || (i * 1000 + 999) || ',"at":"' || ${hour} || ':59:59.999Z","sensor":"'
          || ${sensor('i * 31 % 1000 + 1')} || '","co":' || ((i * 17 % 1000) / 1000.0 + 50) || '},"nullCount":{"id":0,"at":0,"sensor":0,"co":' || i % 7 || '}}'
      } as add,
      null::struct(path varchar, deletionTimestamp bigint, dataChange boolean) as remove,
      null::struct(id varchar, format struct(provider varchar, options map(varchar, varchar)), schemaString varchar, partitionColumns varchar[], configuration map(varchar, varchar), createdTime bigint) as "metaData",
      null::struct(minReaderVersion integer, minWriterVersion integer) as protocol
    from f
    union all select null, null, {'id': 'many', 'format': {'provider': 'parquet', 'options': map{}}, 'schemaString': '${schema}', 'partitionColumns': ['day'], 'configuration': map{}, 'createdTime': 1}, null
    union all select null, null, null, {'minReaderVersion': 1, 'minWriterVersion': 2}
  ) to '${join(log, `${padded(10)}.checkpoint.parquet`)}' (format parquet, compression snappy)`)
  await writeFile(join(log, `${padded(10)}.json`), '{"commitInfo":{"timestamp":1,"operation":"WRITE"}}\n')
  await writeFile(join(log, '_last_checkpoint'), JSON.stringify({ version: 10, size: files + 2, numOfAddFiles: files }))
}

const COLUMNS = [
  ['id', 'long'],
  ['at', 'timestamp'],
  ['sensor', 'string'],
  ['co', 'double'],
  ['day', 'date'],
] as const

/** Commits that each add a file, from version 0, without a checkpoint; no data files. */
export async function makeManyCommits(table: string, commits: number): Promise<void> {
  const schemaString = JSON.stringify({ type: 'struct', fields: [{ name: 'id', type: 'long', nullable: true, metadata: {} }] })
  const metaData = { id: 'commits', format: { provider: 'parquet', options: {} }, schemaString, partitionColumns: [], configuration: {} }
  const file = (version: number): string => join(table, '_delta_log', `${padded(version)}.json`)
  await mkdir(dirname(file(0)), { recursive: true })
  for (let start = 0; start < commits; start += 100) {
    await Promise.all(
      Array.from({ length: Math.min(100, commits - start) }, (_, i) => {
        const version = start + i
        const first = version === 0 ? [{ protocol: { minReaderVersion: 1, minWriterVersion: 2 } }, { metaData }] : []
        const stats = JSON.stringify({ numRecords: 1000, minValues: { id: version * 1000 }, maxValues: { id: version * 1000 + 999 }, nullCount: { id: 0 } })
        const add = { path: `part-${padded(version)}.parquet`, partitionValues: {}, size: 20_000, modificationTime: version, dataChange: true, stats }
        const info = { timestamp: version, operation: 'WRITE', operationParameters: { mode: 'Append' }, isBlindAppend: true }
        return writeFile(file(version), [{ commitInfo: info }, ...first, { add }].map((action) => JSON.stringify(action)).join('\n') + '\n')
      }),
    )
  }
}

function padded(version: number): string {
  return String(version).padStart(20, '0')
}
