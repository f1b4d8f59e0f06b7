/**
 * `flow(...)` and `task(...)`: a graph of tasks, written as the values that pass between them.
 *
 * The body of a flow runs once, when its file is loaded, and only says what there is: a task that takes another's output, or that is `after`
 * it, comes behind it. What tasks do is run later, each by itself, at least once: a task that was cut off is begun anew, with the same
 * `idempotencyKey`.
 */
import type { z } from 'zod'
import { invalid, parseDuration } from '../base/index.ts'
import type { ErrorKind } from '../base/index.ts'
import type { Json, Rule } from './engine/words.ts'
import type { PythonAnswer, TaskContext } from './context.ts'
import type { PartitionUnit } from './partitions.ts'

/** A value that a run will have: one of its params, or what a task answers. */
export interface Ref<T> {
  readonly kind: 'ref'
  readonly from: { readonly param: string } | { readonly task: string }
  /** Only for the types; there is never a value. */
  readonly is?: T
}

export interface Task<T = unknown> extends Ref<T> {
  readonly name: string
  /** What each element of a mapped task answers, for `map` over it; the task's own value is the list. */
  readonly from: { readonly task: string }
}

type Values<W> = { readonly [K in keyof W]: W[K] extends Ref<infer T> ? T : W[K] }
export type Params<P> = { readonly [K in keyof P]: Ref<P[K]> }

export interface TaskOptions<W> {
  readonly description?: string
  /** What its function gets, by name: refs, or plain JSON values. */
  readonly with?: W
  /** Comes behind these without taking anything from them; names are accepted as well. */
  readonly after?: Task | string | readonly (Task | string)[]
  /** When to run, by what became of those before it: all_succeeded unless said. */
  readonly when?: Rule
  /** Its failure does not fail the run. */
  readonly optional?: boolean
  /** How often it is tried again. */
  readonly retries?: number
  readonly retryDelay?: string | number
  /** The delay doubles each time, to an hour at most. */
  readonly backoff?: 'fixed' | 'exponential'
  /** The delay is anywhere between half of it and all of it. */
  readonly jitter?: boolean
  /** Only failures of these kinds are tried again; all but `invalid`, `denied` and `unsupported` unless said. */
  readonly retryOn?: readonly ErrorKind[]
  readonly timeout?: string | number
  /** Tasks of a pool share its slots (`pools` of the configuration). */
  readonly pool?: string
  readonly priority?: number
}

export interface RunTask<W, T> extends TaskOptions<W> {
  readonly run: (input: Values<W>, ctx: TaskContext) => T | Promise<T>
}
export interface MapTask<W, I, T> extends TaskOptions<W> {
  /** One task for each element. */
  readonly map: Ref<readonly I[]> | readonly I[]
  readonly run: (input: Values<W> & { readonly item: I; readonly index: number }, ctx: TaskContext) => T | Promise<T>
}
export interface BranchTask<W> extends TaskOptions<W> {
  /** The names of the tasks right behind it that the run goes on to. */
  readonly choose: (input: Values<W>, ctx: TaskContext) => string | readonly string[] | Promise<string | readonly string[]>
}
export interface SensorTask<W, T> extends TaskOptions<W> {
  /** How often it looks. */
  readonly every?: string | number
  /** Undefined, null or false: not yet. Anything else is its output. No worker is held in between. */
  readonly until: (input: Values<W>, ctx: TaskContext) => T | undefined | null | false | Promise<T | undefined | null | false>
}
export interface SqlTask<W> extends TaskOptions<W> {
  /** Over the tables of the lake; `:name` stands for a value of `with`. */
  readonly sql: string | { readonly kind: 'sql'; readonly text: string }
}
export interface HttpTask<W> extends TaskOptions<W> {
  readonly url: string | ((input: Values<W>) => string)
  readonly method?: 'GET' | 'POST' | 'PUT' | 'PATCH' | 'DELETE'
  readonly headers?: Readonly<Record<string, string>> | ((input: Values<W>, ctx: TaskContext) => Readonly<Record<string, string>>)
  /** Sent as JSON. */
  readonly body?: Json | ((input: Values<W>) => Json)
}
export interface CommandTask<W> extends TaskOptions<W> {
  /** A program and its arguments; there is no shell in between. */
  readonly command: readonly string[] | ((input: Values<W>) => readonly string[])
  /** Relative to the project. */
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
}
export interface PythonTask<W> extends TaskOptions<W> {
  /** A script of the project that defines `process(df, ...)`, which gets the values of `with` by their names. */
  readonly file?: string
  /** The code itself, in place of a file. */
  readonly code?: string
  /** The rows: a table, `bucket/file.csv`, a SELECT, a list of objects, or what another task answers. */
  readonly input?: Ref<unknown> | string | { readonly kind: 'table'; readonly name: string } | { readonly kind: 'sql' } | readonly unknown[]
  /** A table whose rows the result replaces, such as 'gold.scored'. */
  readonly into?: string | { readonly kind: 'table'; readonly name: string }
  /** The most memory beside Python and the data, in MB. */
  readonly memory?: number
}
export interface FlowTask<W> extends TaskOptions<W> {
  /** Its params are the values of `with`. */
  readonly flow: Flow
}

