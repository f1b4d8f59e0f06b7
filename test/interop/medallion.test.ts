/** The medallion example on S3: bronze, silver and gold by Lagoa, then Spark on the same bronze, and its gold read by Lagoa. */
import { execFile } from 'node:child_process'
import { existsSync, readFileSync, readdirSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { ROOT, newHome, once, sql, temporaryFolder } from '../helpers/cli.ts'
import { noS3Server, startS3 } from '../helpers/s3.ts'

const EXAMPLE = join(ROOT, 'examples/medallion-lab')
const SPARK = join(ROOT, 'node_modules/.lagoa/interop/spark-3.5')
const DOCUMENT = join(ROOT, '../shared/seeds/3-dataflow-lab.md')

describe.skipIf(noS3Server !== null)(`the medallion example${noS3Server === null ? '' : ` (skipped: ${noS3Server})`}`, async () => {
  if (noS3Server !== null) return
  const server = await startS3()
  const env = {
    LAGOA_OBJECTS__STORE: 's3',
    LAGOA_OBJECTS__ENDPOINT: server.endpoint,
    LAGOA_OBJECTS__ACCESS_KEY_ID: server.accessKeyId,
    LAGOA_OBJECTS__SECRET_ACCESS_KEY: server.secretAccessKey,
  }
  const home = newHome()
  const byLagoa = 'select categoria, "região", valor_total from gold.sales_by_region order by all'
  const bySpark = `select categoria, "região", valor_total from delta('gold/analytics_domain1/dashboard1') order by all`

  test('is made by Lagoa', async () => {
    const summary = await once(['--project', EXAMPLE], { home, env })
    expect(summary.tables).toMatchObject({ 'bronze.sales': { rows: 9 }, 'silver.sales': { rows: 6 }, 'gold.sales_by_region': { rows: 5 } })
    expect(await sql('select count(*) from bronze.sales_quarantine', { home, env }, EXAMPLE)).toEqual([[2]])
  })

  test('gives the same gold when Spark makes silver and gold of the same bronze', async () => {
    await runOnSpark(join(EXAMPLE, 'medallion.py'))
    expect(await sql(bySpark, { home, env }, EXAMPLE)).toEqual(await sql(byLagoa, { home, env }, EXAMPLE))
  }, 300_000)

  test.skipIf(!existsSync(DOCUMENT))(
    'and when the program of the source document does, but for its address and passwords',
    async () => {
      const program = /```python\n(# No JupyterHub, usando PySpark com Delta Lake\n[\s\S]*?)```/.exec(readFileSync(DOCUMENT, 'utf8'))?.[1] ?? ''
      const script = join(temporaryFolder('document'), 'program.py')
      // It keeps the columns that tell where a row came from, so its tables are others.
      for (const table of ['silver/clean_data_domain1', 'gold/analytics_domain1']) rmSync(join(server.folder, table), { recursive: true })
      const ours = program
        .replace('http://minio:9000', server.endpoint)
        .replace('"admin"', JSON.stringify(server.accessKeyId))
        .replace('"admin123"', JSON.stringify(server.secretAccessKey))
      expect(ours).toContain(server.secretAccessKey)
      writeFileSync(script, ours)
      await runOnSpark(script)
      expect(await sql(bySpark, { home, env }, EXAMPLE)).toEqual(await sql(byLagoa, { home, env }, EXAMPLE))
      expect(await sql(`select count(*) from delta('silver/clean_data_domain1/table1')`, { home, env }, EXAMPLE)).toEqual([[6]])
    },
    300_000,
  )

  async function runOnSpark(script: string): Promise<void> {
    const scratch = temporaryFolder('spark')
    const jars = readdirSync(join(SPARK, 'jars')).map((jar) => join(SPARK, 'jars', jar))
    const options = [
      '--driver-class-path',
      jars.join(':'),
      '--driver-memory',
      '1g',
      ...Object.entries({
        'spark.ui.enabled': 'false',
        'spark.driver.host': '127.0.0.1',
        'spark.driver.bindAddress': '127.0.0.1',
        'spark.sql.shuffle.partitions': '2',
        'spark.local.dir': scratch,
        // The server of the tests keeps objects in folders, and Spark would ask it to delete these at each write.
        'spark.hadoop.fs.s3a.directory.marker.retention': 'keep',
      }).flatMap(([key, value]) => ['--conf', `${key}=${value}`]),
    ]
    await promisify(execFile)(join(SPARK, 'bin/python'), [script], {
      cwd: scratch,
      timeout: 280_000,
      maxBuffer: 16 * 1024 * 1024,
      env: {
        PATH: process.env.PATH,
        HOME: scratch,
        TMPDIR: scratch,
        LANG: 'C.UTF-8',
        TZ: 'UTC',
        SPARK_LOCAL_IP: '127.0.0.1',
        S3_ENDPOINT: server.endpoint,
        AWS_ACCESS_KEY_ID: server.accessKeyId,
        AWS_SECRET_ACCESS_KEY: server.secretAccessKey,
        PYSPARK_PYTHON: join(SPARK, 'bin/python'),
        PYSPARK_SUBMIT_ARGS: `--master local[2] ${options.map((option) => `"${option}"`).join(' ')} pyspark-shell`,
        ...(process.env.JAVA_HOME === undefined ? {} : { JAVA_HOME: process.env.JAVA_HOME }),
      },
    })
  }
})
