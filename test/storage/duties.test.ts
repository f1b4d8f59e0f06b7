import { setTimeout as sleep } from 'node:timers/promises'
import fc from 'fast-check'
import { afterEach, beforeAll, describe, expect, test } from 'vitest'
import { silentLog } from '../../src/base/index.ts'
import { dutyMigrations, migrate, openLeasedDuties, openRecords, soleDuties, type Duties, type Records } from '../../src/storage/index.ts'
import { balance } from '../../src/storage/records/duties/balance.ts'
import { testRecords, type TestRecords } from '../helpers/postgres.ts'

const LEASE = 1_500

let database: TestRecords
let records: Records
const opened: Duties[] = []
beforeAll(async () => {
  database = await testRecords()
  records = database.records
  await migrate(records, dutyMigrations)
})
afterEach(async () => {
  for (const duties of opened.splice(0)) await duties.close()
})

async function node(url: string, on: Records = records): Promise<Duties> {
  const duties = await openLeasedDuties(on, { log: silentLog, url, leaseMs: LEASE })
  opened.push(duties)
  return duties
}

/** Who does what, and whether two ever did the same at a time. */
function watch(): { offer(duties: Duties, who: string, names: readonly string[]): void; doers: Map<string, Set<string>>; clashes: string[] } {
  const doers = new Map<string, Set<string>>()
  const clashes: string[] = []
  return {
    doers,
    clashes,
    offer(duties, who, names) {
      for (const name of names)
        duties.offer(name, async (signal) => {
          const doing = doers.get(name) ?? new Set()
          doers.set(name, doing)
          doing.add(who)
          if (doing.size > 1) clashes.push(`${name}: ${[...doing].join(' and ')}`)
          await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
          doing.delete(who)
        })
    },
  }
}

const loads = ({ doers }: { doers: Map<string, Set<string>> }): Record<string, number> => {
  const counts: Record<string, number> = {}
  for (const doing of doers.values()) for (const who of doing) counts[who] = (counts[who] ?? 0) + 1
  return counts
}

async function until(condition: () => boolean, ms = 20_000): Promise<number> {
  const began = performance.now()
  while (!condition()) {
    if (performance.now() - began > ms) throw new Error(`what the test waits for did not happen within ${ms} ms`)
    await sleep(5)
  }
  return performance.now() - began
}

const names = (count: number): string[] => Array.from({ length: count }, (_, i) => `duty ${i}`)

