/**
 * A project under test: all of it, on engines of its own in a temporary folder, on a clock that stands still until the test moves it.
 *
 * What goes by that clock: schedules, delays between retries, sensors, and the times of runs. Between two of its moments everything that can
 * happen does: records reach their tables, caches and rules, tables are refreshed, tasks run. Records themselves carry their times, and rules
 * and tables go by those. Sources of the project do not run: a test says what comes.
 */
import { spawn } from 'node:child_process'
import { mkdtemp } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join, resolve } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { invalid, LagoaError, parseDuration, parseInstant, silentLog } from '../base/index.ts'
import type { RunDetail, RunState, TaskView } from '../flows/index.ts'
import { loadConfigFile, openPlatform, processEnvironment, resolveConfig, runOnce, settingsFrom, variableFor, type Platform } from '../platform/index.ts'

export interface LabOptions {
  /** The project's folder; the current one unless said. */
  readonly project?: string
  /** The configuration file in it, for tests on other engines. */
  readonly config?: string
  /** Where the clock begins: epoch milliseconds, or a time such as '2026-03-01 06:00'. */
  readonly now?: number | string
}

export interface Lab {
  /** The time on the clock, in epoch milliseconds. */
  now(): number
  /** Moves the clock on by a duration, through every moment at which something is due. */
  advance(by: string | number): Promise<void>
  /** Waits until nothing more happens without the clock. */
  settle(): Promise<void>
  /** Sends records to a stream. */
  publish(stream: string, records: readonly unknown[]): Promise<void>
  /** Puts an object, such as a file that a flow reads, at `bucket/key`. */
  put(path: string, content: string | Uint8Array): Promise<void>
  get(path: string): Promise<Uint8Array | null>
  /** The rows of a query, by column. */
  sql(text: string): Promise<Record<string, unknown>[]>
  /** Runs a flow to its end, moving the clock on to whatever it waits for, `within` a week unless said. */
  run(flow: string, params?: Readonly<Record<string, unknown>>, options?: { readonly within?: string | number }): Promise<LabRun>
  /** The runs of a flow so far, the oldest first. */
  runs(flow: string): Promise<LabRun[]>
  /** The fields of a key of the live cache, or null. */
  key(name: string): Promise<Readonly<Record<string, string>> | null>
  /** The alerts of a rule so far, the oldest first. */
  alerts(rule: string): Promise<LabAlert[]>
  /** The messages that wait in a queue. */
  queue(name: string): Promise<string[]>
  /** The whole platform, for what is not here. */
  readonly platform: Platform
  close(): Promise<void>
  [Symbol.asyncDispose](): Promise<void>
}

export interface LabRun {
  readonly id: string
  readonly state: RunState
  readonly params: unknown
  readonly trigger: unknown
  readonly partition: string | null
  /** When it began and ended on the clock. */
  readonly startedAt: number | null
  readonly endedAt: number | null
  /** By name; of a task that maps over a list, the task itself. */
  readonly tasks: Readonly<Record<string, LabTask>>
  /** What its tasks logged, in order. */
  readonly log: readonly string[]
}

export interface LabTask {
  readonly state: TaskView['state']
  readonly attempt: number
  readonly output: unknown
  readonly error: string | null
  readonly startedAt: number | null
  readonly endedAt: number | null
}

export interface LabAlert {
  readonly state: string
  readonly key: string
  readonly at: number
}

/** Work that does not come to rest in that time is told as what it is. */
const PATIENCE_MS = 120_000
const LOOK_MS = 3

export async function openLab({ project = '.', config: file, now: start = Date.now() }: LabOptions = {}): Promise<Lab> {
  const began = typeof start === 'number' ? start : parseInstant(start)
  if (began === null) throw invalid('lab.now', `now is ${JSON.stringify(start)}, which is no time`, { hint: "Write now: '2026-03-01 06:00', for example." })
  const folder = resolve(project)
  const home = await mkdtemp(join(tmpdir(), 'lagoa-lab-'))
  let clock = began
  const remove = watchOver(home)
  try {
    const declared = await loadConfigFile(folder, file)
    const config = resolveConfig(folder, [
      { from: file ?? 'lagoa.config.ts', values: { ...declared?.options } },
      { from: 'the environment', values: { ...settingsFrom(processEnvironment()), home }, spell: variableFor },
    ])
    const platform = await openPlatform({ config, logger: silentLog, feed: { once: true, idle: true, simulation: {} }, url: 'a test', now: () => clock })
    return labOf(platform, {
      now: () => clock,
      move: (to) => void (clock = to),
      async close() {
        await platform.close()
        remove()
      },
    })
  } catch (error) {
    remove()
    throw error
  }
}

interface Hands {
  now(): number
  move(to: number): void
  close(): Promise<void>
}

