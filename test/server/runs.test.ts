/** What is asked of runs while they go on: logs that are followed, how far tasks are, elements by the thousand, changes on the event stream. */
import { afterAll, beforeAll, describe, expect, test } from 'vitest'
import { LiveMessage } from '../../src/server/wire.ts'
import { eventually, newHome, project, serve, type Served } from '../helpers/cli.ts'

const FLOWS = `
import { flow, task, z } from 'lagoa'

const pause = (ms, signal) =>
  new Promise((done, fail) => {
    const timer = setTimeout(done, ms)
    signal.addEventListener('abort', () => { clearTimeout(timer); fail(signal.reason) }, { once: true })
  })
const talk = (name) => async (_, ctx) => {
  for (let i = 0; i < 25; i++) {
    ctx.log(name + ' ' + i)
    await pause(name === 'early' ? 90 : 60, ctx.signal)
  }
}

export const talking = flow('talking', {}, () => {
  for (const name of ['early', 'middle', 'late']) task(name, { run: talk(name) })
})

export const steady = flow('steady', { params: z.object({ fail: z.boolean().default(false) }) }, (p) => {
  task('work', {
    with: { fail: p.fail },
    retries: 1,
    retryDelay: '100ms',
    async run({ fail }, ctx) {
      // Far more often than anybody looks; what is no number is not told.
      if (!fail || ctx.attempt === 1) for (let i = 0; i < 10_000; i++) ctx.progress(i, 20_000)
      ctx.progress(Number.NaN)
      await pause(fail && ctx.attempt === 1 ? 3_000 : 60_000, ctx.signal)
      throw new Error('it went wrong')
    },
  })
})

export const wide = flow('wide', {}, () => {
  const list = task('list', { run: () => Array.from({ length: 1_200 }, (_, i) => i) })
  task('each', { map: list, run: ({ item }, ctx) => { if (item % 400 === 0) { ctx.log('at ' + item); throw new Error('no ' + item) } return item } })
})
`

interface Line {
  readonly n: number
  readonly node: number | null
  readonly index: number | null
  readonly text: string
}
interface Task {
  readonly name: string
  readonly index: number | null
  readonly state: string
  readonly attempt: number
  readonly output: unknown
  readonly progress: { readonly done: number; readonly total: number | null } | null
}
interface Node extends Task {
  readonly elements: { readonly total: number; readonly states: Readonly<Record<string, number>> } | null
  readonly tries: readonly { readonly state: string }[]
}

let server: Served
const ask = async (flow: string, params: unknown = {}): Promise<string> => (await server.post<{ id: string }>(`/api/v1/flows/${flow}/runs`, { params })).id
const stateOf = async (id: string): Promise<string> => (await server.get<{ state: string }>(`/api/v1/runs/${id}`)).state
const until = (id: string, state: string): Promise<unknown> => eventually(`the run is ${state}`, async () => (await stateOf(id)) === state, 60_000)

beforeAll(async () => {
  server = await serve('start', ['--project', project({ 'flows/all.ts': FLOWS })], { home: newHome() })
}, 60_000)
afterAll(async () => {
  expect((await server.kill()).code).toBe(0)
})

describe('the log of a run', () => {
  test('is followed without a gap, whichever of its tasks speaks last', async () => {
    const id = await ask('talking')
    const texts: string[] = []
    let cursor = ''
    const read = async (): Promise<number> => {
      const page = await server.get<{ items: Line[]; cursor: string }>(`/api/v1/runs/${id}/logs?limit=3&cursor=${cursor}`)
      texts.push(...page.items.map(({ text }) => text))
      if (page.cursor !== '') cursor = page.cursor
      return page.items.length
    }
    await eventually(
      'the run is over',
      async () => {
        await read()
        return (await stateOf(id)) === 'succeeded'
      },
      30_000,
    )
    await eventually('the rest is read', async () => {
      await read()
      return texts.length >= 75
    })
    expect(await read()).toBe(0)
    expect(texts.toSorted()).toEqual(['early', 'middle', 'late'].flatMap((name) => Array.from({ length: 25 }, (_, i) => `${name} ${i}`)).toSorted())
    for (const name of ['early', 'middle', 'late'])
      expect(texts.filter((text) => text.startsWith(name))).toEqual(Array.from({ length: 25 }, (_, i) => `${name} ${i}`))
  }, 60_000)

  test('refuses a cursor that is none', async () => {
    const id = await ask('talking')
    const answer = await fetch(`${server.url}/api/v1/runs/${id}/logs?cursor=1.2.3`)
    expect(answer.status).toBe(400)
    expect(await answer.json()).toMatchObject({ error: { code: 'runs.cursor', hint: expect.stringContaining('page before') } })
  })
})