export interface SqlAnswer {
  readonly columns: readonly { readonly name: string; readonly type: string }[]
  readonly rows: readonly (readonly Json[])[]
  readonly truncated: boolean
}
export interface HttpAnswer {
  readonly status: number
  readonly body: Json
}
export interface CommandAnswer {
  readonly stdout: string
  readonly stderr: string
}

/** What a task does, for who carries it out. */
export type Body =
  | { readonly kind: 'run'; readonly run: (input: Input, ctx: TaskContext) => unknown; readonly map: Bound | null }
  | { readonly kind: 'branch'; readonly choose: (input: Input, ctx: TaskContext) => unknown }
  | { readonly kind: 'sensor'; readonly until: (input: Input, ctx: TaskContext) => unknown; readonly everyMs: number }
  | { readonly kind: 'sql'; readonly sql: string }
  | {
      readonly kind: 'http'
      readonly url: string | Call
      readonly method: string
      readonly headers: Readonly<Record<string, string>> | Call
      readonly body: unknown
    }
  | { readonly kind: 'command'; readonly command: readonly string[] | Call; readonly cwd: string; readonly env: Readonly<Record<string, string>> }
  | {
      readonly kind: 'python'
      readonly file: string | null
      readonly code: string | null
      readonly input: Bound
      readonly into: string | null
      readonly memoryBytes: number | null
    }
  | { readonly kind: 'flow'; readonly flow: string }

/** A function of a project, before its answer is looked at. */
export type Call = (...args: readonly unknown[]) => unknown
export type Input = Readonly<Record<string, unknown>>
/** A value that is known when the flow is loaded, or where it will come from. */
export type Bound = Ref<unknown> | { readonly kind: 'value'; readonly value: unknown }

export interface TaskDefinition {
  readonly name: string
  readonly description: string | undefined
  readonly body: Body
  readonly with: Readonly<Record<string, Bound>>
  readonly after: readonly string[]
  readonly rule: Rule
  readonly optional: boolean
  readonly retries: number
  readonly retryDelayMs: number
  readonly backoff: 'fixed' | 'exponential'
  readonly jitter: boolean
  readonly retryOn: readonly ErrorKind[] | null
  readonly timeoutMs: number | null
  readonly pool: string
  readonly priority: number
  /** `file:line` of the declaration, when it is known. */
  readonly at: string | null
}

/** A table or a stream, as it was declared. */
export interface Followed {
  readonly kind: 'table' | 'stream'
  readonly name: string
}

