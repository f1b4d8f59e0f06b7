/**
 * Carries out one task: finds what its flow declares for it, gathers its input, runs its body within its time, and turns whatever happens
 * into an outcome.
 */
import { spawn } from 'node:child_process'
import { resolve } from 'node:path'
import {
  backoff,
  bug,
  idBeside,
  idFrom,
  invalid,
  LagoaError,
  missing,
  systemClock,
  toLagoaError,
  unavailable,
  type ErrorKind,
  type Log,
} from '../base/index.ts'
import type { Objects, Records } from '../storage/index.ts'
import type { TaskContext, Tools } from './context.ts'
import { isTexts, isWords, type Bound, type Call, type Flow, type Input, type TaskDefinition } from './declare.ts'
import type { HeldTask, Json, NewRun, Outcome, Progress, RunGraph, RunState } from './engine/words.ts'
import type { FlowGraph } from './graph.ts'
import { asJson } from './json.ts'
import type { AttemptLog, RunLogs } from './logs.ts'
import { checkedParams } from './params.ts'
import { plainText } from './record.ts'
import { windowOf, type Window } from './partitions.ts'

export interface LoadedFlow extends FlowGraph {
  readonly flow: Flow
  /** The name that the engine gave its graph. */
  readonly hash: string
}

export interface ExecutorOptions {
  readonly flows: () => ReadonlyMap<string, LoadedFlow>
  readonly records: Records
  readonly objects: Objects
  readonly logs: RunLogs
  readonly log: Log
  readonly tools: Tools
  readonly secret: (name: string) => string
  /** The folder of the project, for commands. */
  readonly folder: string
  readonly enqueue: (run: NewRun) => Promise<void>
  readonly now: () => number
}

/** An output beyond this lies in the object store; the row holds its path. */
const INLINE_BYTES = 32_768
const MOST_ELEMENTS = 100_000
const LARGEST_OUTPUT = 64_000_000
/** How long a body may take to end after its signal aborted; then it is left to itself. */
const GRACE_MS = 1_000
const LONGEST_DELAY_MS = 3_600_000
const NOT_TRIED_AGAIN: readonly ErrorKind[] = ['invalid', 'denied', 'unsupported']
const COMMAND_OUTPUT = 1_000_000

