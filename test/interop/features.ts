/**
 * Features of Delta and how we stand to each: `equal` and `works`, or the name by which we refuse. Learning a feature is a change of
 * one word here. The names are those of the protocol (section "Valid Feature Names in Table Features").
 */
import { field } from '../helpers/delta.ts'
import type { Engine } from './engine.ts'

export interface Feature {
  readonly name: string
  readonly reading: 'equal' | (string & {})
  readonly writing: 'works' | (string & {})
  /** Makes the table at a path, with a bigint column `id` and a few rows. */
  make(engine: Engine, path: string): Promise<void>
  /** What to append when the table wants other columns too. */
  readonly insert?: string
}

/** A table by SQL: `define` holds what follows CREATE TABLE's columns, `after` more statements on `$table`. */
function bySql(
  name: string,
  reading: Feature['reading'],
  writing: Feature['writing'],
  sql: {
    readonly columns?: string
    readonly define?: string
    readonly rows?: string
    readonly after?: readonly string[]
    readonly settings?: Readonly<Record<string, string>>
    readonly insert?: string
  },
): Feature {
  return {
    name,
    reading,
    writing,
    ...(sql.insert === undefined ? {} : { insert: sql.insert }),
    make: async (engine, path) => {
      const table = `delta.\`${path}\``
      await engine.sql(
        [
          `create table ${table} (${sql.columns ?? 'id bigint, name string'}) using delta ${sql.define ?? ''}`,
          `insert into ${table} ${sql.rows ?? "values (1, 'a'), (2, 'b'), (3, 'c')"}`,
          ...(sql.after ?? []).map((statement) => statement.replaceAll('$table', table).replaceAll('$path', path)),
        ],
        sql.settings,
      )
    },
  }
}

const properties = (settings: Readonly<Record<string, string>>): string =>
  `tblproperties (${Object.entries(settings)
    .map(([key, value]) => `'${key}' = '${value}'`)
    .join(', ')})`

