/** What the ways in which files are ingested share: where they go, what became of them, and how a table knows them again. */
import type { DuckDBConnection } from '@duckdb/node-api'
import { backoff, LagoaError, systemClock, type Schema } from '../../base/index.ts'
import type { DeltaTable, Duck, Snapshot, Txn } from '../delta/index.ts'
import { duckTypeOf } from '../stage.ts'
import { instant } from './aside.ts'
import type { FileFormat, FileOptions } from './declare.ts'
import type { SourceFile } from './paths.ts'
import type { ReadRequest, Stamp } from './reading.ts'
import type { Column } from './types.ts'

export interface IngestPlace {
  readonly duck: Duck
  /** A folder for work in progress; made when it is needed. */
  readonly temporary: string
  /** A table that need not be declared. */
  open(name: string): DeltaTable
  /** Keeps local copies of remote files until the answer is called. */
  hold(): () => void
}

/** What becomes of files that go into one table. */
export interface Target {
  readonly name: string
  readonly options: FileOptions
  /** The columns that the project promises for it. */
  readonly columns: Schema | null
  readonly partitionBy: readonly string[]
  readonly description: string | undefined
}

export interface FileOutcome {
  readonly file: string
  /** `known`: its content is in the table already. `empty`: no rows in it. `ready`: what a dry run would have added. */
  readonly outcome: 'added' | 'replaced' | 'known' | 'empty' | 'refused' | 'ready'
  readonly bytes: number
  readonly rows: number
  /** Lines kept in the quarantine. */
  readonly bad: number
  /** Rows without any value, left out. */
  readonly blank: number
  readonly version: number | null
  readonly format: FileFormat | null
  readonly columns: readonly Column[]
  readonly renamed: readonly { readonly from: string; readonly to: string }[]
  readonly notes: readonly string[]
  readonly error?: LagoaError
}

export interface Run {
  readonly place: IngestPlace
  readonly target: Target
  readonly table: DeltaTable
  readonly quarantine: DeltaTable
  readonly dryRun: boolean
  readonly signal: AbortSignal | undefined
  /** Names of the files whose rows the table has; read once and then kept up. */
  names: Set<string> | null
}

/** Under this key of a commit's info stands which files it brought: one, or a list of them. */
const FILE_INFO = 'lagoaFile'

/** A file as its commit tells of it. */
export interface Brought {
  readonly file: string
  readonly content: string
  readonly rows: number
  readonly bad: number
}

const appIdOf = (content: string): string => `file/${content}`

/** How often the content was put into the table; null when it never was. */
export const generationOf = (snapshot: Snapshot | null, content: string): number | null => snapshot?.txnVersion(appIdOf(content)) ?? null

export const txnOf = (content: string, generation: number | null): Txn => ({ appId: appIdOf(content), version: (generation ?? 0) + 1 })

export const infoOf = (brought: Brought | readonly Brought[]): Readonly<Record<string, unknown>> => ({ [FILE_INFO]: brought })

/** Names of the files whose rows the table has. */
export async function namesIn(run: Run, snapshot: Snapshot, connection: DuckDBConnection): Promise<ReadonlySet<string>> {
  if (run.names) return run.names
  if (!snapshot.metadata.fields.some(({ name }) => name === '_file')) return new Set()
  const reader = await connection.runAndReadAll(`select distinct _file from (${await run.table.scan(snapshot)}) where _file is not null`)
  run.names = new Set(reader.getRows().map(([name]) => String(name)))
  return run.names
}

/** Commits that are looked through for what a file's rows were last made from. */
const HISTORY = 1000

/** The content was in the table under this name, and then other content took its place. */
export async function wasReplaced(table: DeltaTable, file: string, content: string): Promise<boolean> {
  for (const { info } of await table.history(HISTORY)) {
    const told = info[FILE_INFO]
    for (const brought of Array.isArray(told) ? told : [told]) {
      if (typeof brought === 'object' && brought !== null && 'file' in brought && brought.file === file)
        return 'content' in brought && brought.content !== content
    }
  }
  return false
}

export const nothing = (file: SourceFile): Omit<FileOutcome, 'outcome'> => ({
  file: file.name,
  bytes: file.size,
  rows: 0,
  bad: 0,
  blank: 0,
  version: null,
  format: null,
  columns: [],
  renamed: [],
  notes: [],
})

/** Lost races with other writers of the table before a file is given up for now. */
const ATTEMPTS = 20

/** Does it again when another writer of the table was faster. */
export async function racing<T>(signal: AbortSignal | undefined, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      const lost = error instanceof LagoaError && (error.code === 'lake.commit_conflict' || error.code === 'lake.table_exists')
      if (!lost || attempt >= ATTEMPTS) throw error
      await systemClock.sleep(backoff(attempt, 20, 1000), signal)
    }
  }
}

/** What a reading for this run is asked for, whatever the file. */
export function requestOf(
  { target, signal }: Run,
  connection: DuckDBConnection,
): Pick<ReadRequest, 'connection' | 'options' | 'asked' | 'mayEvolve' | 'signal'> {
  const { options } = target
  return {
    connection,
    options,
    asked: new Map(Object.entries(options.types ?? {}).map(([name, field]) => [name, duckTypeOf(field)])),
    mayEvolve: (options.schema ?? (target.columns === null ? 'evolve' : 'freeze')) === 'evolve',
    signal,
  }
}

/** `file` is SQL for the name of the row's file. */
export const stampOf = (file: string, at: number): Stamp => ({ _file: file, _ingested_at: instant(at) })
