import { z } from 'zod'
import { missing } from '../../base/index.ts'
import {
  CHECKS_INFO,
  declaredColumns,
  describeCheck,
  quarantineName,
  quoteName,
  quoteTable,
  renderSql,
  tierOf,
  type CheckResults,
  type DeltaType,
  type Lake,
  type Snapshot,
  type Table,
} from '../../lake/index.ts'
import type { Pipeline, Platform } from '../../platform/index.ts'
import { lookAt } from '../look.ts'
import { createProfiles } from '../profile.ts'
import { jsonRoute, limitParam, type Route } from '../route.ts'
import {
  CheckList,
  DriftList,
  ProfileShape,
  QueryResult,
  ReplayAnswer,
  TableList,
  TableShape,
  TableSummary,
  VersionList,
  type CheckShape,
  type FieldShape,
} from '../wire.ts'

const Name = z.object({ name: z.string() })
const Version = z.coerce.number().int().min(0).optional()
/** Above this many rows a preview does not look for the newest. */
const SORTED_PREVIEW = 5_000_000
const CHECK_HISTORY = 200

export function tableRoutes(platform: Platform): Route[] {
  const profiles = createProfiles(platform.query)
  return [
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables',
      access: { action: 'read', resource: 'tables' },
      summary: 'The tables of the lake',
      answer: TableList,
      async handle() {
        const pipeline = loaded(platform)
        return { items: await Promise.all((await namesOf(pipeline.lake)).map((name) => summaryOf(pipeline, name))) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}',
      access: { action: 'read', resource: 'tables' },
      summary: 'One table with its columns',
      params: Name,
      query: z.object({ version: Version }),
      answer: TableShape,
      async handle({ params: { name }, query }) {
        const pipeline = loaded(platform)
        const declared = pipeline.lake.plan.tables.get(name)
        const snapshot = await snapshotOf(pipeline.lake, name, query.version)
        return {
          ...(await summaryOf(pipeline, name)),
          fields: fieldsOf(snapshot, declared),
          partitionBy: [...(snapshot?.metadata.partitionColumns ?? [])],
          ...(declared?.options.merge ? { merge: [...declared.options.merge] } : {}),
          location: pipeline.lake.rootOf(name),
          ...(declared?.options.sql === undefined ? {} : { sql: dedent(renderSql(declared.options.sql).text) }),
          usedBy: pipeline.lake.plan.models.filter(({ inputs }) => inputs.includes(name)).map((model) => model.name),
          properties: { ...snapshot?.metadata.configuration },
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}/rows',
      access: { action: 'read', resource: 'tables' },
      summary: 'Some rows, the newest first where a column tells the time',
      params: Name,
      query: z.object({ limit: limitParam(10_000, 200), version: Version }),
      answer: QueryResult,
      async handle({ params: { name }, query }) {
        const snapshot = await snapshotOf(loaded(platform).lake, name, query.version)
        if (!snapshot) return { columns: [], rows: [], truncated: false, elapsedMs: 0 }
        const time = snapshot.metadata.fields.find(({ type }) => type === 'timestamp' || type === 'date')
        const order = time && (snapshot.rowCount ?? Number.POSITIVE_INFINITY) <= SORTED_PREVIEW ? ` order by ${quoteName(time.name)} desc nulls last` : ''
        const answer = await platform.query.run(`select * from ${quoteTable(name)}${order} limit ${query.limit}`, {
          limit: query.limit,
          versions: new Map([[name, snapshot.version]]),
        })
        return {
          columns: [...answer.columns],
          rows: answer.rows.map((row) => [...row]),
          truncated: (snapshot.rowCount ?? 0) > answer.rows.length,
          elapsedMs: answer.elapsedMs,
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}/history',
      access: { action: 'read', resource: 'tables' },
      summary: 'The versions of a table, newest first',
      params: Name,
      query: z.object({ limit: limitParam(1000, 50) }),
      answer: VersionList,
      async handle({ params: { name }, query }) {
        const history = await loaded(platform).lake.table(name).history(query.limit)
        return {
          items: history.map(({ version, timestamp, operation, parameters, metrics }) => ({
            version,
            timestamp,
            operation,
            rowsAdded: metric(metrics, 'numOutputRows'),
            filesAdded: metric(metrics, 'numFiles', 'numAddedFiles', 'numTargetFilesAdded'),
            filesRemoved: metric(metrics, 'numRemovedFiles', 'numTargetFilesRemoved'),
            parameters: { ...parameters },
          })),
        }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}/checks',
      access: { action: 'read', resource: 'tables' },
      summary: 'The expectations of a table and how the last refresh met them',
      params: Name,
      answer: CheckList,
      async handle({ params: { name } }) {
        return { items: await checksOf(loaded(platform).lake, name) }
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}/profile',
      access: { action: 'read', resource: 'tables' },
      summary: 'Range, nulls, distinct values and a small histogram of each column',
      params: Name,
      query: z.object({ version: Version }),
      answer: ProfileShape,
      async handle({ params: { name }, query }) {
        const snapshot = await snapshotOf(loaded(platform).lake, name, query.version)
        return snapshot ? profiles(name, snapshot) : { version: 0, sampled: false, columns: [] }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/tables/{name}/refresh',
      access: { action: 'run', resource: 'tables' },
      summary: 'Refresh a table and what it reads, now',
      params: Name,
      query: z.object({ rebuild: z.stringbool().default(false).describe('All rows anew, judged by the rules of today') }),
      answer: z.object({
        outcome: z.enum(['nothing', 'rebuilt', 'changed']),
        version: z.number().nullable(),
        rows: z.number(),
        held: z.number(),
        ms: z.number(),
      }),
      async handle({ params: { name }, query }) {
        const { outcome, version, rows, held, ms } = await loaded(platform).refresher.refreshNow(name, query)
        return { outcome, version, rows, held, ms }
      },
    }),
    jsonRoute({
      method: 'post',
      path: '/api/v1/tables/{name}/replay',
      access: { action: 'run', resource: 'tables' },
      summary: 'Judge the held rows of a table by the rules of today and put back those that pass',
      params: Name,
      body: z.strictObject({ dryRun: z.boolean().default(false).describe('Only count') }),
      answer: ReplayAnswer,
      async handle({ params: { name }, body }) {
        const { table: _, ...answer } = await loaded(platform).refresher.replay(name, body.dryRun)
        return answer
      },
    }),
    jsonRoute({
      method: 'get',
      path: '/api/v1/tables/{name}/drift',
      access: { action: 'read', resource: 'tables' },
      summary: 'What changed, or tried to change, the columns of a table, newest first',
      params: Name,
      answer: DriftList,
      async handle({ params: { name } }) {
        const drift = await loaded(platform).lake.drift(name)
        return {
          items: drift.map(({ version, at, kind, changes, fields, samples }) => ({
            version,
            at,
            kind,
            changes: [...changes],
            ...(fields ? { fields: { ...fields } } : {}),
            samples: samples.map((sample) => ({ ...sample })),
          })),
        }
      },
    }),
  ]
}

function loaded(platform: Platform): Pipeline {
  if (platform.pipeline) return platform.pipeline
  throw platform.problem ?? missing('project.not_loaded', 'No project is loaded', { hint: 'Mend the project; it is loaded again when you save.' })
}

/** All tables; when a quarantine table is damaged, those that are declared. */
const namesOf = (lake: Lake): Promise<string[]> => lake.names().catch(() => [...lake.plan.tables.keys()])

async function snapshotOf(lake: Lake, name: string, version: number | undefined): Promise<Snapshot | null> {
  return lake.table(name).snapshot(version === undefined ? undefined : { version })
}

async function summaryOf(pipeline: Pipeline, name: string): Promise<z.input<typeof TableSummary>> {
  const { lake, refresher } = pipeline
  const declared = lake.plan.tables.get(name)
  const { snapshot, fault } = await lookAt(lake, name)
  const from = declared?.options.from
  const model = lake.plan.models.find((candidate) => candidate.name === name)
  const checks = fault ? [] : await checksOf(lake, name)
  const held = declared ? await heldRows(lake, name) : 0
  const freshness = fault ? null : await lake.freshness(name).catch(() => null)
  const status = pipeline.files.status(name) ?? refresher.status(name)
  const error = fault ?? status.error
  return {
    name,
    tier: tierOf(name),
    ...(declared?.options.description === undefined ? {} : { description: declared.options.description }),
    rows: snapshot?.rowCount ?? null,
    bytes: snapshot?.bytes ?? 0,
    files: snapshot?.fileCount ?? 0,
    version: snapshot?.version ?? null,
    updatedAt: snapshot?.timestamp ?? null,
    from: model
      ? [...model.inputs]
      : from && from.kind !== 'files'
        ? [from.name]
        : name.endsWith('_quarantine') && !declared
          ? [name.replace(/_quarantine$/, '')]
          : [],
    ...(freshness ? { freshness } : {}),
    refresh: { state: fault ? 'failed' : status.state, lastMs: status.lastMs, ...(error ? { error: error.message } : {}) },
    checks: { passed: checks.filter(({ state }) => state === 'passed').length, failed: checks.filter(({ state }) => state === 'failed').length },
    quarantined: held,
  }
}

async function heldRows(lake: Lake, name: string): Promise<number> {
  const quarantined = lake.plan.tables.get(name)?.options.from?.kind === 'files' || lake.plan.models.some((model) => model.name === name)
  return quarantined ? ((await lookAt(lake, quarantineName(name))).snapshot?.rowCount ?? 0) : 0
}

/** Results stand in the commits of the refreshes, so they are as durable as the rows they speak of. */
export async function checksOf(lake: Lake, name: string): Promise<CheckShape[]> {
  const model = lake.plan.models.find((candidate) => candidate.name === name)
  if (!model || model.expectations.length === 0) return []
  const history = (await lake.table(name).snapshot()) ? await lake.table(name).history(CHECK_HISTORY) : []
  const results = history.flatMap(({ version, timestamp, info }) => {
    const checks = info[CHECKS_INFO]
    return typeof checks === 'object' && checks !== null ? [{ version, timestamp, checks: checks as CheckResults }] : []
  })
  // A refresh that a check stopped left no version; what it found is newer than what any version tells.
  const refused = lake.refused(name)
  return model.expectations.map(({ name: rule, severity, check }) => {
    const text = describeCheck(check)
    // Results of a rule that was called the same and said something else are not this one's.
    const own = results.filter(({ checks }) => checks[rule]?.rule === text)
    const stopped = refused?.checks[rule]?.rule === text ? refused.checks[rule] : undefined
    const last = own[0]
    const found = stopped ?? last?.checks[rule]
    return {
      name: rule,
      severity,
      rule: text,
      kind: check.kind,
      state: !found ? 'not_run' : found.violations > 0 ? 'failed' : 'passed',
      violations: found?.violations ?? 0,
      total: own.reduce((sum, { checks }) => sum + (checks[rule]?.violations ?? 0), 0),
      checkedAt: stopped && refused ? refused.at : (last?.timestamp ?? null),
      version: stopped ? null : (last?.version ?? null),
      ...(found?.found === undefined ? {} : { found: found.found }),
      ...(found?.samples ? { samples: found.samples.map((sample) => ({ ...sample })) } : {}),
    }
  })
}

function fieldsOf(snapshot: Snapshot | null, declared: Table | undefined): FieldShape[] {
  const units = declared ? declaredColumns(declared) : null
  if (!snapshot)
    return Object.entries(units ?? {}).map(([name, field]) => ({
      name,
      type: field.type,
      nullable: field.isNullable,
      ...(field.unitText === undefined ? {} : { unit: field.unitText }),
    }))
  return snapshot.metadata.fields.map(({ name, type, nullable, metadata }) => ({
    name,
    type: typeText(type),
    nullable,
    ...(typeof metadata.unit === 'string' ? { unit: metadata.unit } : {}),
    ...(typeof metadata.comment === 'string' ? { description: metadata.comment } : {}),
  }))
}

function typeText(type: DeltaType): string {
  if (typeof type === 'string') return type
  if (type.type === 'array') return `array<${typeText(type.elementType)}>`
  if (type.type === 'map') return `map<${typeText(type.keyType)}, ${typeText(type.valueType)}>`
  return `struct<${type.fields.map((field) => `${field.name}: ${typeText(field.type)}`).join(', ')}>`
}

function metric(metrics: Readonly<Record<string, string | number>>, ...names: string[]): number | null {
  for (const name of names) if (metrics[name] !== undefined) return Number(metrics[name])
  return null
}

/** Takes away the indentation that the text has from standing in a TypeScript file. */
function dedent(text: string): string {
  const lines = text.split('\n').filter((line, index, all) => line.trim() !== '' || (index > 0 && index < all.length - 1))
  const indent = Math.min(...lines.filter((line) => line.trim() !== '').map((line) => /^\s*/.exec(line)?.[0].length ?? 0))
  return lines.map((line) => line.slice(Number.isFinite(indent) ? indent : 0)).join('\n')
}
