/**
 * What a table's writes share: deciding on a fresh state, writing data files, committing, and what follows a commit.
 */
import { LagoaError, conflict, missing } from '../../base/index.ts'
import type { AddFile, ChangeFile, DomainMetadata, RemoveFile, Transaction } from './actions.ts'
import { OUTCOME_UNKNOWN, commit, txnsOf, type Attempt } from './commit.ts'
import { isolationOf, type Intent } from './conflicts.ts'
import { declaredNew } from './declaration.ts'
import { removalOf, rowsIn } from './files.ts'
import type { Head } from './head.ts'
import { pathKey } from './paths.ts'
import type { TableState } from './replay.ts'
import { inputFields, matchColumns, type InputColumn } from './schema.ts'
import type { CommitOptions, CommitResult, CreateOptions, Metadata, Place, Protocol, Relation } from './types.ts'
import { afterCommit } from './upkeep.ts'
import { writeError, type Written } from './write.ts'

/** A table as its operations know it. */
export interface Table {
  readonly place: Place
  readonly root: string
  readonly head: Head
}

export async function existing(table: Table): Promise<TableState> {
  const state = await table.head.refresh()
  if (state === null) throw missing('lake.table_missing', `There is no table at ${table.root}`, { hint: 'Create it first, or check the spelling of its path.' })
  return state
}

/** The answer for a write that an earlier commit already made, or null when it has to be done. */
export function alreadyDone(state: TableState, options: CommitOptions): CommitResult | null {
  const txns = txnsOf(options)
  const done = txns.filter(({ appId, version }) => {
    const known = state.transactions.get(appId)
    return known !== undefined && known.version >= version
  })
  if (done.length === 0) return null
  if (done.length === txns.length) return skipped(state.version)
  throw conflict('lake.commit_conflict', `The write was not made: the table has ${done.length} of the ${txns.length} applications' versions that it brings`, {
    hint: 'Run it again without what is there already.',
  })
}

export function skipped(version: number): CommitResult {
  return { version, skipped: true, filesAdded: 0, filesRemoved: 0, rowsAdded: 0, metrics: {} }
}

function transactionsOf(options: CommitOptions): Transaction[] {
  return txnsOf(options).map(({ appId, version }) => ({ appId, version, lastUpdated: Date.now() }))
}

/** The input's columns lined up with the table's. */
export async function alignInput(root: string, metadata: Metadata, input: Relation): Promise<InputColumn[]> {
  try {
    return matchColumns(root, metadata.fields, await inputFields(input, metadata.fields))
  } catch (error) {
    throw writeError(root, error)
  }
}

/** What a write decided and wrote, ready to be committed. */
export interface Decision {
  readonly state: TableState
  readonly operation: string
  readonly parameters: Readonly<Record<string, unknown>>
  readonly metrics: Readonly<Record<string, number>>
  readonly written: readonly Written[]
  readonly removed: readonly AddFile[]
  readonly metadata?: Metadata
  readonly protocol?: Protocol
  readonly domains?: readonly DomainMetadata[]
  /** Change data files that this write made. */
  readonly changes?: readonly ChangeFile[]
  /** Whether a file that another writer adds meanwhile would have been read. */
  readonly reads: (file: AddFile) => boolean
  /** Files whose rows were read. */
  readonly readFiles: readonly AddFile[]
  readonly blindAppend: boolean
  readonly rowsAdded: number
  /** The same rows in other files; followers of the table need not look. */
  readonly rearranges?: boolean
}

export async function finish(table: Table, decision: Decision, options: CommitOptions): Promise<CommitResult> {
  const { state } = decision
  const now = Date.now()
  const dataChange = decision.rearranges !== true
  const adds = decision.written.flatMap((written) => written.adds.map((add) => ({ ...add, dataChange })))
  const removes: RemoveFile[] = decision.removed.map((file) => removalOf(file, now, dataChange))
  const pathsOf = (files: readonly AddFile[]): Set<string> => new Set(files.map(({ path }) => pathKey(path)))
  const attempt: Attempt = {
    readVersion: state.version,
    state,
    content: {
      transactions: transactionsOf(options),
      adds,
      removes,
      ...(decision.metadata ? { metadata: decision.metadata } : {}),
      ...(decision.protocol ? { protocol: decision.protocol } : {}),
      changes: decision.changes ?? [],
      domains: decision.domains ?? [],
    },
    intent: {
      reads: decision.reads,
      readPaths: pathsOf(decision.readFiles),
      removedPaths: pathsOf(decision.removed),
      appIds: new Set(txnsOf(options).map(({ appId }) => appId)),
      domains: new Set((decision.domains ?? []).map(({ domain }) => domain)),
      isolation: !dataChange ? 'SnapshotIsolation' : decision.metadata || decision.protocol ? 'Serializable' : isolationOf(state.metadata),
    },
    operation: decision.operation,
    parameters: decision.parameters,
    metrics: decision.metrics,
    blindAppend: decision.blindAppend,
  }
  const outcome = await keepingOnlyCommitted(decision.written, () => commit(table.place, table.root, attempt, options))
  if (outcome.kind === 'overtaken') {
    await discardAll(decision.written)
    return skipped(outcome.version)
  }
  afterCommit(table, outcome.version)
  return {
    version: outcome.version,
    skipped: false,
    filesAdded: adds.length,
    filesRemoved: removes.length,
    rowsAdded: decision.rowsAdded,
    metrics: decision.metrics,
  }
}

/** Runs what may fail after data files were written; when it does, the files go, unless a commit may name them. */
export async function keepingOnlyCommitted<T>(written: readonly Written[], work: () => Promise<T>): Promise<T> {
  try {
    return await work()
  } catch (error) {
    if (!(error instanceof LagoaError && error.code === OUTCOME_UNKNOWN)) await discardAll(written)
    throw error
  }
}

async function discardAll(written: readonly Written[]): Promise<void> {
  for (const one of written) await one.discard()
}

export async function create(table: Table, options: CreateOptions, commitOptions: CommitOptions): Promise<CommitResult> {
  const { protocol, metadata } = declaredNew(table.root, options)
  return makeTable(
    table,
    {
      content: { protocol, metadata, transactions: transactionsOf(commitOptions), adds: [], removes: [] },
      operation: 'CREATE TABLE',
      parameters: { isManaged: 'false', description: options.description ?? null, partitionBy: metadata.partitionColumns, properties: metadata.configuration },
      metrics: {},
      blindAppend: true,
    },
    commitOptions,
  )
}

/** The first commit of a table; a place that has one already is refused. */
export async function makeTable(table: Table, first: Omit<Attempt, 'readVersion' | 'intent'>, options: CommitOptions): Promise<CommitResult> {
  const { place, root, head } = table
  const exists = (): LagoaError =>
    conflict('lake.table_exists', `There already is a table at ${root}`, { hint: 'Append to it, overwrite it, or choose another name.' })
  if ((await head.refresh()) !== null) throw exists()
  const intent: Intent = { reads: () => true, readPaths: new Set(), removedPaths: new Set(), appIds: new Set(), domains: new Set(), isolation: 'Serializable' }
  try {
    await commit(place, root, { ...first, readVersion: -1, intent }, options)
  } catch (error) {
    throw error instanceof LagoaError && error.code === 'lake.commit_conflict' ? exists() : error
  }
  afterCommit(table, 0)
  const { adds } = first.content
  const rowsAdded = adds.reduce((sum, file) => sum + (rowsIn(file) || 0), 0)
  return { version: 0, skipped: false, filesAdded: adds.length, filesRemoved: 0, rowsAdded, metrics: first.metrics }
}
