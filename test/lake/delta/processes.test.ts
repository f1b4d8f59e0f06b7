/** Several processes and one table: nothing acknowledged is lost, nothing half done is seen. */
import { spawn, type ChildProcess } from 'node:child_process'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { describe, expect, test } from 'vitest'
import { field, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
const WRITER = fileURLToPath(new URL('./writer.ts', import.meta.url))

interface Writer {
  readonly child: ChildProcess
  /** Numbers that were acknowledged. */
  readonly acknowledged: number[]
  readonly ended: Promise<number | null>
}

function startWriter(mode: 'append' | 'merge' | 'overwrite', root: string, from: number, count: number): Writer {
  const child = spawn(process.execPath, [WRITER, lake.folder, join(lake.folder, '..', `spill${from}`), mode, root, String(from), String(count)], {
    stdio: ['ignore', 'pipe', 'inherit'],
  })
  const acknowledged: number[] = []
  let rest = ''
  child.stdout?.on('data', (data: Buffer) => {
    const parts = (rest + data.toString()).split('\n')
    rest = parts.pop() ?? ''
    acknowledged.push(...parts.map(Number))
  })
  return { child, acknowledged, ended: new Promise((resolve) => child.on('close', (code) => resolve(code))) }
}

describe('processes', () => {
  test('four processes append 250 times each to one table and lose none', { timeout: 120_000 }, async () => {
    const root = 'bronze/four'
    await lake.table(root).create({ fields: [field('id', 'long')] })
    const writers = [0, 1, 2, 3].map((n) => startWriter('append', root, n * 1000, 250))
    expect(await Promise.all(writers.map((writer) => writer.ended))).toEqual([0, 0, 0, 0])
    const snapshot = await lake.table(root).snapshot()
    expect(snapshot).toMatchObject({ version: 1000, rowCount: 1000 })
    expect(await lake.content(lake.table(root), 'count(distinct id), count(*)')).toEqual([['1000', '1000']])
  })
  test('a process killed while it commits leaves the old version or the new one, and every acknowledged row', { timeout: 120_000 }, async () => {
    for (const mode of ['append', 'overwrite', 'merge'] as const) {
      const root = `bronze/killed_${mode}`
      await lake.table(root).create({ fields: [field('id', 'long')] })
      let next = 1
      const acknowledged = new Set<number>()
      for (let round = 0; round < 6; round++) {
        const writer = startWriter(mode, root, next, 10_000)
        while (writer.acknowledged.length === 0) await new Promise((resolve) => setTimeout(resolve, 5))
        await new Promise((resolve) => setTimeout(resolve, 37 * round))
        writer.child.kill('SIGKILL')
        await writer.ended
        for (const id of writer.acknowledged) acknowledged.add(id)
        const last = Math.max(...acknowledged)
        const table = lake.table(root)
        const ids = (await lake.rows(`select id from (${await table.scan((await table.snapshot())!)})`)).map(([id]) => Number(id))
        // One write may have been committed whose acknowledgement did not get out.
        if (mode === 'overwrite') expect([[last], [last + 1]]).toContainEqual(ids)
        else {
          expect(new Set(ids).size).toBe(ids.length)
          expect([...acknowledged].filter((id) => !ids.includes(id))).toEqual([])
          expect(ids.length).toBeLessThanOrEqual(acknowledged.size + round + 1)
        }
        next = Math.max(...ids) + 1
      }
    }
  })
})
