/** What sensors wait for, looked at once: found, not yet, or nothing that could be waited for. How they wait is tested with a whole project. */
import { describe, expect, test } from 'vitest'
import { until, type TaskContext } from '../../src/flows/index.ts'
import { tools } from './tools.ts'

const objects = [
  { path: 'inbox/a.csv', size: 1, modified: 5 },
  { path: 'inbox/a.csv.gz', size: 2, modified: 6 },
]
const context = (given: Partial<TaskContext>): TaskContext => ({ ...tools, now: () => 1_000, ...given }) as TaskContext
const store = context({
  objects: {
    ...tools.objects,
    list: async function* (prefix) {
      yield* objects.filter(({ path }) => path.startsWith(prefix))
    },
  },
})

describe('until', () => {
  test('an object is there, by its whole path unless it ends with *', async () => {
    expect(await until.object('inbox/a.csv')({}, store)).toEqual(objects[0])
    expect(await until.object('inbox/a')({}, store)).toBeUndefined()
    expect(await until.object(({ name }: { name: string }) => `inbox/${name}*`)({ name: 'a.csv.' }, store)).toEqual(objects[1])
  })

  test('a table is at a version or past it; one that was never written is not', async () => {
    const silver = { kind: 'table', name: 'silver.t' } as const
    const at = (version: number | null): TaskContext => context({ position: async () => version })
    expect(await until.version(silver)({}, at(null))).toBeUndefined()
    expect(await until.version(silver)({}, at(0))).toBe(0)
    expect(await until.version(silver, 3)({}, at(2))).toBeUndefined()
    expect(await until.version(silver, ({ least }: { least: number }) => least)({ least: 3 }, at(4))).toBe(4)
  })

  test('a record of any partition matches', async () => {
    const log = context({ position: async () => [1, 2], records: async (_, { partition = 0 }) => (partition === 0 ? ['text', { n: 1 }] : [{ n: 7 }]) })
    const stream = { kind: 'stream', name: 's' } as const
    expect(await until.record(stream, ({ n }) => Number(n) > 5)({}, log)).toEqual({ n: 7 })
    expect(await until.record(stream, ({ n }) => Number(n) > 9)({}, log)).toBeUndefined()
  })

  test('a moment has come', async () => {
    expect(await until.time(1_000)({}, context({}))).toBe(1_000)
    expect(await until.time('1970-01-01T00:00:01.001Z')({}, context({}))).toBeUndefined()
    expect(await until.time(() => '1970-01-01 01:00:01+01:00')({}, context({}))).toBe(1_000)
  })

  test.each(['2026-05-01', '2026-05-01T12:00', 'noon', '2026-05-41T12:00Z', Number.NaN])('%s is no moment', (at) => {
    expect(() => until.time(at)).toThrow('is no moment to wait for')
  })
})