export function createExecutor({
  flows,
  records,
  objects,
  logs,
  log,
  tools,
  secret,
  folder,
  enqueue,
  now,
}: ExecutorOptions): (task: HeldTask, signal: AbortSignal, tell: (progress: Progress) => void) => Promise<Outcome> {
  const graphs = new Map<string, RunGraph>()

  async function graphOf(hash: string, signal: AbortSignal): Promise<RunGraph> {
    const known = graphs.get(hash)
    if (known) return known
    const [row] = await patiently(signal, () => records.query<{ graph: RunGraph }>('select graph from run_graphs where hash = $1', [hash]))
    if (!row) throw bug('flows.no_graph', `The graph ${hash} is not there`)
    if (graphs.size > 500) graphs.clear()
    graphs.set(hash, row.graph)
    return row.graph
  }

  return async (task, signal, tell) => {
    const attempt = withoutSecrets(logs.open(task.run, task.n, task.fence))
    let definition: TaskDefinition | undefined
    try {
      const graph = await graphOf(task.graph, signal)
      const name = graph.nodes[task.node]?.name ?? ''
      definition = flows()
        .get(task.flow)
        ?.tasks.find((one) => one.name === name)
      if (!definition)
        throw missing('flows.gone', `The project has no task ${name} of flow ${task.flow} any more`, {
          hint: 'Declare it again, or cancel the run and start a new one.',
        })
      return await within(definition, task, signal, (inner) => carryOut(definition ?? never(), task, graph, inner, attempt, tell))
    } catch (error) {
      if (signal.aborted) return signal.reason === 'drained' ? { outcome: 'released' } : { outcome: 'cancelled' }
      const fault = toLagoaError(error)
      attempt.line('error', `${fault.message}${fault.hint === undefined ? '' : ` (${fault.hint})`}${userStack(error, folder)}`)
      const told = { code: fault.code, kind: fault.kind, message: plainText(fault.message.slice(0, 4_000)), hint: fault.hint && plainText(fault.hint) }
      if (!definition || !isTriedAgain(definition, task.attempt, fault)) return { outcome: 'failed', error: told }
      const retryMs = delayOf(definition, task.attempt)
      attempt.line('info', `It is tried again in ${Math.round(retryMs / 100) / 10} s`)
      return { outcome: 'retry', error: told, retryMs }
    } finally {
      // Lines that come late are not worth holding up the run.
      void attempt.close()
    }
  }

  async function carryOut(
    definition: TaskDefinition,
    task: HeldTask,
    graph: RunGraph,
    signal: AbortSignal,
    attempt: DiscreetLog,
    tell: (progress: Progress) => void,
  ): Promise<Outcome> {
    const { body, name } = definition
    const valueOf = async (bound: Bound): Promise<unknown> => {
      if (bound.kind === 'value') return bound.value
      const { from } = bound
      if ('param' in from) return isObject(task.params) ? task.params[from.param] : undefined
      const place = graph.nodes.findIndex((node) => node.name === from.task)
      return unspilled(task.inputs[String(place)] ?? null)
    }
    const input: Record<string, unknown> = {}
    for (const [key, bound] of Object.entries(definition.with)) input[key] = await valueOf(bound)
    const ctx = contextOf(definition, task, signal, attempt, tell)
    const answered = async (value: unknown): Promise<Outcome> => ({ outcome: 'succeeded', output: await spilled(asJson(value, `Task ${name}`), task) })

    switch (body.kind) {
      case 'run': {
        if (body.map === null) return answered(await body.run(input, ctx))
        if (task.itemIndex !== null) return answered(await body.run({ ...input, item: await unspilled(task.item), index: task.itemIndex }, ctx))
        const list: unknown = await valueOf(body.map)
        if (!Array.isArray(list))
          throw invalid('flows.map', `Task ${name} maps over ${describe(list)}, not over a list`, { hint: 'What map names must answer an array.' })
        if (list.length > MOST_ELEMENTS)
          throw invalid('flows.map_size', `Task ${name} maps over ${list.length} elements; ${MOST_ELEMENTS} is the most`, { hint: 'Map over batches of them.' })
        return { outcome: 'expanded', items: list.map((item: unknown) => asJson(item, `The list of task ${name}`)) }
      }
      case 'branch': {
        const chosen = await body.choose(input, ctx)
        const names = isWords(chosen) ? chosen : typeof chosen === 'string' ? [chosen] : []
        const behind = graph.edges.filter(([from]) => from === task.node).map(([, to]) => to)
        const places = names.map((one) => {
          const place = behind.find((to) => graph.nodes[to]?.name === one)
          if (place === undefined)
            throw invalid('flows.choose', `Branch ${name} chose ${one}, which does not stand right behind it`, {
              hint: `It has ${behind.map((to) => graph.nodes[to]?.name).join(', ') || 'nothing'} behind it.`,
            })
          return place
        })
        attempt.line('info', `Goes on to ${names.join(', ') || 'nothing'}`)
        return { outcome: 'succeeded', output: [...names], chosen: places }
      }
      case 'sensor': {
        const seen = await body.until(input, ctx)
        return seen === undefined || seen === null || seen === false ? { outcome: 'deferred', readyMs: body.everyMs } : answered(seen)
      }
      case 'sql':
        return answered(await tools.sql(bindSql(body.sql, input, name), {}))
      case 'http':
        return answered(await request(body, input, ctx, name))
      case 'command':
        return answered(await command(body, input, ctx, name, folder))
      case 'python':
        return answered(
          await tools.python({
            ...body,
            input: await valueOf(body.input),
            arguments: input,
            timeoutMs: definition.timeoutMs,
            place: `runs/${task.run}/python-${task.n}-${task.fence}.parquet`,
            key: ctx.idempotencyKey,
            signal,
            log: (line) => attempt.line('info', line),
          }),
        )
      case 'flow':
        return subflow(body.flow, input, task, name, signal)
    }
  }

  function contextOf({ name }: TaskDefinition, task: HeldTask, signal: AbortSignal, attempt: DiscreetLog, tell: (progress: Progress) => void): TaskContext {
    const key = idFrom(task.run, name, task.itemIndex ?? -1)
    return {
      ...tools,
      run: { id: task.run, flow: task.flow, params: task.params, partition: task.partition, trigger: task.trigger },
      window: windowOfRun(task),
      task: name,
      now,
      attempt: task.attempt,
      signal,
      idempotencyKey: key,
      write: (table, sql, { mode = 'overwrite' } = {}) => tools.write(table, sql, { mode, once: `flow/${key}/${table}`, signal }),
      ingest: (paths, table, settings = {}) => tools.ingest(typeof paths === 'string' ? [paths] : paths, table, { ...settings, signal }),
      log: (message, level = 'info') => attempt.line(level, String(message)),
      progress(done, total) {
        if (Number.isFinite(done)) tell({ done, total: total !== undefined && Number.isFinite(total) ? total : null })
      },
      secret(secretName) {
        const value = secret(secretName)
        attempt.hide(value)
        return value
      },
    }
  }

  function windowOfRun({ flow, partition }: HeldTask): Window | null {
    const { partition: unit, timeZone = 'UTC' } = flows().get(flow)?.flow.options ?? {}
    return unit === undefined || partition === null ? null : windowOf(unit, partition, timeZone)
  }

  async function subflow(flow: string, input: Input, task: HeldTask, name: string, signal: AbortSignal): Promise<Outcome> {
    if (!task.resumed) {
      const loaded = flows().get(flow)
      if (!loaded)
        throw missing('flows.no_flow', `Task ${name} runs flow ${flow}, which the project does not have`, { hint: 'Export it from a file under flows/.' })
      // A try that was lost with its worker goes on with the run that it asked for; every other one asks for its own.
      const [ended] = await patiently(signal, () =>
        records.query<{ tries: number }>(`select count(*)::integer as tries from run_attempts where run = $1 and n = $2 and state <> 'lost'`, [
          task.run,
          task.n,
        ]),
      )
      const id = idBeside(task.run, ended?.tries ?? 0, task.n)
      const parent = { run: task.run, task: task.n }
      const params = checkedParams(loaded.flow, input)
      await patiently(signal, () => enqueue({ id, kind: 'flow', flow, graph: loaded.hash, params, trigger: { by: 'flow', run: task.run }, parent }))
      return { outcome: 'deferred', child: id }
    }
    const [child] = await patiently(signal, () => records.query<{ state: RunState }>('select state from runs where id = $1', [task.child]))
    if (child?.state !== 'succeeded')
      throw new LagoaError('conflict', 'flows.subflow_failed', `Flow ${flow} ended ${child?.state ?? 'nowhere'}`, { hint: `See lagoa runs ${task.child}.` })
    const rows = await patiently(signal, () =>
      records.query<{ name: string; output: Json }>(
        `select nd.name, t.output from run_tasks t join runs r on r.id = t.run join run_nodes nd on nd.graph = r.graph and nd.node = t.node
       where t.run = $1 and t.item_index is null and not exists (select from run_edges e where e.graph = r.graph and e.source = t.node)`,
        [task.child],
      ),
    )
    return { outcome: 'succeeded', output: Object.fromEntries(rows.map((row) => [row.name, row.output])) }
  }

  /** Ends in time: with the body, or when its time is up or its signal aborted and it does not listen. */
  async function within(definition: TaskDefinition, task: HeldTask, signal: AbortSignal, work: (signal: AbortSignal) => Promise<Outcome>): Promise<Outcome> {
    const { timeoutMs, name } = definition
    const controller = new AbortController()
    const stop = (): void => controller.abort(signal.reason)
    signal.addEventListener('abort', stop, { once: true })
    if (signal.aborted) stop()
    const left = timeoutMs === null ? null : Math.max(1, timeoutMs - task.ageMs)
    const late = unavailable('flows.timeout', `Task ${name} took longer than ${timeoutMs} ms`, { hint: 'Raise its timeout, or make it do less at a time.' })
    const timer = left === null ? null : setTimeout(() => controller.abort(late), left)
    let grace: NodeJS.Timeout | undefined
    const deaf = new Promise<never>((_, reject) => {
      controller.signal.addEventListener(
        'abort',
        () => {
          grace = setTimeout(() => {
            log.warn('runs.task_deaf', { run: task.run, task: name, hint: 'It does not end when ctx.signal aborts.' })
            reject(controller.signal.reason)
          }, GRACE_MS)
        },
        { once: true },
      )
    })
    deaf.catch(() => undefined)
    try {
      const outcome = await Promise.race([work(controller.signal), deaf])
      if (controller.signal.aborted && !signal.aborted) throw late
      return outcome
    } catch (error) {
      throw controller.signal.aborted && !signal.aborted ? late : error
    } finally {
      if (timer) clearTimeout(timer)
      clearTimeout(grace)
      signal.removeEventListener('abort', stop)
    }
  }

  async function spilled(value: Json, { run, n, fence }: HeldTask): Promise<Json> {
    const text = JSON.stringify(value)
    if (text.length <= INLINE_BYTES) return value
    const bytes = Buffer.from(text)
    if (bytes.length > LARGEST_OUTPUT)
      throw invalid('flows.output_size', `It answers ${bytes.length} bytes; ${LARGEST_OUTPUT} is the most`, {
        hint: 'Write a table or an object, and answer its name.',
      })
    const path = `runs/${run}/output-${n}-${fence}.json`
    await objects.put(path, bytes)
    return { $object: path, bytes: bytes.length }
  }

  async function unspilled(value: Json): Promise<Json> {
    if (Array.isArray(value)) return Promise.all(value.map(unspilled))
    if (!isObject(value) || typeof value.$object !== 'string' || !value.$object.startsWith('runs/')) return value
    const bytes = await objects.get(value.$object)
    if (!bytes) throw missing('flows.output_gone', `The output ${value.$object} is not there any more`, { hint: 'Run the task again that made it.' })
    return JSON.parse(Buffer.from(bytes).toString()) as Json
  }
}

