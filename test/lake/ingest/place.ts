/** A place to ingest into: a lake in a temporary folder and an inbox beside it, with real files. */
import { mkdirSync, writeFileSync } from 'node:fs'
import { dirname, join } from 'node:path'
import { afterAll } from 'vitest'
import { silentLog } from '../../../src/base/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import {
  findFiles,
  openIngestion,
  openLake,
  targetOf,
  watchFiles,
  type FileOptions,
  type FileOutcome,
  type FileWatcher,
  type Lake,
  type Table,
} from '../../../src/lake/index.ts'
import { openFolderObjects, type Objects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'

export interface Inbox {
  /** The project's folder; files are written below it. */
  readonly folder: string
  readonly lake: Lake
  readonly objects: Objects
  /** Writes a file and answers its path. */
  write(name: string, content: string | Uint8Array): string
  ingest(
    paths: string | readonly string[],
    options?: FileOptions & { readonly into?: string; readonly dryRun?: boolean; readonly signal?: AbortSignal },
  ): Promise<FileOutcome[]>
  /** Ingests one new file with this content. */
  take(
    content: string | Uint8Array,
    options?: FileOptions & { readonly name?: string; readonly into?: string; readonly dryRun?: boolean },
  ): Promise<FileOutcome>
  /** Rows of a SELECT in which `{x}` stands for table x, as JSON. */
  select(sql: string): Promise<unknown[][]>
  /** Columns of a table with their Delta types, without those that every table of files has. */
  columns(table?: string): Promise<Record<string, unknown>>
  watch(table: Table, onIngested?: (outcome: FileOutcome) => void): FileWatcher
}

let files = 0

export async function openInbox(tables: readonly Table[] = [], folder: string = tempFolder()): Promise<Inbox> {
  const objects = await openFolderObjects(join(folder, 'objects'))
  const duck = await openDuck({ tempDirectory: join(folder, 'spill'), threads: 2, memoryLimit: '1GB' })
  afterAll(async () => {
    await duck.close()
    await objects.close()
  })
  const lake = await openLake({ objects, duck, tables, logger: silentLog })
  const place = { duck, temporary: join(folder, 'work'), open: (name: string) => lake.open(name), hold: () => objects.hold() }
  const write = (name: string, content: string | Uint8Array): string => {
    const path = join(folder, name)
    mkdirSync(dirname(path), { recursive: true })
    writeFileSync(path, content)
    return path
  }
  const ingest: Inbox['ingest'] = async (paths, { into = 'bronze.x', dryRun = false, signal, ...options } = {}) => {
    const target = targetOf(into, lake.plan.tables.get(into), options)
    const found = await findFiles(typeof paths === 'string' ? [paths] : paths, {
      objects,
      base: folder,
      project: folder,
      anyName: options.format !== undefined,
    })
    const ingestion = openIngestion(place, { target, dryRun, ...(signal ? { signal } : {}) })
    const outcomes: FileOutcome[] = []
    while (outcomes.length < found.length) outcomes.push(...(await ingestion.takeNext(found.slice(outcomes.length))))
    return outcomes
  }
  return {
    folder,
    lake,
    objects,
    write,
    ingest,
    async take(content, { name = `in/${++files}.csv`, ...options } = {}) {
      const [outcome] = await ingest(write(name, content), options)
      if (!outcome) throw new Error('no outcome')
      return outcome
    },
    async select(sql) {
      const connection = await duck.connect()
      try {
        let text = sql
        for (const [hole, name = ''] of sql.matchAll(/\{([^}]+)\}/g)) {
          const table = lake.open(name)
          const snapshot = await table.snapshot()
          if (!snapshot) throw new Error(`there is no table ${name}`)
          text = text.replace(hole, `(${await table.scan(snapshot)})`)
        }
        return (await connection.runAndReadAll(text)).getRowsJson()
      } finally {
        connection.closeSync()
      }
    },
    async columns(table = 'bronze.x') {
      const snapshot = await lake.open(table).snapshot()
      return Object.fromEntries(
        (snapshot?.metadata.fields ?? []).filter(({ name }) => name !== '_file' && name !== '_ingested_at').map(({ name, type }) => [name, type]),
      )
    },
    watch: (table, onIngested = () => undefined) =>
      watchFiles({ place, objects, tables: [table], folder, logger: silentLog, onIngested: (_, outcome) => onIngested(outcome) }),
  }
}
