/** Dead letters sent back into their stream: whole, in place, each once, whoever sends them and however often. */
import { beforeAll, describe, expect, it } from 'vitest'
import { deadLetterTopic, encodeRecords, listLetters, recordsOf, resend, type ResendResult, type Stream } from '../../src/streams/index.ts'
import { testRecords } from '../helpers/postgres.ts'
import { openRunning, type Running } from './running.ts'

const { records } = await testRecords()
let at: Running
beforeAll(async () => {
  at = await openRunning(records)
  return () => at.log.close()
})

async function values(of: string, partition: number = 0): Promise<{ key: string | null; value: Buffer }[]> {
  const found = []
  for (const batch of await at.log.read(of, partition, 0)) for (const { key, value } of recordsOf(batch)) found.push({ key, value: Buffer.from(value) })
  return found
}
/** Runs the stream until it has nothing left, so that what is bad becomes letters. */
async function run(of: Stream): Promise<void> {
  const runtime = await at.start(of, [])
  await runtime.drain()
  await runtime.stop()
}
const send = (of: Stream, letters: readonly number[] | 'all', limit: number = 100): Promise<ResendResult> =>
  resend(of.name, at.log, records, { letters, limit })
const counts = ({ resent, already, skipped, left }: ResendResult): number[] => [resent, already, skipped, left]