export interface FlowOptions<S extends z.ZodType = z.ZodType> {
  readonly description?: string
  readonly owner?: string
  readonly tags?: readonly string[]
  readonly params?: S
  /** Five fields, or six with seconds first; in `timeZone`, UTC unless said. */
  readonly cron?: string
  readonly timeZone?: string
  /** In place of cron: at multiples of this since 1970. */
  readonly every?: string | number
  /** Each time comes up to so much later, so that not all begin at once; the same on every node. */
  readonly jitter?: string | number
  /** It is run for each of these by itself: `ctx.window` is the one; a scheduled run has the newest that is over. In `timeZone`, but hours. */
  readonly partition?: PartitionUnit
  /** In place of a time: when these have new versions or records. What came while a run goes on is the next one's. */
  readonly on?: Followed | readonly Followed[]
  /** Params of scheduled runs, beside those with defaults. */
  readonly scheduleParams?: Readonly<Record<string, unknown>>
  /** Times that were missed: run the newest of them once (the default), all of them, or none. */
  readonly catchUp?: 'newest' | 'all' | 'none'
  /** A time that comes while a scheduled run is going on: both run (the default), it is skipped, or it waits its turn. */
  readonly overlap?: 'allow' | 'skip' | 'queue'
  /** Runs of this flow at a time, however they were asked for. */
  readonly concurrency?: number
  readonly priority?: number
}

export interface Flow<P = unknown> {
  readonly kind: 'flow'
  readonly name: string
  readonly options: FlowOptions
  readonly tasks: readonly TaskDefinition[]
  readonly params?: P
}

/** The flow whose body runs now; bodies are synchronous, so there is one at a time. */
let building: { readonly flow: string; readonly tasks: TaskDefinition[] } | null = null

export function flow<S extends z.ZodType>(
  name: string,
  options: FlowOptions<S> & { readonly params: S },
  body: (params: Params<z.infer<S>>) => void,
): Flow<z.infer<S>>
export function flow(name: string, options: FlowOptions, body: (params: Readonly<Record<string, Ref<unknown>>>) => void): Flow<Record<string, never>>
export function flow(name: string, body: () => void): Flow<Record<string, never>>
export function flow(name: string, ...rest: readonly unknown[]): Flow<never> {
  const body = rest.at(-1)
  const options = rest.length > 1 ? rest[0] : {}
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalid('flows.name', `${JSON.stringify(name)} is no name for a flow`, {
      hint: 'Use letters, digits, _ and -, beginning with a letter, at most 100.',
    })
  if (typeof body !== 'function')
    throw invalid('flows.body', `Flow ${name} has no body`, { hint: `Write flow('${name}', {}, () => { task('first', { run: ... }) }).` })
  if (!isOptions(options))
    throw invalid('flows.options', `The options of flow ${name} are no object`, { hint: `Write flow('${name}', { ... }, () => { ... }).` })
  if (building)
    throw invalid('flows.nested', `Flow ${name} is declared inside flow ${building.flow}`, { hint: 'Declare it beside, and run it with task.flow(...).' })
  building = { flow: name, tasks: [] }
  try {
    const params: unknown = new Proxy({}, { get: (_, key): Ref<unknown> => ({ kind: 'ref', from: { param: String(key) } }) })
    const answer: unknown = body(params)
    if (answer instanceof Promise)
      throw invalid('flows.async', `The body of flow ${name} is async`, { hint: 'It only declares tasks: what waits belongs into a task.' })
    return { kind: 'flow', name, options, tasks: building.tasks }
  } finally {
    building = null
  }
}

interface Declare {
  <const W, T>(name: string, options: RunTask<W, T>): Task<Awaited<T>>
  <const W, I, T>(name: string, options: MapTask<W, I, T>): Task<readonly Awaited<T>[]>
  branch<const W>(name: string, options: BranchTask<W>): Task<readonly string[]>
  sensor<const W, T>(name: string, options: SensorTask<W, T>): Task<T>
  sql<const W>(name: string, options: SqlTask<W>): Task<SqlAnswer>
  http<const W>(name: string, options: HttpTask<W>): Task<HttpAnswer>
  command<const W>(name: string, options: CommandTask<W>): Task<CommandAnswer>
  /** Users' Python behind walls: its output is rows when they are few, else where they lie. */
  python<const W>(name: string, options: PythonTask<W>): Task<PythonAnswer>
  /** Its output is what the tasks at the end of that flow answered, by name. */
  flow<const W>(name: string, options: FlowTask<W>): Task<Readonly<Record<string, Json>>>
}

