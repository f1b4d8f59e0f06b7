/** A lake in a temporary folder: real files, a real DuckDB. */
import { join } from 'node:path'
import type { DuckDBConnection } from '@duckdb/node-api'
import { afterAll } from 'vitest'
import { openTable, type DeltaField, type DeltaTable, type DeltaType, type Duck, type Place, type Relation, type Snapshot } from '../../src/lake/delta/index.ts'
import { openDuck } from '../../src/lake/duck.ts'
import { openFolderObjects, type Objects } from '../../src/storage/index.ts'
import { tempFolder } from './folder.ts'

export interface Lake {
  readonly folder: string
  readonly place: Place
  readonly objects: Objects
  readonly connection: DuckDBConnection
  /** A handle with its own cache, as another process would have. */
  table(root?: string): DeltaTable
  /** One that leaves the files of every checkpoint where they are, as it would those of a very large one. */
  large(root: string): DeltaTable
  rows(sql: string): Promise<unknown[][]>
  /** The rows of the newest version, or of a snapshot, in order. */
  content(table: DeltaTable, select?: string, snapshot?: Snapshot): Promise<unknown[][]>
  select(sql: string): Relation
  /** The paths of the objects below a prefix. */
  paths(prefix: string): Promise<string[]>
}

export async function openLake(open: (folder: string) => Promise<Objects> = openFolderObjects): Promise<Lake> {
  const folder = tempFolder()
  const objects = await open(join(folder, 'objects'))
  const duck = await openDuck({ tempDirectory: join(folder, 'spill'), threads: 2 })
  const connection = await duck.connect()
  afterAll(async () => {
    connection.closeSync()
    await duck.close()
    await objects.close()
  })
  const place: Place = { objects, duck }
  const rows = async (sql: string): Promise<unknown[][]> => (await connection.runAndReadAll(sql)).getRowsJson()
  return {
    folder: join(folder, 'objects'),
    place,
    objects,
    connection,
    table: (root = 'silver/readings') => settled(place.duck, openTable(place, root)),
    large: (root) => settled(place.duck, openTable({ ...place, filesInMemory: -1 }, root)),
    rows,
    content: async (table, select = '*', snapshot) => {
      const at = snapshot ?? (await table.snapshot())
      return at === null ? [] : rows(`select ${select} from (${await table.scan(at)}) order by all`)
    },
    select: (sql) => ({ connection, sql }),
    paths: async (prefix) => {
      const found: string[] = []
      for await (const { path } of objects.list(prefix)) found.push(path)
      return found
    },
  }
}

/** Waits behind each command for what it left to be done in the background, so that a test can look at it. */
function settled(duck: Duck, table: DeltaTable): DeltaTable {
  return new Proxy(table, {
    get(target, name, receiver): unknown {
      const member: unknown = Reflect.get(target, name, receiver)
      if (typeof member !== 'function') return member
      return (...given: unknown[]): unknown => {
        const answer: unknown = Reflect.apply(member, target, given)
        return answer instanceof Promise ? answer.finally(() => duck.idle()) : answer
      }
    },
  })
}

export function field(name: string, type: DeltaType, nullable: boolean = true): DeltaField {
  return { name, type, nullable, metadata: {} }
}

export const text = (value: string): Uint8Array => new TextEncoder().encode(value)
export const untext = (bytes: Uint8Array | null): string => new TextDecoder().decode(bytes ?? new Uint8Array())
export const lines = (...actions: unknown[]): Uint8Array => text(actions.map((action) => JSON.stringify(action)).join('\n') + '\n')
export const commitFile = (root: string, version: number): string => `${root}/_delta_log/${String(version).padStart(20, '0')}.json`
export const checksumFile = (root: string, version: number): string => `${root}/_delta_log/${String(version).padStart(20, '0')}.crc`
export const checkpointFile = (root: string, version: number): string => `${root}/_delta_log/${String(version).padStart(20, '0')}.checkpoint.parquet`
