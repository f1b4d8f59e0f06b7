/**
 * One refresh of one model: make its rows from what changed, judge them by the table's expectations, commit the good ones and
 * hold the bad ones. Each commit carries the input version that it covers (Delta `txn`), so a refresh that is repeated after a
 * crash adds nothing twice.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, newId, type Clock, type Log } from '../base/index.ts'
import { quarantineName } from './declare.ts'
import {
  fieldsOfRelation,
  type Changes,
  type CommitOptions,
  type CreateOptions,
  type DeltaTable,
  type Duck,
  type Relation,
  type Snapshot,
} from './delta/index.ts'
import { DRIFT_INFO, driftOf, refuseFrozen } from './drift.ts'
import { hold, type HeldScope } from './held.ts'
import { interruptible } from './interrupt.ts'
import { judge, type CheckResults, type Offer, type Verdict } from './judge.ts'
import type { Model } from './model.ts'
import { planRefresh, type RefreshPlan } from './plan.ts'
import { produce } from './produce.ts'
import { GENERATION, inputVersion, progressOf, refreshId, type Settings } from './progress.ts'
import type { PythonRunner } from './python.ts'
import { finishReplay } from './replay.ts'
import { quoteName } from './sql.ts'
import { deltaFieldsOf } from './stage.ts'
import { spansAround, touchedWindows } from './windows.ts'

export interface RefreshContext {
  readonly duck: Duck
  readonly logger: Log
  readonly clock: Clock
  /** Runs Python models; without it their refreshes fail and say so. */
  readonly python: PythonRunner | null
  /** A folder for what is passed to Python. */
  readonly temporaryFolder: string
  table(name: string): DeltaTable
}

export interface RefreshResult {
  readonly table: string
  readonly outcome: 'nothing' | 'rebuilt' | 'changed'
  readonly version: number | null
  readonly rows: number
  readonly held: number
  readonly checks: CheckResults
  readonly ms: number
}

export interface RefreshOptions {
  readonly signal?: AbortSignal
  /** All rows anew and judged by today's expectations, though nothing changed. */
  readonly rebuild?: boolean
}

/** Under this key of a commit's info stand the results of the checks on its rows. */
export const CHECKS_INFO = 'lagoaChecks'

export async function refreshModel(context: RefreshContext, model: Model, { signal, rebuild: anew = false }: RefreshOptions = {}): Promise<RefreshResult> {
  const began = performance.now()
  const result = (done: Partial<RefreshResult>): RefreshResult => ({
    table: model.name,
    outcome: 'nothing',
    version: null,
    rows: 0,
    held: 0,
    checks: {},
    ...done,
    ms: performance.now() - began,
  })
  const snapshots = new Map<string, Snapshot>()
  for (const input of model.inputs) {
    const snapshot = await context.table(input).snapshot()
    if (!snapshot) return result({})
    snapshots.set(input, snapshot)
  }
  const target = context.table(model.name)
  const quarantine = context.table(quarantineName(model.name))
  // A vacuum of this process leaves the files alone that are read here.
  const kept = [...snapshots].map(([input, snapshot]) => context.table(input).keep(snapshot))
  const connection = await context.duck.connect()
  try {
    await finishReplay(connection, model, target, quarantine, signal)
    const [before, held] = [await target.snapshot(), await quarantine.snapshot()]
    const progress = progressOf(model, snapshots, before, held)
    const plan = planRefresh(model.mode.kind, {
      input: inputVersion(model, snapshots),
      covered: progress.covered,
      current: progress.current && !anew,
    })
    if (plan.kind === 'nothing') return result({ version: before?.version ?? null })
    const run: Run = { context, model, snapshots, connection, target, before, quarantine, held, made: progress.made, signal }
    const done = await carryOut(run, plan, progress.generation)
    return result(done ?? { version: before?.version ?? null })
  } finally {
    connection.closeSync()
    for (const release of kept) release()
  }
}

interface Run {
  readonly context: RefreshContext
  readonly model: Model
  readonly snapshots: ReadonlyMap<string, Snapshot>
  readonly connection: DuckDBConnection
  readonly target: DeltaTable
  readonly before: Snapshot | null
  readonly quarantine: DeltaTable
  /** The quarantine as it is; null when nothing was ever held. */
  readonly held: Snapshot | null
  readonly made: Settings
  readonly signal: AbortSignal | undefined
}

type Done = Pick<RefreshResult, 'outcome' | 'version' | 'rows' | 'held' | 'checks'>
type Inputs = ReadonlyMap<string, string>

