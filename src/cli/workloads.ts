/** `lagoa workloads`: what is asked for is carried out by the running server when there is one, else here until its run has ended. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { closest, invalid } from '../base/index.ts'
import type { RunView } from '../flows/index.ts'
import type { Platform } from '../platform/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { askServer } from './ask.ts'
import { atWork, type Desk } from './beside.ts'
import { dim, note, print, textTable } from './output.ts'
import { withPlatform } from './read.ts'
import { exitOf, follow, paramsBy } from './runs.ts'

const WORDS = ['list', 'kinds', 'show', 'results', 'create', 'run', 'cancel', 'delete'] as const
const LOOK_MS = 100
const PAGE = 1_000

export async function workloads(args: Arguments): Promise<number> {
  const [given = 'list', name, ...rest] = args.positionals
  const word = WORDS.find((one) => one === given)
  if (!word) {
    const near = closest(given, WORDS)
    throw invalid('cli.no_word', `lagoa workloads ${given} is no command`, {
      hint: `Write lagoa workloads ${near.length > 0 ? near.join(' or ') : WORDS.join(', ')}.`,
    })
  }
  if (word === 'list') return withPlatform(args, (platform) => list(platform, args))
  if (word === 'kinds') return withPlatform(args, (platform) => kinds(platform, args))
  if (name === undefined)
    throw invalid('cli.no_workload', word === 'create' ? 'There is no kind of workload named' : 'There is no workload named', {
      hint:
        word === 'create'
          ? 'Write lagoa workloads create KIND NAME -p KEY=VALUE; lagoa workloads kinds lists the kinds.'
          : `Write lagoa workloads ${word} ID; lagoa workloads lists them.`,
    })
  switch (word) {
    case 'show':
      return withPlatform(args, (platform) => show(platform, args, name))
    case 'results':
      return withPlatform(args, (platform) => results(platform, args, name))
    case 'create':
      return atWork(args, (desk) => create(desk, args, name, rest[0] ?? name))
    case 'run':
      return atWork(args, (desk) => runAgain(desk, args, name))
    case 'cancel':
      return atWork(args, (desk) => cancel(desk, args, name))
    case 'delete':
      return atWork(args, (desk) => remove(desk, args, name))
  }
}

async function list({ workloads: all }: Platform, { values }: Arguments): Promise<number> {
  const { items, cursor } = await all.list({ limit: numberFlag('limit', values.limit) ?? 50, kind: values.kind })
  if (values.json) print(JSON.stringify(items))
  else {
    print(
      textTable(
        ['workload', 'name', 'kind', 'created', 'last run'],
        items.map(({ id, name, kind, createdAt, lastRun }) => [id, name, kind, new Date(createdAt).toISOString(), lastRun?.state]),
      ),
    )
    if (cursor !== undefined) note(dim('There are more; raise --limit.'))
  }
  return 0
}

async function kinds({ workloads: all }: Platform, { values }: Arguments): Promise<number> {
  if (values.json) print(JSON.stringify(all.kinds))
  else
    print(
      textTable(
        ['kind', 'about', 'params'],
        all.kinds.map(({ kind, about, params }) => {
          const { properties, required } = Schema.parse(params)
          return [
            kind,
            about,
            Object.keys(properties)
              .map((param) => (required.includes(param) ? param : `${param}?`))
              .join(', '),
          ]
        }),
      ),
    )
  return 0
}
const Schema = z.object({ properties: z.record(z.string(), z.unknown()), required: z.array(z.string()).default([]) })

async function show({ workloads: all }: Platform, { values }: Arguments, id: string): Promise<number> {
  const workload = await all.get(id)
  const { items: runs } = await all.runs(id, { limit: 10 })
  if (values.json) print(JSON.stringify({ ...workload, runs }))
  else {
    print(`${workload.name} ${workload.kind} ${JSON.stringify(workload.params)}`)
    print(
      textTable(
        ['run', 'state', 'created', 'seconds', 'error'],
        runs.map((one) => [one.id, one.state, new Date(one.createdAt).toISOString(), secondsOf(one), one.error?.message]),
      ),
    )
  }
  return 0
}

const secondsOf = ({ startedAt, endedAt }: RunView): number | null => (startedAt === null || endedAt === null ? null : (endedAt - startedAt) / 1_000)

async function results({ workloads: all }: Platform, { values }: Arguments, id: string): Promise<number> {
  const limit = numberFlag('limit', values.limit) ?? PAGE
  const items: Record<string, unknown>[] = []
  let cursor: string | undefined
  do {
    const page = await all.results(id, { limit: Math.min(PAGE, limit - items.length), cursor })
    items.push(...page.items)
    cursor = page.cursor
  } while (cursor !== undefined && items.length < limit)
  if (values.json) print(JSON.stringify(items))
  else {
    const columns = Object.keys(items[0] ?? {})
    print(
      textTable(
        columns,
        items.map((item) => columns.map((column) => cell(item[column]))),
      ),
    )
    if (cursor !== undefined) note(dim('There are more; raise --limit.'))
  }
  return 0
}

const cell = (value: unknown): string | number | null =>
  typeof value === 'string' || typeof value === 'number' ? value : value === null || value === undefined ? null : JSON.stringify(value)

type Workloads = Platform['workloads']
type Workload = Awaited<ReturnType<Workloads['get']>>

const path = (id: string, verb: string = ''): string => `/api/v1/workloads/${encodeURIComponent(id)}${verb}`
const Known = z.object({ id: z.string() })

async function create(desk: Desk, args: Arguments, kind: string, name: string): Promise<number> {
  const { platform, server, stopped } = desk
  const known = platform.workloads.kinds.find((one) => one.kind === kind)
  // One that is not known is refused, with the nearest, by who creates it.
  const request = { kind, name, params: paramsBy(known?.params ?? {}, args.values.param ?? []) }
  const { id } = server === null ? await platform.workloads.create(request) : Known.parse(await askServer(server, '/api/v1/workloads', request))
  if (args.values.detach && server !== null) return told(await platform.workloads.get(id), args)
  const run = await firstRun(platform.workloads, id, stopped)
  return run === null ? told(await platform.workloads.get(id), args) : toItsEnd(desk, args, id, run)
}

async function runAgain(desk: Desk, args: Arguments, id: string): Promise<number> {
  const { platform, server } = desk
  const run = server === null ? await platform.workloads.run(id) : Known.parse(await askServer(server, path(id, '/runs'), {}))
  return toItsEnd(desk, args, id, run.id)
}

/** Follows the run; without a server there is nobody else to carry it out, so that is waited for in any case. */
async function toItsEnd({ platform, server, stopped }: Desk, args: Arguments, id: string, run: string): Promise<number> {
  if (args.values.detach && server !== null) return told(await platform.workloads.get(id), args)
  const stop = async (): Promise<void> => void (await (server === null ? platform.flows.cancel(run) : askServer(server, `/api/v1/runs/${run}/cancel`, {})))
  const last = await follow(platform.flows, run, args, stopped, stop)
  told(await platform.workloads.get(id), args)
  return exitOf(last.state)
}

