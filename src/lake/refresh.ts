/**
 * One refresh of one model: run its SQL over what changed, judge the rows by the table's expectations, commit the good ones and
 * hold the bad ones. Each commit carries the input version that it covers (Delta `txn`), so a refresh that is repeated after a
 * crash adds nothing twice.
 */
import type { DuckDBConnection } from '@duckdb/node-api'
import { invalid, type Log } from '../base/index.ts'
import { bindTables } from './bind.ts'
import { quarantineName } from './declare.ts'
import { fieldsOfRelation, type CommitOptions, type DeltaTable, type Duck, type Relation, type Snapshot } from './delta/index.ts'
import { deltaFieldsOf } from './stage.ts'
import { planRefresh, type Model, type RefreshPlan } from './model.ts'
import { quoteColumns, quoteName, quoteText } from './sql.ts'

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

export interface CheckResult {
  readonly severity: 'warn' | 'quarantine' | 'fail'
  readonly violations: number
}

/** Under this key of a commit's info stand the results of the checks on its rows. */
export const CHECKS_INFO = 'lagoaChecks'

/** A rebuilt window list longer than this is a rebuild. */
const MOST_WINDOWS = 2000

export async function refreshModel(context: RefreshContext, model: Model, signal?: AbortSignal): Promise<RefreshResult> {
  const began = performance.now()
  const snapshots = new Map<string, Snapshot>()
  for (const input of model.inputs) {
    const snapshot = await context.table(input).snapshot()
    if (!snapshot) return { table: model.name, outcome: 'nothing', version: null, rows: 0, held: 0, checks: {}, ms: performance.now() - began }
    snapshots.set(input, snapshot)
  }
  const target = context.table(model.name)
  const before = await target.snapshot()
  const appId = `refresh/${model.name}/${model.definition}`
  const quarantine = model.expectations.some(({ severity }) => severity === 'quarantine') ? context.table(quarantineName(model.name)) : null
  const held = (await quarantine?.snapshot())?.txnVersion(appId) ?? null
  const plan = planRefresh(model.mode.kind, { input: inputVersion(model, snapshots), covered: before?.txnVersion(appId) ?? null, definitionChanged: false, held })
  if (plan.kind === 'nothing') return { table: model.name, outcome: 'nothing', version: before?.version ?? null, rows: 0, held: 0, checks: {}, ms: performance.now() - began }

  const connection = await context.duck.connect()
  try {
    const txn = { appId, version: plan.upTo }
    const commit: CommitOptions = { txn, ...(signal ? { signal } : {}) }
    const done = await runPlan({ context, model, plan, snapshots, connection, target, before, quarantine, commit })
    return { table: model.name, outcome: plan.kind === 'rebuild' ? 'rebuilt' : 'changed', ...done, ms: performance.now() - began }
  } finally {
    connection.closeSync()
  }
}

interface Job {
  readonly context: RefreshContext
  readonly model: Model
  readonly plan: Exclude<RefreshPlan, { kind: 'nothing' }>
  readonly snapshots: ReadonlyMap<string, Snapshot>
  readonly connection: DuckDBConnection
  readonly target: DeltaTable
  readonly before: Snapshot | null
  readonly quarantine: DeltaTable | null
  readonly commit: CommitOptions
}

type Done = Pick<RefreshResult, 'version' | 'rows' | 'held' | 'checks'>

