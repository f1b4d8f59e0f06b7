/** Code that honest people write, each snippet run for real: the validator refuses none of it and the harness brings all of it to Parquet. */
import { readFileSync, readdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import { missingPython, workbench } from '../helpers/python.ts'
import { missingSandbox, openTestSandbox } from '../helpers/sandbox.ts'

const FOLDER = join(import.meta.dirname, 'honest')
const CITIES = ['Recife', 'Natal', 'São Paulo', 'Olinda', 'Belém']
const HEADER = 'id,date,at,city,category,price,qty,active,source,info,data,open,eval,text,valor,unit price'
const DATA = [HEADER, ...Array.from({ length: 60 }, (_, i) => rowOf(i))].join('\n')

function rowOf(i: number): string {
  const two = (n: number): string => String(n).padStart(2, '0')
  const at = `2024-01-${two(Math.floor(i / 4) + 1)} ${two((i % 4) * 6)}:${two((i % 6) * 10)}`
  const city = i % 13 === 5 ? '' : CITIES[(i * 7) % 5]
  const price = i % 17 === 3 ? '' : (10 + ((i * 37) % 83) * 1.13).toFixed(2)
  const first = [i + 1, `2024-${two((i % 3) + 1)}-${two((i % 28) + 1)}`, at, city, 'abc'[i % 3], price, ((i * 5) % 9) + 1, i % 3 > 0]
  return [...first, `src${i % 4}`, `x${i}`, i * 2, i % 20, i, `Azul ${i} pedra-${i % 7}!`, i * 1.5, `${i % 5}.5`].join(',')
}

const files = readdirSync(FOLDER).filter((name) => name.endsWith('.py'))
const snippets = files.flatMap((name) =>
  readFileSync(join(FOLDER, name), 'utf8')
    .split('# ---\n')
    .map((code, place) => ({ name: `${name} ${place + 1}`, code })),
)

describe.skipIf(missingPython !== null)('honest code', () => {
  const bench = workbench()
  test('is more than three hundred snippets', () => {
    expect(snippets.length).toBeGreaterThan(300)
    expect(new Set(snippets.map(({ code }) => code)).size).toBe(snippets.length)
  })

  test.for(files)('of %s passes the validator and ends as Parquet', { timeout: 240_000 }, async (file) => {
    const failed: unknown[] = []
    for (const { name, code } of snippets.filter((snippet) => snippet.name.startsWith(file))) {
      const { answer, encoded } = await bench.job({ data: DATA, format: 'csv', code })
      if (answer?.status !== 'success' || encoded?.rows !== answer.rows) failed.push({ name, code, message: answer?.message, findings: answer?.findings })
    }
    expect(failed).toEqual([])
  })
})

describe.skipIf(missingSandbox !== null)('honest code behind all walls', () => {
  test('ends as Parquet as well', { timeout: 600_000 }, async () => {
    const { sandbox, folder } = await openTestSandbox()
    const path = join(folder, 'honest.csv')
    writeFileSync(path, DATA)
    const limits = { wallMs: 60_000, cpuMs: 60_000, memoryBytes: 1 << 30, outputBytes: 64 << 20, logBytes: 64 << 10 }
    const failed: unknown[] = []
    await Promise.all(
      snippets.map(async ({ name, code }, place) => {
        const job = { tenant: 'honest', code, input: { path, format: 'csv', key: 'honest' }, output: join(folder, `${place}.parquet`), limits } as const
        const { status, message, findings } = await sandbox.run(job, { signal: new AbortController().signal })
        if (status !== 'success') failed.push({ name, code, status, message, findings })
      }),
    )
    expect(failed).toEqual([])
  })
})
