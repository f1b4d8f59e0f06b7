/** Who runs when more want to than may. */
import { describe, expect, test } from 'vitest'
import { Turns } from '../../src/sandbox/turns.ts'

const never = new AbortController().signal

describe('turns', () => {
  test('go round the tenants, and within one keep the order of arrival', async () => {
    const turns = new Turns(1, 100)
    await turns.enter('first', never)
    const order: string[] = []
    const all = ['a1', 'a2', 'a3', 'b1', 'c1', 'b2'].map(async (name) => {
      await turns.enter(name.slice(0, 1), never)
      order.push(name)
      turns.leave()
    })
    turns.leave()
    await Promise.all(all)
    expect(order).toEqual(['a1', 'b1', 'c1', 'a2', 'b2', 'a3'])
  })

  test('are never more than the capacity', async () => {
    const turns = new Turns(3, 1_000)
    let running = 0
    let most = 0
    const job = async (n: number): Promise<void> => {
      await turns.enter(`${n % 7}`, never)
      most = Math.max(most, ++running)
      await new Promise((resolve) => setImmediate(resolve))
      running--
      turns.leave()
    }
    await Promise.all(Array.from({ length: 200 }, (_, n) => job(n)))
    expect(most).toBe(3)
    expect(running).toBe(0)
  })

  test('of one who gave up pass to the next', async () => {
    const turns = new Turns(1, 100)
    await turns.enter('a', never)
    const controller = new AbortController()
    const gaveUp = turns.enter('b', controller.signal)
    const waits = turns.enter('b', never)
    controller.abort(new Error('gave up'))
    await expect(gaveUp).rejects.toThrow('gave up')
    turns.leave()
    await waits
    turns.leave()
    await turns.enter('c', never)
  })

  test('are refused when too many wait, and to all who wait at the end', async () => {
    const turns = new Turns(1, 1)
    await turns.enter('a', never)
    const waits = turns.enter('a', never)
    await expect(turns.enter('b', never)).rejects.toMatchObject({ kind: 'unavailable' })
    turns.refuseAll(new Error('over'))
    await expect(waits).rejects.toThrow('over')
  })
})
