/** The medallion example on a folder: files to bronze, silver and gold, what cannot be read kept aside, and a new file a month later. */
import { cpSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { expect, test } from 'vitest'
import { ROOT, good, lagoa, newHome, sql, temporaryFolder, type Summary } from '../helpers/cli.ts'

test('each file is taken once, and gold follows', async () => {
  const project = join(temporaryFolder('medallion'), 'project')
  cpSync(join(ROOT, 'examples/medallion-lab'), project, { recursive: true })
  const home = newHome()
  const run = async (): Promise<Summary> => good(await lagoa(['start', project, '--once', '--json', '--port', '0'], { home }))
  expect((await run()).tables).toMatchObject({ 'bronze.sales': { rows: 9 }, 'silver.sales': { rows: 6 }, 'gold.sales_by_region': { rows: 5 } })
  expect(await sql('select _line, _column from bronze.sales_quarantine order by 1', { home }, project)).toEqual([
    [11, 'valor'],
    [12, 'valor'],
  ])
  expect((await run()).tables).toMatchObject({ 'bronze.sales': { rows: 9 } })
  writeFileSync(
    join(project, 'inbox/sales-2026-02.csv'),
    'id;data;categoria;região;valor\n11;2026-02-02;pintura;Norte;10,00\n3;2026-02-03;elétrica;Norte;1,00\n',
  )
  expect((await run()).tables).toMatchObject({ 'bronze.sales': { rows: 11 }, 'silver.sales': { rows: 7 } })
  expect(await sql('select categoria, valor_total from gold.sales_by_region where "região" = \'Norte\' order by 1', { home }, project)).toEqual([
    ['elétrica', 1],
    ['pintura', 10],
  ])
  expect(await sql("select count(*) from delta('bronze/raw_data_source1/table1')", { home }, project)).toEqual([[11]])
})
