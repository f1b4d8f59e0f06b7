/** A project's lake in a temporary folder, with streams that are fed by hand and crashes where they are wanted. */
import { join } from 'node:path'
import { afterAll } from 'vitest'
import { emptyRows, silentLog, systemClock, t, type Rows, type Schema } from '../../../src/base/index.ts'
import type { StreamRef, Table } from '../../../src/lake/declare.ts'
import type { DeltaTable } from '../../../src/lake/delta/index.ts'
import { openLake, type AppendBatch, type Lake, type PythonRunner, type ReplayResult } from '../../../src/lake/index.ts'
import { openDuck } from '../../../src/lake/duck.ts'
import { replayModel } from '../../../src/lake/replay.ts'
import { refreshModel, type RefreshResult } from '../../../src/lake/refresh.ts'
import { openFolderObjects, type Objects } from '../../../src/storage/index.ts'
import { tempFolder } from '../../helpers/folder.ts'

export interface Place {
  readonly folder: string
  readonly objects: Objects
  /** A lake of these tables in this place: opening it again with others is what reloading a project does. */
  open(...tables: Table[]): Promise<Project>
}

export interface Project extends Lake {
  /** Rows of a SELECT over the tables' newest versions, as JSON. */
  select(sql: string): Promise<unknown[][]>
  feed(table: Table, records: readonly Reading[], partition?: number): Promise<void>
  /** Refreshes a model while its commits crash as `crash` says. */
  refreshCrashing(name: string, crash: Crash): Promise<RefreshResult>
  replayCrashing(name: string, crash: Crash): Promise<ReplayResult>
}

/** Called before and after each commit of a refresh; throwing is the crash. */
export type Crash = (moment: 'before' | 'after', table: string) => void

export interface Reading {
  readonly id: string | null
  /** Minutes since the beginning of 2024, UTC. */
  readonly minute: number | null
  readonly value: number | null
}

export const readings: StreamRef<typeof READING> = {
  kind: 'stream',
  name: 'readings',
  get schema() {
    return READING
  },
}
export const READING = { id: t.string().nullable(), at: t.timestamp().nullable(), value: t.double().nullable() } satisfies Schema
export const START = Date.UTC(2024, 0, 1)

export interface PlaceOptions {
  /** The time; the real one by default. */
  readonly now?: () => number
  readonly python?: PythonRunner
  readonly readScript?: (file: string) => Promise<string>
}

export async function openPlace({ now, ...options }: PlaceOptions = {}): Promise<Place> {
  const clock = now ? { ...systemClock, now } : systemClock
  const folder = tempFolder()
  const objects = await openFolderObjects(join(folder, 'objects'))
  const duck = await openDuck({ tempDirectory: join(folder, 'spill'), threads: 2 })
  afterAll(async () => {
    await duck.close()
    await objects.close()
  })
  const next = new Map<string, number>()
  return {
    folder: join(folder, 'objects'),
    objects,
    async open(...tables) {
      const lake = await openLake({ objects, duck, tables, logger: silentLog, clock, temporaryFolder: folder, ...options })
      const crashingContext = (crash: Crash) => ({ duck, clock, table: (table: string) => crashing(lake.table(table), (moment) => crash(moment, table)) })
      return {
        ...lake,
        async select(sql) {
          const connection = await duck.connect()
          try {
            let text = sql
            for (const name of await lake.names()) {
              if (!new RegExp(`\\b${name.replace('.', '\\.')}\\b`).test(text)) continue
              const snapshot = await lake.table(name).snapshot()
              text = text.replaceAll(
                new RegExp(`\\b${name.replace('.', '\\.')}\\b`, 'g'),
                snapshot ? `(${await lake.table(name).scan(snapshot)})` : '(select 1 where false)',
              )
            }
            return (await connection.runAndReadAll(text)).getRowsJson()
          } finally {
            connection.closeSync()
          }
        },
        async feed(table, records, partition = 0) {
          const key = `${table.name}/${partition}`
          const from = next.get(key) ?? (await lake.appender(table).position(partition)) ?? 0
          await lake.appender(table).append(partition, from + records.length, [batchOf(rowsOf(records), from)])
          next.set(key, from + records.length)
        },
        async replayCrashing(name, crash) {
          return replayModel(
            crashingContext(crash),
            lake.plan.models.find((one) => one.name === name)!,
          )
        },
        async refreshCrashing(name, crash) {
          const model = lake.plan.models.find((one) => one.name === name)!
          return refreshModel({ ...crashingContext(crash), logger: silentLog, python: null, temporaryFolder: folder }, model)
        },
      }
    },
  }
}

function crashing(table: DeltaTable, crash: (moment: 'before' | 'after') => void): DeltaTable {
  const around = async <T>(commit: () => Promise<T>): Promise<T> => {
    crash('before')
    const result = await commit()
    crash('after')
    return result
  }
  return {
    ...table,
    create: (...args) => around(() => table.create(...args)),
    append: (...args) => around(() => table.append(...args)),
    overwrite: (...args) => around(() => table.overwrite(...args)),
    merge: (...args) => around(() => table.merge(...args)),
    evolve: (...args) => around(() => table.evolve(...args)),
  }
}

export function rowsOf(records: readonly Reading[]): Rows {
  const rows = emptyRows(READING, records.length)
  const [id, at, value] = rows.columns
  records.forEach((record, row) => {
    if (id?.kind === 'text') id.values[row] = record.id
    if (at?.kind === 'number' && record.minute !== null) {
      at.values[row] = START + record.minute * 60_000
      at.valid[row] = 1
    }
    if (value?.kind === 'number' && record.value !== null) {
      value.values[row] = record.value
      value.valid[row] = 1
    }
  })
  return rows
}

export function batchOf(rows: Rows, from: number): AppendBatch {
  return { rows, offsets: Float64Array.from({ length: rows.count }, (_, i) => from + i), appendedAt: START }
}
