import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { crumbs } from '../../console/src/app/crumbs.ts'
import { flowSearch, runSearch, runsSearch, workloadsSearch } from '../../console/src/app/search.ts'
import { shownFlows } from '../../console/src/features/flows/order.ts'
import { spoken } from '../../console/src/features/flows/schedule.ts'
import { criticalPath } from '../../console/src/features/runs/critical.ts'
import { addLines, linked, marked, noLog, shownLines } from '../../console/src/features/runs/log.ts'
import { behind, timeline } from '../../console/src/features/runs/timeline.ts'
import { columnsOf, csvOf } from '../../console/src/features/workloads/rows.ts'
import { formats } from '../../console/src/ui/format.ts'
import { barsOf } from '../../console/src/ui/runs/bars.ts'
import { shortId, triggerOf, usualMs } from '../../console/src/ui/runs/states.ts'
import { fieldsOf, filledWith, read, refusals } from '../../console/src/ui/schema-form/fields.ts'

type Nodes = Parameters<typeof timeline>[0]
type Flows = Parameters<typeof shownFlows>[0]
type Last = Parameters<typeof barsOf>[0]

const node = (n: number, change: Partial<Nodes[number]> = {}): Nodes[number] => ({
  n,
  name: `t${n}`,
  node: n,
  state: 'succeeded',
  reason: null,
  attempt: 1,
  pool: 'default',
  worker: null,
  startedAt: null,
  endedAt: null,
  error: null,
  child: null,
  progress: null,
  elements: null,
  tries: [],
  ...change,
})
const attempt = (n: number, startedAt: number, endedAt: number, state = 'succeeded') => ({ fence: n, attempt: n, state, startedAt, endedAt })

/** Tasks with times and edges from lower to higher ones, as runs have them. */
const runs = fc.integer({ min: 1, max: 14 }).chain((count) =>
  fc.record({
    tasks: fc.array(fc.option(fc.tuple(fc.integer({ min: 0, max: 5_000 }), fc.option(fc.integer({ min: 0, max: 5_000 }))), { freq: 6 }), {
      minLength: count,
      maxLength: count,
    }),
    edges: fc.array(fc.tuple(fc.nat(count - 1), fc.nat(count - 1)), { maxLength: 30 }),
  }),
)

describe('the critical path', () => {
  const timed = (tasks: readonly (readonly [number, number | null] | null)[]) =>
    tasks.map((times, i) => ({ node: i, startedAt: times?.[0] ?? null, endedAt: times === null || times[1] === null ? null : times[0] + times[1] }))

  it('goes back from what ended last, each time to what was waited for longest', () => {
    fc.assert(
      fc.property(runs, ({ tasks, edges: pairs }) => {
        const all = timed(tasks)
        const edges = pairs.filter(([from, to]) => from < to)
        const now = 20_000
        const end = (n: number): number => all[n]?.endedAt ?? now
        const began = all.filter(({ startedAt }) => startedAt !== null).map((task) => task.node)
        const path = criticalPath(all, edges, now)
        if (began.length === 0) {
          expect(path).toEqual([])
          return
        }
        expect(end(path.at(-1) ?? -1)).toBe(Math.max(...began.map(end)))
        path.forEach((at, i) => {
          expect(began).toContain(at)
          const before = edges.filter(([, to]) => to === at).flatMap(([from]) => (began.includes(from) ? [end(from)] : []))
          const previous = path[i - 1]
          if (previous === undefined) expect(before).toEqual([])
          else {
            expect(edges.some(([from, to]) => from === previous && to === at)).toBe(true)
            expect(end(previous)).toBe(Math.max(...before))
          }
        })
      }),
    )
  })

  it('ends at a task that goes on', () => {
    const all = [
      { node: 0, startedAt: 0, endedAt: 10 },
      { node: 1, startedAt: 10, endedAt: 40 },
      { node: 2, startedAt: 10, endedAt: null },
    ]
    expect(
      criticalPath(
        all,
        [
          [0, 1],
          [0, 2],
        ],
        100,
      ),
    ).toEqual([0, 2])
  })
})

