import { sql, table } from 'lagoa'
import { orders } from '../streams/orders.ts'

export const raw = table('bronze.orders', { from: orders })
export const daily = table('gold.daily', { sql: sql`select date_trunc('day', ${raw.c.at}) as day, sum(${raw.c.amount}) as amount from ${raw} group by all` })
