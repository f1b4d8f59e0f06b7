/** Files, statistics and partition values know a mapped column by another name than the table's readers. */
import { mkdir } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, test } from 'vitest'
import type { DeltaField, DeltaType } from '../../../src/lake/delta/index.ts'
import { commitFile, field, lines, openLake } from '../../helpers/delta.ts'

const lake = await openLake()
let made = 0

function mapped(name: string, type: DeltaType, id: number): DeltaField {
  return { ...field(name, type), metadata: { 'delta.columnMapping.id': id, 'delta.columnMapping.physicalName': `col-${id}` } }
}

const FIELDS = [
  mapped('id', 'long', 1),
  mapped('day', 'string', 2),
  mapped(
    'st',
    {
      type: 'struct',
      fields: [
        mapped("it's", 'integer', 4),
        mapped('list', { type: 'array', elementType: { type: 'struct', fields: [mapped('x', 'string', 6)] }, containsNull: true }, 5),
      ],
    },
    3,
  ),
  mapped(
    'm',
    {
      type: 'map',
      keyType: 'string',
      valueType: { type: 'struct', fields: [mapped('y', 'integer', 8), mapped('late', 'integer', 9)] },
      valueContainsNull: true,
    },
    7,
  ),
]

const COLUMNS = `{'col-4': 1::integer, 'col-5': [{'col-6': 'a'}, null]} as "col-3", map {'k': {'col-8': 2::integer}, 'l': null} as "col-7"`
const IDS = `{'col-1': 1, 'col-3': {__duckdb_field_id: 3, 'col-4': 4}, 'col-7': 7}`

async function tableOf(mode: string, files: readonly { readonly select: string; readonly ids?: string; readonly day: string; readonly id: number }[]) {
  const root = `silver/mapped${made++}`
  await mkdir(join(lake.folder, root), { recursive: true })
  const adds: unknown[] = []
  for (const [i, { select, ids, day, id }] of files.entries()) {
    const options = ids === undefined ? '' : `, field_ids ${ids}`
    await lake.rows(`copy (${select}) to '${join(lake.folder, root, `${i}.parquet`)}' (format parquet${options})`)
    const stats = JSON.stringify({ numRecords: 1, minValues: { 'col-1': id }, maxValues: { 'col-1': id }, nullCount: { 'col-1': 0 } })
    adds.push({ add: { path: `${i}.parquet`, partitionValues: { 'col-2': day }, size: 1, modificationTime: 1, dataChange: true, stats } })
  }
  const metaData = {
    id: root,
    format: { provider: 'parquet', options: {} },
    schemaString: JSON.stringify({ type: 'struct', fields: FIELDS }),
    partitionColumns: ['day'],
    configuration: { 'delta.columnMapping.mode': mode },
  }
  await lake.objects.putIfAbsent(commitFile(root, 0), lines({ protocol: { minReaderVersion: 2, minWriterVersion: 5 } }, { metaData }, ...adds))
  return lake.table(root)
}

const row = (id: number): string => `select ${id}::bigint as "col-1", ${COLUMNS}`

describe('a table with mapped columns', () => {
  test.each(['name', 'id'])('is read under its own names, nested ones too, by %s', async (mode) => {
    const table = await tableOf(mode, [
      { select: row(1), ids: IDS, day: 'a', id: 1 },
      { select: 'select 2::bigint as "col-1"', ids: "{'col-1': 1}", day: 'b', id: 2 },
    ])
    const content = await lake.content(table, 'id, "day", to_json(st)::varchar, to_json(m)::varchar')
    expect(content).toEqual([
      ['1', 'a', `{"it's":1,"list":[{"x":"a"},null]}`, '{"k":{"y":2,"late":null},"l":null}'],
      ['2', 'b', null, null],
    ])
    await table.append(lake.select(`select id + 10 as id, "day", st, m from (${await table.scan((await table.snapshot())!)})`))
    expect(await lake.content(lake.table(table.root), 'id, "day", to_json(st)::varchar, to_json(m)::varchar')).toEqual([
      ...content,
      ...content.map(([id, ...rest]) => [String(Number(id) + 10), ...rest]),
    ])
  })
  test('leaves out files by the stored names of statistics and partitions', async () => {
    const table = await tableOf('name', [
      { select: row(1), day: 'a', id: 1 },
      { select: row(2), day: 'b', id: 2 },
    ])
    const snapshot = await table.snapshot()
    if (snapshot === null) throw new Error('no table')
    for (const where of ['id = 2', '"day" = \'b\'']) {
      const sql = await table.scan(snapshot, { where })
      expect(await lake.rows(`select id from (${sql})`), where).toEqual([['2']])
    }
  })
  test('by id is refused when a file names its columns otherwise or does not number them', async () => {
    for (const file of [
      { select: 'select 1::bigint as other', ids: "{'other': 1}", day: 'a', id: 1 },
      { select: row(1), day: 'a', id: 1 },
    ]) {
      const table = await tableOf('id', [file])
      await expect(lake.content(table)).rejects.toMatchObject({ kind: 'unsupported', message: expect.stringContaining('columnMapping by id') as string })
    }
  })
})