describe('the timeline', () => {
  it('keeps every bar on its axis, whatever goes on', () => {
    fc.assert(
      fc.property(
        fc.array(fc.record({ from: fc.nat(100_000), ms: fc.nat(90_000), state: fc.constantFrom('running', 'succeeded', 'failed', 'delayed') }), {
          maxLength: 12,
        }),
        fc.integer({ min: 0, max: 300_000 }),
        (given, now) => {
          const tasks = given.map(({ from, ms, state }, i) =>
            state === 'running'
              ? node(i, { state: 'running', startedAt: from })
              : node(i, {
                  state: state === 'delayed' ? 'delayed' : state === 'failed' ? 'failed' : 'succeeded',
                  tries: [attempt(1, from, from + ms, state)],
                  startedAt: from,
                }),
          )
          const { rows, ticks } = timeline(tasks, 0, now)
          for (const { bars } of rows)
            for (const { left, width } of bars) {
              expect(left).toBeGreaterThanOrEqual(0)
              expect(width).toBeGreaterThanOrEqual(0)
              expect(left + width).toBeLessThanOrEqual(1 + 1e-9)
            }
          expect(ticks.length).toBeGreaterThan(0)
          expect(ticks.length).toBeLessThanOrEqual(9)
          for (const { at } of ticks) expect(at).toBeLessThanOrEqual(1)
        },
      ),
    )
  })

  it('has a bar for each try, and one that goes on', () => {
    const [row] = timeline(
      [node(0, { state: 'running', attempt: 3, startedAt: 60, tries: [attempt(1, 0, 20, 'failed'), attempt(2, 30, 40, 'lost')] })],
      0,
      100,
    ).rows
    expect(row?.bars.map(({ state, attempt: n, ms }) => [state, n, ms])).toEqual([
      ['failed', 1, 20],
      ['lost', 2, 10],
      ['running', 3, 40],
    ])
    expect(row?.ms).toBe(100)
  })

  it('has one bar for the elements of a list, however many', () => {
    const elements = { total: 2_000, states: { succeeded: 1_999, running: 1 }, startedAt: 10, endedAt: 80 }
    const [row] = timeline([node(0, { state: 'expanded', startedAt: 0, tries: [attempt(1, 0, 10)], elements })], 0, 100).rows
    expect(row?.bars.map(({ state, attempt: n, ms }) => [state, n, ms])).toEqual([
      ['succeeded', 1, 10],
      ['running', null, 90],
    ])
  })

  it('knows what a retry runs anew', () => {
    expect(
      [
        ...behind(
          [1],
          [
            [0, 1],
            [1, 3],
            [0, 2],
            [3, 4],
            [2, 5],
          ],
        ),
      ].toSorted((a, b) => a - b),
    ).toEqual([1, 3, 4])
  })
})

describe('the bars of the last runs', () => {
  const run = (state: Last[number]['state'], ms: number | null): Last[number] => ({
    id: `${state}${ms}`,
    state,
    createdAt: 0,
    startedAt: ms === null ? null : 1_000,
    endedAt: ms === null || state === 'running' ? null : 1_000 + ms,
  })

  it('go from old to new, the longest as tall as there is room', () => {
    const bars = barsOf([run('failed', 100), run('succeeded', 400), run('queued', null), run('cancelled', 300)], 5_000, 22)
    expect(bars.map(({ state }) => state)).toEqual(['cancelled', 'queued', 'succeeded', 'failed'])
    expect(bars.map(({ height }) => height)).toEqual([2, 4, 22, 13])
  })

  it('tell how long a run takes as a rule once there are enough of them', () => {
    expect(usualMs([run('succeeded', 5), run('succeeded', 9)])).toBeUndefined()
    expect(usualMs([run('succeeded', 5), run('failed', 1), run('succeeded', 900), run('succeeded', 9)])).toBe(9)
  })
})

