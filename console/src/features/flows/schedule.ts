/** A schedule in words: common ones by name, others as they were written. */
import type { FlowShape } from '../../api/types.ts'

type Schedule = NonNullable<FlowShape['schedule']>
type Spoken =
  | { readonly id: 'schedule.every'; readonly values: { readonly every: string } }
  | { readonly id: 'schedule.daily'; readonly values: { readonly time: string } }
  | { readonly id: 'schedule.hourly'; readonly values: { readonly minute: string } }
  | { readonly id: 'schedule.minutes'; readonly values: { readonly n: number } }
  | { readonly id: 'schedule.cron'; readonly values: { readonly cron: string } }

export function spoken({ cron, every }: Pick<Schedule, 'cron' | 'every'>): Spoken {
  if (cron === undefined) return { id: 'schedule.every', values: { every: typeof every === 'number' ? `${every} ms` : (every ?? '') } }
  const fields = cron.trim().split(/\s+/)
  const [minute = '', hour = '', ...rest] = fields.length === 6 && fields[0] === '0' ? fields.slice(1) : fields
  if (rest.length === 3 && rest.every((field) => field === '*')) {
    if (/^\d+$/.test(minute) && /^\d+$/.test(hour)) return { id: 'schedule.daily', values: { time: `${hour.padStart(2, '0')}:${minute.padStart(2, '0')}` } }
    if (/^\d+$/.test(minute) && hour === '*') return { id: 'schedule.hourly', values: { minute: minute.padStart(2, '0') } }
    const [, n] = /^\*\/(\d+)$/.exec(minute) ?? []
    if (hour === '*' && (n !== undefined || minute === '*')) return { id: 'schedule.minutes', values: { n: Number(n ?? 1) } }
  }
  return { id: 'schedule.cron', values: { cron } }
}

/** In how long: for times to come, as `ago` is for those that were. */
export const untilMs = (at: number, now: number): number => Math.max(0, at - now)
