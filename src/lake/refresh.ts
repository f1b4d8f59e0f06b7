/**
 * One refresh of one model: run its SQL over what changed, judge the rows by the table's expectations, commit the good ones and
 * hold the bad ones. Each commit carries the input version that it covers (Delta `txn`), so a refresh that is repeated after a
 * crash adds nothing twice.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { LagoaError, idFrom, newId, type Log } from '../base/index.ts'
import { contract, withInputs } from './contract.ts'
import { quarantineName } from './declare.ts'
import {
  fieldsOfRelation,
  type Changes,
  type CommitOptions,
  type CreateOptions,
  type DeltaField,
  type DeltaTable,
  type Duck,
  type Relation,
  type Snapshot,
} from './delta/index.ts'
import { interruptible } from './interrupt.ts'
import { hold, judge, type CheckResult, type HeldScope, type Verdict } from './judge.ts'
import type { Model } from './model.ts'
import { planRefresh, type RefreshPlan } from './plan.ts'
import { quoteName } from './sql.ts'
import { deltaFieldsOf } from './stage.ts'
import { touchedWindows } from './windows.ts'

export interface RefreshContext {
  readonly duck: Duck
  readonly logger: Log
  table(name: string): DeltaTable
}

export interface RefreshResult {
  readonly table: string
  readonly outcome: 'nothing' | 'rebuilt' | 'changed'
  readonly version: number | null
  readonly rows: number
  readonly held: number
  readonly checks: Readonly<Record<string, CheckResult>>
  readonly ms: number
}

/** Under this key of a commit's info stand the results of the checks on its rows. */
export const CHECKS_INFO = 'lagoaChecks'

/** Table settings that tell what made the rows. A generation begins with each rebuild that owes nothing to earlier refreshes. */
const DEFINITION = 'lagoa.definition'
const INPUTS = 'lagoa.inputs'
const GENERATION = 'lagoa.generation'

export async function refreshModel(context: RefreshContext, model: Model, signal?: AbortSignal): Promise<RefreshResult> {
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
  const before = await target.snapshot()
  const quarantine = model.expectations.some(({ severity }) => severity === 'quarantine') ? context.table(quarantineName(model.name)) : null
  const made = settingsOf(model, snapshots)
  const generation = before?.metadata.configuration[GENERATION]
  const plan = planRefresh(model.mode.kind, {
    input: inputVersion(model, snapshots),
    covered: generation === undefined ? null : (before?.txnVersion(appIdOf(model, generation)) ?? null),
    current: isCurrent(made, before, (await quarantine?.snapshot()) ?? null),
  })
  if (plan.kind === 'nothing') return result({ version: before?.version ?? null })

  const connection = await context.duck.connect()
  try {
    const run: Run = { context, model, snapshots, connection, target, before, quarantine, made, signal }
    const done = await carryOut(run, plan, generation)
    return result(done ?? { version: before?.version ?? null })
  } finally {
    connection.closeSync()
  }
}

const appIdOf = (model: Model, generation: string): string => `refresh/${model.name}/${generation}`

function settingsOf(model: Model, snapshots: ReadonlyMap<string, Snapshot>): Readonly<Record<string, string>> {
  return { [DEFINITION]: model.definition, [INPUTS]: idFrom(...[...snapshots].flatMap(([name, { metadata }]) => [name, metadata.id])) }
}

/** A quarantine of another generation was written by a rebuild that did not get as far as the table. */
function isCurrent(made: Readonly<Record<string, string>>, table: Snapshot | null, quarantine: Snapshot | null): boolean {
  const settings = table?.metadata.configuration ?? {}
  const held = quarantine?.metadata.configuration ?? settings
  return Object.entries(made).every(([key, value]) => settings[key] === value) && held[GENERATION] === settings[GENERATION]
}

function inputVersion(model: Model, snapshots: ReadonlyMap<string, Snapshot>): number {
  if (model.mode.kind !== 'full') return snapshots.get(model.mode.driver)?.version ?? 0
  // Versions only grow, so their sum grows whenever any input changed.
  return [...snapshots.values()].reduce((sum, { version }) => sum + version + 1, 0)
}

interface Run {
  readonly context: RefreshContext
  readonly model: Model
  readonly snapshots: ReadonlyMap<string, Snapshot>
  readonly connection: DuckDBConnection
  readonly target: DeltaTable
  readonly before: Snapshot | null
  readonly quarantine: DeltaTable | null
  readonly made: Readonly<Record<string, string>>
  readonly signal: AbortSignal | undefined
}

type Done = Pick<RefreshResult, 'outcome' | 'version' | 'rows' | 'held' | 'checks'>

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

async function rebuild(run: Run, inputs: ReadonlyMap<string, string>, upTo: number, generation: string): Promise<Done> {
  const { model, connection } = run
  return withInputs(connection, model, inputs, async () =>
    judged(run, await contract(connection, model), upTo, async (verdict) => {
      const configuration = { ...run.made, [GENERATION]: generation }
      await holdRows(run, verdict, 'all', { configuration })
      const { columns, partitionBy, description } = model.table.options
      const as: CreateOptions = {
        fields: columns ? deltaFieldsOf(columns) : await fieldsOfRelation(verdict.good),
        ...(partitionBy ? { partitionBy } : {}),
        ...(description === undefined ? {} : { description }),
        configuration,
      }
      if (!run.before) await run.target.create({ ...as, configuration: {} })
      const rows = model.mode.kind === 'merge' ? newestPerKey(verdict.good, model.mode.keys) : verdict.good
      const { version, rowsAdded } = await run.target.overwrite(rows, { ...commitOf(run, upTo, generation, verdict), as })
      return { outcome: 'rebuilt', version, rows: rowsAdded }
    }),
  )
}

