/** `npm run bench [NAME ...]` measures and writes the figures into bench/README.md. */
import { readFile, writeFile } from 'node:fs/promises'
import { availableParallelism, cpus, totalmem } from 'node:os'
import { join } from 'node:path'
import { markdown, type Figure } from './figures.ts'
import { flows } from './flows.ts'
import { lake } from './lake.ts'
import { lakeScale } from './lake-scale.ts'
import { rules } from './rules.ts'
import { sandbox } from './sandbox.ts'
import { serving } from './serving.ts'
import { streams } from './streams.ts'
import { streamsKafka } from './streams-kafka.ts'
import { wordCount } from './word-count.ts'

const BENCHES: Readonly<Record<string, () => Promise<Figure[]>>> = {
  streams,
  'streams-kafka': streamsKafka,
  lake,
  'lake-scale': lakeScale,
  serving,
  rules,
  sandbox,
  flows,
  'word-count': wordCount,
}

const wanted = process.argv.slice(2)
const page = join(import.meta.dirname, 'README.md')
for (const [name, bench] of Object.entries(BENCHES)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue
  process.stdout.write(`${name} ...\n`)
  const table = markdown(await bench())
  const machine = `${availableParallelism()} cores (${cpus()[0]?.model ?? 'unknown'}), ${Math.round(totalmem() / 1e9)} GB, Node ${process.versions.node}`
  const section = `<!-- ${name} -->\n${new Date().toISOString().slice(0, 10)}, ${machine}\n\n${table}\n<!-- /${name} -->`
  const before = await readFile(page, 'utf8')
  await writeFile(page, before.replace(new RegExp(`<!-- ${name} -->[\\s\\S]*<!-- /${name} -->`), section))
  process.stdout.write(`${table}\n`)
}
process.exit()