function labOf(platform: Platform, { now, move, close }: Hands): Lab {
  const { flows, alerts, query, engines, tools } = platform

  /** Answers when the next thing is due. */
  async function settle(): Promise<number | null> {
    const deadline = performance.now() + PATIENCE_MS
    let before = ''
    for (;;) {
      const { busy, nextAt } = await flows.rest()
      if (busy === 0) {
        const { seconds: _, ...stored } = await runOnce(platform, AbortSignal.timeout(PATIENCE_MS))
        const after = JSON.stringify(stored)
        // What has just reached a table can be what a flow follows.
        if (after === before && (await flows.rest()).busy === 0) return nextAt
        before = after
        continue
      }
      if (performance.now() > deadline) throw await restless(platform)
      await sleep(LOOK_MS)
    }
  }

  async function advance(by: string | number): Promise<void> {
    const until = now() + durationOf(by)
    for (;;) {
      const next = await settle()
      if (next === null || next > until) break
      move(Math.max(next, now()))
    }
    move(until)
    await settle()
  }

  async function run(
    flow: string,
    params: Readonly<Record<string, unknown>> = {},
    { within = '7d' }: { readonly within?: string | number } = {},
  ): Promise<LabRun> {
    const latest = now() + durationOf(within)
    const { id } = await flows.trigger(flow, { params, by: 'test' })
    for (;;) {
      const next = await settle()
      const shown = await flows.run(id)
      if (shown.endedAt !== null) return labRun(platform, shown)
      if (next === null || next > latest)
        throw new LagoaError('conflict', 'lab.waits', `Run ${id} of ${flow} waits for what does not come: ${await statesOf(platform, id)}`, {
          hint: 'Send it what it waits for, or give its sensor a timeout.',
        })
      move(Math.max(next, now()))
    }
  }

  return {
    platform,
    now,
    advance,
    async settle() {
      await settle()
    },
    async publish(stream, records) {
      for (let start = 0; start < records.length; start += 1_000) await tools.publish(stream, records.slice(start, start + 1_000))
    },
    put: (path, content) => tools.objects.put(path, content),
    get: (path) => tools.objects.get(path),
    async sql(text) {
      const { columns, rows } = await query.run(text, { limit: 100_000 })
      return rows.map((row) => Object.fromEntries(columns.map(({ name }, i) => [name, row[i]])))
    },
    run,
    async runs(flow) {
      const { items } = await flows.runs({ flow, limit: 1_000 })
      return Promise.all(items.toReversed().map(async ({ id }) => labRun(platform, await flows.run(id))))
    },
    key: (name) => tools.keys.get(name),
    async alerts(rule) {
      const { items } = await alerts.listAlerts({ rule, limit: 1_000 })
      return items.toReversed().map(({ state, key, startedAt }) => ({ state, key, at: startedAt }))
    },
    async queue(name) {
      return (await engines.queue.peek(name, 1_000)).map(({ body }) => body)
    },
    close,
    [Symbol.asyncDispose]: close,
  }
}

function durationOf(text: string | number): number {
  const ms = parseDuration(text)
  if (ms === null) throw invalid('lab.duration', `${JSON.stringify(text)} is no duration`, { hint: "Write lab.advance('1h'), for example." })
  return ms
}

/** Stops the database of a home and removes the home when this process is gone, however it ended. Answers how to have that done now. */
function watchOver(home: string): () => void {
  const script = 'read -r _; pid=$(head -n 1 "$1/pg/data/postmaster.pid" 2>/dev/null) && kill -QUIT "$pid" && sleep 1; rm -rf "$1"'
  const watchman = spawn('/bin/sh', ['-c', script, 'watchman', home], { detached: true, stdio: ['pipe', 'ignore', 'ignore'] })
  watchman.on('error', () => undefined)
  watchman.unref()
  return () => void watchman.stdin.end()
}

async function labRun({ flows }: Platform, run: RunDetail): Promise<LabRun> {
  const tasks = new Map<string, LabTask>()
  const { items } = await flows.tasks(run.id, { limit: 10_000 })
  for (const { name, index, state, attempt, output, error, startedAt, endedAt } of items)
    if (index === null) tasks.set(name, { state, attempt, output, error: error?.message ?? null, startedAt, endedAt })
  const { items: lines } = await flows.logs(run.id, { limit: 10_000 })
  const { id, state, params, trigger, partition, startedAt, endedAt } = run
  return { id, state, params, trigger, partition, startedAt, endedAt, tasks: Object.fromEntries(tasks), log: lines.map(({ text }) => text) }
}

async function statesOf({ flows }: Platform, id: string): Promise<string> {
  const { items } = await flows.tasks(id, { limit: 100 })
  return items.map(({ name, state }) => `${name} ${state}`).join(', ')
}

async function restless(platform: Platform): Promise<LagoaError> {
  const { items } = await platform.flows.runs({ state: 'running', limit: 3 })
  const running = await Promise.all(items.map(async ({ id, flow }) => `${flow} (${await statesOf(platform, id)})`))
  return new LagoaError('conflict', 'lab.restless', `It does not come to rest within ${PATIENCE_MS / 1000} s: ${running.join('; ') || 'runs wait'}`, {
    hint: 'Give tasks that can hang a timeout.',
  })
}