/** Of both Sparks. */
export const SPARK_FEATURES: readonly Feature[] = [
  bySql('nothing special', 'equal', 'works', {}),
  bySql('appendOnly', 'equal', 'works', { define: properties({ 'delta.appendOnly': 'true' }) }),
  bySql('invariants: a column that takes no nulls', 'equal', 'works', { columns: 'id bigint not null, name string' }),
  bySql('timestampNtz', 'equal', 'works', {
    columns: 'id bigint, at timestamp_ntz',
    rows: "values (1, timestamp_ntz '1969-12-31 23:59:59.999999'), (2, timestamp_ntz '2024-01-01 00:00:00'), (3, null)",
  }),
  bySql('timestampNtz as a partition', 'equal', 'works', {
    columns: 'id bigint, at timestamp_ntz',
    define: 'partitioned by (at)',
    rows: "values (1, timestamp_ntz '1969-12-31 23:59:59.999999'), (2, timestamp_ntz '2024-01-01 00:00:00'), (3, null)",
  }),
  bySql('deletionVectors, not used yet', 'equal', 'works', { define: properties({ 'delta.enableDeletionVectors': 'true' }) }),
  bySql('deletionVectors', 'equal', 'works', {
    define: properties({ 'delta.enableDeletionVectors': 'true' }),
    after: ['delete from $table where id = 2'],
  }),
  bySql('deletionVectors that grow, over checkpoints', 'equal', 'works', {
    define: properties({ 'delta.enableDeletionVectors': 'true', 'delta.checkpointInterval': '2' }),
    rows: "select /*+ repartition(2) */ id, concat('row ', id) from range(300000)",
    after: [
      'delete from $table where id % 7 = 3',
      'delete from $table where id between 100000 and 250000',
      "update $table set name = 'z' where id % 1000 = 0",
      'delete from $table where id = 5',
    ],
  }),
  bySql('deletionVectors, switched off and purged', 'equal', 'works', {
    define: properties({ 'delta.enableDeletionVectors': 'true' }),
    after: [
      'delete from $table where id = 2',
      "alter table $table set tblproperties ('delta.enableDeletionVectors' = 'false')",
      'reorg table $table apply (purge)',
    ],
  }),
  bySql('columnMapping by name', 'equal', 'works', {
    define: properties({ 'delta.columnMapping.mode': 'name', 'delta.minReaderVersion': '2', 'delta.minWriterVersion': '5' }),
    after: ['alter table $table rename column name to title'],
  }),
  bySql('columnMapping by id', 'equal', 'works', {
    define: properties({ 'delta.columnMapping.mode': 'id', 'delta.minReaderVersion': '2', 'delta.minWriterVersion': '5' }),
  }),
  ...(['name', 'id'] as const).map((mode) =>
    bySql(`columnMapping by ${mode}, nested, renamed, dropped and with deletion vectors`, 'equal', 'works', {
      columns: 'id bigint, gone string, day date, st struct<a: int, b: array<struct<c: int, d: string>>>, m map<string, struct<e: int>>',
      define: `partitioned by (day) ${properties({ 'delta.columnMapping.mode': mode, 'delta.enableDeletionVectors': 'true', 'delta.checkpointInterval': '3' })}`,
      rows: "values (1, 'x', date '2024-01-01', struct(1, array(struct(2, 'd'), null)), map('k', struct(5))), (2, 'y', null, null, null)",
      after: [
        'alter table $table rename column day to date',
        'alter table $table rename column st.a to first',
        'alter table $table rename column st.b.element.c to `a b`',
        'alter table $table rename column m.value.e to f',
        'alter table $table drop column gone',
        'alter table $table add columns (gone int, st.z string)',
        "insert into $table values (3, date '2024-01-02', struct(3, array(struct(4, 'e')), 'z'), map('l', null), 7), (4, date '2024-01-02', struct(null, null, null), map(), null)",
        'delete from $table where id = 4',
      ],
    }),
  ),
  bySql('changeDataFeed', 'equal', 'works', {
    define: properties({ 'delta.enableChangeDataFeed': 'true' }),
    after: ['delete from $table where id = 2', "update $table set name = 'z' where id = 3"],
  }),
  bySql('checkConstraints', 'equal', 'works', { after: ['alter table $table add constraint positive check (id > 0)'] }),
  {
    name: 'generatedColumns',
    reading: 'equal',
    writing: 'works',
    make: (engine, path) => engine.createGenerated(path, 'twice', 'id * 2').then(() => engine.sql([`insert into delta.\`${path}\` (id) values (1), (2)`])),
  },
  {
    name: 'identityColumns',
    reading: 'equal',
    writing: 'identityColumns',
    make: (engine, path) => engine.createGenerated(path, 'nr', null).then(() => engine.sql([`insert into delta.\`${path}\` (id) values (1), (2)`])),
  },
  bySql('allowColumnDefaults', 'equal', 'works', {
    columns: "id bigint, name string default 'none'",
    define: properties({ 'delta.feature.allowColumnDefaults': 'supported' }),
    rows: '(id) values (1), (2)',
  }),
  bySql('clustering', 'equal', 'works', { define: 'cluster by (id)' }),
  bySql('rowTracking', 'equal', 'rowTracking', { define: properties({ 'delta.enableRowTracking': 'true' }) }),
  bySql('inCommitTimestamp', 'equal', 'works', { define: properties({ 'delta.enableInCommitTimestamps': 'true' }) }),
  bySql('domainMetadata', 'equal', 'works', { define: properties({ 'delta.feature.domainMetadata': 'supported' }) }),
  bySql('v2Checkpoint', 'equal', 'v2Checkpoint', {
    define: properties({ 'delta.checkpointPolicy': 'v2', 'delta.checkpointInterval': '1' }),
    after: ["insert into $table values (4, 'd')"],
  }),
  ...(['json', 'parquet'] as const).map((format) =>
    bySql(`v2Checkpoint in ${format} with many sidecars and deletion vectors`, 'equal', 'v2Checkpoint', {
      define: `partitioned by (name) ${properties({ 'delta.checkpointPolicy': 'v2', 'delta.checkpointInterval': '2', 'delta.enableDeletionVectors': 'true' })}`,
      rows: 'select id, concat("n ", id % 5) from range(100)',
      after: ['delete from $table where id % 3 = 0', 'delete from $table where id % 7 = 0', "insert into $table values (1000, 'd')"],
      settings: { 'spark.databricks.delta.checkpointV2.topLevelFileFormat': format, 'spark.databricks.delta.checkpoint.partSize': '2' },
    }),
  ),
  bySql('typeWidening', 'equal', 'works', {
    columns: 'id bigint, n smallint',
    define: properties({ 'delta.enableTypeWidening': 'true' }),
    rows: 'values (1, 2), (2, null)',
    after: ['alter table $table alter column n type int', 'insert into $table values (3, 100000)'],
  }),
  bySql('vacuumProtocolCheck', 'equal', 'works', { define: properties({ 'delta.feature.vacuumProtocolCheck': 'supported' }) }),
  bySql('icebergCompatV2', 'equal', 'icebergCompat', {
    define: properties({ 'delta.enableIcebergCompatV2': 'true', 'delta.columnMapping.mode': 'name' }),
  }),
  bySql('a column of type void', 'void', 'void', { columns: 'id bigint, nothing void', rows: '(id) values (1)' }),
  bySql('varchar', 'equal', 'works', { columns: 'id bigint, name varchar(5)', insert: "select 77::bigint as id, 'abc' as name" }),
  bySql('checkpoints in many parts', 'equal', 'works', {
    define: `partitioned by (name) ${properties({ 'delta.checkpointInterval': '1' })}`,
    after: ["insert into $table values (4, 'd'), (5, null)"],
    settings: { 'spark.databricks.delta.checkpoint.partSize': '1' },
  }),
  bySql('checkpoints with statistics and partitions as columns only', 'equal', 'works', {
    columns: 'id bigint, day date, at timestamp, dec decimal(20,3), st struct<a: string>',
    define: `partitioned by (day) ${properties({ 'delta.checkpointInterval': '1', 'delta.checkpoint.writeStatsAsStruct': 'true', 'delta.checkpoint.writeStatsAsJson': 'false' })}`,
    rows: "values (1, date '2024-01-01', timestamp '1969-12-31 23:59:59.999999', 1.5, struct('a')), (2, null, null, null, null)",
    after: ["insert into $table values (3, date '1969-12-31', timestamp '2024-01-01 00:00:00.123456', -1.5, struct(null))"],
    insert: 'select 77::bigint as id, date \'2000-01-01\' as "day"',
  }),
  bySql('compacted logs', 'equal', 'works', {
    after: ["insert into $table values (4, 'd')", "insert into $table values (5, 'e')", "insert into $table values (6, 'f')"],
    settings: { 'spark.databricks.delta.deltaLog.minorCompaction.useForReads': 'true' },
  }),
  bySql('timestamps as INT96 and as milliseconds', 'equal', 'works', {
    columns: 'id bigint, at timestamp',
    rows: "values (1, timestamp '1969-12-31 23:59:59.999')",
    after: ["insert into $table values (2, timestamp '2024-01-01 00:00:00.123')"],
    settings: { 'spark.sql.parquet.outputTimestampType': 'TIMESTAMP_MILLIS' },
  }),
  bySql('decimals in the old form of Parquet', 'equal', 'works', {
    columns: 'id bigint, a decimal(5,2), b decimal(18,0), c decimal(38,18)',
    rows: 'values (1, 1.25, 999999999999999999, -0.000000000000000001), (2, null, null, null)',
    settings: { 'spark.sql.parquet.writeLegacyFormat': 'true' },
  }),
  bySql('columns added and reordered', 'equal', 'works', {
    columns: 'id bigint, st struct<a: int, b: array<struct<c: int>>>',
    rows: 'values (1, struct(1, array(struct(2))))',
    after: [
      'alter table $table add columns (day date first, st.z string, st.b.element.d string)',
      "insert into $table values (date '2024-01-01', 2, struct(3, array(struct(4, 'd')), 'z'))",
    ],
  }),
  {
    name: 'a shallow clone',
    reading: 'equal',
    writing: 'works',
    make: (engine, path) =>
      engine.sql([
        `create table delta.\`${path}_source\` (id bigint) using delta`,
        `insert into delta.\`${path}_source\` values (1)`,
        `create table delta.\`${path}\` shallow clone delta.\`${path}_source\``,
      ]),
  },
]

