import { between, files, notNull, quarantine, sql, t, table } from 'lagoa'

/** As received, at the place where the team's Spark jobs expect it: s3a://bronze/raw_data_source1/table1. */
export const raw = table('bronze.sales', {
  description: 'Sales as the shops send them, a CSV file a month',
  owner: 'sales-data',
  tags: ['vendas'],
  location: 'bronze/raw_data_source1/table1',
  from: files('inbox/sales-*.csv', { delimiter: ';', decimal: ',' }),
  columns: { id: t.long(), data: t.date(), categoria: t.string(), região: t.string(), valor: t.double() },
})

export const clean = table('silver.sales', {
  description: 'One row per sale; what is not worth anything is no sale',
  owner: 'sales-data',
  from: raw,
  merge: ['id'],
  columns: { id: t.long(), data: t.date(), categoria: t.string(), região: t.string(), valor: t.double().unit('BRL') },
  sql: sql`select ${raw.c.id}, ${raw.c.data}, ${raw.c.categoria}, ${raw.c.região}, ${raw.c.valor} from ${raw} where ${raw.c.valor} > 0`,
  expect: { named: quarantine(notNull('categoria', 'região')), plausible: quarantine(between('valor', 0, 100_000)) },
})

export const byRegion = table('gold.sales_by_region', {
  description: 'What was sold, by category and region',
  owner: 'sales-data',
  sql: sql`select ${clean.c.categoria}, ${clean.c.região}, sum(${clean.c.valor}) as valor_total from ${clean} group by all order by valor_total desc`,
})