describe('a log that is followed', () => {
  const line = (at: number, text: string, level: 'debug' | 'info' | 'warn' | 'error' = 'info') => ({ n: 0, fence: 1, node: 0, index: null, at, level, text })
  const texts = (lines: readonly { readonly text: string }[]): string[] => lines.map(({ text }) => text)

  it('keeps the newest lines in the order of their times, whatever order they come in', () => {
    fc.assert(
      fc.property(fc.array(fc.array(fc.nat(500), { maxLength: 8 }), { maxLength: 12 }), fc.integer({ min: 1, max: 20 }), (batches, most) => {
        let log = noLog
        for (const batch of batches)
          log = addLines(
            log,
            batch.map((at) => line(at, String(at))),
            most,
          )
        const all = batches.flat().length
        expect(log.lines.length + log.dropped).toBe(all)
        expect(log.lines.length).toBe(Math.min(all, most))
        const times = log.lines.map(({ at }) => at)
        expect(times).toEqual(times.toSorted((a, b) => a - b))
        expect(new Set(log.lines.map(({ key }) => key)).size).toBe(times.length)
      }),
    )
  })

  it('is filtered by level and text, and marks what was looked for', () => {
    const { lines, counts } = addLines(noLog, [line(1, 'Reading'), line(2, 'read 5 rows', 'warn'), line(3, 'broken', 'error')])
    expect(counts).toEqual({ debug: 0, info: 1, warn: 1, error: 1 })
    expect(texts(shownLines(lines, 'debug', ''))).toEqual(['Reading', 'read 5 rows', 'broken'])
    expect(texts(shownLines(lines, 'warn', 'READ'))).toEqual(['read 5 rows'])
    expect(marked('Read and read', 'read')).toEqual(['', 'Read', ' and ', 'read', ''])
    fc.assert(
      fc.property(fc.string(), fc.string(), (text, q) => {
        expect(marked(text, q).join('')).toBe(text)
      }),
    )
  })
})

describe('a form made from a schema', () => {
  const schema = {
    type: 'object',
    properties: {
      path: { type: 'string', description: 'Where' },
      top: { type: 'integer', minimum: 1, maximum: 10, default: 3 },
      share: { type: 'number' },
      mode: { enum: ['fast', 'slow'], default: 'fast' },
      dry: { type: 'boolean' },
      day: { type: 'string', format: 'date' },
      sensors: { type: 'array', items: { type: 'string' } },
      more: { type: 'object' },
      maybe: { anyOf: [{ type: 'number' }, { type: 'null' }] },
      far: { $ref: '#/$defs/far' },
    },
    required: ['path', 'maybe'],
    $defs: { far: { type: 'integer', maximum: 9_007_199_254_740_991 } },
  }
  const fields = fieldsOf(schema) ?? []

  it('has a field of its own for each kind of value', () => {
    expect(Object.fromEntries(fields.map(({ name, kind }) => [name, kind]))).toEqual({
      path: 'text',
      top: 'integer',
      share: 'number',
      mode: 'choice',
      dry: 'boolean',
      day: 'date',
      sensors: 'json',
      more: 'json',
      maybe: 'number',
      far: 'integer',
    })
    expect(fields.find(({ name }) => name === 'top')).toMatchObject({ required: false, standard: '3', least: 1, most: 10 })
    // The bound of the machine is no news.
    expect(fields.find(({ name }) => name === 'far')).toMatchObject({ most: undefined })
    expect(fieldsOf({ type: 'array' })).toBeUndefined()
  })

  it('leaves out what is empty, so that defaults hold, and says what is wrong', () => {
    expect(read(fields, { path: 'a', mode: 'slow', dry: 'false', sensors: '["x"]', share: '0,5' })).toEqual({
      value: { path: 'a', mode: 'slow', dry: false, sensors: ['x'], share: 0.5, maybe: null },
      faults: {},
    })
    expect(read(fields, { top: '11', share: 'x', sensors: '{', more: '[]', day: 'soon', far: '1.5' }).faults).toEqual({
      path: 'required',
      top: 'most',
      share: 'number',
      sensors: 'json',
      more: 'object',
      day: 'date',
      far: 'integer',
    })
  })

  it('gives back what it was filled with', () => {
    const values = fc.record(
      {
        path: fc.string({ minLength: 1 }).filter((text) => text.trim() !== ''),
        top: fc.integer({ min: 1, max: 10 }),
        share: fc.double({ noNaN: true, noDefaultInfinity: true }),
        mode: fc.constantFrom('fast', 'slow'),
        dry: fc.boolean(),
        sensors: fc.array(fc.string()),
      },
      { requiredKeys: ['path'] },
    )
    fc.assert(
      fc.property(values, (value) => {
        const { value: back, faults } = read(fields, filledWith(fields, value))
        expect(faults).toEqual({})
        expect(back).toEqual({ ...JSON.parse(JSON.stringify(value)), maybe: null })
      }),
    )
  })

  it('puts a refusal at the fields that it names', () => {
    expect(refusals('The params of flow x do not fit: top: Too small; more.a: Required', ['top', 'more'])).toEqual({ top: 'Too small', more: 'a: Required' })
    expect(refusals('The params do not fit the kind sql: params.sql: Too short', ['sql'])).toEqual({ sql: 'Too short' })
    expect(refusals('There is no table x', ['x'])).toEqual({})
  })
})