/** That the database of the runs is away is no failure of a task: it goes on when that is back, or ends with its signal. */
async function patiently<T>(signal: AbortSignal, work: () => Promise<T>): Promise<T> {
  for (let attempt = 0; ; attempt++) {
    try {
      return await work()
    } catch (error) {
      if (signal.aborted || toLagoaError(error).kind !== 'unavailable') throw error
      await systemClock.sleep(backoff(attempt, 50, 1_000), signal)
    }
  }
}

interface DiscreetLog extends AttemptLog {
  /** From here on this text shows as `***`. */
  hide(secret: string): void
}

function withoutSecrets(log: AttemptLog): DiscreetLog {
  const hidden = new Set<string>()
  return {
    hide: (secret) => void (secret.length > 0 && hidden.add(secret)),
    line: (level, text) =>
      log.line(
        level,
        [...hidden].reduce((shown, secret) => shown.replaceAll(secret, '***'), text),
      ),
    close: () => log.close(),
  }
}

function isTriedAgain({ retries, retryOn }: TaskDefinition, attempt: number, { kind }: LagoaError): boolean {
  return attempt <= retries && (retryOn ? retryOn.includes(kind) : !NOT_TRIED_AGAIN.includes(kind))
}

function delayOf({ retryDelayMs, backoff: way, jitter }: TaskDefinition, attempt: number): number {
  const delay = way === 'fixed' ? retryDelayMs : Math.min(LONGEST_DELAY_MS, retryDelayMs * 2 ** Math.min(attempt - 1, 30))
  return jitter ? backoff(0, delay, delay) : delay
}

