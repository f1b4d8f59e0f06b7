import { flow, task, z } from 'lagoa'
import { critical } from '../alerts/air.ts'
import { sensorRaw } from '../streams/sensor_raw.ts'

const FIELDS = ['CO', 'NO2', 'Temperature', 'Relative_Humidity', 'Absolute_Humidity'] as const
const retried = { retries: 1, retryDelay: '1min' } as const

/** Rows of a file divided by semicolons, as the messages that a producer sends. */
function messages(text: string) {
  const [head = '', ...lines] = text.replaceAll('\r', '').split('\n')
  const columns = head.split(';')
  return lines.flatMap((line) => {
    const cells = line.split(';')
    const of = (name: string) => cells[columns.indexOf(name)] ?? ''
    return of('Date') === ''
      ? []
      : [{ date: of('Date'), time: of('Time'), ...Object.fromEntries(FIELDS.map((name) => [name, Number(of(name).replace(',', '.'))])) }]
  })
}

export default flow(
  'pipeline_sensor_airflow',
  {
    description: 'A file of readings through the whole pipeline: topic, cache and objects, alerts',
    tags: ['pipeline', 'iot'],
    params: z.object({ path: z.string().default('air-quality/AirQualityUCI_Treated.csv') }),
  },
  ({ path }) => {
    const load = task('load_csv_to_kafka', {
      ...retried,
      description: 'Sends every row of the file to the topic',
      with: { path },
      async run({ path }, ctx) {
        const bytes = await ctx.objects.get(path)
        if (!bytes) throw new Error(`There is no object ${path}: put the file there first`)
        const before = await ctx.rule(critical.name)
        const rows = messages(new TextDecoder().decode(bytes))
        for (let start = 0; start < rows.length; start += 1000) {
          await ctx.publish(sensorRaw.name, rows.slice(start, start + 1000))
          ctx.progress(Math.min(start + 1000, rows.length), rows.length)
        }
        ctx.log(`${rows.length} readings sent to ${sensorRaw.name}`)
        return { sent: rows.length, queuedBefore: before.queued }
      },
    })

    const consume = task.sensor('consume_from_kafka', {
      ...retried,
      description: 'Waits until every sink of the topic has taken them',
      with: { load },
      every: '1s',
      timeout: '10min',
      until: async ({ load }, ctx) => ((await ctx.caughtUp(sensorRaw.name)) ? load : null),
    })

    task('process_and_store_to_minio_and_redis', {
      ...retried,
      description: 'Looks at the newest readings in the cache and the object store',
      with: { consume },
      async run({ consume }, ctx) {
        const newest = (await ctx.records(sensorRaw.name, { limit: Math.min(consume.sent, 100) })) as readonly { date?: string; time?: string }[]
        let found = 0
        for (const { date, time } of newest) {
          if (date === undefined || time === undefined) continue
          const [key, object] = await Promise.all([ctx.keys.get(`sensor:${date}:${time}`), ctx.objects.get(`air-quality/processed/${date}_${time}.json`)])
          if (!key || !object) throw new Error(`The reading of ${date} ${time} is not stored`)
          found++
        }
        ctx.log(`${found} of the newest readings are in the cache and in the object store`)
        return found
      },
    })

    task.sensor('send_alert_to_rabbitmq', {
      ...retried,
      description: 'Waits until the alerts of the critical readings are in their queue',
      with: { consume },
      every: '1s',
      timeout: '5min',
      async until({ consume }, ctx) {
        const { fired, queued } = await ctx.rule(critical.name)
        if (queued < fired) return null
        ctx.log(`${queued - consume.queuedBefore} alerts sent`)
        return { alerts: queued - consume.queuedBefore }
      },
    })
  },
)