describe('duties held by leases', { timeout: 60_000 }, () => {
  test('are all done by the one node there is, at once', async () => {
    const seen = watch()
    seen.offer(await node('a'), 'a', names(7))
    await until(() => loads(seen).a === 7)
  })

  test('are shared evenly when a node comes, and done by one at a time', async () => {
    const seen = watch()
    seen.offer(await node('a'), 'a', names(9))
    await until(() => loads(seen).a === 9)
    const second = await node('b')
    seen.offer(second, 'b', names(9))
    await until(() => loads(seen).a === 5 && loads(seen).b === 4)
    seen.offer(await node('c'), 'c', names(9))
    await until(() => Object.values(loads(seen)).every((load) => load === 3) && Object.keys(loads(seen)).length === 3)
    expect((await second.nodes()).map(({ url, duties }) => [url, duties.length])).toEqual(
      expect.arrayContaining([
        ['a', 3],
        ['b', 3],
        ['c', 3],
      ]),
    )
    expect((await second.nodes())[0]?.url).toBe('b')
    expect(seen.clashes).toEqual([])
  })

  test('go over at once when a node closes', async () => {
    const seen = watch()
    const first = await node('a')
    seen.offer(first, 'a', names(4))
    seen.offer(await node('b'), 'b', names(4))
    await until(() => loads(seen).a === 2 && loads(seen).b === 2)
    await first.close()
    expect(loads(seen).a).toBeUndefined()
    expect(await until(() => loads(seen).b === 4)).toBeLessThan(2_000)
    expect(seen.clashes).toEqual([])
  })

  test('are given up by a node that loses the database, before another takes them', async () => {
    const seen = watch()
    // Its connections go through a pool of its own, which is closed under it.
    const own = await openRecords({ connection: database.connection, max: 3, log: silentLog })
    seen.offer(await node('cut off', own), 'cut off', names(4))
    seen.offer(await node('b'), 'b', names(4))
    await until(() => loads(seen)['cut off'] === 2 && loads(seen).b === 2)
    await own.close()
    expect(await until(() => loads(seen).b === 4)).toBeLessThan(LEASE + 2_000)
    expect(loads(seen)['cut off']).toBeUndefined()
    expect(seen.clashes).toEqual([])
  })

  test('that only one node can do are done by it, whatever its share', async () => {
    const seen = watch()
    seen.offer(await node('a'), 'a', names(2))
    seen.offer(await node('b'), 'b', [...names(2), 'x', 'y', 'z'])
    await until(() => ['x', 'y', 'z'].every((name) => seen.doers.get(name)?.has('b')) && Object.values(loads(seen)).reduce((a, b) => a + b, 0) === 5)
    await sleep(3 * LEASE)
    expect(['x', 'y', 'z'].every((name) => seen.doers.get(name)?.has('b'))).toBe(true)
  })

  test('end when they are withdrawn, and another node takes them', async () => {
    const a = await node('a')
    const b = await node('b')
    let stopped = 0
    const offer = a.offer('one', async (signal) => {
      await new Promise((resolve) => signal.addEventListener('abort', resolve, { once: true }))
      await sleep(20)
      stopped++
    })
    await until(() => offer.isHeld())
    await offer.withdraw()
    expect(stopped).toBe(1)
    expect(offer.isHeld()).toBe(false)
    const other = b.offer('one', () => new Promise(() => undefined).catch(() => undefined) as Promise<void>)
    await until(() => other.isHeld())
    // It never ends by itself; nothing waits for it in this test.
    opened.splice(opened.indexOf(b), 1)
  })
})

test('one process alone does everything that it offers', async () => {
  const duties = soleDuties({ log: silentLog, url: 'alone' })
  const seen = watch()
  seen.offer(duties, 'alone', names(3))
  expect(loads(seen)).toEqual({ alone: 3 })
  expect((await duties.nodes())[0]?.duties).toEqual(names(3))
  await duties.close()
  expect(loads(seen)).toEqual({})
})

describe('the balance', () => {
  test('comes to rest with every duty done by one node and no node two ahead of another', () => {
    fc.assert(
      fc.property(fc.integer({ min: 1, max: 6 }), fc.integer({ min: 1, max: 30 }), fc.array(fc.nat(5), { maxLength: 20 }), (count, duties, kills) => {
        const offered = names(duties)
        const holders = new Map<string, string>()
        let nodes = Array.from({ length: count }, (_, i) => `node ${i}`)
        const settle = (): number => {
          for (let round = 1; round <= 60; round++) {
            let moved = false
            for (const node of nodes) {
              const { take, give } = balance({ node, offered, holders, nodes, leftOver: new Set(), kept: new Set() })
              for (const name of take) {
                expect(holders.has(name)).toBe(false)
                holders.set(name, node)
              }
              for (const name of give) {
                expect(holders.get(name)).toBe(node)
                holders.delete(name)
              }
              moved ||= take.length + give.length > 0
            }
            if (!moved) return round
          }
          throw new Error('it never came to rest')
        }
        settle()
        for (const kill of kills) {
          if (nodes.length > 1) nodes = nodes.filter((_, i) => i !== kill % nodes.length)
          else nodes = [...nodes, `late ${kill}`]
          for (const [name, node] of holders) if (!nodes.includes(node)) holders.delete(name)
          settle()
          const loadsNow = nodes.map((node) => [...holders.values()].filter((holder) => holder === node).length)
          expect(holders.size).toBe(duties)
          expect(Math.max(...loadsNow) - Math.min(...loadsNow)).toBeLessThan(2)
        }
      }),
    )
  })
})
