/** The word-count example as its document describes it: a dataset's column is counted, the counts are read through the API. */
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { eventually, ROOT, serve } from '../helpers/cli.ts'

test('words of the articles are counted and read, the most frequent first', async () => {
  const server = await serve('start', ['--project', join(ROOT, 'examples/word-count'), '--count', '300', '--rate', 'max'])
  await eventually(
    'the articles are in their table',
    async () => {
      const { items } = await server.get<{ items: { name: string; rows: number | null }[] }>('/api/v1/tables')
      return (items.find(({ name }) => name === 'library.articles')?.rows ?? 0) >= 300
    },
    60_000,
  )
  const { id } = await server.post<{ id: string }>('/workloads', {
    name: 'words of the articles',
    kind: 'word_count',
    params: { source: 'project.library.articles', column: 'body' },
  })
  await eventually(
    'it has run',
    async () => (await server.get<{ lastRun: { state: string } | null }>(`/workloads/${id}`)).lastRun?.state === 'succeeded',
    60_000,
  )
  const { items } = await server.get<{ items: { word: string; count: number }[] }>(`/workloads/${id}/results?limit=1000`)
  const counts = items.map(({ count }) => count)
  expect(counts).toEqual(counts.toSorted((a, b) => b - a))
  const rows: { rows: [string][] } = await server.post('/api/v1/query', { sql: 'select body from library.articles', limit: 100_000 })
  const words = rows.rows.flatMap(([body]) => body.toLowerCase().match(/[\p{L}\p{M}\p{N}]+/gu) ?? [])
  const wanted = new Map<string, number>()
  for (const word of words) wanted.set(word, (wanted.get(word) ?? 0) + 1)
  expect(Object.fromEntries(items.map(({ word, count }) => [word, count]))).toEqual(Object.fromEntries(wanted))
  expect((await server.kill()).code).toBe(0)
})
