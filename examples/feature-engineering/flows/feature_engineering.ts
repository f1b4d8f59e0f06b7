import { flow, task, z } from 'lagoa'

const TABLE = 'bronze.novas_empresas'

export default flow(
  'feature_engineering',
  {
    description: 'What new companies of each activity look like, into the online feature store or into the log',
    tags: ['features'],
    params: z.object({
      path: z.string().default('data/novas_empresas.csv').describe('A CSV file below the project folder, or objects://bucket/key'),
      save_to_db: z.boolean().default(true).describe('Save the features; otherwise they are printed in the log'),
    }),
  },
  ({ path, save_to_db }) => {
    const begin = task.command('iniciar_processamento_task', { description: 'Says that it begins', command: ['echo', 'Iniciando pipeline...'] })

    const check = task('check_redis', {
      description: 'Fails when the feature store does not answer',
      after: begin,
      run: (_, ctx) => ctx.keys.ping(),
    })

    const features = task('processar_e_salvar_features', {
      description: 'Aggregates the companies of the file by activity',
      after: check,
      with: { path, save_to_db },
      async run({ path, save_to_db }, ctx) {
        const { files } = await ctx.ingest(path, TABLE, { delimiter: ';', decimal: ',' })
        const names = files.map(({ file }) => `'${file.replaceAll("'", "''")}'`).join(', ')
        const { columns, rows } = await ctx.sql(
          `select cnae, count(*) as n, round(sum(capital_social), 2) as capital_total, round(avg(capital_social), 2) as capital_medio,
             round(median(capital_social), 2) as capital_mediano, round(max(capital_social), 2) as capital_maximo, count(distinct uf) as ufs, max(abertura) as ultima_abertura
           from ${TABLE} where _file in (${names}) group by cnae order by n desc, cnae`,
          { limit: 10_000 },
        )
        if (!save_to_db) {
          for (const line of [columns.map(({ name }) => name), ...rows.slice(0, 20)]) ctx.log(line.map((cell) => String(cell ?? '')).join(' | '))
          return { activities: rows.length, saved: 0 }
        }
        for (const [i, [cnae, ...values]] of rows.entries()) {
          const named = columns.slice(1).map(({ name }, at) => [name, String(values[at] ?? '')] as const)
          await ctx.keys.set(`company_stats:${String(cnae)}`, Object.fromEntries(named))
          ctx.progress(i + 1, rows.length)
        }
        ctx.log(`${rows.length} activities saved`)
        return { activities: rows.length, saved: rows.length }
      },
    })

    task('end_task', { description: 'The end', after: features, run: () => null })
  },
)
