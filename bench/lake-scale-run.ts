/**
 * One measurement of a table's log in a process of its own: `node bench/lake-scale-run.ts open|commit HOME TABLE [WHERE]` prints its figures
 * as a line of JSON. Memory is what the process holds at most above what it held before the table was opened.
 */
import { join } from 'node:path'
import { openTable } from '../src/lake/delta/index.ts'
import { openDuck } from '../src/lake/index.ts'
import { openFolderObjects } from '../src/storage/index.ts'
import { percentile } from './figures.ts'

const [, , mode = '', home = '', root = '', where] = process.argv
const objects = await openFolderObjects(join(home, 'objects'))
const duck = await openDuck({ tempDirectory: join(home, 'spill') })
const connection = await duck.connect()
await connection.run('select 1')
const table = openTable({ objects, duck }, root)
const timed = async (work: () => Promise<unknown>): Promise<number> => {
  const began = performance.now()
  await work()
  return performance.now() - began
}
const timesOf = async (count: number, work: (i: number) => Promise<unknown>): Promise<number[]> => {
  const times: number[] = []
  for (let i = 0; i < count; i++) times.push(await timed(() => work(i)))
  return times
}

const figures: Record<string, number> = {}
if (mode === 'open') {
  const before = process.memoryUsage.rss()
  let most = before
  const watch = setInterval(() => {
    most = Math.max(most, process.memoryUsage.rss())
  }, 5)
  const cpu = process.cpuUsage()
  figures.open = await timed(() => table.snapshot())
  const snapshot = await table.snapshot()
  // The files themselves are not there: finding out which would be read is what is measured, up to the first that is missed.
  if (where !== undefined && snapshot) figures.prune = await timed(() => table.scan(snapshot, { where }).catch(() => null))
  const used = process.cpuUsage(cpu)
  clearInterval(watch)
  figures.cpu = (used.user + used.system) / 1000
  figures.memoryMB = (Math.max(most, process.memoryUsage.rss()) - before) / 1e6
  figures.refresh = percentile(await timesOf(200, () => table.snapshot()), 0.5)
} else {
  await table.create({ fields: ['id', 'a', 'b'].map((name) => ({ name, type: name === 'id' ? 'long' : 'double', nullable: true, metadata: {} })) })
  const rows = (i: number): string => `select ${i} * 1000 + r as id, r / 7.0 as a, random() as b from range(1000) t(r)`
  await timesOf(20, (i) => table.append({ connection, sql: rows(i) }))
  const times = await timesOf(300, (i) => table.append({ connection, sql: rows(i) }))
  figures.p50 = percentile(times, 0.5)
  figures.p99 = percentile(times, 0.99)
}
process.stdout.write(JSON.stringify(figures) + '\n')
connection.closeSync()
await duck.close()
await objects.close()
process.exit()