async function runPlan(job: Job): Promise<Done> {
  const { context, model, plan, snapshots, connection } = job
  const inputs = new Map<string, string>()
  for (const [name, snapshot] of snapshots) inputs.set(name, await context.table(name).scan(snapshot))
  const { mode } = model

  if (plan.kind === 'rebuild' || mode.kind === 'full') {
    return withInputs(connection, inputs, async () => store(job, await contract(connection, model), { rebuild: true }))
  }

  const driver = context.table(mode.driver)
  const upTo = snapshots.get(mode.driver)?.version === plan.upTo ? snapshots.get(mode.driver) : await driver.snapshot({ version: plan.upTo })
  if (!upTo) throw invalid('lake.input_gone', `Version ${plan.upTo} of ${mode.driver} is gone`, { hint: `Rebuild the table: lagoa refresh ${model.name} --full` })
  const changes = await driver.changes(plan.after, upTo)
  const narrowed = new Map(inputs).set(mode.driver, changes.sql)

  if (mode.kind === 'merge') {
    return withInputs(connection, narrowed, async () => store(job, await contract(connection, model), { rebuild: false }))
  }

  // Which windows the new rows fall into is what the model itself says about them, so any expression works, time zones included.
  const touched = await withInputs(connection, narrowed, async () => {
    const windows = await connection.runAndReadAll(`select distinct cast(${quoteName(mode.column)} as varchar) from (${await contract(connection, model)}) limit ${MOST_WINDOWS + 1}`)
    const [span] = (await connection.runAndReadAll(`select epoch_ms(min(${quoteName(mode.source)})), epoch_ms(max(${quoteName(mode.source)})) from (${changes.sql})`)).getRows()
    return { windows: windows.getRows().map(([value]) => (value === null ? null : String(value))), from: span?.[0] ?? null, until: span?.[1] ?? null }
  })
  if (touched.windows.length === 0 || touched.from === null || touched.until === null) {
    return withInputs(connection, narrowed, async () => store(job, `select * from (${await contract(connection, model)}) where false`, { rebuild: false, where: 'false' }))
  }
  if (touched.windows.length > MOST_WINDOWS || touched.windows.includes(null)) {
    return withInputs(connection, inputs, async () => store(job, await contract(connection, model), { rebuild: true }))
  }
  const near = `${quoteName(mode.source)} >= ${instant(Number(touched.from) - mode.sizeMs)} and ${quoteName(mode.source)} <= ${instant(Number(touched.until) + mode.sizeMs)}`
  const pruned = new Map(inputs).set(mode.driver, `select * from (${await driver.scan(upTo, { where: near })}) where ${near}`)
  return withInputs(connection, pruned, async () => {
    const rows = await contract(connection, model)
    const column = (await fieldsOfRelation({ connection, sql: rows })).find(({ name }) => name === mode.column)
    const type = column?.type === 'timestamp' ? 'timestamptz' : column?.type === 'date' ? 'date' : 'varchar'
    const where = `${quoteName(mode.column)} in (${touched.windows.map((window) => `${type} ${quoteText(window ?? '')}`).join(', ')})`
    return store(job, `select * from (${rows}) where ${where}`, { rebuild: false, where })
  })
}

const instant = (ms: number): string => `timestamptz ${quoteText(new Date(ms).toISOString())}`

async function withInputs<T>(connection: DuckDBConnection, inputs: ReadonlyMap<string, string>, body: () => Promise<T>): Promise<T> {
  const binding = await bindTables(connection, inputs)
  try {
    return await body()
  } finally {
    await binding.release()
  }
}

/** The model's SQL, with the declared columns in their order and types when the table promises some. */
async function contract(connection: DuckDBConnection, model: Model): Promise<string> {
  const promised = model.table.options.columns
  if (!promised) return model.text
  const given = (await fieldsOfRelation({ connection, sql: model.text })).map(({ name }) => name)
  const wanted = Object.keys(promised)
  const absent = wanted.filter((name) => !given.includes(name))
  const extra = given.filter((name) => !wanted.includes(name))
  if (absent.length + extra.length > 0) {
    throw invalid('lake.contract_broken', `The SQL of ${model.name} does not give the columns that the table promises: ${[...absent.map((name) => `no ${name}`), ...extra.map((name) => `${name} is not promised`)].join(', ')}`, {
      hint: 'Make the SELECT list and columns: agree.',
    })
  }
  return `select ${wanted.map((name) => `cast(${quoteName(name)} as ${DUCK_TYPES[promised[name]?.type ?? 'string']}) as ${quoteName(name)}`).join(', ')} from (${model.text})`
}

const DUCK_TYPES = { string: 'varchar', json: 'varchar', int: 'integer', long: 'bigint', double: 'double', boolean: 'boolean', timestamp: 'timestamptz', date: 'date' } as const

/** Judges the rows, then commits: held rows first, so that a crash in between can be told from their txn and settled. */
async function store(job: Job, rows: string, how: { readonly rebuild: boolean; readonly where?: string }): Promise<Done> {
  const { model, connection, quarantine } = job
  if (model.expectations.length === 0) return commitRows(job, { connection, sql: rows }, how, {}, 0)

  await connection.run(`create or replace temp table refresh_rows as ${rows}`)
  try {
    const columns = (await fieldsOfRelation({ connection, sql: 'select * from temp.refresh_rows' })).map(({ name }) => name)
    const expectations = model.expectations.map((expectation) => ({ ...expectation, condition: quoteColumns(expectation.condition, columns) }))
    const checks = await judge(connection, model.name, expectations)
    const failed = expectations.find(({ name, severity }) => severity === 'fail' && (checks[name]?.violations ?? 0) > 0)
    if (failed) {
      throw invalid('lake.expectation_failed', `${model.name}: ${checks[failed.name]?.violations} rows break ${failed.name} (${failed.condition})`, {
        hint: 'The table stays at its last version. Mend the SQL or the source, or make the expectation quarantine(...).',
      })
    }
    const holding = expectations.filter(({ severity }) => severity === 'quarantine')
    const bad = holding.map(({ condition }) => `(${condition}) is false`).join(' or ')
    const held = holding.reduce((sum, { name }) => sum + (checks[name]?.violations ?? 0), 0)
    if (quarantine && (held > 0 || (how.rebuild && (await quarantine.snapshot())))) await holdRows(job, quarantine, holding, bad, how)
    const good = bad === '' ? 'select * from temp.refresh_rows' : `select * from temp.refresh_rows where not coalesce(${bad}, false)`
    return await commitRows(job, { connection, sql: good }, how, checks, held)
  } finally {
    await connection.run('drop table if exists temp.refresh_rows')
  }
}

