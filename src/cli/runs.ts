/** `lagoa run`, `lagoa flows` and `lagoa runs`: beside a running server, which then carries tasks out, or without one. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { invalid } from '../base/index.ts'
import type { Flows, Json, RunDetail, RunState, RunView, TaskView } from '../flows/index.ts'
import type { Platform } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { askServer } from './ask.ts'
import { atWorkOnProject } from './beside.ts'
import { bold, dim, green, note, print, red, textTable, yellow } from './output.ts'
import { withPlatform } from './read.ts'
import { INTERRUPTED } from './signals.ts'

const LOOK_MS = 200
const LEVELS = ['debug', 'info', 'warn', 'error'] as const
const STATES = ['queued', 'running', 'succeeded', 'failed', 'cancelled'] as const

export async function run(args: Arguments): Promise<number> {
  const [name] = args.positionals
  if (name === undefined) throw invalid('cli.no_flow', 'There is no flow to run', { hint: 'Name one: lagoa run FLOW. lagoa flows lists them.' })
  return atWorkOnProject(args, async ({ platform: { flows }, server, stopped }) => {
    const params = paramsBy((await flows.get(name)).params, args.values.param ?? [])
    const { id } =
      server === null
        ? await flows.trigger(name, { params, by: 'command line' })
        : Begun.parse(await askServer(server, `/api/v1/flows/${encodeURIComponent(name)}/runs`, { params }))
    const cancel = async (): Promise<void> => void (await (server === null ? flows.cancel(id) : askServer(server, `/api/v1/runs/${id}/cancel`, {})))
    const last = args.values.detach ? await flows.run(id) : await follow(flows, id, args, stopped, cancel)
    if (args.values.json) print(JSON.stringify(last))
    else if (args.values.detach) print(last.id)
    return args.values.detach ? 0 : exitOf(last.state)
  })
}

const Begun = z.object({ id: z.string() })

/** Shows the tasks of a run as they go, until it has ended; the first Ctrl+C cancels it. */
export async function follow(flows: Flows, id: string, { values }: Arguments, stopped: AbortSignal, cancel: () => Promise<void>): Promise<RunDetail> {
  const show = values.json ? () => undefined : process.stderr.isTTY ? liveTree() : plainLines()
  let isCancelled = false
  if (!values.json) note(dim(`run ${id}`))
  for (;;) {
    const run = await flows.run(id)
    show(run, (await flows.tasks(id, { limit: 1_000 })).items)
    if (run.endedAt !== null) {
      if (!values.json) note(endText(run))
      return run
    }
    if (stopped.aborted && !isCancelled) {
      isCancelled = true
      await cancel()
    }
    await sleep(LOOK_MS)
  }
}

function endText({ state, startedAt, endedAt, error }: RunView): string {
  const seconds = startedAt === null || endedAt === null ? '' : ` in ${((endedAt - startedAt) / 1000).toFixed(2)} s`
  const what = error === null ? '' : `\n  ${error.task}: ${error.message}${error.hint === undefined ? '' : `\n  ${error.hint}`}`
  return `${mark(state)} ${bold(state)}${seconds}${what}`
}

