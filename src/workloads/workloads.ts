/**
 * Workloads: batches that are asked for by name, kind and params, and kept.
 *
 * Creating one stores it and publishes an event on the stream `lagoa.workloads`; a worker, one of all nodes, takes events in their order and runs
 * them. An event that could not be published is published later; one that is taken twice makes one run, since its run has a key. What
 * a run yields replaces the results of the runs before, in a table of the lake that anyone can read.
 */
import { z } from 'zod'
import { closest, invalid, missing, newId, toLagoaError, type Log } from '../base/index.ts'
import { flow, task, type Flow, type Flows, type Json, type RunPage, type RunView } from '../flows/index.ts'
import { fieldsOfRelation, interruptible, quoteName, quoteText, type DeltaField, type Lake } from '../lake/index.ts'
import type { Query } from '../query/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import { encodeJson, recordsOf, type EventLog } from '../streams/index.ts'
import { openWorkloadStore, type StoredWorkload, type WorkloadFilter } from './store.ts'
import { columnLines, fileLines, sourceOf, wordCountSql } from './word-count.ts'

export interface Workloads {
  readonly kinds: readonly WorkloadKind[]
  create(request: WorkloadRequest & { readonly key?: string | undefined }): Promise<Workload>
  get(id: string): Promise<Workload>
  list(filter: WorkloadFilter): Promise<{ items: Workload[]; cursor?: string }>
  /** What is not named stays. With `version`, refuses when somebody changed it meanwhile. */
  update(id: string, change: Partial<WorkloadRequest>, version?: number): Promise<Workload>
  /** Its running runs are cancelled and its results are gone. */
  remove(id: string, version?: number): Promise<void>
  run(id: string, key?: string): Promise<RunView>
  runs(id: string, page: { readonly limit: number; readonly cursor?: string | undefined }): Promise<RunPage>
  /** Cancels what runs of it; answers how many. */
  cancel(id: string): Promise<number>
  results(id: string, page: { readonly limit: number; readonly cursor?: string | undefined }): Promise<{ items: Record<string, unknown>[]; cursor?: string }>
  /** The flows that carry workloads out; load them with the project's. */
  readonly flows: readonly Flow[]
  /** Takes events until the signal aborts: a duty. */
  work(signal: AbortSignal): Promise<void>
}

export interface WorkloadRequest {
  readonly name: string
  readonly kind: string
  readonly params: unknown
}

export interface Workload extends StoredWorkload {
  readonly lastRun: Pick<RunView, 'id' | 'state' | 'createdAt' | 'startedAt' | 'endedAt' | 'error'> | null
}

export interface WorkloadKind {
  readonly kind: string
  readonly about: string
  /** JSON Schema of its params. */
  readonly params: Json
}

/** Runs users' Python over rows; `body` gets the Parquet file of its result, which is there until it has ended. */
export type PythonBatch = <T>(
  job: {
    readonly source: { readonly table: string } | { readonly object: string }
    readonly code: string
    readonly timeoutMs: number | undefined
    readonly memoryBytes: number | undefined
  },
  options: { readonly signal: AbortSignal; readonly log: (line: string) => void },
  body: (file: string) => Promise<T>,
) => Promise<T>

export interface WorkloadsOptions {
  readonly python: PythonBatch
  readonly records: Records
  readonly eventLog: EventLog
  readonly objects: Objects
  readonly query: Query
  readonly flows: () => Flows
  readonly lake: () => Lake
  readonly log: Log
}

const TOPIC = 'lagoa.workloads'
const TOPIC_OPTIONS = { partitions: 1, retainMs: 7 * 86_400_000, retainBytes: 100_000_000 }
const MOST_ROWS = 100_000
const POSITION = '_position'

const KINDS = {
  word_count: {
    about: 'Counts the words of a column of a table, or of a text in the object store',
    params: z.strictObject({
      source: z.string().min(1).describe('A table (schema.table or project.schema.table), or a text as bucket/key'),
      column: z.string().min(1).optional().describe('The column of the table'),
      top: z.number().int().min(1).max(100_000_000).optional().describe('Only the most frequent words'),
    }),
  },
  sql: {
    about: 'Keeps the rows of a query',
    params: z.strictObject({ sql: z.string().min(1).describe('One SELECT over tables of the lake').meta({ contentMediaType: 'application/sql' }) }),
  },
  python: {
    about: "Keeps what a user's function process(df) makes of a table or of a file in the object store",
    params: z.strictObject({
      source: z.string().min(1).describe('A table (schema.table or project.schema.table), or a file as bucket/key: CSV, Parquet or JSON'),
      code: z.string().min(1).max(1_000_000).describe('Python that defines process(df)'),
      timeout: z.number().positive().optional().describe('Seconds'),
      memory: z.number().positive().optional().describe('MB'),
    }),
  },
  flow: {
    about: 'Runs a flow of the project',
    params: z.strictObject({ flow: z.string().min(1), params: z.record(z.string(), z.unknown()).optional() }),
  },
} as const