describe('sending dead letters again', () => {
  it('appends their raw bytes with their key to their partition, and never twice', async () => {
    const of = at.declare({ partitions: 2 })
    await at.append(of, [])
    const odd = [Buffer.from('not json'), Buffer.from([0xff, 0x00, 0xfe]), Buffer.from('\u{feff}{"id":'), Buffer.alloc(0), Buffer.from('{"id":"ü"}')]
    await at.log.append(of.name, 1, encodeRecords(odd.map((value, i) => ({ key: i === 2 ? 'k' : null, value }))))
    await run(of)
    const letters = await at.log.ends(deadLetterTopic(of.name))
    expect(letters).toEqual([5])
    expect(counts(await send(of, [2, 0, 2]))).toEqual([2, 0, 0, 0])
    expect(counts(await send(of, 'all'))).toEqual([3, 2, 0, 0])
    expect(counts(await send(of, 'all'))).toEqual([0, 0, 0, 0])
    expect(counts(await send(of, [0, 1, 2, 3, 4]))).toEqual([0, 5, 0, 0])
    const again = (await values(of.name, 1)).slice(5)
    expect(again.map(({ key }) => key)).toEqual([null, 'k', null, null, null])
    expect(again.map(({ value }) => value.toString('hex'))).toEqual([odd[0], odd[2], odd[1], odd[3], odd[4]].map((value) => value?.toString('hex')))
    expect(await values(of.name, 0)).toEqual([])
  })

  it('sends in place of a letter what somebody made of it, in the partition and under the key that it says', async () => {
    const of = at.declare({ partitions: 2 })
    await at.append(of, [])
    await at.log.append(of.name, 1, encodeRecords([{ key: 'old', value: 'bad' }]))
    await run(of)
    const instead = { key: 'new', value: '{"id":1}', partition: 0 }
    expect(counts(await resend(of.name, at.log, records, { letters: [0], limit: 1, instead }))).toEqual([1, 0, 0, 0])
    expect(await values(of.name, 0)).toEqual([{ key: 'new', value: Buffer.from('{"id":1}') }])
    // It is the same letter: as it first came it does not follow.
    expect(counts(await send(of, 'all'))).toEqual([0, 1, 0, 0])
  })

  it('lists the letters newest first, page by page, and tells which were sent again', async () => {
    const of = at.declare()
    await at.append(
      of,
      Array.from({ length: 7 }, (_, i) => `bad ${i}`),
    )
    await run(of)
    await send(of, [1, 6])
    const pages = []
    for (let before: number | null | undefined; before !== null;) {
      const page = await listLetters(of.name, at.log, records, { before, limit: 3 })
      expect([page.kept, page.waiting]).toEqual([7, 7])
      pages.push(page.letters.map(({ offset, letter, isResent }) => `${offset} ${letter?.text}${isResent ? ' resent' : ''}`))
      before = page.before
    }
    expect(pages).toEqual([['6 bad 6 resent', '5 bad 5', '4 bad 4'], ['3 bad 3', '2 bad 2', '1 bad 1 resent'], ['0 bad 0']])
    await send(of, 'all', 4)
    expect((await listLetters(of.name, at.log, records, { limit: 1 })).waiting).toBe(3)
    expect((await listLetters(of.name, at.log, records, { before: 0, limit: 3 })).letters).toEqual([])
    expect((await listLetters('nothing', at.log, records, { limit: 3 })).letters).toEqual([])
  })

  it('makes a new letter of what is still bad, which can be sent again for itself', async () => {
    const of = at.declare()
    await at.append(of, ['bad', 1, 2])
    await run(of)
    expect(counts(await send(of, 'all'))).toEqual([1, 0, 0, 0])
    await run(of)
    expect((await at.log.ends(deadLetterTopic(of.name)))[0]).toBe(2)
    expect(counts(await send(of, 'all'))).toEqual([1, 0, 0, 0])
  })

  it('keeps to its limit and says how many are left', async () => {
    const of = at.declare()
    await at.append(
      of,
      Array.from({ length: 7 }, (_, i) => `bad ${i}`),
      7,
    )
    await run(of)
    expect(counts(await send(of, [0, 1, 2], 2))).toEqual([2, 0, 0, 1])
    expect(counts(await send(of, 'all', 3))).toEqual([1, 2, 0, 4])
    expect(counts(await send(of, 'all', 3))).toEqual([3, 0, 0, 1])
    expect(counts(await send(of, 'all', 3))).toEqual([1, 0, 0, 0])
    expect((await values(of.name)).slice(7).map(({ value }) => value.toString())).toEqual(Array.from({ length: 7 }, (_, i) => `bad ${i}`))
  })

  it('is exact when many send the same letters at the same time', async () => {
    const of = at.declare()
    await at.append(
      of,
      Array.from({ length: 40 }, (_, i) => `bad ${i}`),
      40,
    )
    await run(of)
    const results = await Promise.all([send(of, 'all'), send(of, 'all'), send(of, [0, 1, 39]), send(of, 'all', 10)])
    expect(results.reduce((sum, { resent }) => sum + resent, 0)).toBe(40)
    expect((await values(of.name)).length).toBe(80)
  })

  it('finds the whole of a long record in the stream, and passes over what is nowhere whole', async () => {
    const of = at.declare()
    const long = `not json ${'x'.repeat(200_000)}`
    await at.append(of, [long])
    await run(of)
    expect(counts(await send(of, 'all'))).toEqual([1, 0, 0, 0])
    expect((await values(of.name)).at(-1)?.value.toString()).toBe(long)
    const letter = { error: 'e', reason: 'r', partition: 0, offset: 77, key: null, text: 'x', bytes: 100_000 }
    const strangers = [JSON.stringify(letter), JSON.stringify({ ...letter, partition: null, offset: null }), '{"no":"letter"}', 'no json']
    await at.log.append(deadLetterTopic(of.name), 0, encodeRecords(strangers.map((value) => ({ key: null, value }))))
    const result = await send(of, 'all')
    expect([counts(result), result.reasons.length]).toEqual([[0, 0, 4, 0], 3])
  })

  it('refuses an offset at which there is no letter, and stops when it is told to', async () => {
    const of = at.declare()
    await at.append(of, ['bad'])
    await run(of)
    await expect(send(of, [3])).rejects.toMatchObject({ code: 'streams.no_letter', kind: 'invalid' })
    await expect(resend(of.name, at.log, records, { letters: 'all', limit: 10, signal: AbortSignal.abort() })).rejects.toThrow('aborted')
    expect(counts(await send(of, 'all'))).toEqual([1, 0, 0, 0])
  })
})