/** Redraws its lines in place; the elements of a task that maps are one line. */
function liveTree(): (run: RunDetail, tasks: readonly TaskView[]) => void {
  let drawn = 0
  return (run, tasks) => {
    const lines = treeLines(run, tasks).slice(0, Math.max(1, (process.stderr.rows ?? 40) - 3))
    process.stderr.write(`${drawn > 0 ? `\u001b[${drawn}A` : ''}${lines.map((line) => `\u001b[2K${line}\n`).join('')}`)
    drawn = lines.length
  }
}

export function treeLines({ graph }: Pick<RunDetail, 'graph'>, tasks: readonly TaskView[]): string[] {
  const depth: number[] = graph.nodes.map(() => 0)
  for (const [from, to] of graph.edges) depth[to] = Math.max(depth[to] ?? 0, (depth[from] ?? 0) + 1)
  return graph.nodes.map(({ name }, node) => {
    const own = tasks.find((task) => task.n === node)
    const elements = tasks.filter((task) => task.node === node && task.index !== null)
    const done = elements.filter(({ state }) => state === 'succeeded').length
    const detail = [
      ...(elements.length > 0 ? [`${done} of ${elements.length}`] : []),
      ...(own && own.attempt > 1 ? [`attempt ${own.attempt}`] : []),
      ...(own?.startedAt && own.endedAt ? [`${((own.endedAt - own.startedAt) / 1000).toFixed(2)} s`] : []),
      ...(own?.error ? [own.error.message.split('\n')[0]?.slice(0, 80)] : []),
    ]
    return `${'  '.repeat(depth[node] ?? 0)}${mark(own?.state ?? 'waiting')} ${name} ${dim([own?.state ?? 'waiting', ...detail].join(', '))}`
  })
}

/** One line for each change: what logs can hold. */
function plainLines(): (run: RunDetail, tasks: readonly TaskView[]) => void {
  const known = new Map<number, string>()
  return (_, tasks) => {
    for (const { n, name, index, state, attempt, error } of tasks) {
      const now = `${state} ${attempt}`
      if (known.get(n) === now || (!known.has(n) && (state === 'waiting' || state === 'ready'))) continue
      known.set(n, now)
      note(
        `${mark(state)} ${name}${index === null ? '' : `[${index}]`} ${state}${attempt > 1 ? ` (attempt ${attempt})` : ''}${error ? `: ${error.message}` : ''}`,
      )
    }
  }
}

function mark(state: string): string {
  if (state === 'succeeded') return green('✓')
  if (state === 'failed') return red('✗')
  if (state === 'cancelled' || state === 'skipped') return yellow('-')
  return state === 'running' || state === 'expanded' ? '●' : dim('○')
}

/** What a command ends with when its run has ended so. */
export const exitOf = (state: RunState): number => (state === 'succeeded' ? 0 : state === 'cancelled' ? INTERRUPTED : 1)

/** `key=value` by a JSON Schema: text stays text, everything else is read as JSON. */
export function paramsBy(wanted: Json, given: readonly string[]): Record<string, unknown> {
  const schema = JsonSchema.safeParse(wanted)
  const types = schema.success ? schema.data.properties : {}
  return Object.fromEntries(
    given.map((pair) => {
      const at = pair.indexOf('=')
      if (at <= 0) throw invalid('cli.param', `-p ${pair} is no param`, { hint: 'Write -p KEY=VALUE.' })
      const key = pair.slice(0, at)
      const text = pair.slice(at + 1)
      if (types[key]?.type === 'string') return [key, text]
      try {
        return [key, JSON.parse(text) as unknown]
      } catch {
        return [key, text]
      }
    }),
  )
}
const JsonSchema = z.object({ properties: z.record(z.string(), z.object({ type: z.unknown().optional() })) })

export function flows(args: Arguments): Promise<number> {
  const [word = 'list', name] = args.positionals
  if (!['list', 'show', 'pause', 'resume'].includes(word))
    throw invalid('cli.no_word', `lagoa flows ${word} is no command`, { hint: 'Write lagoa flows list, show FLOW, pause FLOW or resume FLOW.' })
  if (word !== 'list' && name === undefined)
    throw invalid('cli.no_flow', 'There is no flow named', { hint: `Write lagoa flows ${word} FLOW; lagoa flows lists them.` })
  return withPlatform(args, async ({ flows: all }) => {
    if (word === 'show') {
      const flow = await all.get(name ?? '')
      if (args.values.json) print(JSON.stringify(flow))
      else
        print(
          textTable(
            ['task', 'kind', 'after', 'retries', 'pool'],
            flow.nodes.map((node, place) => [
              node.name,
              node.kind,
              flow.edges
                .filter(([, to]) => to === place)
                .map(([from]) => flow.nodes[from]?.name)
                .join(', '),
              node.retries,
              node.pool,
            ]),
          ),
        )
      return 0
    }
    if (word !== 'list') await all.pauseSchedule(name ?? '', word === 'pause')
    const found = (await all.list()).filter((flow) => word === 'list' || flow.name === name)
    if (args.values.json) print(JSON.stringify(found))
    else
      print(
        textTable(
          ['flow', 'tasks', 'schedule', 'next', 'last runs'],
          found.map(({ name: flow, tasks, schedule, last }) => [
            flow,
            tasks,
            schedule === null ? '' : `${schedule.cron ?? `every ${schedule.every}`}${schedule.paused ? ' (paused)' : ''}`,
            schedule?.nextAt ? new Date(schedule.nextAt).toISOString() : '',
            last
              .slice(0, 5)
              .map(({ state }) => state)
              .join(' '),
          ]),
        ),
      )
    return 0
  })
}

export function runs(args: Arguments): Promise<number> {
  const [word = 'list', id] = args.positionals
  const words = ['list', 'show', 'logs', 'cancel', 'pause', 'resume', 'retry']
  if (!words.includes(word)) throw invalid('cli.no_word', `lagoa runs ${word} is no command`, { hint: `Write lagoa runs ${words.join(', ')}.` })
  if (word !== 'list' && id === undefined)
    throw invalid('cli.no_run', 'There is no run named', { hint: `Write lagoa runs ${word} RUN; lagoa runs lists them.` })
  return withPlatform(args, (platform) => (word === 'list' ? listRuns(platform, args) : oneRun(platform, args, word, id ?? '')))
}

async function listRuns({ flows: all }: Platform, { values }: Arguments): Promise<number> {
  const state = STATES.find((one) => one === values.state)
  if (values.state !== undefined && state === undefined)
    throw invalid('cli.state', `--state is ${values.state}, which no run can be`, { hint: `Write one of: ${STATES.join(', ')}.` })
  const { items, cursor } = await all.runs({ limit: numberFlag('limit', values.limit) ?? 50, flow: values.flow, state })
  if (values.json) print(JSON.stringify(items))
  else {
    print(
      textTable(
        ['run', 'flow', 'state', 'created', 'seconds', 'tasks', 'open', 'error'],
        items.map((one) => [
          one.id,
          one.flow,
          one.state,
          new Date(one.createdAt).toISOString(),
          one.startedAt === null || one.endedAt === null ? null : (one.endedAt - one.startedAt) / 1000,
          one.tasks,
          one.open,
          one.error?.message,
        ]),
      ),
    )
    if (cursor !== undefined) note(dim('There are more; raise --limit.'))
  }
  return 0
}

async function oneRun({ flows: all }: Platform, { values }: Arguments, word: string, id: string): Promise<number> {
  const run = await all.run(id)
  if (word === 'logs') {
    const task = values.task === undefined ? undefined : run.graph.nodes.findIndex(({ name }) => name === values.task)
    if (task === -1)
      throw invalid('cli.no_task', `Run ${id} has no task ${values.task}`, { hint: `It has ${run.graph.nodes.map(({ name }) => name).join(', ')}.` })
    const level = LEVELS.find((one) => one === values.level)
    if (values.level !== undefined && level === undefined)
      throw invalid('cli.level', `--level is ${values.level}, which no line can be`, { hint: `Write one of: ${LEVELS.join(', ')}.` })
    const nameOf = ({ n, node, index }: { readonly n: number; readonly node: number | null; readonly index: number | null }): string =>
      `${run.graph.nodes[node ?? n]?.name ?? n}${index === null ? '' : `[${index}]`}`
    for (let cursor = ''; ;) {
      const page = await all.logs(id, { task, level, search: values.search, cursor, limit: 1_000 })
      for (const line of page.items)
        print(
          values.json
            ? JSON.stringify(line)
            : `${dim(new Date(line.at).toISOString())} ${nameOf(line)} ${line.level === 'info' ? '' : `${line.level} `}${line.text}`,
        )
      if (page.cursor === cursor) return 0
      cursor = page.cursor
    }
  }
  const shown =
    word === 'cancel'
      ? await all.cancel(id)
      : word === 'pause' || word === 'resume'
        ? await all.pause(id, word === 'pause')
        : word === 'retry'
          ? await all.retry(id, values.task === undefined ? undefined : [values.task])
          : run
  const { items } = await all.tasks(id, { limit: 1_000 })
  if (values.json) print(JSON.stringify({ ...shown, tasks: items }))
  else print([`${shown.flow} ${shown.id} ${shown.state}`, ...treeLines(shown, items)].join('\n'))
  return 0
}