interface Step {
  readonly run: Run
  readonly inputs: ReadonlyMap<string, string>
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
  const { model, connection } = run
  const list = keys.map(quoteName).join(', ')
  const lost = `temp.lagoa_lost_keys`
  if (!changes.appendOnly) {
    // Held rows of a rewritten file would be held twice.
    if (run.quarantine) return null
    await withInputs(connection, model, new Map(inputs).set(driver, await changes.gone()), async () => {
      await connection.run(`create or replace temp table ${lost.slice(5)} as select distinct ${list} from (${model.text}\n)`)
    })
  }
  return withInputs(connection, model, new Map(inputs).set(driver, changes.sql), async () => {
    const rows = await contract(connection, model)
    if (!(await fits(run, rows))) return null
    if (!changes.appendOnly) {
      // A key whose rows all went away cannot be merged away.
      const reader = await connection.runAndReadAll(`select 1 from (select ${list} from ${lost} except select ${list} from (${model.text}\n)) limit 1`)
      await connection.run(`drop table ${lost}`)
      if (reader.currentRowCount > 0) return null
    }
    return judged(run, rows, upTo, async (verdict) => {
      await holdRows(run, verdict, { after }, {})
      const { version, rowsAdded } = await run.target.merge(verdict.good, { ...commitOf(run, upTo, generation, verdict), keys, duplicates: 'last' })
      return { outcome: 'changed', version, rows: rowsAdded }
    })
  })
}

/** Null when the windows cannot be told or are too many. */
async function replaceWindows({ run, inputs, changes, upTo, generation }: Step, mode: Extract<Model['mode'], { kind: 'window' }>): Promise<Done | null> {
  const { model, connection, context, snapshots } = run
  const driver = snapshots.get(mode.driver)
  if (!driver) return null
  const moved = changes.appendOnly ? changes.sql : `${changes.sql}\nunion all ${await changes.gone()}`
  const touched = await withInputs(connection, model, new Map(inputs).set(mode.driver, moved), () => touchedWindows(connection, model, mode, moved))
  if (touched === null) return null
  const pruned = new Map(inputs).set(
    mode.driver,
    `select * from (${await context.table(mode.driver).scan(driver, { where: touched.near })}) where ${touched.near}`,
  )
  return withInputs(connection, model, pruned, async () => {
    const rows = await contract(connection, model)
    if (!(await fits(run, rows))) return null
    return judged(run, `select * from (${rows}\n) where ${touched.where}`, upTo, async (verdict) => {
      await holdRows(run, verdict, { where: touched.where }, {})
      const { version, rowsAdded } = await run.target.overwrite(verdict.good, { ...commitOf(run, upTo, generation, verdict), where: touched.where })
      return { outcome: 'changed', version, rows: rowsAdded }
    })
  })
}

/** Whether the rows have the columns of the table: `select *` follows an input whose schema moved on. */
async function fits({ before, connection, model }: Run, rows: string): Promise<boolean> {
  if (model.table.options.columns) return true
  const signature = (fields: readonly DeltaField[]): string => JSON.stringify(fields.map(({ name, type }) => [name, type]))
  return before !== null && signature(await fieldsOfRelation({ connection, sql: rows })) === signature(before.metadata.fields)
}

/** Stages and judges the rows when the table expects something of them, then stores them. */
async function judged(run: Run, rows: string, upTo: number, store: (verdict: Verdict) => Promise<Pick<Done, 'outcome' | 'version' | 'rows'>>): Promise<Done> {
  const { connection, model, signal } = run
  if (model.expectations.length === 0) return { ...(await store({ checks: {}, good: { connection, sql: rows }, bad: null, held: 0 })), checks: {}, held: 0 }
  await interruptible(connection, signal, () => connection.run(`create or replace temp table lagoa_rows as ${rows}`))
  try {
    const verdict = await judge(connection, model, 'select * from temp.lagoa_rows', upTo)
    return { ...(await store(verdict)), checks: verdict.checks, held: verdict.held }
  } finally {
    await connection.run('drop table if exists temp.lagoa_rows')
  }
}

async function holdRows(
  { quarantine, model, before, signal }: Run,
  verdict: Verdict,
  scope: HeldScope,
  shape: Pick<CreateOptions, 'configuration'>,
): Promise<void> {
  if (quarantine)
    await hold(quarantine, model, verdict, scope, { configuration: shape.configuration ?? before?.metadata.configuration ?? {} }, signal ? { signal } : {})
}

function commitOf({ model, signal }: Run, upTo: number, generation: string, { checks }: Verdict): CommitOptions {
  return {
    txn: { appId: appIdOf(model, generation), version: upTo },
    ...(Object.keys(checks).length > 0 ? { info: { [CHECKS_INFO]: checks } } : {}),
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