describe('how far a task is', () => {
  test('is told while it runs, of the try that runs, and leaves no line for each time that it was said', async () => {
    const id = await ask('steady', { fail: true })
    const task = (): Promise<Task> => server.get<Task>(`/api/v1/runs/${id}/tasks/0`)
    await eventually('the first try is half way', async () => (await task().catch(() => null))?.progress?.done === 9_999, 20_000)
    expect((await task()).progress).toEqual({ done: 9_999, total: 20_000 })
    const second = await eventually(
      'the second try',
      async () => {
        const now = await task()
        return now.attempt === 2 && now.state === 'running' ? now : undefined
      },
      20_000,
    )
    expect(second.progress).toBeNull()
    const { items } = await server.get<{ items: Line[] }>(`/api/v1/runs/${id}/logs`)
    expect(items.length).toBeLessThan(5)
    await server.post(`/api/v1/runs/${id}/cancel`, {})
    await until(id, 'cancelled')
  }, 60_000)
})

describe('a run of many elements', () => {
  test('tells their states by node, and lists them by node and state', async () => {
    const id = await ask('wide')
    await until(id, 'failed')
    const { items: nodes } = await server.get<{ items: Node[] }>(`/api/v1/runs/${id}/nodes`)
    expect(nodes.map(({ name, state, elements }) => [name, state, elements?.total ?? null, elements?.states ?? null])).toEqual([
      ['list', 'succeeded', null, null],
      ['each', 'failed', 1_200, { succeeded: 1_197, failed: 3 }],
    ])
    expect(nodes.map(({ tries }) => tries.map(({ state }) => state))).toEqual([['succeeded'], ['succeeded']])
    const failed = await server.get<{ items: Task[]; cursor?: string }>(`/api/v1/runs/${id}/tasks?node=1&state=failed`)
    expect(failed.items.map(({ index }) => index)).toEqual([0, 400, 800])
    const first = await server.get<{ items: Task[]; cursor: string }>(`/api/v1/runs/${id}/tasks?node=1&limit=500`)
    const next = await server.get<{ items: Task[] }>(`/api/v1/runs/${id}/tasks?node=1&limit=1&cursor=${first.cursor}`)
    expect([first.items[0]?.index, first.items.length, next.items[0]?.index]).toEqual([0, 500, 500])
    // A node's log is that of its elements, too, each line with its place.
    const { items: lines } = await server.get<{ items: Line[] }>(`/api/v1/runs/${id}/logs?task=1`)
    const places = lines.filter(({ text }) => text.startsWith('at ')).map(({ node, index, text }) => `${node} ${index} ${text}`)
    expect(places.toSorted((a, b) => a.localeCompare(b))).toEqual(['1 0 at 0', '1 400 at 400', '1 800 at 800'])
  }, 60_000)
})

test('the event stream names the runs of which something changed', async () => {
  const controller = new AbortController()
  const answer = await fetch(`${server.url}/api/v1/events`, { signal: controller.signal })
  const told: string[] = []
  const reading = (async () => {
    let rest = ''
    for await (const chunk of answer.body ?? []) {
      const parts = (rest + Buffer.from(chunk).toString()).split('\n\n')
      rest = parts.pop() ?? ''
      for (const part of parts) if (part.startsWith('data: ')) told.push(...(LiveMessage.parse(JSON.parse(part.slice(6))).runs ?? []))
    }
  })()
  reading.catch(() => undefined)
  const id = await ask('steady')
  await eventually('it was told that it began', () => told.includes(id))
  await eventually('it runs', async () => (await stateOf(id)) === 'running')
  told.length = 0
  await server.post(`/api/v1/runs/${id}/pause`, {})
  await eventually('it was told that it is paused', () => told.includes(id))
  told.length = 0
  await server.post(`/api/v1/runs/${id}/cancel`, {})
  await eventually('it was told that it is over', () => told.includes(id))
  await until(id, 'cancelled')
  controller.abort()
})