/** Null when nothing had to be done after all. */
async function carryOut(run: Run, plan: Exclude<RefreshPlan, { kind: 'nothing' }>, generation: string | undefined): Promise<Done | null> {
  const { model, snapshots, context } = run
  const inputs = new Map<string, string>()
  for (const [name, snapshot] of snapshots) inputs.set(name, await context.table(name).scan(snapshot))
  const kept = plan.kind === 'rebuild' && plan.anew ? undefined : generation
  const all = (): Promise<Done> => rebuild(run, inputs, plan.upTo, kept ?? newId())
  if (plan.kind === 'rebuild' || generation === undefined || model.mode.kind === 'full') return all()
  const changes = await changesOf(run, model.mode.driver, plan.after)
  if (changes === null) return all()
  if (changes.files === 0 && changes.appendOnly) return null
  const step: Step = { run, inputs, changes, after: plan.after, upTo: plan.upTo, generation }
  return (model.mode.kind === 'merge' ? await mergeChanges(step, model.mode) : await replaceWindows(step, model.mode)) ?? all()
}

/** Null when the commits or files that would tell are gone. */
async function changesOf({ context, snapshots }: Run, driver: string, after: number): Promise<Changes | null> {
  const upTo = snapshots.get(driver)
  if (!upTo) return null
  try {
    return await context.table(driver).changes(after, upTo)
  } catch (error) {
    if (error instanceof LagoaError && (error.code === 'lake.changes_gone' || error.code === 'lake.data_file_missing')) return null
    throw error
  }
}

const rowsOf = <T>(run: Run, inputs: Inputs, body: (rows: string) => Promise<T>): Promise<T> =>
  produce({ ...run.context, connection: run.connection, signal: run.signal }, run.model, inputs, body)

async function rebuild(run: Run, inputs: Inputs, upTo: number, generation: string): Promise<Done> {
  const { model, connection, before } = run
  const keys = keysOf(model)
  return rowsOf(run, inputs, async (rows) =>
    judged(run, { rows, upTo, keys, rest: null }, async (verdict) => {
      const configuration = { ...run.made, [GENERATION]: generation }
      const { columns, partitionBy, description } = model.table.options
      const as: CreateOptions = {
        fields: columns ? deltaFieldsOf(columns) : await fieldsOfRelation(verdict.good),
        ...(partitionBy ? { partitionBy } : {}),
        ...(description === undefined ? {} : { description }),
        configuration,
      }
      const drift =
        before === null || before.metadata.configuration[GENERATION] === undefined
          ? null
          : await driftOf(connection, before.metadata.fields, as.fields, verdict.good.sql)
      if (drift && model.table.options.schema === 'freeze') throw await refuseFrozen(model.name, run.target, drift, 'its new rows', connection)
      await holdRows(run, verdict, 'all', configuration)
      if (!before) await run.target.create({ ...as, configuration: {} })
      const { version, rowsAdded } = await run.target.overwrite(keys ? newestPerKey(verdict.good, keys) : verdict.good, {
        ...commitOf(run, upTo, generation, verdict, drift ? { [DRIFT_INFO]: drift } : {}),
        as,
      })
      return { outcome: 'rebuilt', version, rows: rowsAdded }
    }),
  )
}

const keysOf = ({ mode }: Model): readonly string[] | null => (mode.kind === 'merge' ? mode.keys : null)

interface Step {
  readonly run: Run
  readonly inputs: Inputs
  readonly changes: Changes
  readonly after: number
  readonly upTo: number
  readonly generation: string
}

/** Null when merging would not give what a rebuild gives. */
async function mergeChanges(
  { run, inputs, changes, after, upTo, generation }: Step,
  { driver, keys }: Extract<Model['mode'], { kind: 'merge' }>,
): Promise<Done | null> {
  const { connection, target, before } = run
  const list = keys.map(quoteName).join(', ')
  const lost = 'lagoa_lost_keys'
  if (!changes.appendOnly) {
    // Held rows of a rewritten file would be held twice.
    if (holdsRows(run)) return null
    await rowsOf(run, new Map(inputs).set(driver, await changes.gone()), async (rows) => {
      await connection.run(`create or replace temp table ${lost} as select distinct ${list} from (${rows}\n)`)
    })
  }
  return rowsOf(run, new Map(inputs).set(driver, changes.sql), async (rows) => {
    if (!(await fits(run, rows))) return null
    if (!changes.appendOnly) {
      // A key whose rows all went away cannot be merged away.
      const reader = await connection.runAndReadAll(`select 1 from (select ${list} from temp.${lost} except select ${list} from (${rows}\n)) limit 1`)
      await connection.run(`drop table ${lost}`)
      if (reader.currentRowCount > 0) return null
    }
    const rest = before ? () => target.scan(before) : null
    return judged(run, { rows, upTo, keys, rest }, async (verdict) => {
      await holdRows(run, verdict, { after, upTo, keys })
      const { version, rowsAdded } = await target.merge(verdict.good, { ...commitOf(run, upTo, generation, verdict), keys, duplicates: 'last' })
      return { outcome: 'changed', version, rows: rowsAdded }
    })
  })
}

