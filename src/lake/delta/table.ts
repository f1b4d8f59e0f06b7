/** A Delta table at a path: the door to everything this package does with it. */
import { invalid } from '../../base/index.ts'
import { alter } from './alter.ts'
import { append, overwrite } from './append.ts'
import { changeFeed } from './change-feed.ts'
import { changedFiles } from './changes.ts'
import { compactLog } from './compact.ts'
import { evolve } from './evolve.ts'
import { shallowClone } from './clone.ts'
import { convert } from './convert.ts'
import { deleteRows } from './delete.ts'
import { describe } from './describe.ts'
import { difference, type Rooted } from './difference.ts'
import { graft } from './graft.ts'
import { openHead, versionAt } from './head.ts'
import { readHistory } from './history.ts'
import { merge } from './merge.ts'
import { create, type Table } from './operations.ts'
import { optimize } from './optimize.ts'
import { keepVersion, pin, pinsOf, unpin } from './pins.ts'
import { ANY } from './prune.ts'
import type { TableState } from './replay.ts'
import { restore } from './restore.ts'
import { localFiles, predicateTest, pruneFiles, scanSql } from './scan.ts'
import { update } from './update.ts'
import { vacuum } from './vacuum.ts'
import type { AtVersion, DeltaTable, Metadata, Place, Protocol, Snapshot } from './types.ts'

/** `root` is `bucket/key` of the table's folder. Nothing is read until the first call. */
export function openTable(place: Place, root: string): DeltaTable {
  const table: Table = { place, root, head: openHead(place, root) }
  /** Local files stay until the work that uses them is done. */
  const holding = async <T>(work: () => Promise<T>): Promise<T> => {
    const release = place.objects.hold()
    try {
      return await work()
    } finally {
      release()
    }
  }
  return {
    root,
    snapshot: (at) => holding(() => snapshot(table, at)),
    create: (options, commit = {}) => holding(() => create(table, options, commit)),
    append: (input, commit = {}) => holding(() => append(table, input, commit)),
    overwrite: (input, options = {}) => holding(() => overwrite(table, input, options)),
    delete: (where, commit = {}) => holding(() => deleteRows(table, where, commit)),
    update: (options) => holding(() => update(table, options)),
    merge: (input, options) => holding(() => merge(table, input, options)),
    evolve: (fields, commit = {}) => holding(() => evolve(table, fields, commit)),
    alter: (change, commit = {}) => holding(() => alter(table, change, commit)),
    optimize: (options = {}) => holding(() => optimize(table, options)),
    history: (limit = 100) => holding(() => readHistory(table, limit)),
    restore: (to, commit = {}) => holding(() => restore(table, to, commit)),
    shallowClone: (target, options = {}) => holding(() => shallowClone(table, target, options)),
    convert: (options = {}) => convert(table, options),
    vacuum: (options = {}) => holding(() => vacuum(table, options)),
    pin: (wanted, signal) => pin(table, wanted, signal),
    unpin: (id) => unpin(table, id),
    pins: () => pinsOf(place, root),
    keep: (of) => keepVersion(place.objects, root, own(root, of).version),
    difference: (before, after) => difference(place, rooted(before), rooted(after)),
    graft: (base, tip, commit = {}) => holding(() => graft(table, own(root, base).state, rooted(tip), commit)),
    compactLog: (range = {}) => compactLog(table, range),
    describe: () => holding(() => describe(table)),
    scan: async (of, options = {}) => {
      const { state } = own(root, of)
      const test = options.where === undefined ? ANY : await testOf(place, state, options.where)
      return scanSql(state, await localFiles(place, root, state, await pruneFiles(state, test)))
    },
    changes: async (after, upTo) => {
      const { state } = own(root, upTo)
      const { rows, gone, appendOnly } = await changedFiles(place, root, after, state)
      const count = rows.reduce((sum, row) => sum + state.files.rowsAt(row), 0)
      const read = async (files: readonly number[]): Promise<string> => scanSql(state, await localFiles(place, root, state, await state.files.adds(files)))
      return { sql: await read(rows), appendOnly, files: rows.length, rows: count, gone: () => read(gone) }
    },
    changeFeed: (from, to) => holding(() => changeFeed(table, from, to)),
  }
}

async function snapshot(table: Table, at: AtVersion | undefined): Promise<Snapshot | null> {
  const state = at === undefined ? await table.head.refresh() : await earlier(table, at)
  return state && new TableSnapshot(table.root, state)
}

async function earlier(table: Table, at: AtVersion): Promise<TableState | null> {
  // The refresh notices when the table was made anew. What is damaged in newer versions is no reason to refuse an older one.
  const newest = await table.head.refresh().catch(() => null)
  const version = 'version' in at ? at.version : await versionAt(table.place, table.root, at.timestamp, newest)
  return version === null ? null : table.head.at(version)
}

async function testOf(place: Place, state: TableState, where: string): ReturnType<typeof predicateTest> {
  const connection = await place.duck.connect()
  try {
    return await predicateTest(connection, state, where)
  } finally {
    connection.closeSync()
  }
}

class TableSnapshot implements Snapshot {
  readonly root: string
  readonly state: TableState

  constructor(root: string, state: TableState) {
    this.root = root
    this.state = state
  }

  get version(): number {
    return this.state.version
  }
  get timestamp(): number {
    return this.state.timestamp
  }
  get protocol(): Protocol {
    return this.state.protocol
  }
  get metadata(): Metadata {
    return this.state.metadata
  }
  get fileCount(): number {
    return this.state.fileCount
  }
  get bytes(): number {
    return this.state.bytes
  }
  get rowCount(): number | null {
    return this.state.filesWithoutRows > 0 ? null : this.state.knownRows
  }
  txnVersion(appId: string): number | null {
    return this.state.transactions.get(appId)?.version ?? null
  }
}

function rooted(of: Snapshot): Rooted {
  if (of instanceof TableSnapshot) return of
  throw invalid('lake.foreign_snapshot', 'That snapshot was not made here', { hint: 'Pass what snapshot() of a table answered.' })
}

function own(root: string, of: Snapshot): TableSnapshot {
  if (of instanceof TableSnapshot && of.root === root) return of
  throw invalid('lake.foreign_snapshot', `That snapshot is not one of ${root}`, { hint: 'Pass what snapshot() of the same table answered.' })
}