const EVERY_MS = 10_000
const RETRY_MS = 10_000
const NAME = /^[A-Za-z][A-Za-z0-9_-]{0,99}$/

export const task: Declare = Object.assign(
  <T>(name: string, options: AnyTask): Task<T> => {
    const { run } = options
    if (!isCall(run))
      throw invalid('flows.run', `Task ${name} has nothing to run`, { hint: `Write task('${name}', { run: () => ... }), or task.sql, task.http, ...` })
    return add(name, options, { kind: 'run', run, map: options.map === undefined ? null : bound(options.map) })
  },
  {
    branch: (name: string, options: AnyTask): Task<never> => {
      const { choose } = options
      if (!isCall(choose))
        throw invalid('flows.choose', `Branch ${name} has nothing to choose with`, { hint: "Write choose: ({ n }) => (n > 0 ? 'left' : 'right')." })
      return add(name, options, { kind: 'branch', choose })
    },
    sensor: (name: string, options: AnyTask): Task<never> => {
      const { until } = options
      if (!isCall(until)) throw invalid('flows.until', `Sensor ${name} waits for nothing`, { hint: 'Write until: (input, ctx) => ...' })
      return add(name, options, { kind: 'sensor', until, everyMs: duration(name, 'every', options.every) ?? EVERY_MS })
    },
    sql: (name: string, options: AnyTask): Task<never> => {
      const text = typeof options.sql === 'string' ? options.sql : options.sql?.text
      if (text === undefined || text.trim() === '') throw invalid('flows.sql', `Task ${name} has no SQL`, { hint: "Write sql: 'select ...'." })
      return add(name, options, { kind: 'sql', sql: text })
    },
    http: (name: string, options: AnyTask): Task<never> => {
      const { url, method, headers, body } = options
      if (typeof url !== 'string' && !isCall(url)) throw invalid('flows.url', `Task ${name} has no address`, { hint: "Write url: 'https://...'." })
      return add(name, options, {
        kind: 'http',
        url,
        method: method ?? (body === undefined ? 'GET' : 'POST'),
        headers: isCall(headers) || isTexts(headers) ? headers : {},
        body,
      })
    },
    command: (name: string, options: AnyTask): Task<never> => {
      const { command, cwd, env } = options
      if (!isCall(command) && !isWords(command))
        throw invalid('flows.command', `Task ${name} has no command`, { hint: "Write the program and its arguments apart: command: ['ls', '-l']." })
      return add(name, options, { kind: 'command', command, cwd: cwd ?? '.', env: env ?? {} })
    },
    python: (name: string, options: AnyTask): Task<never> => {
      const { file, code, input, into, memory } = options
      if ((file === undefined) === (code === undefined))
        throw invalid('flows.python', `Task ${name} must have a file or a code, and not both`, { hint: "Write file: 'tasks/score.py', for example." })
      if (memory !== undefined && !(memory > 0)) throw invalid('flows.memory', `memory of task ${name} is ${memory}`, { hint: 'Write it in MB: memory: 512.' })
      return add(name, options, {
        kind: 'python',
        file: file ?? null,
        code: code ?? null,
        input: bound(input),
        into: into === undefined ? null : typeof into === 'string' ? into : into.name,
        memoryBytes: memory === undefined ? null : Math.round(memory * 2 ** 20),
      })
    },
    flow: (name: string, options: AnyTask): Task<never> => {
      if (options.flow?.kind !== 'flow')
        throw invalid('flows.subflow', `Task ${name} names no flow`, { hint: 'Write flow: other, where other is what flow(...) gave.' })
      return add(name, options, { kind: 'flow', flow: options.flow.name })
    },
  },
)

