/**
 * One run of the medallion benchmark in a process of its own, so that its memory can be told: `node bench/lake-run.ts lagoa|duckdb CSV FOLDER`
 * prints seconds by layer and the most memory it had. Both use the same SQL, DuckDB, threads and memory limit; `duckdb` writes plain Parquet.
 */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { createLog, t } from '../src/base/index.ts'
import { files, findFiles, openDuck, openIngestion, openLake, quoteText, table, targetOf } from '../src/lake/index.ts'
import { openFolderObjects } from '../src/storage/index.ts'
import { GOLD_SQL, MEMORY, SILVER_SQL } from './medallion.ts'

const [, , mode = '', csv = '', folder = ''] = process.argv
await mkdir(folder, { recursive: true })
const duck = await openDuck({ memoryLimit: MEMORY, tempDirectory: join(folder, 'spill') })
const seconds: Record<string, number> = {}
const timed = async (layer: string, work: () => Promise<unknown>): Promise<void> => {
  const began = performance.now()
  await work()
  seconds[layer] = (performance.now() - began) / 1000
}
const read = `select * from read_csv(${quoteText(csv)}, header = true)`

if (mode === 'lagoa') {
  const objects = await openFolderObjects(join(folder, 'objects'))
  const columns = { station: t.string(), at: t.timestamp(), co: t.double(), no2: t.double(), temperature: t.double() }
  const tables = [
    table('bronze.readings', { from: files(csv), columns }),
    table('silver.readings', { sql: SILVER_SQL('bronze.readings') }),
    table('gold.hourly', { sql: GOLD_SQL('silver.readings') }),
  ]
  const lake = await openLake({ objects, duck, tables, logger: createLog({ level: 'warn' }) })
  await timed('bronze', async () => {
    const place = { duck, temporary: join(folder, 'temporary'), open: (name: string) => lake.open(name), hold: () => objects.hold() }
    const ingestion = openIngestion(place, { target: targetOf('bronze.readings', lake.plan.tables.get('bronze.readings'), {}) })
    for (const file of await findFiles([csv], { objects, base: folder, project: folder, anyName: false })) {
      const { outcome, rows, error } = await ingestion.take(file)
      if (outcome !== 'added') throw error ?? new Error(`${outcome}: ${rows} rows`)
    }
  })
  await timed('silver', () => lake.refresh('silver.readings'))
  await timed('gold', () => lake.refresh('gold.hourly'))
} else {
  const connection = await duck.connect()
  const at = (layer: string): string => join(folder, `${layer}.parquet`)
  const copy = (sql: string, layer: string): Promise<unknown> => connection.run(`copy (${sql}) to ${quoteText(at(layer))} (format parquet, compression snappy)`)
  const from = (layer: string): string => `read_parquet(${quoteText(at(layer))})`
  await timed('bronze', () => copy(read, 'bronze'))
  await timed('silver', () => copy(SILVER_SQL(from('bronze')), 'silver'))
  await timed('gold', () => copy(GOLD_SQL(from('silver')), 'gold'))
  connection.closeSync()
}
const status = process.resourceUsage().maxRSS / 1024
process.stdout.write(JSON.stringify({ seconds, peakMB: status }) + '\n')
process.exit()
