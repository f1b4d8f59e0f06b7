import { flow, task, z } from 'lagoa'

/** What the team's Prefect flow does with Spark, here with the lake's own engine: tables by their place, so that Spark reads and writes the same ones. */
export default flow(
  'bronze_to_silver_etl',
  {
    description: 'Sales of bronze, each once and worth something, to silver',
    owner: 'sales-data',
    tags: ['medallion'],
    params: z.object({ source: z.string().default('raw_data_source1/table1'), destination: z.string().default('clean_data_domain1/table1') }),
  },
  ({ source, destination }) => {
    const raw = task('extract_bronze_data', {
      description: 'Finds the source and holds on to the version that it has now',
      retries: 3,
      retryDelay: '30s',
      with: { source },
      async run({ source }, ctx) {
        const place = `bronze/${source}`
        const { rows } = await ctx.sql(`select count(*) from delta('${place}')`)
        ctx.log(`${String(rows[0]?.[0])} rows in ${place}`)
        return place
      },
    })

    const transformed = task('transform_to_silver', {
      description: 'Each row once, only those of a value, with the time',
      with: { raw },
      run: ({ raw }, { now }) =>
        `select distinct id, data, categoria, "região", valor, timestamptz '${new Date(now()).toISOString()}' as processed_ts from delta('${raw}') where valor > 0`,
    })

    task('load_to_silver', {
      description: 'Replaces what the destination holds, in one commit',
      with: { transformed, destination },
      async run({ transformed, destination }, ctx) {
        const { rows, version } = await ctx.write(`silver/${destination}`, transformed, { mode: 'overwrite' })
        ctx.log(`${rows} rows, version ${version}`)
        return `s3a://silver/${destination}`
      },
    })
  },
)