/** Options of every kind of task, before they are looked at. */
interface AnyTask extends TaskOptions<unknown> {
  readonly run?: unknown
  readonly map?: unknown
  readonly choose?: unknown
  readonly until?: unknown
  readonly every?: string | number
  readonly sql?: string | { readonly text: string }
  readonly url?: unknown
  readonly method?: string
  readonly headers?: unknown
  readonly body?: unknown
  readonly command?: unknown
  readonly cwd?: string
  readonly env?: Readonly<Record<string, string>>
  readonly flow?: { readonly kind: string; readonly name: string }
  readonly file?: string
  readonly code?: string
  readonly input?: unknown
  readonly into?: string | { readonly name: string }
  readonly memory?: number
}

function add<T>(name: string, options: AnyTask, body: Body): Task<T> {
  if (!building)
    throw invalid('flows.outside', `Task ${String(name)} is declared outside of a flow`, {
      hint: "Declare it in the body: flow('name', {}, () => { task(...) }).",
    })
  if (typeof name !== 'string' || !NAME.test(name))
    throw invalid('flows.task_name', `${JSON.stringify(name)} is no name for a task of flow ${building.flow}`, {
      hint: 'Use letters, digits, _ and -, beginning with a letter, at most 100.',
    })
  const at = placeOfCall()
  const known = building.tasks.find((one) => one.name === name)
  if (known)
    throw invalid('flows.task_twice', `Flow ${building.flow} has two tasks ${name}${known.at === null ? '' : `, at ${known.at} and ${at}`}`, {
      hint: 'Rename one of them.',
    })
  const after = options.after === undefined ? [] : Array.isArray(options.after) ? options.after : [options.after]
  building.tasks.push({
    name,
    description: options.description,
    body,
    with: Object.fromEntries(
      Object.entries(typeof options.with === 'object' && options.with !== null ? options.with : {}).map(([key, value]) => [key, bound(value)]),
    ),
    after: after.map((one: Task | string) => (typeof one === 'string' ? one : one.name)),
    rule: options.when ?? 'all_succeeded',
    optional: options.optional ?? false,
    retries: options.retries ?? 0,
    retryDelayMs: duration(name, 'retryDelay', options.retryDelay) ?? RETRY_MS,
    backoff: options.backoff ?? 'fixed',
    jitter: options.jitter ?? false,
    retryOn: options.retryOn ?? null,
    timeoutMs: duration(name, 'timeout', options.timeout) ?? null,
    pool: options.pool ?? 'default',
    priority: options.priority ?? 0,
    at,
  })
  return { kind: 'ref', name, from: { task: name } }
}

const bound = (value: unknown): Bound => (isRef(value) ? value : { kind: 'value', value })

function isRef(value: unknown): value is Ref<unknown> {
  return typeof value === 'object' && value !== null && 'kind' in value && value.kind === 'ref' && 'from' in value
}

const isCall = (value: unknown): value is Call => typeof value === 'function'
export const isWords = (value: unknown): value is readonly string[] =>
  Array.isArray(value) && value.length > 0 && value.every((word) => typeof word === 'string')
export const isTexts = (value: unknown): value is Readonly<Record<string, string>> =>
  typeof value === 'object' && value !== null && Object.values(value).every((text) => typeof text === 'string')
const isOptions = (value: unknown): value is FlowOptions => typeof value === 'object' && value !== null

function duration(task: string, option: string, value: string | number | undefined): number | undefined {
  if (value === undefined) return undefined
  const ms = parseDuration(value)
  if (ms === null)
    throw invalid('flows.duration', `${option} of task ${task} is ${JSON.stringify(value)}, which is no duration`, {
      hint: `Write ${option}: '30s', for example.`,
    })
  return ms
}

/** Who called `task(...)`: the first frame outside of this file. */
function placeOfCall(): string | null {
  for (const line of new Error().stack?.split('\n').slice(1) ?? []) {
    const match = /\(?((?:file:\/\/|\/)[^\s)]+?)(?:\?load=\d+)?:(\d+):\d+\)?$/.exec(line.trim())
    if (match?.[1] && !match[1].endsWith('/flows/declare.ts') && !match[1].endsWith('/flows/declare.js'))
      return `${match[1].replace('file://', '')}:${match[2]}`
  }
  return null
}