/** `:name` outside of quotes and casts becomes what `literalOf` gives for it. */
export function replaceValues(sql: string, literalOf: (name: string) => string): string {
  return sql.replace(/'(?:[^']|'')*'|"(?:[^"]|"")*"|--[^\n]*|::|:([A-Za-z_]\w*)/g, (found, name: string | undefined) =>
    name === undefined ? found : literalOf(name),
  )
}

function bindSql(sql: string, input: Input, task: string): string {
  return replaceValues(sql, (name) => {
    if (!(name in input))
      throw invalid('flows.sql_value', `The SQL of task ${task} has :${name}, which its with does not name`, {
        hint: `It has ${Object.keys(input).join(', ') || 'nothing'}.`,
      })
    return literal(input[name])
  })
}

function literal(value: unknown): string {
  if (value === null || value === undefined) return 'null'
  if (typeof value === 'number' || typeof value === 'boolean') return String(value)
  if (typeof value === 'string') return `'${value.replaceAll("'", "''")}'`
  if (Array.isArray(value)) return `[${value.map(literal).join(', ')}]`
  return `'${JSON.stringify(value).replaceAll("'", "''")}'`
}

async function request(
  {
    url,
    method,
    headers,
    body,
  }: { readonly url: string | Call; readonly method: string; readonly headers: Readonly<Record<string, string>> | Call; readonly body: unknown },
  input: Input,
  ctx: TaskContext,
  name: string,
): Promise<{ status: number; body: unknown }> {
  const address = typeof url === 'string' ? url : String(url(input))
  const given = typeof headers === 'function' ? headers(input, ctx) : headers
  const sent: unknown = typeof body === 'function' ? (body as Call)(input) : body
  let answer: Response
  try {
    answer = await fetch(address, {
      method,
      signal: ctx.signal,
      headers: {
        ...(sent === undefined ? {} : { 'content-type': 'application/json' }),
        'idempotency-key': ctx.idempotencyKey,
        ...(isTexts(given) ? given : {}),
      },
      ...(sent === undefined ? {} : { body: JSON.stringify(sent) }),
    })
  } catch (error) {
    if (ctx.signal.aborted) throw error
    throw unavailable('flows.http', `Task ${name}: ${new URL(address).host} does not answer`, { hint: 'Check the address and the network.', cause: error })
  }
  const text = (await answer.text()).slice(0, LARGEST_OUTPUT)
  const type = answer.headers.get('content-type') ?? ''
  const parsed: unknown = type.includes('json') && text !== '' ? JSON.parse(text) : text
  if (answer.ok) return { status: answer.status, body: parsed }
  const kind = answer.status >= 500 || answer.status === 429 || answer.status === 408 ? 'unavailable' : 'invalid'
  throw new LagoaError(kind, 'flows.http_status', `Task ${name}: ${new URL(address).host} answered ${answer.status}: ${text.slice(0, 300)}`)
}

