import { flow, task, until, z } from 'lagoa'
import { orders } from '../streams/orders.ts'
import { daily } from '../tables/sales.ts'

/** Tells its window, and fails for the partitions that it is told to. */
export const byDay = flow(
  'by_day',
  { partition: 'day', timeZone: 'America/Sao_Paulo', cron: '30 2 * * *', params: z.object({ bad: z.array(z.string()).default([]) }) },
  ({ bad }) => {
    task('tell', {
      with: { bad },
      run({ bad }, { run, window }) {
        if (run.partition !== null && bad.includes(run.partition)) throw new Error(`${run.partition} is bad`)
        return window && [new Date(window.from).toISOString(), new Date(window.to).toISOString()]
      },
    })
  },
)

export const byHour = flow('by_hour', { partition: 'hour' }, () => {
  task('nothing', { run: () => null })
})

/** One run at a time, whoever asks. */
export const alone = flow('alone', { concurrency: 1, partition: 'month' }, () => {
  task('nothing', { run: () => null })
})

export const afterTable = flow('after_table', { on: daily }, () => {
  task('read', { run: (_, ctx) => ctx.sql('select count(*) from gold.daily') })
})

/** Takes ten minutes. */
export const afterStream = flow('after_stream', { on: orders }, () => {
  const begun = task('begin', { run: (_, { now }) => now() })
  task.sensor('slow', { every: '1min', with: { begun }, until: ({ begun }, { now }) => now() - begun >= 600_000 })
})

export const everyQuarter = flow('every_quarter', { every: '15min', catchUp: 'all' }, () => {
  task('nothing', { run: () => null })
})

/** Its first two tries fail, each later than the one before. */
export const stubborn = flow('stubborn', () => {
  task('try', {
    retries: 3,
    retryDelay: '1min',
    backoff: 'exponential',
    run(_, { attempt }) {
      if (attempt < 3) throw new Error(`try ${attempt}`)
      return attempt
    },
  })
})

export const forever = flow('forever', () => {
  task.sensor('never', { every: '1h', until: () => false })
})

/** Waits for one of each: an object, a table, a record, a moment. */
export const waiting = flow('waiting', { params: z.object({ day: z.string(), least: z.number() }) }, ({ day, least }) => {
  const file = task.sensor('file', { every: '1min', with: { day }, until: until.object(({ day }) => `inbox/${day}*`) })
  const table = task.sensor('table', { every: '1min', after: file, with: { least }, until: until.version(daily, ({ least }) => least) })
  const large = task.sensor('record', { every: '1min', after: table, until: until.record(orders, ({ amount }) => Number(amount) > 1_000) })
  task.sensor('time', { every: '1min', after: large, until: until.time('2026-05-01T08:00:00-03:00') })
})