async function judge(connection: DuckDBConnection, table: string, expectations: Model['expectations']): Promise<Record<string, CheckResult>> {
  const counts = expectations.map(({ condition }) => `count(*) filter (where (${condition}) is false)`)
  let row: readonly unknown[]
  try {
    row = (await connection.runAndReadAll(`select ${counts.join(', ')} from temp.refresh_rows`)).getRows()[0] ?? []
  } catch (error) {
    throw invalid('lake.expectation_sql', `An expectation of ${table} cannot be computed: ${error instanceof Error ? error.message : String(error)}`, { hint: 'Its condition is SQL over the columns of the table.', cause: error })
  }
  return Object.fromEntries(expectations.map(({ name, severity }, index) => [name, { severity, violations: Number(row[index] ?? 0) }]))
}

async function holdRows(job: Job, quarantine: DeltaTable, holding: Model['expectations'], bad: string, how: { readonly rebuild: boolean; readonly where?: string }): Promise<void> {
  const { connection, commit, plan } = job
  const reasons = holding.map(({ name, condition }) => `case when (${condition}) is false then ${quoteText(name)} end`).join(', ')
  const sql = `select *, concat_ws(', ', ${reasons}) as _failed, ${plan.upTo}::bigint as _input_version from temp.refresh_rows where coalesce(${bad}, false)`
  const relation: Relation = { connection, sql }
  if (!(await quarantine.snapshot())) await quarantine.create({ fields: await fieldsOfRelation({ connection, sql }), description: `Rows of ${job.model.name} that broke an expectation` })
  if (how.rebuild) await quarantine.overwrite(relation, { ...commit, schema: true })
  else if (how.where !== undefined) await quarantine.overwrite(relation, { ...commit, where: how.where })
  else await quarantine.append(relation, commit)
}

async function commitRows(job: Job, good: Relation, how: { readonly rebuild: boolean; readonly where?: string }, checks: Readonly<Record<string, CheckResult>>, held: number): Promise<Done> {
  const { model, target, before } = job
  const { options } = model.table
  const commit: CommitOptions = { ...job.commit, info: { ...job.commit.info, ...(Object.keys(checks).length > 0 ? { [CHECKS_INFO]: checks } : {}) } }
  const fields = options.columns ? deltaFieldsOf(options.columns) : await fieldsOfRelation(good)
  if (!before) {
    await target.create({ fields, ...(options.partitionBy ? { partitionBy: options.partitionBy } : {}), ...(options.description ? { description: options.description } : {}) })
  }
  const result =
    model.mode.kind === 'merge' && !how.rebuild
      ? await target.merge(good, { ...commit, keys: model.mode.keys, duplicates: 'last' })
      : how.where !== undefined
        ? await target.overwrite(good, { ...commit, where: how.where })
        : await target.overwrite(model.mode.kind === 'merge' ? newestPerKey(good, model.mode.keys) : good, { ...commit, ...(before ? { schema: true } : {}) })
  return { version: result.version, rows: result.rowsAdded, held, checks }
}

/** A rebuild of a merged table keeps the last row of each key, as merging them one after the other would. */
function newestPerKey({ connection, sql }: Relation, keys: readonly string[]): Relation {
  const columns = keys.map(quoteName).join(', ')
  return { connection, sql: `select * exclude (_lagoa_order) from (select *, row_number() over () as _lagoa_order from (${sql})) qualify row_number() over (partition by ${columns} order by _lagoa_order desc) = 1` }
}

function inputVersion(model: Model, snapshots: ReadonlyMap<string, Snapshot>): number {
  if (model.mode.kind !== 'full') return snapshots.get(model.mode.driver)?.version ?? 0
  // Versions only grow, so their sum grows whenever any input changed.
  return [...snapshots.values()].reduce((sum, { version }) => sum + version + 1, 0)
}