describe('flows and runs in words', () => {
  it('say common schedules plainly and others as they were written', () => {
    expect(spoken({ cron: '0 3 * * *' })).toEqual({ id: 'schedule.daily', values: { time: '03:00' } })
    expect(spoken({ cron: '*/5 * * * *' })).toEqual({ id: 'schedule.minutes', values: { n: 5 } })
    expect(spoken({ cron: '0 15 * * * *' })).toEqual({ id: 'schedule.hourly', values: { minute: '15' } })
    expect(spoken({ cron: '0 9 * * MON' })).toEqual({ id: 'schedule.cron', values: { cron: '0 9 * * MON' } })
    expect(spoken({ every: '6h' })).toEqual({ id: 'schedule.every', values: { every: '6h' } })
  })

  it('name who asked for a run', () => {
    expect(triggerOf({ by: 'flow', run: 'r1' })).toEqual({ by: 'flow', name: 'flow', run: 'r1', of: undefined })
    expect(triggerOf({ by: 'my script' })).toMatchObject({ by: 'other', name: 'my script' })
    expect(triggerOf(null)).toMatchObject({ by: 'other', name: '' })
    expect(shortId('01a1ff91-cbaa-7afc-b0a2-a8b0636028fc')).toBe('636028fc')
  })

  it('are found by every word of a search, and by tag', () => {
    const flow = (name: string, change: Partial<Flows[number]> = {}): Flows[number] => ({
      name,
      tags: [],
      tasks: 1,
      schedule: null,
      partition: null,
      on: [],
      last: [],
      ...change,
    })
    const all = [flow('zeta', { owner: 'Ana' }), flow('alpha', { description: 'Counts words', tags: ['text'] })]
    const names = (search: Parameters<typeof shownFlows>[1]): string[] => shownFlows(all, search, formats('en').compare).map(({ name }) => name)
    expect(names({})).toEqual(['alpha', 'zeta'])
    expect(names({ q: 'words ALPHA' })).toEqual(['alpha'])
    expect(names({ q: 'ana' })).toEqual(['zeta'])
    expect(names({ tag: 'text', q: 'ana' })).toEqual([])
  })

  it('keep their filters in the address and drop what they do not know', () => {
    expect(runsSearch({ state: 'failed', kind: 'process', flow: 7, other: 1 })).toEqual({ state: 'failed', kind: 'process', flow: '7', backfill: undefined })
    expect(runSearch({ tab: 'graph', task: '-1', level: 'loud', q: '' })).toEqual({ tab: 'graph', task: undefined, level: undefined, q: undefined })
    expect(flowSearch({ tab: 'x' })).toEqual({ tab: undefined })
    expect(workloadsSearch({ name: 'a' })).toEqual({ kind: undefined, name: 'a' })
    expect(crumbs('/runs/r%201').map(({ label }) => label)).toEqual(['runs', 'r 1'])
  })
})

describe('the results of a workload', () => {
  it('are written as CSV that holds any text', () => {
    const rows = [
      { word: 'a,b', n: 1 },
      { word: 'say "x"\n', n: null, more: { a: 1 } },
    ]
    expect(columnsOf(rows)).toEqual(['word', 'n', 'more'])
    expect(csvOf(rows)).toBe('word,n,more\r\n"a,b",1,\r\n"say ""x""\n",,"{""a"":1}"\r\n')
  })
})

describe('links in a log', () => {
  it('are found with what belongs to them, and nothing is lost', () => {
    expect(linked('see https://a.example/x?y=1#z, or (http://b.example/path). Done')).toEqual([
      'see ',
      'https://a.example/x?y=1#z',
      ', or (',
      'http://b.example/path',
      '). Done',
    ])
    expect(linked('javascript:alert(1) ftp://x.example no link')).toHaveLength(1)
    for (const text of ['', 'https://', 'a https://b', '<https://c.example>']) expect(linked(text).join('')).toBe(text)
  })
})