function told(workload: Workload, { values }: Arguments): number {
  print(values.json ? JSON.stringify(workload) : workload.id)
  return 0
}

/** The run of a new workload begins when its event has been taken. Null when nobody wants to wait any longer. */
async function firstRun(all: Workloads, id: string, stopped: AbortSignal): Promise<string | null> {
  while (!stopped.aborted) {
    const { items } = await all.runs(id, { limit: 1 })
    if (items[0]) return items[0].id
    await sleep(LOOK_MS)
  }
  return null
}

async function cancel({ platform, server }: Desk, { values }: Arguments, id: string): Promise<number> {
  const { cancelled } = server === null ? { cancelled: await platform.workloads.cancel(id) } : Cancelled.parse(await askServer(server, path(id, '/cancel'), {}))
  print(values.json ? JSON.stringify({ cancelled }) : `${cancelled} ${cancelled === 1 ? 'run is' : 'runs are'} cancelled`)
  return 0
}
const Cancelled = z.object({ cancelled: z.number() })

async function remove({ platform, server }: Desk, { values }: Arguments, id: string): Promise<number> {
  if (server === null) await platform.workloads.remove(id)
  else await askServer(server, path(id), undefined, 'DELETE')
  print(values.json ? JSON.stringify({ deleted: id }) : `${id} is gone, with its results`)
  return 0
}