type Kind = keyof typeof KINDS

export function openWorkloads({ python, records, eventLog, objects, query, flows, lake, log }: WorkloadsOptions): Workloads {
  const store = openWorkloadStore(records)

  const runsOf = (id: string, limit: number, cursor?: string): Promise<RunPage> => flows().runs({ subject: id, limit, cursor })

  async function shown(stored: StoredWorkload): Promise<Workload> {
    const { items } = await runsOf(stored.id, 1)
    const [last] = items
    return {
      ...stored,
      lastRun: last ? { id: last.id, state: last.state, createdAt: last.createdAt, startedAt: last.startedAt, endedAt: last.endedAt, error: last.error } : null,
    }
  }

  async function begin({ id, kind, params, version }: StoredWorkload, key: string): Promise<RunView> {
    return flows().trigger(flowOf(kind), { params: { id, params }, kind: 'workload', subject: id, by: 'workload', key: `${id} ${version} ${key}` })
  }

  async function announce(id: string): Promise<void> {
    await eventLog.ensureTopic(TOPIC, TOPIC_OPTIONS)
    await eventLog.append(TOPIC, 0, encodeJson([id], [JSON.stringify({ type: 'created', id })]))
    await store.announced(id)
  }

  /** Writes the relation into the results table of a workload; a second time for the same run changes nothing. */
  async function keep(id: string, run: string, sql: (position: string) => string, fields: readonly DeltaField[], signal: AbortSignal): Promise<number> {
    const { duck } = lake()
    const table = lake().open(tableOf(id))
    const connection = await duck.connect()
    try {
      const all: DeltaField[] = [{ name: POSITION, type: 'long', nullable: true, metadata: {} }, ...fields]
      if (!(await table.snapshot()))
        await table.create({ fields: all }).catch(async (error: unknown) => (await table.snapshot()) ?? Promise.reject(toLagoaError(error)))
      const { rowsAdded } = await interruptible(connection, signal, () =>
        table.overwrite(
          { connection, sql: sql(`row_number() over () - 1 as ${quoteName(POSITION)}`) },
          { schema: true, txn: { appId: `workload/${run}`, version: 1 }, signal },
        ),
      )
      return rowsAdded
    } finally {
      connection.closeSync()
    }
  }

  const wordCount = flow('workload_word_count', { params: z.object({ id: z.string(), params: KINDS.word_count.params }) }, (p) => {
    task('count', {
      with: { id: p.id, params: p.params },
      retries: 2,
      retryDelay: '5s',
      retryOn: ['unavailable', 'conflict'],
      async run({ id, params: { source, column, top } }, ctx) {
        const release = objects.hold()
        try {
          const place = sourceOf(source, await lake().names())
          const lines = 'table' in place ? await tableLines(lake(), place.table, column) : fileLines(await objects.localFile(place.object))
          const counted = wordCountSql(lines, top ?? null)
          const rows = await keep(id, ctx.run.id, (position) => `select ${position}, word, count from (${counted})`, WORD_FIELDS, ctx.signal)
          ctx.log(`${rows} words`)
          return { rows, table: tableOf(id) }
        } finally {
          release()
        }
      },
    })
  })

  const sqlFlow = flow('workload_sql', { params: z.object({ id: z.string(), params: KINDS.sql.params }) }, (p) => {
    task('query', {
      with: { id: p.id, params: p.params },
      retries: 2,
      retryDelay: '5s',
      retryOn: ['unavailable', 'conflict'],
      async run({ id, params }, ctx) {
        const answer = await query.run(params.sql, { limit: MOST_ROWS, signal: ctx.signal, timeoutMs: 3_600_000 })
        if (answer.truncated)
          throw invalid('workloads.too_many_rows', `The query has more than ${MOST_ROWS} rows`, { hint: 'Aggregate, or make a table of it: tables/NAME.ts.' })
        const names = answer.columns.map(({ name }) => name)
        const twice = names.find((name, i) => names.indexOf(name) !== i || name === POSITION)
        if (twice !== undefined)
          throw invalid('workloads.column_twice', `The query has two columns ${twice}`, { hint: 'Name one of them: select ... as another_name.' })
        const file = `workloads/${id}/rows.json`
        await objects.put(file, Buffer.from(JSON.stringify(answer.rows.map((row) => JSON.stringify(row)))))
        const fields = names.map((name): DeltaField => ({ name, type: 'string', nullable: true, metadata: {} }))
        const values = names.map((name, i) => `row ->> '$[${i}]' as ${quoteName(name)}`).join(', ')
        const release = objects.hold()
        try {
          const local = await objects.localFile(file)
          const source = `select unnest(from_json(content, '["VARCHAR"]'))::json as row from read_text(${quoteText(local)})`
          const rows = await keep(id, ctx.run.id, (position) => `select ${position}${values === '' ? '' : `, ${values}`} from (${source})`, fields, ctx.signal)
          return { rows, table: tableOf(id) }
        } finally {
          release()
          await objects.delete(file)
        }
      },
    })
  })

  const pythonFlow = flow('workload_python', { params: z.object({ id: z.string(), params: KINDS.python.params }) }, (p) => {
    task('process', {
      with: { id: p.id, params: p.params },
      retries: 2,
      retryDelay: '5s',
      retryOn: ['unavailable', 'conflict'],
      async run({ id, params: { source, code, timeout, memory } }, ctx) {
        const place = sourceOf(source, await lake().names())
        const job = {
          source: place,
          code,
          timeoutMs: timeout === undefined ? undefined : Math.round(timeout * 1000),
          memoryBytes: memory === undefined ? undefined : Math.round(memory * 2 ** 20),
        }
        const rows = await python(job, { signal: ctx.signal, log: (line) => ctx.log(line) }, async (file) => {
          const made = `select * from read_parquet(${quoteText(file)})`
          const fields = await fieldsOf(lake(), made)
          const taken = fields.find(({ name }) => name.toLowerCase() === POSITION)
          if (taken)
            throw invalid('workloads.column_taken', `The result has a column ${taken.name}, which is Lagoa's own`, { hint: 'Return it under another name.' })
          return keep(id, ctx.run.id, (position) => `select ${position}, * from (${made})`, fields, ctx.signal)
        })
        ctx.log(`${rows} rows`)
        return { rows, table: tableOf(id) }
      },
    })
  })

  const kinds = Object.entries(KINDS).map(([kind, { about, params }]): WorkloadKind => ({
    kind,
    about,
    params: JSON.parse(JSON.stringify(z.toJSONSchema(params, { io: 'input' }))) as Json,
  }))

  return {
    kinds,
    flows: [wordCount, sqlFlow, pythonFlow],
    async create({ key, ...request }) {
      const { name, kind, params } = checked(request)
      if (kind === 'flow') await flows().get(flowParams(params).flow)
      const stored = await store.insert({ id: newId(), name, kind, params, key: key ?? null })
      // The workload is there; that nobody heard of it yet is mended by the worker.
      await announce(stored.id).catch((error: unknown) => log.warn('workloads.not_announced', { id: stored.id, error: toLagoaError(error) }))
      return shown(stored)
    },
    get: async (id) => shown(await store.get(id)),
    async list(filter) {
      const { items, cursor } = await store.list(filter)
      return { items: await Promise.all(items.map(shown)), ...(cursor === undefined ? {} : { cursor }) }
    },
    async update(id, change, version) {
      const before = await store.get(id)
      return shown(
        await store.update(
          id,
          checked({ name: change.name ?? before.name, kind: change.kind ?? before.kind, params: change.params ?? before.params }),
          version,
        ),
      )
    },
    async remove(id, version) {
      await store.get(id)
      await store.remove(id, version)
      await this.cancel(id)
      for await (const { path } of objects.list(`${lake().rootOf(tableOf(id))}/`)) await objects.delete(path)
    },
    async run(id, key) {
      return beginAny(await store.get(id), key ?? newId())
    },
    async runs(id, { limit, cursor }) {
      await store.get(id)
      return runsOf(id, limit, cursor)
    },
    async cancel(id) {
      const { items } = await runsOf(id, 100)
      const running = items.filter(({ endedAt }) => endedAt === null)
      for (const run of running) await flows().cancel(run.id)
      return running.length
    },
    async results(id, { limit, cursor }) {
      const from = cursor === undefined ? 0 : Number(cursor)
      if (!Number.isSafeInteger(from) || from < 0)
        throw invalid('workloads.cursor', `"${cursor}" is no cursor of results`, { hint: 'Pass what the page before answered.' })
      const stored = await store.get(id)
      const { items: runs } = await runsOf(id, 1)
      if (stored.kind === 'flow') return flowResults(runs[0])
      if (!(await lake().open(tableOf(id)).snapshot()))
        throw missing('workloads.no_results', `Workload ${id} has no results yet${runs[0] ? `: its run is ${runs[0].state}` : ''}`, {
          hint: runs[0]?.error ? runs[0].error.message : 'Ask again when its run has ended.',
        })
      const { columns, rows } = await query.run(
        `select * exclude (${quoteName(POSITION)}) from ${tableText(id)} where ${quoteName(POSITION)} >= ${from} and ${quoteName(POSITION)} < ${from + limit + 1} order by ${quoteName(POSITION)}`,
        { limit: limit + 1 },
      )
      const items = rows.slice(0, limit).map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])))
      return { items, ...(rows.length > limit ? { cursor: String(from + limit) } : {}) }
    },
    async work(signal) {
      await eventLog.ensureTopic(TOPIC, TOPIC_OPTIONS)
      let next = await store.progress(TOPIC)
      while (!signal.aborted) {
        for (const id of await store.silent()) await announce(id)
        const batches = await eventLog.read(TOPIC, 0, next)
        for (const batch of batches) {
          for (const { offset, value } of recordsOf(batch)) {
            if (offset < next) continue
            await take(value)
          }
          next = Math.max(next, batch.baseOffset + batch.count)
          await store.setProgress(TOPIC, next)
        }
        if (batches.length === 0) await eventLog.wait(TOPIC, 0, next, { signal })
      }
    },
  }

  async function beginAny(stored: StoredWorkload, key: string): Promise<RunView> {
    if (stored.kind !== 'flow') return begin(stored, key)
    const { flow: name, params } = flowParams(stored.params)
    return flows().trigger(name, { params: params ?? {}, kind: 'workload', subject: stored.id, by: 'workload', key: `${stored.id} ${stored.version} ${key}` })
  }

  /** An event of ours runs its workload; what others wrote there, and what was deleted meanwhile, is passed over. */
  async function take(value: Uint8Array): Promise<void> {
    try {
      const event = Event.safeParse(JSON.parse(Buffer.from(value).toString()))
      if (!event.success) return
      const stored = await store.get(event.data.id)
      await beginAny({ ...stored, version: 1 }, 'created')
    } catch (error) {
      const fault = toLagoaError(error)
      if (fault.kind === 'unavailable') throw error
      log.warn('workloads.event_skipped', { error: fault })
    }
  }

  async function flowResults(run: RunView | undefined): Promise<{ items: Record<string, unknown>[] }> {
    if (!run) throw missing('workloads.no_results', 'It has not run yet', { hint: 'Ask again in a moment.' })
    const { items } = await flows().tasks(run.id, { limit: 1_000 })
    return { items: items.filter(({ index }) => index === null).map(({ name, state, output }) => ({ task: name, state, output })) }
  }
}