/** What came with Delta 4. */
export const SPARK_4_FEATURES: readonly Feature[] = [
  bySql('variantType', 'variantType', 'variantType', { columns: 'id bigint, v variant', rows: 'select 1, parse_json(\'{"a": 1}\')' }),
]

export const DELTA_RS_FEATURES: readonly Feature[] = [
  {
    name: 'timestampNtz',
    reading: 'equal',
    writing: 'works',
    make: (engine, path) =>
      engine.write(path, {
        fields: [field('id', 'long'), field('at', 'timestamp_ntz')],
        rows: [
          ['1', '1969-12-31T23:59:59.999999'],
          ['2', null],
        ],
      }),
  },
  {
    name: 'checkConstraints',
    reading: 'equal',
    writing: 'works',
    make: async (engine, path) => {
      await engine.write(path, { fields: [field('id', 'long')], rows: [['1']] })
      await engine.addConstraint(path, 'positive', 'id > 0')
    },
  },
  {
    name: 'changeDataFeed',
    reading: 'equal',
    writing: 'works',
    make: async (engine, path) => {
      await engine.write(path, { fields: [field('id', 'long')], rows: [['1'], ['2'], ['3']], properties: { 'delta.enableChangeDataFeed': 'true' } })
      await engine.delete(path, 'id = 2')
    },
  },
  {
    name: 'appendOnly',
    reading: 'equal',
    writing: 'works',
    make: (engine, path) => engine.write(path, { fields: [field('id', 'long')], rows: [['1']], properties: { 'delta.appendOnly': 'true' } }),
  },
  {
    // With table features on, delta-rs lists all that it knows; the first that cannot be read yet is named.
    name: 'deletionVectors, not used yet',
    reading: 'variantType',
    writing: 'variantType',
    make: (engine, path) => engine.write(path, { fields: [field('id', 'long')], rows: [['1']], properties: { 'delta.enableDeletionVectors': 'true' } }),
  },
]