function command(
  { command: given, cwd, env }: { readonly command: readonly string[] | Call; readonly cwd: string; readonly env: Readonly<Record<string, string>> },
  input: Input,
  ctx: TaskContext,
  name: string,
  folder: string,
): Promise<{ stdout: string; stderr: string }> {
  const words: unknown = typeof given === 'function' ? given(input) : given
  if (!isWords(words))
    throw invalid('flows.command', `The command of task ${name} is no list of words`, { hint: "Answer the program and its arguments apart: ['ls', '-l']." })
  const [program = '', ...args] = words
  return new Promise((done, fail) => {
    const child = spawn(program, args, { cwd: resolve(folder, cwd), env: { ...SAFE_ENVIRONMENT, ...env }, stdio: ['ignore', 'pipe', 'pipe'], detached: true })
    const said = { stdout: '', stderr: '' }
    const stop = (signal: NodeJS.Signals) => (): void => {
      // The whole group: what it started must not outlive it.
      if (child.pid !== undefined) tryKill(-child.pid, signal)
    }
    const onAbort = (): void => {
      stop('SIGTERM')()
      setTimeout(stop('SIGKILL'), GRACE_MS / 2).unref()
    }
    ctx.signal.addEventListener('abort', onAbort, { once: true })
    for (const channel of ['stdout', 'stderr'] as const)
      child[channel].setEncoding('utf8').on('data', (text: string) => {
        if (said[channel].length < COMMAND_OUTPUT) said[channel] += text
        for (const line of text.trimEnd().split('\n')) ctx.log(line, channel === 'stderr' ? 'warn' : 'info')
      })
    child.once('error', (error) =>
      fail(invalid('flows.command_start', `Task ${name}: ${program} cannot be started: ${error.message}`, { hint: 'Check the name of the program.' })),
    )
    child.once('close', (code, signal) => {
      ctx.signal.removeEventListener('abort', onAbort)
      if (code === 0) done(said)
      else
        fail(
          new LagoaError('unavailable', 'flows.command_failed', `Task ${name}: ${program} ended with ${code ?? signal}: ${said.stderr.trim().slice(-500)}`, {
            hint: 'Its log has what it printed.',
          }),
        )
    })
  })
}

/** Commands get no variable of this process but these: its secrets are not theirs. */
const SAFE_ENVIRONMENT: Readonly<Record<string, string>> = { PATH: '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin', LANG: 'C.UTF-8' }

function tryKill(pid: number, signal: NodeJS.Signals): void {
  try {
    process.kill(pid, signal)
  } catch {
    // It has ended.
  }
}

/** The lines of the error that are in the project. */
function userStack(error: unknown, folder: string): string {
  if (!(error instanceof Error) || error instanceof LagoaError) return ''
  const lines = (error.stack ?? '').split('\n').filter((line) => line.includes(folder))
  return lines.length === 0 ? '' : `\n${lines.map((line) => line.replaceAll(/file:\/\/|\?load=\d+/g, '')).join('\n')}`
}

const isObject = (value: unknown): value is { readonly [key: string]: Json } => typeof value === 'object' && value !== null && !Array.isArray(value)
const describe = (value: unknown): string => (value === null || value === undefined ? 'nothing' : Array.isArray(value) ? 'a list' : `a ${typeof value}`)
function never(): never {
  throw bug('flows.never', 'A task without a definition was carried out')
}