async function fieldsOf({ duck }: Lake, sql: string): Promise<readonly DeltaField[]> {
  const connection = await duck.connect()
  try {
    return await fieldsOfRelation({ connection, sql })
  } finally {
    connection.closeSync()
  }
}

const Event = z.object({ type: z.literal('created'), id: z.string() })

const WORD_FIELDS: readonly DeltaField[] = [
  { name: 'word', type: 'string', nullable: true, metadata: {} },
  { name: 'count', type: 'long', nullable: true, metadata: {} },
]

async function tableLines(lake: Lake, name: string, column: string | undefined): Promise<string> {
  const table = lake.table(name)
  const snapshot = await table.snapshot()
  if (!snapshot) throw missing('query.empty_table', `Table ${name} has no rows yet`)
  const columns = snapshot.metadata.fields.map((field) => field.name)
  if (column === undefined)
    throw invalid('workloads.column', `Which column of ${name} is to be counted?`, { hint: `Give column: one of ${columns.join(', ')}.` })
  if (!columns.includes(column)) {
    const near = closest(column, columns)
    throw invalid('workloads.column', `Table ${name} has no column ${column}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `It has ${columns.join(', ')}.`,
    })
  }
  return columnLines(await table.scan(snapshot), column)
}

function checked({ name, kind, params }: WorkloadRequest): { name: string; kind: Kind; params: Json } {
  if (!isKind(kind)) {
    const near = closest(kind, Object.keys(KINDS))
    throw invalid('workloads.kind', `There is no kind of workload ${kind}`, {
      hint: near.length > 0 ? `Did you mean ${near.join(' or ')}?` : `The kinds are: ${Object.keys(KINDS).join(', ')}.`,
    })
  }
  const parsed = KINDS[kind].params.safeParse(params ?? {})
  if (parsed.success) return { name, kind, params: JSON.parse(JSON.stringify(parsed.data)) as Json }
  const faults = parsed.error.issues.map(({ path, message }) => `${['params', ...path].join('.')}: ${message}`)
  throw invalid('workloads.params', `The params do not fit the kind ${kind}: ${faults.join('; ')}`, {
    hint: 'GET /api/v1/workload-kinds tells what each takes.',
  })
}

const isKind = (kind: string): kind is Kind => Object.hasOwn(KINDS, kind)
const flowOf = (kind: string): string => `workload_${kind}`
const flowParams = (params: Json): { flow: string; params?: Record<string, unknown> | undefined } => KINDS.flow.params.parse(params)
const plainId = (id: string): string => id.replaceAll('-', '')
const tableOf = (id: string): string => `workloads.w${plainId(id)}`
const tableText = (id: string): string => `workloads.w${plainId(id)}`
