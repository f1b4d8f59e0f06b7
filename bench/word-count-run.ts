/**
 * One count of the words of a text in a process of its own, so that its memory can be told: `node bench/word-count-run.ts lagoa|duckdb TEXT HOME`
 * prints the seconds, how many different words there are and the most frequent one. `lagoa` asks for a workload, from the request to its
 * results in a table; `duckdb` counts with the same engine, threads and memory and writes plain Parquet.
 */
import { link, mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { createLog } from '../src/base/index.ts'
import { openDuck, quoteText } from '../src/lake/index.ts'
import { loadConfigFile, openPlatform, resolveConfig } from '../src/platform/index.ts'
import { MEMORY } from './medallion.ts'

const [, , mode = '', file = '', home = ''] = process.argv
await mkdir(join(home, 'objects/texts'), { recursive: true })
let seconds = 0
let words = 0
let first: unknown

if (mode === 'lagoa') {
  await link(file, join(home, 'objects/texts/words.txt'))
  const project = join(import.meta.dirname, 'projects', 'flows')
  await loadConfigFile(project, undefined)
  const config = resolveConfig(project, [{ from: 'the benchmark', values: { home, lake: { memory: MEMORY } } }])
  const feed = { once: false, idle: true, simulation: {} }
  const platform = await openPlatform({ config, logger: createLog({ level: 'warn' }), feed, url: 'the benchmark' })
  const began = performance.now()
  const { id } = await platform.workloads.create({ name: 'words', kind: 'word_count', params: { source: 'texts/words.txt' } })
  for (;;) {
    const { lastRun } = await platform.workloads.get(id)
    if (lastRun?.error) throw new Error(lastRun.error.message)
    if (lastRun?.state === 'succeeded') break
    await sleep(20)
  }
  seconds = (performance.now() - began) / 1_000
  const { items } = await platform.workloads.results(id, { limit: 1 })
  first = items[0]
  words = (await platform.pipeline?.lake.open(`workloads.w${id.replaceAll('-', '')}`).snapshot())?.rowCount ?? 0
  await platform.close()
} else {
  const duck = await openDuck({ memoryLimit: MEMORY, tempDirectory: join(home, 'spill') })
  const connection = await duck.connect()
  const result = quoteText(join(home, 'words.parquet'))
  const began = performance.now()
  // Splitting at spaces cannot cut a word, and each different piece is looked through only once.
  await connection.run(`copy (
    select nfc_normalize(lower(word)) as word, sum(n)::bigint as count from (
      select unnest(regexp_extract_all(piece, '[\\p{L}\\p{M}\\p{N}]+(?:[''’][\\p{L}\\p{M}\\p{N}]+)*')) as word, n from (
        select piece, count(*) as n from (
          select unnest(string_split(line, ' ')) as piece
          from read_csv(${quoteText(file)}, columns = {'line': 'VARCHAR'}, header = false, auto_detect = false, delim = '', quote = '', escape = '')
        ) group by piece
      )
    ) group by all order by count desc, word
  ) to ${result} (format parquet)`)
  seconds = (performance.now() - began) / 1_000
  const reader = await connection.runAndReadAll(`select word, count::double as count, count(*) over ()::double as words from ${result} limit 1`)
  const [row] = reader.getRowObjects()
  words = Number(row?.words)
  first = { word: row?.word, count: row?.count }
  connection.closeSync()
  await duck.close()
}
process.stdout.write(JSON.stringify({ seconds, words, first }) + '\n')
process.exit()
