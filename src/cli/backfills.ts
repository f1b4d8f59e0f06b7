/** `lagoa backfill` and `lagoa backfills`: a flow for many partitions, planned, followed, paused. */
import { setTimeout as sleep } from 'node:timers/promises'
import { z } from 'zod'
import { invalid } from '../base/index.ts'
import type { BackfillRequest, BackfillView } from '../flows/index.ts'
import { numberFlag, type Arguments } from './args.ts'
import { askServer } from './ask.ts'
import { atWorkOnProject } from './beside.ts'
import { bold, dim, green, note, print, red, textTable, yellow } from './output.ts'
import { withPlatform } from './read.ts'
import { paramsBy } from './runs.ts'
import { INTERRUPTED } from './signals.ts'

const LOOK_MS = 500
const Begun = z.object({ id: z.string() })

export async function backfill(args: Arguments): Promise<number> {
  const [name] = args.positionals
  const { values } = args
  if (name === undefined)
    throw invalid('cli.no_flow', 'There is no flow to run', { hint: 'Name one: lagoa backfill FLOW --from 2026-03-01. lagoa flows lists them.' })
  return atWorkOnProject(args, async ({ platform: { flows }, server, stopped }) => {
    const request: BackfillRequest = {
      from: values.from,
      to: values.to,
      partitions: values.partitions?.split(',').map((one) => one.trim()),
      params: paramsBy((await flows.get(name)).params, values.param ?? []),
      existing: values.again ? 'again' : 'skip',
      order: values.newest ? 'newest' : 'oldest',
      concurrency: numberFlag('concurrency', values.concurrency),
    }
    const plan = await flows.backfills.plan(name, request)
    if (!values.json)
      note(`${plan.partitions} partitions${plan.first === null ? '' : `, ${plan.first} to ${plan.last}`}; ${plan.skipped} have succeeded or are under way`)
    if (values['dry-run']) {
      if (values.json) print(JSON.stringify(plan))
      else print(plan.sample.join('\n') + (plan.partitions > plan.sample.length ? '\n...' : ''))
      return 0
    }
    const { id } =
      server === null
        ? await flows.backfills.create(name, { ...request, by: 'command line' })
        : Begun.parse(await askServer(server, `/api/v1/flows/${encodeURIComponent(name)}/backfills`, request))
    const cancel = async (): Promise<void> =>
      void (await (server === null ? flows.backfills.cancel(id) : askServer(server, `/api/v1/backfills/${id}/cancel`, {})))
    for (let isCancelled = false, told = ''; ;) {
      const now = await flows.backfills.get(id)
      const line = lineOf(now)
      if (!values.json && line !== told) note(line)
      told = line
      if (values.detach || now.endedAt !== null) {
        print(values.json ? JSON.stringify(now) : id)
        return values.detach || now.state === 'succeeded' ? 0 : now.state === 'cancelled' ? INTERRUPTED : 1
      }
      if (stopped.aborted && !isCancelled) {
        isCancelled = true
        await cancel()
      }
      await sleep(LOOK_MS)
    }
  })
}

function lineOf({ state, total, succeeded, failed, cancelled, running }: BackfillView): string {
  const paint = state === 'succeeded' ? green : state === 'failed' ? red : state === 'running' ? bold : yellow
  return `${paint(state)} ${succeeded + failed + cancelled} of ${total}${dim(`, ${running} running, ${failed} failed`)}`
}

const WORDS = ['list', 'show', 'pause', 'resume', 'cancel']

export function backfills(args: Arguments): Promise<number> {
  const [word = 'list', id] = args.positionals
  const { values } = args
  if (!WORDS.includes(word)) throw invalid('cli.no_word', `lagoa backfills ${word} is no command`, { hint: `Write lagoa backfills ${WORDS.join(', ')}.` })
  if (word !== 'list' && id === undefined)
    throw invalid('cli.no_backfill', 'There is no backfill named', { hint: `Write lagoa backfills ${word} BACKFILL; lagoa backfills lists them.` })
  return withPlatform(args, async ({ flows: { backfills: all } }) => {
    const found =
      word === 'list'
        ? (await all.list({ flow: values.flow, limit: numberFlag('limit', values.limit) ?? 50 })).items
        : [await (word === 'show' ? all.get(id ?? '') : word === 'cancel' ? all.cancel(id ?? '') : all.pause(id ?? '', word === 'pause'))]
    if (values.json) print(JSON.stringify(word === 'list' ? found : found[0]))
    else
      print(
        textTable(
          ['backfill', 'flow', 'state', 'first', 'last', 'runs', 'queued', 'running', 'succeeded', 'failed'],
          found.map((one) => [one.id, one.flow, one.state, one.first, one.last, one.total, one.queued, one.running, one.succeeded, one.failed]),
        ),
      )
    return 0
  })
}
