import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { failure, good, lagoa, newHome, project, serve } from '../helpers/cli.ts'

interface Workload {
  readonly id: string
  readonly name: string
  readonly kind: string
  readonly params: unknown
  readonly lastRun: { readonly id: string; readonly state: string } | null
}

const folder = project({
  'flows/slow.ts': `
import { flow, task } from 'lagoa'
import { setTimeout as sleep } from 'node:timers/promises'
export default flow('slow', {}, () => task('wait', { run: (_, { signal }) => sleep(600_000, 'never', { signal }) }))
`,
})

function homeWithText(): string {
  const home = newHome()
  mkdirSync(join(home, 'objects/texts'), { recursive: true })
  writeFileSync(join(home, 'objects/texts/poem.txt'), 'No meio do caminho tinha uma pedra\ntinha uma pedra no meio do caminho\n')
  return home
}
const COUNT = ['workloads', 'create', 'word_count', 'poem', '-p', 'source=texts/poem.txt', '-p', 'top=3']
const POEM = [
  { word: 'caminho', count: 2 },
  { word: 'do', count: 2 },
  { word: 'meio', count: 2 },
]

describe('lagoa workloads', () => {
  test('without a server carries a workload out, shows what it yielded, runs it again and deletes it', async () => {
    const home = homeWithText()
    const at = (...words: string[]) => lagoa([...words, '--project', folder, '--json'], { home })
    const made = good<Workload>(await at(...COUNT))
    expect(made).toMatchObject({ name: 'poem', kind: 'word_count', params: { source: 'texts/poem.txt', top: 3 }, lastRun: { state: 'succeeded' } })
    expect(good(await at('workloads', 'results', made.id))).toEqual(POEM)
    expect(good(await at('workloads', 'results', made.id, '--limit', '1'))).toEqual(POEM.slice(0, 1))
    const again = good<Workload>(await at('workloads', 'run', made.id))
    expect(again.lastRun).toMatchObject({ state: 'succeeded' })
    expect(again.lastRun?.id).not.toBe(made.lastRun?.id)
    expect(good<{ runs: unknown[] }>(await at('workloads', 'show', made.id)).runs).toHaveLength(2)
    const sql = good<Workload>(await at('workloads', 'create', 'sql', '-p', 'sql=select 1 as n'))
    expect(sql.name).toBe('sql')
    expect(good<Workload[]>(await at('workloads')).map(({ id }) => id)).toEqual([sql.id, made.id])
    expect(good<Workload[]>(await at('workloads', '--kind', 'word_count')).map(({ id }) => id)).toEqual([made.id])
    expect(good(await at('workloads', 'delete', made.id))).toEqual({ deleted: made.id })
    expect(failure(await at('workloads', 'results', made.id)).kind).toBe('missing')
    const failed = await at('workloads', 'create', 'sql', '-p', 'sql=select nothing')
    expect([failed.code, good<Workload>({ ...failed, code: 0 }).lastRun?.state]).toEqual([1, 'failed'])
  })

  test('beside a running server is carried out by the server, and cancels what runs there', async () => {
    const server = await serve('start', ['--project', folder], { home: homeWithText() })
    const at = (...words: string[]) => lagoa([...words, '--project', folder, '--json'], { home: server.home })
    const made = good<Workload>(await at(...COUNT))
    expect(made.lastRun).toMatchObject({ state: 'succeeded' })
    expect(await server.get(`/api/v1/workloads/${made.id}/results`)).toMatchObject({ items: POEM })
    const slow = good<Workload>(await at('workloads', 'create', 'flow', 'slow', '-p', 'flow=slow', '--detach'))
    const cancelled = async (): Promise<number> => good<{ cancelled: number }>(await at('workloads', 'cancel', slow.id)).cancelled
    while ((await cancelled()) === 0);
    expect(good(await at('workloads', 'delete', made.id))).toEqual({ deleted: made.id })
    expect(await server.get<{ items: Workload[] }>('/api/v1/workloads')).toMatchObject({ items: [{ id: slow.id }] })
  })

  test('in words lists kinds and shows tables', async () => {
    const home = homeWithText()
    const at = (...words: string[]) => lagoa([...words, '--project', folder], { home })
    expect((await at('workloads', 'kinds')).stdout).toMatch(/word_count +Counts the words .* +source, column\?, top\?/)
    const made = await at(...COUNT)
    const id = made.stdout.trim()
    expect(made.stderr).toContain('succeeded')
    expect((await at('workloads', 'show', id)).stdout).toContain('poem word_count {"top":3,"source":"texts/poem.txt"}')
    expect((await at('workloads', 'results', id)).stdout).toMatch(/word +count\n-+ +-+\ncaminho +2\n/)
  })

  test.each([
    [['workloads', 'creat'], 'cli.no_word', 'create'],
    [['workloads', 'create'], 'cli.no_workload', 'KIND NAME'],
    [['workloads', 'show'], 'cli.no_workload', 'lagoa workloads show ID'],
    [['workloads', 'show', 'nothing'], 'workloads.no_workload', 'nothing'],
    [['workloads', 'run', 'nothing'], 'workloads.no_workload', 'nothing'],
    [['workloads', 'create', 'word_cuont', 'x'], 'workloads.kind', 'Did you mean word_count?'],
    [['workloads', 'create', 'sql', 'x'], 'workloads.params', 'params.sql'],
    [['workloads', '--limit', 'many'], 'cli.number', '--limit 10'],
  ])('%j is refused as %s', async (args, code, words) => {
    const { message, hint = '', ...error } = failure(await lagoa([...args, '--json', '--project', folder], { home: newHome() }))
    expect(error.code).toBe(code)
    expect(`${message} ${hint}`).toContain(words)
  })
})