/** Null when the windows cannot be told or are too many. */
async function replaceWindows({ run, inputs, changes, upTo, generation }: Step, mode: Extract<Model['mode'], { kind: 'window' }>): Promise<Done | null> {
  const { model, connection, context, snapshots, target, before } = run
  const driver = snapshots.get(mode.driver)
  if (!driver || !before) return null
  const moved = changes.appendOnly ? changes.sql : `${changes.sql}\nunion all ${await changes.gone()}`
  const touched =
    model.maker.kind === 'sql'
      ? await touchedWindows(connection, model, mode, new Map(inputs).set(mode.driver, moved))
      : await spansAround(connection, mode, moved)
  if (touched === null) return null
  const pruned = new Map(inputs).set(
    mode.driver,
    `select * from (${await context.table(mode.driver).scan(driver, { where: touched.near })}) where ${touched.near}`,
  )
  return rowsOf(run, pruned, async (rows) => {
    if (!(await fits(run, rows))) return null
    const rest = async (): Promise<string> => `select * from (${await target.scan(before)}) where (${touched.where}) is not true`
    return judged(run, { rows: `select * from (${rows}\n) where ${touched.where}`, upTo, keys: null, rest }, async (verdict) => {
      await holdRows(run, verdict, { where: touched.where })
      const { version, rowsAdded } = await target.overwrite(verdict.good, { ...commitOf(run, upTo, generation, verdict), where: touched.where })
      return { outcome: 'changed', version, rows: rowsAdded }
    })
  })
}

/** Whether the rows have the columns of the table: `select *` follows an input whose schema moved on. */
async function fits({ before, connection, model }: Run, rows: string): Promise<boolean> {
  if (model.table.options.columns) return true
  const signature = (fields: CreateOptions['fields']): string => JSON.stringify(fields.map(({ name, type }) => [name, type]))
  return before !== null && signature(await fieldsOfRelation({ connection, sql: rows })) === signature(before.metadata.fields)
}

/** Rows are held back, or were once and may have been superseded now. */
const holdsRows = ({ model, held }: Run): boolean => held !== null || model.expectations.some(({ severity }) => severity === 'quarantine')

/** Stages and judges the rows when the table expects something of them, then stores them. */
async function judged(
  run: Run,
  { rows, upTo, keys, rest }: Pick<Offer, 'keys' | 'rest'> & { readonly rows: string; readonly upTo: number },
  store: (verdict: Verdict) => Promise<Pick<Done, 'outcome' | 'version' | 'rows'>>,
): Promise<Done> {
  const { connection, model, signal, context } = run
  if (model.expectations.length === 0 && run.held === null) {
    const good = { connection, sql: rows }
    const none = { connection, sql: `select * from (${rows}\n) limit 0` }
    return { ...(await store({ checks: {}, good, bad: none, reasons: none, held: 0 })), checks: {}, held: 0 }
  }
  await interruptible(connection, signal, () => connection.run(`create or replace temp table lagoa_rows as ${rows}`))
  try {
    const verdict = await judge(model, { connection, table: 'temp.lagoa_rows', keys, rest, version: upTo, now: context.clock.now() })
    return { ...(await store(verdict)), checks: verdict.checks, held: verdict.held }
  } finally {
    await connection.run('drop table if exists temp.lagoa_rows')
    await connection.run('drop table if exists temp.lagoa_rows_breaks')
  }
}

async function holdRows({ quarantine, model, before, held, signal }: Run, verdict: Verdict, scope: HeldScope, configuration?: Settings): Promise<void> {
  await hold({
    quarantine,
    before: held,
    table: model.name,
    verdict,
    scope,
    configuration: configuration ?? before?.metadata.configuration ?? {},
    commit: signal ? { signal } : {},
  })
}

function commitOf({ model, signal }: Run, upTo: number, generation: string, { checks }: Verdict, more: Readonly<Record<string, unknown>> = {}): CommitOptions {
  const info = { ...more, ...(Object.keys(checks).length > 0 ? { [CHECKS_INFO]: checks } : {}) }
  return {
    txn: { appId: refreshId(model.name, generation), version: upTo },
    ...(Object.keys(info).length > 0 ? { info } : {}),
    ...(signal ? { signal } : {}),
  }
}

/** A rebuild of a merged table keeps the last row of each key, as merging them one after the other would. */
function newestPerKey({ connection, sql }: Relation, keys: readonly string[]): Relation {
  const columns = keys.map(quoteName).join(', ')
  return {
    connection,
    sql: `select * exclude (_lagoa_order) from (select *, row_number() over () as _lagoa_order from (${sql}\n)) qualify row_number() over (partition by ${columns} order by _lagoa_order desc) = 1`,
  }
}
